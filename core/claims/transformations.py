"""Sec. 5.1, 5.2, 5.3 and 5.6: transformations in front of the model (Tables 1, 3 to 5, Fig. 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.claims.base import ENHANCED, STANDARD, Claim, Verdict, judge
from core.metrics import Rate
from core.strength import StrengthCurve

__all__ = ["Curves", "judge_defenses"]

SHRINKPAD_STOPS = Claim(
    "shrinkpad-stops",
    "5.1",
    "ShrinkPad with 4 pixels decreases the attack success rate of every standard attack by more than 90%.",
    "Behind ShrinkPad-4 less than a tenth of the success rate is left.",
)
FLIP_STOPS = Claim(
    "flip-stops",
    "5.1",
    "Flip stops BadNets and Blended.",
    "Behind Flip the success rate is below 5%.",
)
FLIP_SPARES_CONSISTENT = Claim(
    "flip-spares-consistent",
    "5.1",
    "Flip does not stop the consistent attack, whose trigger is symmetrical.",
    "Behind Flip the success rate is at most 5 points lower than without.",
)
VALUES_SPARE = Claim(
    "values-spare",
    "5.2",
    "Noise and colour shifts, which leave the trigger in place, do not stop any standard attack.",
    "At the largest strength of the paper (noise 20/255, the others 0.4) the success rate is at least 90%.",
)
ENHANCED_SURVIVE = Claim(
    "enhanced-survive",
    "5.3",
    "Enhanced attacks survive the transformations that they were trained with.",
    "Behind Flip, ShrinkPad-2 and ShrinkPad-4 the success rate is at least 85%.",
)
ENHANCED_FALL = Claim(
    "enhanced-fall",
    "5.6",
    "The success of enhanced attacks falls dramatically when the shrink size exceeds the one of the training.",
    "Behind ShrinkPad-8 less than half of the success rate behind ShrinkPad-4 is left.",
)
# Strongest setting of Tables 3 and 4.
STRONGEST = {"noise": 20.0, "hue": 0.4, "contrast": 0.4, "brightness": 0.4, "saturation": 0.4}

Curves = Mapping[str, StrengthCurve]
"""Curves of one model by the name of the transformation."""


def judge_defenses(measured: Mapping[str, Curves]) -> list[Verdict]:
    """The statements of Sec. 5.1, 5.2, 5.3 and 5.6 about transformations in front of the model.

    Args:
        measured: Stored curves over the strength of transformations, by the attack's title and the transformation; of
            enhanced attacks those with the paper's largest shrink size, 4.
    """
    full = {title: curves for title, curves in measured.items() if {"flip", "shrinkpad", *STRONGEST} <= set(curves)}

    def success(curves: Curves, name: str, strength: float) -> Rate:
        return curves[name].at(strength)[1]

    def numbers(curves: Curves, places: Sequence[tuple[str, str, float]]) -> dict[str, float]:
        shown = {"ASR, %": 100 * success(curves, "shrinkpad", 0).value}
        return shown | {f"{label}, %": 100 * success(curves, name, at).value for label, name, at in places}

    four, flip = ("ShrinkPad-4", "shrinkpad", 4.0), ("Flip", "flip", 1.0)
    values = [(f"{name.capitalize()} {at:g}", name, at) for name, at in STRONGEST.items()]
    trained = [flip, ("ShrinkPad-2", "shrinkpad", 2.0), four]
    return [
        judge(
            SHRINKPAD_STOPS,
            full,
            STANDARD,
            lambda c: success(c, "shrinkpad", 4).interval[1] < 0.1 * success(c, "shrinkpad", 0).interval[0],
            lambda c: numbers(c, [four]),
        ),
        judge(
            FLIP_STOPS,
            full,
            STANDARD[:2],
            lambda c: success(c, "flip", 1).interval[1] < 0.05,
            lambda c: numbers(c, [flip]),
        ),
        judge(
            FLIP_SPARES_CONSISTENT,
            full,
            STANDARD[2:],
            lambda c: success(c, "flip", 1).value > success(c, "flip", 0).value - 0.05,
            lambda c: numbers(c, [flip]),
        ),
        judge(
            VALUES_SPARE,
            full,
            STANDARD,
            lambda c: all(success(c, name, at).value >= 0.9 for _, name, at in values),
            lambda c: numbers(c, values),
        ),
        judge(
            ENHANCED_SURVIVE,
            full,
            ENHANCED,
            lambda c: all(success(c, name, at).value >= 0.85 for _, name, at in trained),
            lambda c: numbers(c, trained),
        ),
        judge(
            ENHANCED_FALL,
            full,
            ENHANCED,
            lambda c: success(c, "shrinkpad", 8).interval[1] < 0.5 * success(c, "shrinkpad", 4).interval[0],
            lambda c: numbers(c, [four, ("ShrinkPad-8", "shrinkpad", 8.0)]),
        ),
    ]
