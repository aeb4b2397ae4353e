"""Light: what a pixel value means, and the colour of a lamp."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["colour_of", "from_linear", "to_linear"]


def to_linear(values: Tensor) -> Tensor:
    """Light of sRGB values, both in [0, 1] (IEC 61966-2-1)."""
    return torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(light: Tensor) -> Tensor:
    """The inverse of :func:`to_linear`."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(1e-9) ** (1 / 2.4) - 0.055)


# Linear sRGB of CIE XYZ (IEC 61966-2-1).
_RGB_OF_XYZ = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))


def _planck(temperature: float) -> Tensor:
    """Linear sRGB of a black body of equal luminance: the cubic fit of Kim et al. (US patent 7024034, 2002)."""
    t = 1000 / temperature
    if temperature <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if temperature <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif temperature <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = torch.tensor([x / y, 1.0, (1 - x - y) / y], dtype=torch.float64)
    return (torch.tensor(_RGB_OF_XYZ, dtype=torch.float64) @ xyz).clamp_min(0.01)


def colour_of(temperature: float, channels: int = 3) -> Tensor:
    """How much of each channel a lamp gives, against one of 6500 K: float64 ``(channels,)``; all 1 for gray images.

    >>> [round(gain, 2) for gain in colour_of(3000).tolist()]
    [1.69, 0.86, 0.26]
    """
    if channels != 3:
        return torch.ones(channels, dtype=torch.float64)
    return _planck(temperature) / _planck(6500)
