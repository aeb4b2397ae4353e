"""Sec. 3.2: what moving the trigger or changing its appearance does (Fig. 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping

from core.claims.base import Claim, Verdict, judge
from core.metrics import Rate
from core.sweeps import AppearanceCurve, LocationMap

__all__ = ["judge_sensitivity"]

GRAY = ("badnets-gray",)
TRAINED, DARKER, BRIGHTEST = 128, 64, 255

LOCATION_DROPS = Claim(
    "location-drops",
    "3.2",
    "Moving the trigger by 2 to 3 pixels lets the attack success rate drop sharply, from 100% to below 50%.",
    "At the training location the rate is at least 99%, and at no location 3 pixels away is it 50% or more.",
)
APPEARANCE_FALLS = Claim(
    "appearance-falls",
    "3.2",
    "The attack success rate degrades sharply when the trigger's pixels become darker than in training.",
    "At half of the trained pixel value, 64 for 128, the rate is below half of the one at 128.",
)
APPEARANCE_KEEPS = Claim(
    "appearance-keeps",
    "3.2",
    "The attack success rate is not influenced when the trigger's pixels become brighter.",
    "At no pixel value from 128 to 255 is the rate more than 5 points below the one at 128.",
)


def judge_sensitivity(
    maps: Mapping[str, tuple[LocationMap, tuple[int, int]]], curves: Mapping[str, AppearanceCurve]
) -> list[Verdict]:
    """The statements about Fig. 4 and Fig. 5.

    Args:
        maps: Maps over the location with the training location, by the attack's title.
        curves: Curves over the pixel value, by the attack's title.
    """
    return [
        judge(
            LOCATION_DROPS,
            maps,
            GRAY,
            lambda found: (
                found[0].at(*found[1]).value >= 0.99 and found[0].highest_at_distance(found[1], 3)[0].interval[1] < 0.5
            ),
            lambda found: (
                {"ASR, %": 100 * found[0].at(*found[1]).value}
                | {
                    f"highest of {highest.places} places {away} pixels away, %": 100 * highest.rate.value
                    for away, highest in ((away, found[0].highest_at_distance(found[1], away)) for away in (2, 3))
                }
            ),
        ),
        judge(
            APPEARANCE_FALLS,
            curves,
            GRAY,
            lambda curve: curve.at(DARKER).interval[1] < 0.5 * curve.at(TRAINED).interval[0],
            lambda curve: {f"ASR at {value}, %": 100 * curve.at(value).value for value in (DARKER, TRAINED)},
        ),
        judge(
            APPEARANCE_KEEPS,
            curves,
            GRAY,
            lambda curve: _lowest(curve).value >= curve.at(TRAINED).value - 0.05,
            lambda curve: {
                "ASR at 128, %": 100 * curve.at(TRAINED).value,
                "lowest from 128 on, %": 100 * _lowest(curve).value,
                "ASR at 255, %": 100 * curve.at(BRIGHTEST).value,
            },
        ),
    ]


def _lowest(curve: AppearanceCurve) -> Rate:
    """The lowest rate of the trained pixel value and all brighter ones."""
    return min((curve.at(value) for value in curve.values if value >= TRAINED), key=lambda rate: rate.value)
