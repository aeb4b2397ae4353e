"""What the settings of a simulated photograph are called: in everyday words, with the field's behind them."""

from __future__ import annotations

__all__ = ["FACTORS", "SETTINGS", "factor_word"]

SETTINGS = {
    "distance": "Distance (1: the print fills the picture)",
    "yaw": "Turned to the side (yaw, degrees)",
    "pitch": "Tilted backwards (pitch, degrees)",
    "roll": "Rotated, as a wheel (roll, degrees)",
    "aim": "Off centre, at most (%)",
    "view": "Angle of view (degrees)",
    "print_size": "Height of the print (mm)",
    "print_dpi": "Resolution of the print (dpi; 0: no limit)",
    "dot_gain": "Spread of the ink (dot gain)",
    "ink_black": "Light that black ink reflects",
    "margin": "White paper around (% of the print)",
    "background": "Behind the sheet",
    "brightness": "Exposure (stops)",
    "temperature": "Colour of the light (K)",
    "white_balance": "White balance",
    "vignetting": "Dark corners (vignetting)",
    "defocus": "Out of focus (%)",
    "motion": "Shake while exposed (%)",
    "noise": "Noise of the sensor (255ths)",
    "jpeg": "JPEG quality (0: none)",
    "framing": "What of it the network sees",
    "resize": "How it is resized",
    "pixels": "Height of the photograph (pixels)",
}
"""Labels of the camera's parameters, by their names; each fits into a third of a projector's screen."""

FACTORS = {
    "aim": "off centre",
    "vignetting": "dark corners",
    "defocus": "out of focus",
    "motion": "shake",
    "jpeg": "JPEG",
}
"""Factors that are called otherwise than in :data:`core.physical.FACTORS`."""


def factor_word(name: str) -> str:
    """What a factor is called.

    >>> factor_word("defocus"), factor_word("distance")
    ('out of focus', 'distance')
    """
    return FACTORS.get(name, name)
