"""A statement of the paper and the numbers that decide it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

__all__ = ["ENHANCED", "STANDARD", "Claim", "Verdict", "judge"]

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


M = TypeVar("M")


def judge(
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
