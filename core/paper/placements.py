"""How every attack fares on simulated photographs from many places, and beside the standard attack that it began as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.metrics import Rate
from core.paired import Paired
from core.paper.claims.physical import pairs_of
from core.paper.constants import ATTACKS, PHOTOGRAPHS
from core.sweeps.outcomes import Outcomes
from core.sweeps.physical import PhysicalResult

__all__ = ["Placement", "placements"]


@dataclass(frozen=True)
class Placement:
    """One attack over one range of places.

    Attributes:
        title: The attack's title.
        name: The range, ``near`` or ``far``.
        outcomes: What became of every image.
        clean: Clean accuracy on photographs; of no images where the pictures have no classes of the model's.
        keeps: Whether it was counted which attacked images keep their label.
        beside: How it did beside the standard attack, on the same photographs; None of that one itself, and where it
            was not photographed.
    """

    title: str
    name: str
    outcomes: Outcomes
    clean: Rate
    keeps: bool
    beside: Paired | None = None


def placements(measured: Mapping[str, PhysicalResult]) -> Iterator[Placement]:
    """Every attack over every range, each standard attack before its enhanced ones.

    Args:
        measured: Stored results by the attack's title, all on one network and data set.
    """
    order = {title: place for place, title in enumerate(ATTACKS)}

    def place(title: str) -> tuple[object, ...]:
        standard, plus, rest = title.partition("+")
        return order.get(standard, len(order)), standard, plus, rest

    for title in sorted(measured, key=place):
        standard, plus, _ = title.partition("+")
        result = measured[title]
        pairs = pairs_of(result, measured.get(standard)) if plus else {}
        for name in PHOTOGRAPHS:
            if name in result.outcomes:
                clean = result.of("range")[name].clean
                yield Placement(title, name, result.outcomes[name], clean, result.kept is not None, pairs.get(name))
