"""Sec. 5.3 and 5.6: enhanced attacks behind transformations, and beside their standard ones (Table 5, Fig. 13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from core.formatting import listed
from core.paper.claims.base import (
    FAILS,
    HIGH,
    HOLDS,
    MIXED,
    NOT_MEASURED,
    STOPPED,
    Claim,
    Verdict,
    judge,
    label_of,
)
from core.paper.claims.curves import FLIP, Curves, Place, judge_rates, numbers_of, shrinkpad, success, those_with
from core.paper.claims.intervals import Decided, above, at_least, below, drops_by_more, share_left
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
ENHANCED_ALONG = Claim(
    "enhanced-falls-along",
    "5.6",
    "The success of enhanced attacks falls with the shrink size of the defense.",
    "Behind ShrinkPad of the largest measured size the success rate is lower than without, and it rises from no "
    "measured size to the next.",
    "As shown in Figure 13, the ASR decreases along with the increase of the shrinking size under all settings.",
)
ENHANCED_WITHIN = Claim(
    "enhanced-high-within",
    "5.6",
    "Up to the shrink size of the training, enhanced attacks succeed.",
    "Behind ShrinkPad of every measured size from 1 to 4 the success rate is at least 85%.",
    "Although when the shrinking size in ShrinkPad is not larger than the maximal shrinking size used in enhanced "
    "attacks (i.e., 4 pixels), the ASR values are still very high …",
)
ENHANCED_STOPPED = Claim(
    "enhanced-stopped-above",
    "5.6",
    "A defense with a larger shrink size than that of the training stops enhanced attacks.",
    "Behind ShrinkPad of every measured size above 4 the success rate is below 20%.",
    "… the shrinking size used in the ShrinkPad defense should be larger than the maximal shrinking size used in "
    "enhanced attacks, to ensure the satisfied defense performance.",
)
WITHIN, BEYOND = tuple(range(1, SHRINK + 1)), tuple(range(SHRINK + 1, LARGEST + 1))
"""Shrink sizes of the defense up to that of the training, and bigger ones."""
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
        *_by_size(measured),
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


def _by_size(measured: Mapping[str, Curves]) -> list[Verdict]:
    """The statements about Fig. 13, case by case over the shrink sizes of the defense."""
    (four,) = shrinkpad(SHRINK)
    whole = those_with(measured, [four])

    def sizes(curves: Curves, wanted: Sequence[int]) -> list[int]:
        return [size for size in wanted if size in curves["shrinkpad"].strengths]

    def judged(claim: Claim, wanted: Sequence[int], holds: Callable[[Curves, Place], Decided]) -> Verdict:
        there = {title: curves for title, curves in whole.items() if sizes(curves, wanted)}
        return judge(
            claim,
            there,
            ENHANCED,
            lambda curves: {place[0]: holds(curves, place) for place in shrinkpad(*sizes(curves, wanted))},
            lambda curves: numbers_of(curves, shrinkpad(*sorted({SHRINK, *sizes(curves, wanted)}))),
            note=_unmeasured({title: sizes(curves, wanted) for title, curves in there.items()}, wanted),
        )

    every_size = (*WITHIN, *BEYOND)
    beyond = {title: curves for title, curves in whole.items() if sizes(curves, BEYOND)}
    return [
        judge(
            ENHANCED_ALONG,
            beyond,
            ENHANCED,
            _falls_along,
            lambda curves: numbers_of(curves, shrinkpad(*sizes(curves, every_size))),
            note=_unmeasured({title: sizes(curves, every_size) for title, curves in beyond.items()}, every_size),
        ),
        judged(ENHANCED_WITHIN, WITHIN, lambda curves, place: at_least(success(curves, place), HIGH)),
        judged(
            ENHANCED_FALL,
            BEYOND,
            lambda curves, place: share_left(success(curves, place), success(curves, four), 0.5),
        ),
        judged(ENHANCED_STOPPED, BEYOND, lambda curves, place: below(success(curves, place), STOPPED)),
    ]


def _falls_along(curves: Curves) -> Decided:
    curve = curves["shrinkpad"]
    intervals = [curve.at(size).success.interval for size in curve.strengths]
    rises = any(above(after, before) for before, after in pairwise(intervals))
    return False if rises else above(intervals[0], intervals[-1])


def _unmeasured(measured: Mapping[str, Sequence[int]], wanted: Sequence[int]) -> str:
    """The sizes that are lacking, by the attacks that lack them; empty where all are there."""
    lacking: dict[tuple[int, ...], list[str]] = {}
    for title in ENHANCED:
        if title in measured and (absent := tuple(size for size in wanted if size not in measured[title])):
            lacking.setdefault(absent, []).append(title)
    parts = []
    for absent, titles in lacking.items():
        names = listed(f"ShrinkPad-{size}" for size in absent)
        whose = "" if len(titles) == len(measured) else f" of {listed(map(label_of, titles))}"
        parts.append(f"{names}{whose} {'is' if len(absent) == 1 else 'are'} not measured")
    return "; ".join(parts)
