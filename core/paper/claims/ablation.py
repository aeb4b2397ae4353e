"""Sec. 5.6: the largest shrink size of the training of enhanced attacks (Fig. 14)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from core.metrics import Rate
from core.paper.claims.base import HIGH, STOPPED, UNCHANGED, Claim, Verdict, judge
from core.paper.claims.intervals import Decided, above, at_least, below, drops_at_most, every
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
    "Behind ShrinkPad-4 the success rate is below 20% when trained without shrinking, and at least 85% when trained "
    "with a largest shrink size of 4 or more.",
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

REASON = (
    "it takes models trained with the largest shrink sizes 0 and 4 and others; "
    "`python scripts/reproduce.py --only fig14`, with the data set and network, makes them"
)

BySize = Mapping[int, StrengthCurve]
"""Curves over the shrink size of the defense, by the largest one of the training."""


def judge_ablation(measured: Mapping[str, BySize]) -> list[Verdict]:
    """The statements about Fig. 14.

    Args:
        measured: Stored curves of ShrinkPad by the enhanced attack's title (``badnets+``) and its largest shrink size.
    """
    full = {title: dict(sorted(curves.items())) for title, curves in measured.items() if {0, SHRINK} < set(curves)}
    larger = {title: curves for title, curves in full.items() if max(curves) > SHRINK}

    def numbers(strength: int, curves: BySize) -> dict[str, float]:
        return {f"max {size}, %": 100 * _success(curve, strength).value for size, curve in curves.items()}

    def without(curves: BySize) -> dict[str, float]:
        return numbers(0, curves)

    def behind(curves: BySize) -> dict[str, float]:
        return numbers(SHRINK, curves)

    return [
        judge(ABLATION_STANDARD, full, ENHANCED[:2], _unchanged, without, reason=REASON),
        judge(ABLATION_CONSISTENT, full, ENHANCED[2:], _decreases, without, reason=REASON),
        judge(ABLATION_DEFENDED, full, ENHANCED[:2], _rises, behind, reason=REASON),
        judge(ABLATION_CONSISTENT_DEFENDED, larger, ENHANCED[2:], _falls_again, behind, reason=REASON),
    ]


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


def _rises(curves: BySize) -> Decided:
    high = (at_least(_success(curve, SHRINK), HIGH) for size, curve in curves.items() if size >= SHRINK)
    return every((below(_success(curves[0], SHRINK), STOPPED), *high))


def _falls_again(curves: BySize) -> Decided:
    at_four = _success(curves[SHRINK], SHRINK).interval
    return every(above(at_four, _success(curve, SHRINK).interval) for size, curve in curves.items() if size > SHRINK)
