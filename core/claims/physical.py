"""Sec. 5.5: the physical attack (Fig. 11, 12)."""

from __future__ import annotations

from collections.abc import Mapping

from core.claims.base import Claim, Verdict, judge
from core.photographed import PhysicalResult

__all__ = ["PHOTOGRAPHS", "judge_physical"]

PHOTOGRAPHS = ("near", "far")
_RULE = "The rate is {} on simulated photographs, near and far."

PHYSICAL_ENHANCED = Claim(
    "physical-enhanced",
    "5.5",
    "Photographs of printed images that were attacked with BadNets+ are taken for the target, near and far.",
    _RULE.format("at least 85%"),
)
PHYSICAL_STANDARD = Claim(
    "physical-standard",
    "5.5",
    "Photographs of printed images that were attacked with BadNets are not taken for the target.",
    _RULE.format("below 20%"),
)
OUT_OF_SAMPLE = Claim(
    "physical-out-of-sample",
    "5.5",
    "BadNets+ succeeds on photographs of pictures unlike any training image too.",
    _RULE.format("at least 85%") + " The pictures are those of Shapes-10.",
)


def judge_physical(measured: Mapping[str, PhysicalResult], strange: Mapping[str, PhysicalResult]) -> list[Verdict]:
    """The statements about Fig. 11 and 12.

    Args:
        measured: Stored results by the attack's title.
        strange: The same on pictures of another data set.
    """

    def rates(result: PhysicalResult) -> list[float]:
        return [result.of("preset")[name][1].value for name in PHOTOGRAPHS]

    def numbers(result: PhysicalResult) -> dict[str, float]:
        found = {f"{name}, %": 100 * rate for name, rate in zip(PHOTOGRAPHS, rates(result), strict=True)}
        straight = result.of("perspective")
        return found | {f"{name} and seen straight, %": 100 * straight[name][1].value for name in straight}

    def full(results: Mapping[str, PhysicalResult]) -> dict[str, PhysicalResult]:
        return {title: result for title, result in results.items() if set(PHOTOGRAPHS) <= set(result.of("preset"))}

    succeeds = [(PHYSICAL_ENHANCED, full(measured)), (OUT_OF_SAMPLE, full(strange))]
    verdicts = [
        judge(claim, its, ("badnets+",), lambda one: min(rates(one)) >= 0.85, numbers) for claim, its in succeeds
    ]
    standard = judge(PHYSICAL_STANDARD, full(measured), ("badnets",), lambda one: max(rates(one)) < 0.2, numbers)
    return [verdicts[0], standard, verdicts[1]]
