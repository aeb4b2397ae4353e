"""Sec. 5.6: the largest shrink size of the training of enhanced attacks (Fig. 14)."""

from __future__ import annotations

from collections.abc import Mapping

from core.claims.base import ENHANCED, Claim, Verdict, judge
from core.strength import StrengthCurve

__all__ = ["judge_ablation"]

TRAINED = 4

ABLATION_STANDARD = Claim(
    "max-shrink-standard",
    "5.6",
    "Without a defense, the success of BadNets+ and Blended+ is almost unchanged when the largest shrink size varies.",
    "Between the highest and the lowest rate of all largest shrink sizes are at most 5 points.",
)
ABLATION_DEFENDED = Claim(
    "max-shrink-defended",
    "5.6",
    "Behind ShrinkPad-4, success rises from about 0 to almost 100% with the largest shrink size, up to 4, and stays "
    "there for BadNets+ and Blended+.",
    "Trained without shrinking the rate is below 20%, trained with a largest shrink size of 4 or more at least 85%.",
)

BySize = Mapping[int, StrengthCurve]
"""Curves over the shrink size of the defense, by the largest one of the training."""


def judge_ablation(measured: Mapping[str, BySize]) -> list[Verdict]:
    """The statements about Fig. 14.

    Args:
        measured: Stored curves of ShrinkPad by the enhanced attack's title (``badnets+``) and its largest shrink size.
    """
    full = {title: curves for title, curves in measured.items() if {0, TRAINED} < set(curves)}

    def plain(curves: BySize) -> list[float]:
        return [curve.at(0)[1].value for curve in curves.values()]

    def defended(curves: BySize, size: int) -> float:
        return curves[size].at(TRAINED)[1].value

    return [
        judge(
            ABLATION_STANDARD,
            full,
            ENHANCED[:2],
            lambda curves: max(plain(curves)) - min(plain(curves)) <= 0.05,
            lambda curves: {"lowest ASR, %": 100 * min(plain(curves)), "highest ASR, %": 100 * max(plain(curves))},
        ),
        judge(
            ABLATION_DEFENDED,
            full,
            ENHANCED[:2],
            lambda curves: (
                defended(curves, 0) < 0.2 and all(defended(curves, size) >= 0.85 for size in curves if size >= TRAINED)
            ),
            lambda curves: {f"max {size}, %": 100 * defended(curves, size) for size in sorted(curves)},
        ),
    ]
