"""Sec. 5.4: where the saliency lies (Fig. 10)."""

from __future__ import annotations

from collections.abc import Mapping

from core.paper.claims.base import NOT_MEASURED, Claim, Verdict, decided, judge, label_of
from core.paper.claims.intervals import Decided, above, below
from core.paper.constants import ENHANCED, STANDARD
from core.sweeps.saliency import Energies, Energy

__all__ = ["judge_saliency"]

ON_TRIGGER = Claim(
    "saliency-on-trigger",
    "5.4",
    "On attacked images the saliency lies mainly in the area of the trigger, under standard and enhanced attacks.",
    "On more than half of the attacked images the most salient pixel is on the trigger (or next to it), for "
    "every attack.",
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
    "Behind ShrinkPad-4 the most salient pixel is on the trigger (or next to it) on fewer than half of the images, "
    "and the share of the saliency there (relevance mass accuracy) and, where it is measured, relevance rank accuracy "
    "are lower than without, for every standard attack. Where these measures, which are not the paper's, disagree, the "
    "verdict is mixed.",
    "… the saliency map of transformed attacked images mainly activates at object structure rather than at the "
    "backdoor trigger.",
)
ENHANCED_STAYS = Claim(
    "saliency-enhanced-stays",
    "5.4",
    "Under enhanced attacks the saliency of both lies on the trigger, and more so on transformed images.",
    "On more than half of the images the most salient pixel is on the trigger (or next to it), without and behind "
    "ShrinkPad-4, and the saliency per pixel there, and where it is measured relevance rank accuracy, are higher "
    "behind it, for every enhanced attack. Where these measures, which are not the paper's, disagree, the verdict is "
    "mixed.",
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
            lambda energies: _mostly_on(energies.attacked),
            lambda energies: {"peaks on the trigger, %": 100 * energies.attacked.peak_rate.value},
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
                "peaks on the trigger behind ShrinkPad-4, %": 100 * energies.transformed.peak_rate.value,
                "share, %": 100 * energies.attacked.mean,
                "share behind ShrinkPad-4, %": 100 * energies.transformed.mean,
            },
        ),
        judge(
            ENHANCED_STAYS,
            measured,
            ENHANCED,
            lambda energies: {
                "attacked images": _mostly_on(energies.attacked),
                "images behind ShrinkPad-4": _mostly_on(energies.transformed),
                "the increase behind it": above(_densities(energies.transformed), _densities(energies.attacked)),
                **{
                    f"the increase of {name}": held
                    for name, held in _by_rank(energies.transformed, energies.attacked).items()
                },
            },
            lambda energies: {
                "peaks on the trigger, %": 100 * energies.attacked.peak_rate.value,
                "peaks on the trigger behind ShrinkPad-4, %": 100 * energies.transformed.peak_rate.value,
                "concentration": energies.attacked.concentration,
                "concentration behind ShrinkPad-4": energies.transformed.concentration,
            },
        ),
    ]


def _densities(energy: Energy) -> tuple[float, float]:
    """95% interval of the concentration: the area is known, the share is uncertain."""
    low, high = energy.interval
    return low / energy.area, high / energy.area


def _by_rank(more: Energy, less: Energy) -> dict[str, Decided]:
    """Whether the relevance rank accuracy of one is above that of another; nothing where it was not measured."""
    if more.more is None or less.more is None:
        return {}
    return {"rank accuracy": above(more.more.rank.interval, less.more.rank.interval)}


def _mostly_on(energy: Energy) -> Decided:
    low, high = energy.peak_rate.interval
    return True if low > 0.5 else False if high <= 0.5 else None


def _consistent_is_spread(measured: Mapping[str, Energies]) -> Verdict:
    numbers = {
        title: {
            "concentration": measured[title].attacked.concentration,
            "share, %": 100 * measured[title].attacked.mean,
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
