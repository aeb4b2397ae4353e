"""Sec. 5.4: where the saliency lies (Fig. 10)."""

from __future__ import annotations

from collections.abc import Mapping

from core.claims.base import ENHANCED, STANDARD, Claim, Verdict, judge
from core.energy import Energies, Energy

__all__ = ["judge_saliency"]

ON_TRIGGER = Claim(
    "saliency-on-trigger",
    "5.4",
    "On attacked images the saliency lies mainly in the area of the trigger, under standard and enhanced attacks.",
    "On more than half of the attacked images the most salient pixel is on the trigger (or next to it), for "
    "every attack.",
)
CONSISTENT_SPREAD = Claim(
    "saliency-consistent-spread",
    "5.4",
    "Under the consistent attack the saliency is less concentrated on the trigger than under BadNets and Blended.",
    "Saliency per pixel inside the trigger, relative to the whole image, is lower than under both.",
)
STANDARD_MOVES = Claim(
    "saliency-standard-moves-away",
    "5.4",
    "Under standard attacks the saliency of transformed images lies on the object rather than on the trigger.",
    "Behind ShrinkPad-4 the most salient pixel is on the trigger (or next to it) on fewer than half of the images, "
    "and the share of the saliency there is lower than without, for every standard attack.",
)
ENHANCED_STAYS = Claim(
    "saliency-enhanced-stays",
    "5.4",
    "Under enhanced attacks the saliency of both lies on the trigger, and more so on transformed images.",
    "On more than half of the images the most salient pixel is on the trigger (or next to it), without and behind "
    "ShrinkPad-4, and the saliency per pixel there is higher behind it, for every enhanced attack.",
)


def judge_saliency(measured: Mapping[str, Energies]) -> list[Verdict]:
    """The four statements of Sec. 5.4 about Fig. 10.

    Args:
        measured: What falls on the trigger of attacked and of transformed images, by the attack's title, e.g.
            ``blended+``.
    """
    return [
        judge(
            ON_TRIGGER,
            measured,
            STANDARD + ENHANCED,
            lambda found: found.attacked.peak_rate.interval[0] > 0.5,
            lambda found: {"peaks on the trigger, %": 100 * found.attacked.peak_rate.value},
        ),
        _consistent_is_spread(measured),
        judge(
            STANDARD_MOVES,
            measured,
            STANDARD,
            lambda found: (
                found.transformed.peak_rate.interval[1] < 0.5
                and found.transformed.interval[1] < found.attacked.interval[0]
            ),
            lambda found: {
                "peaks on the trigger behind ShrinkPad-4, %": 100 * found.transformed.peak_rate.value,
                "share, %": 100 * found.attacked.mean,
                "share behind ShrinkPad-4, %": 100 * found.transformed.mean,
            },
        ),
        judge(
            ENHANCED_STAYS,
            measured,
            ENHANCED,
            lambda found: (
                min(kind.peak_rate.interval[0] for kind in (found.attacked, found.transformed)) > 0.5
                and _densities(found.attacked)[1] < _densities(found.transformed)[0]
            ),
            lambda found: {
                "peaks on the trigger, %": 100 * found.attacked.peak_rate.value,
                "peaks on the trigger behind ShrinkPad-4, %": 100 * found.transformed.peak_rate.value,
                "concentration": found.attacked.concentration,
                "concentration behind ShrinkPad-4": found.transformed.concentration,
            },
        ),
    ]


def _densities(energy: Energy) -> tuple[float, float]:
    """95% interval of the concentration: the area is known, the share is uncertain."""
    low, high = energy.interval
    return low / energy.area, high / energy.area


def _consistent_is_spread(measured: Mapping[str, Energies]) -> Verdict:
    numbers = {t: {"concentration": measured[t].attacked.concentration} for t in STANDARD if t in measured}
    missing = tuple(title for title in STANDARD if title not in measured)
    if missing:
        return Verdict(CONSISTENT_SPREAD, None, numbers, missing)
    highest = _densities(measured["consistent"].attacked)[1]
    holds = all(highest < _densities(measured[title].attacked)[0] for title in ("badnets", "blended"))
    return Verdict(CONSISTENT_SPREAD, holds, numbers)
