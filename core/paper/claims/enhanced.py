"""Sec. 5.3 and 5.6: enhanced attacks behind transformations, and beside their standard ones (Table 5, Fig. 13)."""

from __future__ import annotations

from collections.abc import Mapping

from core.paper.claims.base import (
    FAILS,
    HIGH,
    HOLDS,
    MIXED,
    NOT_MEASURED,
    Claim,
    Verdict,
    judge,
    label_of,
    listed,
)
from core.paper.claims.curves import FLIP, Curves, judge_rates, numbers_of, shrinkpad, success, those_with
from core.paper.claims.intervals import Decided, above, at_least, drops_by_more, share_left
from core.paper.constants import ENHANCED, SHRINK
from core.transforms.spatial import LARGEST

__all__ = ["judge_enhanced"]

ENHANCED_SURVIVE = Claim(
    "enhanced-survive",
    "5.3",
    "Enhanced attacks survive the transformations that they were trained with.",
    "Behind Flip, ShrinkPad-2 and ShrinkPad-4 the success rate is at least 85%.",
    "… enhanced backdoor attacks can still achieve a high ASR even under the defenses with spatial transformations.",
)
ENHANCED_BETTER = Claim(
    "enhanced-better",
    "5.3",
    "Behind the transformations, enhanced attacks succeed more often than standard ones in almost all cases.",
    "Of the attacks behind Flip, ShrinkPad-2 and ShrinkPad-4, all cases but at most one have a higher success rate "
    "enhanced than standard.",
    "… the ASR of enhanced backdoor attacks is better than the one of their corresponding standard attack under "
    "defenses in almost all cases.",
)
ENHANCED_IMPROVE = Claim(
    "enhanced-improve",
    "5.3",
    "Behind ShrinkPad-4, enhanced attacks succeed more often than standard ones by more than 85 points.",
    "Behind ShrinkPad-4 the success rate of the enhanced attack is more than 85 points higher than that of its "
    "standard one.",
    "Especially under ShrinkPad with shrinking 4 pixels, the ASR improvement of enhanced attacks is more than 85% …",
)
ENHANCED_FALL = Claim(
    "enhanced-fall",
    "5.6",
    "The success of enhanced attacks falls dramatically when the shrink size exceeds the one of the training.",
    "Behind ShrinkPad of every measured size above 4, less than half of the success rate behind ShrinkPad-4 is left.",
    "… when the shrinking size is bigger than the maximal shrinking size used in enhanced attacks (4 pixels), the ASR "
    "will decrease dramatically.",
)
TRAINED_WITH = (FLIP, *shrinkpad(2, SHRINK))

Pairs = Mapping[str, tuple[Curves, Curves]]
"""Curves of the standard and of the enhanced attack, by the title of the enhanced one."""


def judge_enhanced(measured: Mapping[str, Curves]) -> list[Verdict]:
    """The statements of Sec. 5.3 and 5.6 about enhanced attacks behind transformations.

    Args:
        measured: As for :func:`core.paper.claims.judge_defenses`.
    """
    full = those_with(measured, TRAINED_WITH)
    pairs = {f"{title}+": (curves, full[f"{title}+"]) for title, curves in full.items() if f"{title}+" in full}
    (four,) = shrinkpad(SHRINK)
    return [
        judge_rates(ENHANCED_SURVIVE, measured, ENHANCED, TRAINED_WITH, lambda _, after: at_least(after, HIGH)),
        _better(pairs),
        judge(
            ENHANCED_IMPROVE,
            pairs,
            ENHANCED,
            lambda pair: drops_by_more(success(pair[1], four), success(pair[0], four), 0.85),
            lambda pair: (
                _beside(pair, [four])
                | {"difference, points": 100 * (success(pair[1], four).value - success(pair[0], four).value)}
            ),
        ),
        _fall(measured),
    ]


def _beside(pair: tuple[Curves, Curves], places: list[tuple[str, str, float]]) -> dict[str, float]:
    return {
        f"{what} behind {place[0]}, %": 100 * success(curves, place).value
        for place in places
        for what, curves in zip(("standard", "enhanced"), pair, strict=True)
    }


def _better(pairs: Pairs) -> Verdict:
    """All cases but at most one: the paper has one exception, Consistent+ behind Flip."""
    there = [title for title in ENHANCED if title in pairs]
    cases: dict[str, Decided] = {
        f"{label_of(title)} behind {place[0]}": above(
            success(pairs[title][1], place).interval, success(pairs[title][0], place).interval
        )
        for title in there
        for place in TRAINED_WITH
    }
    worse, open_ = ([name for name, decision in cases.items() if decision is kind] for kind in (False, None))
    outcome = HOLDS if len(worse) + len(open_) <= 1 else FAILS if len(worse) > 1 else MIXED
    parts = [f"in {len(cases) - len(worse) - len(open_)} of {len(cases)} cases"]
    parts += [f"not {listed(worse)}"] * bool(worse) + [f"undecided {listed(open_)}"] * bool(open_)
    return Verdict(
        ENHANCED_BETTER,
        outcome if cases else NOT_MEASURED,
        ", ".join(parts) if cases else "",
        {title: _beside(pairs[title], list(TRAINED_WITH)) for title in there},
        tuple(title for title in ENHANCED if title not in pairs),
    )


def _fall(measured: Mapping[str, Curves]) -> Verdict:
    """Case by case over the sizes above the one of the training."""
    (four,) = shrinkpad(SHRINK)
    full = {
        title: curves
        for title, curves in those_with(measured, [four]).items()
        if max(curves["shrinkpad"].strengths) > SHRINK
    }

    def larger(curves: Curves) -> list[int]:
        return [int(size) for size in curves["shrinkpad"].strengths if size > SHRINK]

    def holds(curves: Curves) -> dict[str, Decided]:
        before, each = success(curves, four), shrinkpad(*larger(curves))
        return {place[0]: share_left(success(curves, place), before, 0.5) for place in each}

    absent = [f"ShrinkPad-{size}" for size in range(SHRINK + 1, LARGEST + 1)
              if any(size not in larger(full[title]) for title in ENHANCED if title in full)]  # fmt: skip
    return judge(
        ENHANCED_FALL,
        full,
        ENHANCED,
        holds,
        lambda curves: numbers_of(curves, shrinkpad(SHRINK, *larger(curves))),
        note=f"{listed(absent)} {'is' if len(absent) == 1 else 'are'} not measured" if absent else "",
    )
