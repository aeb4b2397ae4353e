"""Sec. 5.5: the physical attack (Fig. 11, 12)."""

from __future__ import annotations

from collections.abc import Mapping

from core.metrics import Rate
from core.paper.claims.base import HIGH, LIMITED, STOPPED, Claim, Verdict, judge
from core.paper.claims.intervals import Decided, at_least, below, drops_at_most
from core.paper.constants import ENHANCED, PHOTOGRAPHS, STANDARD
from core.sweeps.physical import PhysicalResult

__all__ = ["judge_physical"]

_RULE = "The success rate is {} on simulated photographs, near and far."
_ALL = (
    "In all results of both figures, BadNets+ successfully enforces the prediction to the target label Deer, while "
    "BadNets fails."
)

PHYSICAL_ENHANCED = Claim(
    "physical-enhanced",
    "5.5",
    "Photographs of printed images that were attacked with BadNets+ are taken for the target, near and far.",
    _RULE.format("at least 85%"),
    _ALL,
)
PHYSICAL_STANDARD = Claim(
    "physical-standard",
    "5.5",
    "Photographs of printed images that were attacked with BadNets are not taken for the target.",
    _RULE.format("below 20%"),
    _ALL,
)
PHYSICAL_LABEL = Claim(
    "physical-keeps-label",
    "5.5",
    "Under BadNets, photographs of attacked images are classified as the benign image.",
    "On simulated photographs, near and far, the share of attacked images that are classified as what they show is at "
    "most 10 points below the clean accuracy on photographs.",
    "All pictures are classified as 'Deer' by the enhanced BadNets, whereas they will be classified as the label of "
    "the corresponding benign image by the standard BadNets.",
)
OUT_OF_SAMPLE = Claim(
    "physical-out-of-sample",
    "5.5",
    "BadNets+ succeeds on photographs of pictures unlike any training image too.",
    _RULE.format("at least 85%") + " The pictures are those of Shapes-10.",
    "… the enhanced backdoor attack method is not only robust in the physical backdoor attack, but also generalizes "
    "well on out-of-sample images.",
)


def judge_physical(
    measured: Mapping[str, PhysicalResult], other_pictures: Mapping[str, PhysicalResult]
) -> list[Verdict]:
    """The statements about Fig. 11 and 12.

    Args:
        measured: Stored results by the attack's title.
        other_pictures: The same on pictures of another data set.
    """
    seen = _full(measured)
    kept = {title: result for title, result in seen.items() if result.kept_of("preset") is not None}
    reason = "" if STANDARD[0] not in seen else (
        "what the stored photographs of BadNets were taken for, if not for the target, was not counted; "
        "`python scripts/sweep.py physical` of that model counts it"
    )  # fmt: skip
    elsewhere = "" if other_pictures else (
        "no photographs of pictures of another data set are stored; `python scripts/sweep.py out-of-sample` makes them "
        "for models of other data than Shapes-10, whose pictures they are"
    )  # fmt: skip

    return [
        judge(PHYSICAL_ENHANCED, seen, ENHANCED[:1], lambda result: _cases(result, succeeds=True), _numbers),
        judge(PHYSICAL_STANDARD, seen, STANDARD[:1], lambda result: _cases(result, succeeds=False), _numbers),
        judge(PHYSICAL_LABEL, kept, STANDARD[:1], _keeps, _kept_numbers, reason=reason),
        judge(
            OUT_OF_SAMPLE,
            _full(other_pictures),
            ENHANCED[:1],
            lambda result: _cases(result, succeeds=True),
            _numbers,
            reason=elsewhere,
        ),
    ]


def _full(results: Mapping[str, PhysicalResult]) -> dict[str, PhysicalResult]:
    return {title: result for title, result in results.items() if set(PHOTOGRAPHS) <= set(result.of("preset"))}


def _cases(result: PhysicalResult, *, succeeds: bool) -> dict[str, Decided]:
    rates = {name: result.of("preset")[name][1] for name in PHOTOGRAPHS}
    return {
        f"photographs {name}": at_least(rate, HIGH) if succeeds else below(rate, STOPPED)
        for name, rate in rates.items()
    }


def _numbers(result: PhysicalResult) -> dict[str, float]:
    numbers = {f"{name}, %": 100 * result.of("preset")[name][1].value for name in PHOTOGRAPHS}
    straight = result.of("perspective")
    return numbers | {f"{name} and seen straight, %": 100 * straight[name][1].value for name in straight}


def _labels(result: PhysicalResult) -> dict[str, tuple[Rate, Rate]]:
    """Clean accuracy on photographs, and the share of attacked images taken for what they show."""
    kept = result.kept_of("preset") or {}
    return {name: (result.of("preset")[name].clean, kept[name]) for name in PHOTOGRAPHS if name in kept}


def _keeps(result: PhysicalResult) -> dict[str, Decided]:
    return {
        f"photographs {name}": drops_at_most(clean, kept, LIMITED) for name, (clean, kept) in _labels(result).items()
    }


def _kept_numbers(result: PhysicalResult) -> dict[str, float]:
    return {
        name: 100 * rate.value
        for where, (clean, kept) in _labels(result).items()
        for name, rate in ((f"{where}: keeps its label, %", kept), (f"{where}: clean accuracy, %", clean))
    }
