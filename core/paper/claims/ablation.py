"""Sec. 5.6: the largest shrink size of the training of enhanced attacks (Fig. 14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from core.formatting import listed
from core.metrics import Rate
from core.paper.ablation import Ablation
from core.paper.claims.base import HIGH, STOPPED, UNCHANGED, Claim, Verdict, judge, label_of
from core.paper.claims.intervals import Decided, above, at_least, below, drops_at_most
from core.paper.constants import ENHANCED, SHRINK
from core.sweeps.strength import StrengthCurve

__all__ = ["judge_ablation"]


ABLATION_STANDARD = Claim(
    "max-shrink-standard",
    "5.6",
    "Without a defense, the success of BadNets+ and Blended+ is almost unchanged when the largest shrink size varies.",
    "Without a defense, the lowest success rate of all largest shrink sizes is at most 5 points below the highest.",
    "To attack the Standard model, the ASR values are very high and are almost unchanged when the maximal shrinking "
    "size varies.",
)
ABLATION_CONSISTENT = Claim(
    "max-shrink-consistent",
    "5.6",
    "Without a defense, the success of Consistent+ decreases with the largest shrink size.",
    "Without a defense, the success rate with the largest measured size is lower than without shrinking, and it is "
    "higher with no size than with the next smaller one.",
    "However, the ASR values of the Consistent Attack+ decreases along with the increase of the maximal shrinking "
    "size.",
)
ABLATION_DEFENDED = Claim(
    "max-shrink-defended",
    "5.6",
    "Behind ShrinkPad-4, success rises from about 0 to almost 100% with the largest shrink size, up to 4, and stays "
    "there for BadNets+ and Blended+.",
    "Behind ShrinkPad-4 the success rate is below 20% when trained without shrinking, never falls from one measured "
    "size to the next up to 4, and is at least 85% when trained with a largest shrink size of 4 or more.",
    "… when the maximal shrinking size is smaller than the shrinking size 4 in ShrinkPad-4, the ASR values increase "
    "from 0 to almost 100. When the maximal shrinking size is larger than the shrinking size 4, the ASR values of "
    "BadNets+ and Blended Attack+ are still about 100 …",
)
ABLATION_CONSISTENT_DEFENDED = Claim(
    "max-shrink-consistent-defended",
    "5.6",
    "Behind ShrinkPad-4, the success of Consistent+ decreases when the largest shrink size exceeds 4.",
    "Behind ShrinkPad-4 the success rate is lower with every measured largest shrink size above 4 than with 4.",
    "… but, the ASR values of Consistent Attack+ become to decrease, still due to the insufficiency of poisoned "
    "training images.",
)

COMMAND = (
    "`python scripts/reproduce.py --only fig14 --epochs N`, with the data set, the network and the recipe of the other "
    "sizes, trains what is missing"
)

BySize = Mapping[int, StrengthCurve]
"""Curves over the shrink size of the defense, by the largest one of the training."""


def judge_ablation(measured: Mapping[str, Ablation]) -> list[Verdict]:
    """The statements about Fig. 14: each is decided on models that were trained alike, and says what is missing.

    Args:
        measured: What is compared, by the enhanced attack's title (``badnets+``).
    """

    def numbers(strength: int) -> Callable[[BySize], dict[str, float]]:
        return lambda curves: {
            f"max {size}, %": 100 * _success(curve, strength).value for size, curve in curves.items()
        }

    def judged(
        claim: Claim,
        wanted: Sequence[str],
        needed: set[int],
        larger: bool,
        holds: Callable[[BySize], Decided | Mapping[str, Decided]],
        strength: int,
    ) -> Verdict:
        there = {
            title: ablation.curves
            for title, ablation in measured.items()
            if needed <= set(ablation.curves) and (not larger or max(ablation.curves) > SHRINK)
        }
        gaps = _gaps(measured, wanted)
        reason = f"{gaps}; {COMMAND}" if gaps else COMMAND
        return judge(claim, there, wanted, holds, numbers(strength), reason=reason, note=gaps)

    return [
        judged(ABLATION_STANDARD, ENHANCED[:2], {0}, True, _unchanged, 0),
        judged(ABLATION_CONSISTENT, ENHANCED[2:], {0}, True, _decreases, 0),
        judged(ABLATION_DEFENDED, ENHANCED[:2], {0, SHRINK}, False, _rises, SHRINK),
        judged(ABLATION_CONSISTENT_DEFENDED, ENHANCED[2:], {SHRINK}, True, _falls_again, SHRINK),
    ]


def _gaps(measured: Mapping[str, Ablation], wanted: Sequence[str]) -> str:
    """What is missing of the attacks that a statement speaks of, in words; attacks of the same gaps together."""
    by_gap: dict[str, list[str]] = {}
    for title in wanted:
        gap = measured[title].gaps if title in measured else "no size is measured"
        if gap:
            by_gap.setdefault(gap, []).append(label_of(title))
    return "; ".join(f"of {listed(labels)}, {gap}" for gap, labels in by_gap.items())


def _success(curve: StrengthCurve, strength: int) -> Rate:
    return curve.at(strength).success


def _unchanged(curves: BySize) -> Decided:
    rates = sorted((_success(curve, 0) for curve in curves.values()), key=lambda rate: rate.value)
    return drops_at_most(rates[-1], rates[0], UNCHANGED, len(rates) * (len(rates) - 1) // 2)


def _decreases(curves: BySize) -> Decided:
    rates = [_success(curve, 0) for curve in curves.values()]
    lower = above(rates[0].interval, rates[-1].interval)
    rises = any(above(after.interval, before.interval) for before, after in pairwise(rates))
    return False if rises else lower


def _rises(curves: BySize) -> dict[str, Decided]:
    rates = {size: _success(curve, SHRINK) for size, curve in curves.items()}
    low = below(rates[0], STOPPED)
    steps = pairwise(rate.interval for size, rate in rates.items() if size <= SHRINK)
    falls = any(above(before, after) for before, after in steps)
    rises = False if falls else above(rates[SHRINK].interval, rates[0].interval)
    high = {f"max {size}": at_least(rate, HIGH) for size, rate in rates.items() if size >= SHRINK}
    return {"max 0": low, f"the rise up to max {SHRINK}": rises, **high}


def _falls_again(curves: BySize) -> dict[str, Decided]:
    at_four = _success(curves[SHRINK], SHRINK).interval
    larger = {size: _success(curve, SHRINK).interval for size, curve in curves.items() if size > SHRINK}
    return {f"max {size}": above(at_four, interval) for size, interval in larger.items()}
