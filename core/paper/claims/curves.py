"""What claims read from curves over the strength of transformations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.metrics import Performance, Rate
from core.paper.claims.base import Claim, Verdict, judge
from core.paper.claims.intervals import Decided, every
from core.paper.constants import STRONGEST
from core.sweeps.strength import StrengthCurve

__all__ = [
    "ASR",
    "CLEAN",
    "COLOURS",
    "FLIP",
    "NOISE",
    "VALUES",
    "Curves",
    "Place",
    "judge_rates",
    "numbers_of",
    "rates_of",
    "shrinkpad",
    "success",
    "those_with",
]

Curves = Mapping[str, StrengthCurve]
"""Curves of one model by the name of the transformation."""
Place = tuple[str, str, float]
"""A transformation: its name for people, its registered name, its strength."""

FLIP: Place = ("Flip", "flip", 1.0)
VALUES: tuple[Place, ...] = tuple((f"{name.capitalize()} {at:g}", name, at) for name, at in STRONGEST.items())
NOISE, COLOURS = VALUES[:1], VALUES[1:]
CLEAN, ASR = 0, 1
"""The clean accuracy, and the attack success rate."""


def shrinkpad(*sizes: int) -> tuple[Place, ...]:
    """ShrinkPad of these sizes."""
    return tuple((f"ShrinkPad-{size}", "shrinkpad", float(size)) for size in sizes)


def success(curves: Curves, place: Place) -> Rate:
    """The attack success rate behind a transformation."""
    return rates_of(curves, place)[1][ASR]


def those_with(measured: Mapping[str, Curves], places: Sequence[Place]) -> dict[str, Curves]:
    """The attacks that were measured behind all of these transformations, and without each."""
    return {
        title: curves
        for title, curves in measured.items()
        if all(name in curves and {0.0, at} <= set(curves[name].strengths) for _, name, at in places)
    }


def numbers_of(curves: Curves, places: Sequence[Place], kind: int = ASR) -> dict[str, float]:
    """A rate without a defense, and behind each of some transformations, in percent."""
    shown = {"ASR, %" if kind == ASR else "clean, %": 100 * rates_of(curves, places[0])[0][kind].value}
    return shown | {f"{place[0]}, %": 100 * rates_of(curves, place)[1][kind].value for place in places}


def judge_rates(
    claim: Claim,
    measured: Mapping[str, Curves],
    wanted: Sequence[str],
    places: Sequence[Place],
    holds: Callable[[Rate, Rate], Decided],
    kind: int = ASR,
) -> Verdict:
    """A claim that compares a rate behind each of some transformations with the one without.

    Args:
        claim: The claim.
        measured: Curves by the attack's title.
        wanted: Titles of the attacks it speaks of.
        places: The transformations, each of which must fulfil it.
        holds: What a rate without (first) and one behind a transformation say about it.
        kind: :data:`ASR` or :data:`CLEAN`.
    """
    return judge(
        claim,
        those_with(measured, places),
        wanted,
        lambda curves: every(holds(*(pair[kind] for pair in rates_of(curves, place))) for place in places),
        lambda curves: numbers_of(curves, places, kind),
    )


def rates_of(curves: Curves, place: Place) -> tuple[Performance, Performance]:
    """Clean accuracy and attack success rate without a transformation, and behind it, on the same images."""
    _, name, at = place
    return curves[name].at(0.0), curves[name].at(at)
