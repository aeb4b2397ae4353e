"""What the paper says about its results, as claims that measured numbers decide.

Where a claim compares, it is decided by intervals: what lies within its uncertainty of the other side does not hold.

>>> nothing_measured = judge_saliency({})
>>> [verdict.holds for verdict in nothing_measured]
[None, None, None, None]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.energy import Energies, Energy
from core.metrics import Rate
from core.strength import StrengthCurve

__all__ = ["Claim", "Verdict", "judge_defenses", "judge_saliency"]

STANDARD = ("badnets", "blended", "consistent")
ENHANCED = tuple(f"{title}+" for title in STANDARD)


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    Attributes:
        id: A short name, stable.
        section: Where it stands.
        text: The statement.
        rule: When we say that it holds.
    """

    id: str
    section: str
    text: str
    rule: str


@dataclass(frozen=True)
class Verdict:
    """A claim and the numbers that decide it.

    Attributes:
        claim: The claim.
        holds: Whether it holds for every attack that was measured; None if there is nothing to decide it with.
        numbers: What decides it, by attack: name of the number to its value in percent, or as a factor.
        missing: Attacks it speaks of that were not measured.
    """

    claim: Claim
    holds: bool | None
    numbers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: ``id``, ``text``, ``rule``, ``holds``, ``numbers``, ``missing``."""
        return {
            "id": self.claim.id,
            "section": self.claim.section,
            "text": self.claim.text,
            "rule": self.claim.rule,
            "holds": self.holds,
            "numbers": {attack: dict(numbers) for attack, numbers in self.numbers.items()},
            "missing": list(self.missing),
        }


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
        _judge(
            ON_TRIGGER,
            measured,
            STANDARD + ENHANCED,
            lambda found: found.attacked.peak_rate.interval[0] > 0.5,
            lambda found: {"peaks on the trigger, %": 100 * found.attacked.peak_rate.value},
        ),
        _consistent_is_spread(measured),
        _judge(
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
        _judge(
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


SHRINKPAD_STOPS = Claim(
    "shrinkpad-stops",
    "5.1",
    "ShrinkPad with 4 pixels decreases the attack success rate of every standard attack by more than 90%.",
    "Behind ShrinkPad-4 less than a tenth of the success rate is left.",
)
FLIP_STOPS = Claim(
    "flip-stops",
    "5.1",
    "Flip stops BadNets and Blended.",
    "Behind Flip the success rate is below 5%.",
)
FLIP_SPARES_CONSISTENT = Claim(
    "flip-spares-consistent",
    "5.1",
    "Flip does not stop the consistent attack, whose trigger is symmetrical.",
    "Behind Flip the success rate is at most 5 points lower than without.",
)
VALUES_SPARE = Claim(
    "values-spare",
    "5.2",
    "Noise and colour shifts, which leave the trigger in place, do not stop any standard attack.",
    "At the largest strength of the paper (noise 20/255, the others 0.4) the success rate is at least 90%.",
)
ENHANCED_SURVIVE = Claim(
    "enhanced-survive",
    "5.3",
    "Enhanced attacks survive the transformations that they were trained with.",
    "Behind Flip, ShrinkPad-2 and ShrinkPad-4 the success rate is at least 85%.",
)
ENHANCED_FALL = Claim(
    "enhanced-fall",
    "5.6",
    "The success of enhanced attacks falls dramatically when the shrink size exceeds the one of the training.",
    "Behind ShrinkPad-8 less than half of the success rate behind ShrinkPad-4 is left.",
)
# Strongest setting of Tables 3 and 4.
STRONGEST = {"noise": 20.0, "hue": 0.4, "contrast": 0.4, "brightness": 0.4, "saturation": 0.4}

Curves = Mapping[str, StrengthCurve]
"""Curves of one model by the name of the transformation."""


def judge_defenses(measured: Mapping[str, Curves]) -> list[Verdict]:
    """The statements of Sec. 5.1, 5.2, 5.3 and 5.6 about transformations in front of the model.

    Args:
        measured: Stored curves over the strength of transformations, by the attack's title and the transformation; of
            enhanced attacks those with the paper's largest shrink size, 4.
    """
    full = {title: curves for title, curves in measured.items() if {"flip", "shrinkpad", *STRONGEST} <= set(curves)}

    def success(curves: Curves, name: str, strength: float) -> Rate:
        return curves[name].at(strength)[1]

    def numbers(curves: Curves, places: Sequence[tuple[str, str, float]]) -> dict[str, float]:
        shown = {"ASR, %": 100 * success(curves, "shrinkpad", 0).value}
        return shown | {f"{label}, %": 100 * success(curves, name, at).value for label, name, at in places}

    four, flip = ("ShrinkPad-4", "shrinkpad", 4.0), ("Flip", "flip", 1.0)
    values = [(f"{name.capitalize()} {at:g}", name, at) for name, at in STRONGEST.items()]
    trained = [flip, ("ShrinkPad-2", "shrinkpad", 2.0), four]
    return [
        _judge(
            SHRINKPAD_STOPS,
            full,
            STANDARD,
            lambda c: success(c, "shrinkpad", 4).interval[1] < 0.1 * success(c, "shrinkpad", 0).interval[0],
            lambda c: numbers(c, [four]),
        ),
        _judge(
            FLIP_STOPS,
            full,
            STANDARD[:2],
            lambda c: success(c, "flip", 1).interval[1] < 0.05,
            lambda c: numbers(c, [flip]),
        ),
        _judge(
            FLIP_SPARES_CONSISTENT,
            full,
            STANDARD[2:],
            lambda c: success(c, "flip", 1).value > success(c, "flip", 0).value - 0.05,
            lambda c: numbers(c, [flip]),
        ),
        _judge(
            VALUES_SPARE,
            full,
            STANDARD,
            lambda c: all(success(c, name, at).value >= 0.9 for _, name, at in values),
            lambda c: numbers(c, values),
        ),
        _judge(
            ENHANCED_SURVIVE,
            full,
            ENHANCED,
            lambda c: all(success(c, name, at).value >= 0.85 for _, name, at in trained),
            lambda c: numbers(c, trained),
        ),
        _judge(
            ENHANCED_FALL,
            full,
            ENHANCED,
            lambda c: success(c, "shrinkpad", 8).interval[1] < 0.5 * success(c, "shrinkpad", 4).interval[0],
            lambda c: numbers(c, [four, ("ShrinkPad-8", "shrinkpad", 8.0)]),
        ),
    ]


M = TypeVar("M")


def _judge(
    claim: Claim,
    measured: Mapping[str, M],
    wanted: Sequence[str],
    holds: Callable[[M], bool],
    numbers: Callable[[M], dict[str, float]],
) -> Verdict:
    """A claim that holds if it does for each of the attacks."""
    there = [title for title in wanted if title in measured]
    return Verdict(
        claim,
        all(holds(measured[title]) for title in there) if there else None,
        {title: numbers(measured[title]) for title in there},
        tuple(title for title in wanted if title not in measured),
    )


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
