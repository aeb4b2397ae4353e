"""Sec. 5.4: where the saliency lies (Fig. 10)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from core.paper.claims.base import NOT_MEASURED, Claim, Verdict, decided, judge, label_of
from core.paper.claims.intervals import Decided, above, below
from core.paper.constants import ENHANCED, STANDARD
from core.sweeps.saliency import Energies, Energy

__all__ = ["judge_saliency"]

BEHIND = " behind ShrinkPad-4"

ON_TRIGGER = Claim(
    "saliency-on-trigger",
    "5.4",
    "On attacked images the saliency lies mainly in the area of the trigger, under standard and enhanced attacks.",
    "More than half of the saliency of attacked images is on the trigger (relevance mass accuracy), which is what "
    '"mainly lies in" says, and on more than half of them the most salient pixel is on it or next to it (pointing '
    "game), for every attack. Where these measures, which are not the paper's, disagree, the verdict is mixed.",
    "… the saliency area of regularly (i.e., non-transformed) attacked images mainly lies in the area of the backdoor "
    "trigger on both standard attacks and enhanced attacks …",
)
CONSISTENT_SPREAD = Claim(
    "saliency-consistent-spread",
    "5.4",
    "Under the consistent attack the saliency is less concentrated on the trigger than under BadNets and Blended.",
    "Saliency per pixel inside the trigger, relative to the whole image, is lower than under both; so is the share of "
    "the saliency on the trigger (relevance mass accuracy) and, where it is measured, relevance rank accuracy. Where "
    "these measures, which are not the paper's, disagree, the verdict is mixed.",
    "… the saliency maps under consistent attack are not as concentrated at the trigger as those under BadNets and the "
    "blended attack.",
)
STANDARD_MOVES = Claim(
    "saliency-standard-moves-away",
    "5.4",
    "Under standard attacks the saliency of transformed images lies on the object rather than on the trigger.",
    "Behind ShrinkPad-4 the most salient pixel is on the trigger or next to it (pointing game) on fewer than half of "
    "the images, and the share of the saliency there (relevance mass accuracy) and, where it is measured, relevance "
    "rank accuracy are lower than without, for every standard attack. Where these measures, which are not the "
    "paper's, disagree, the verdict is mixed.",
    "… the saliency map of transformed attacked images mainly activates at object structure rather than at the "
    "backdoor trigger.",
)
ENHANCED_STAYS = Claim(
    "saliency-enhanced-stays",
    "5.4",
    "Under enhanced attacks the saliency of both lies on the trigger, and more so on transformed images.",
    "On more than half of the images the most salient pixel is on the trigger or next to it (pointing game), without "
    "and behind ShrinkPad-4, and the saliency per pixel there, and where it is measured relevance rank accuracy, are "
    "higher behind it, for every enhanced attack. Where these measures, which are not the paper's, disagree, the "
    "verdict is mixed.",
    "The saliency maps of both types of attacked images concentrate on the area of backdoor trigger, although such "
    "concentration is more significant of transformed images.",
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
            lambda energies: {
                "pointing game": _mostly_on(energies.attacked),
                "mass accuracy": _more_than_half(energies.attacked.interval),
            },
            lambda energies: {**_pointing(energies.attacked), **_mass(energies.attacked)},
        ),
        _consistent_is_spread(measured),
        judge(
            STANDARD_MOVES,
            measured,
            STANDARD,
            lambda energies: {
                "pointing game": below(energies.transformed.peak_rate, 0.5),
                "mass accuracy": above(energies.attacked.interval, energies.transformed.interval),
                **_by_rank(energies.attacked, energies.transformed),
            },
            lambda energies: {
                **_pointing(energies.transformed, BEHIND),
                **_mass(energies.attacked),
                **_mass(energies.transformed, BEHIND),
                **_rank(energies.attacked),
                **_rank(energies.transformed, BEHIND),
            },
        ),
        judge(
            ENHANCED_STAYS,
            measured,
            ENHANCED,
            lambda energies: {
                "attacked images": _mostly_on(energies.attacked),
                "images behind ShrinkPad-4": _mostly_on(energies.transformed),
                "the increase of saliency per pixel": above(
                    _densities(energies.transformed), _densities(energies.attacked)
                ),
                **{
                    f"the increase of {name}": held
                    for name, held in _by_rank(energies.transformed, energies.attacked).items()
                },
            },
            lambda energies: {
                **_pointing(energies.attacked),
                **_pointing(energies.transformed, BEHIND),
                **_density(energies.attacked),
                **_density(energies.transformed, BEHIND),
                **_rank(energies.attacked),
                **_rank(energies.transformed, BEHIND),
            },
        ),
    ]


# The numbers of a statement, by the names that its rule has for them.


def _pointing(energy: Energy, behind: str = "") -> dict[str, float]:
    return {f"pointing game{behind}, %": 100 * energy.peak_rate.value}


def _mass(energy: Energy, behind: str = "") -> dict[str, float]:
    return {f"mass accuracy{behind}, %": 100 * energy.mean}


def _rank(energy: Energy, behind: str = "") -> dict[str, float]:
    return {} if energy.more is None else {f"rank accuracy{behind}, %": 100 * energy.more.rank.mean}


def _density(energy: Energy, behind: str = "") -> dict[str, float]:
    return {f"saliency per pixel{behind}": energy.concentration}


def _densities(energy: Energy) -> tuple[float, float]:
    """95% interval of the concentration: the area is known, the share is uncertain."""
    low, high = energy.interval
    return (low / energy.area, high / energy.area) if energy.area else (0.0, math.inf)


def _by_rank(more: Energy, less: Energy) -> dict[str, Decided]:
    """Whether the relevance rank accuracy of one is above that of another; nothing where it was not measured."""
    if more.more is None or less.more is None:
        return {}
    return {"rank accuracy": above(more.more.rank.interval, less.more.rank.interval)}


def _mostly_on(energy: Energy) -> Decided:
    return _more_than_half(energy.peak_rate.interval)


def _more_than_half(ends: tuple[float, float]) -> Decided:
    low, high = ends
    return True if low > 0.5 else False if high <= 0.5 else None


def _consistent_is_spread(measured: Mapping[str, Energies]) -> Verdict:
    numbers = {
        title: {
            **_density(measured[title].attacked),
            **_mass(measured[title].attacked),
            **_rank(measured[title].attacked),
        }
        for title in STANDARD
        if title in measured
    }
    missing = tuple(title for title in STANDARD if title not in measured)
    if missing:
        return Verdict(CONSISTENT_SPREAD, NOT_MEASURED, "", numbers, missing)
    spread, cases = measured["consistent"].attacked, {}
    for title in STANDARD[:2]:
        other = measured[title].attacked
        cases[f"the comparison with {label_of(title)}"] = {
            "saliency per pixel": above(_densities(other), _densities(spread)),
            "mass accuracy": above(other.interval, spread.interval),
            **_by_rank(other, spread),
        }
    return Verdict(CONSISTENT_SPREAD, *decided(cases), numbers)
