"""A statement of the paper and the numbers that decide it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core import formatting
from core.attacks import attacks
from core.formatting import listed
from core.paper.claims.intervals import Decided

__all__ = [
    "FAILS",
    "HOLDS",
    "LI",
    "MIXED",
    "NOT_MEASURED",
    "OUTCOMES",
    "WANG",
    "Claim",
    "Verdict",
    "decided",
    "judge",
    "label_of",
    "reading",
]

LI = "Li et al. 2020"
WANG = "Wang et al. 2019"

HOLDS, FAILS, MIXED, NOT_MEASURED = "holds", "does not hold", "mixed", "not measured here"
OUTCOMES = (HOLDS, FAILS, MIXED, NOT_MEASURED)

# What the words of the paper are taken to mean. Its own numbers satisfy each of them, by their intervals too.
STOPPED = 0.2
"""An attack is stopped, or fails, below this success rate; the highest that the paper counts among these is 18.9%."""
TENTH = 0.1
"""Share of the success rate that is left where it "decreases by more than 90%"."""
HIGH = 0.85
"""A high success rate; the lowest that the paper calls so is 86.0%."""
UNCHANGED = 0.05
"""Drop of a rate that is "almost unchanged", "not influenced" or "not decreased"."""
SLIGHT = 0.06
"""Drop of a clean accuracy that is influenced "slightly"; the largest that the paper calls so is 4.3 points."""
LIMITED = 0.1
"""Drop of a rate on which there are "limited effects"; the largest that the paper calls so is 7.3 points."""


@dataclass(frozen=True)
class Claim:
    """One statement.

    Attributes:
        id: A short name, stable.
        section: Where it stands there; empty where that is not known here.
        text: The statement in our words.
        rule: When we say that it holds.
        quote: The source's own sentence; what is left out is marked. Empty where only our words are given.
        source: Who says so.
    """

    id: str
    section: str
    text: str
    rule: str
    quote: str = ""
    source: str = LI

    @property
    def where(self) -> str:
        """Source and section, to be printed."""
        return f"{self.source}, Sec. {self.section}" if self.section else self.source


@dataclass(frozen=True)
class Verdict:
    """A claim and the numbers that decide it.

    Attributes:
        claim: The claim.
        outcome: One of :data:`OUTCOMES`.
        detail: For which attacks it holds, for which it does not, and what is left open.
        numbers: What decides it, by attack: name of the number to its value; see :func:`reading`.
        missing: Attacks it speaks of that were not measured.
        reason: Why nothing was measured, and how it would be.
        note: What the numbers show besides.
    """

    claim: Claim
    outcome: str
    detail: str = ""
    numbers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    reason: str = ""
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether it holds for all that was measured; None if there is nothing to decide it with."""
        return None if self.outcome == NOT_MEASURED else self.outcome == HOLDS

    @property
    def only(self) -> str:
        """Which attacks it is decided on, where others are missing; empty where none is."""
        if not self.missing or self.outcome == NOT_MEASURED:
            return ""
        there, missing = listed(map(label_of, self.numbers)), listed(map(label_of, self.missing))
        return f"Of {there} only ({missing} {'is' if len(self.missing) == 1 else 'are'} not measured)"

    @property
    def why(self) -> str:
        """What stands behind the outcome in words, beginning small; empty where there is nothing to add."""
        if self.outcome == NOT_MEASURED:
            return self.reason or f"{listed(map(label_of, self.missing))} would be needed"
        return "; ".join(part for part in (self.detail, self.note) if part)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence; where attacks are missing, its first words say so."""
        head = f"{self.only}: {self.outcome}" if self.only else self.outcome
        return f"{head}: {self.why}" if self.why else head

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; a number that is infinite is null."""
        return {
            "id": self.claim.id,
            "source": self.claim.source,
            "section": self.claim.section,
            "quote": self.claim.quote,
            "text": self.claim.text,
            "rule": self.claim.rule,
            "outcome": self.outcome,
            "holds": self.holds,
            "sentence": self.sentence,
            "numbers": {
                attack: {name: value if math.isfinite(value) else None for name, value in numbers.items()}
                for attack, numbers in self.numbers.items()
            },
            "missing": list(self.missing),
        }


def label_of(title: str) -> str:
    """An attack's title for people.

    >>> label_of("blended+max2")
    'Blended+ (max2)'
    """
    name, plus, suffix = title.partition("+")
    label = attacks[name].label if name in attacks else name
    return f"{label}{plus}{f' ({suffix})' if suffix else ''}"


def reading(name: str, value: float) -> str:
    """A number of a verdict for people; what follows the last comma of its name is its unit.

    >>> reading("ASR, %", 99.96), reading("flagged, of 3 runs", 2), reading("index", math.inf)
    ('ASR 100.0%', 'flagged 2 of 3 runs', 'index infinite')
    """
    what, _, unit = name.rpartition(", ")
    if not math.isfinite(value):
        return f"{what or name} {'infinite' if value > 0 else 'unknown'}"
    if unit.startswith("of ") and what:
        return f"{what} {value:.0f} {unit}"
    units = {"%": "%", "points": " points", "s": " s"}
    if unit in units and what:
        return f"{what} {formatting.number(value)}{units[unit]}"
    return f"{name} {formatting.number(value)}"


Cases = Mapping[str, Decided | Mapping[str, Decided]]
"""What was found by its name for people, at once or case by case."""


def decided(cases: Cases, *, undecided: str = "undecided for {}") -> tuple[str, str]:
    """The outcome of a claim that holds if it does in every case, and for which it does.

    It holds if it does in each, does not hold if it does in none and fails in one; all else is mixed.

    Args:
        cases: What is judged.
        undecided: How to say that something is left open.

    >>> decided({"BadNets": True, "Blended": None})
    ('mixed', 'holds for BadNets, undecided for Blended')
    >>> decided({"BadNets": {"near": True, "far": False}, "Blended": {"near": True, "far": True}})
    ('mixed', 'holds for BadNets (near) and Blended, not for BadNets (far)')
    >>> decided({"BadNets": {"near": True, "far": False}, "Blended": {"near": True, "far": False}})
    ('mixed', 'holds for near, not for far')
    """
    each = {name: outcomes if isinstance(outcomes, Mapping) else {"": outcomes} for name, outcomes in cases.items()}
    flat = [held for outcomes in each.values() for held in outcomes.values()]
    if not flat:
        return NOT_MEASURED, ""
    outcome = HOLDS if all(flat) else FAILS if False in flat and True not in flat else MIXED
    if len(set(flat)) == 1 and None not in flat:
        return outcome, ""
    alike = all(outcomes == next(iter(each.values())) for outcomes in each.values()) and "" not in next(
        iter(each.values())
    )
    sentences = []
    for key, words in ((True, "holds for {}"), (False, "not for {}"), (None, undecided)):
        names = []
        for name, outcomes in each.items():
            alike_cases = [case for case, held in outcomes.items() if held is key]
            if alike:
                names = alike_cases
            elif alike_cases:
                names.append(name if len(alike_cases) == len(outcomes) else f"{name} ({listed(alike_cases)})")
        if names:
            sentences.append(words.format(listed(names)))
    return outcome, ", ".join(sentences)


M = TypeVar("M")


def judge(
    claim: Claim,
    measured: Mapping[str, M],
    wanted: Sequence[str],
    holds: Callable[[M], Decided | Mapping[str, Decided]],
    numbers: Callable[[M], dict[str, float]],
    *,
    undecided: str = "undecided for {} (the bound is within the 95% interval)",
    reason: str = "",
    note: str = "",
) -> Verdict:
    """A claim that holds if it does for each of the attacks, in each of its cases.

    Args:
        claim: The claim.
        measured: What was measured, by the attack's title.
        wanted: Titles of the attacks it speaks of.
        holds: What a measurement says about it, at once or case by case.
        numbers: The numbers that decide it.
        undecided: How to say that a case is left open.
        reason: Why nothing was measured, where that is so.
        note: What the numbers show besides.
    """
    there = [title for title in wanted if title in measured]
    cases: Cases = {label_of(title): holds(measured[title]) for title in there}
    outcome, detail = decided(cases, undecided=undecided)
    missing = tuple(title for title in wanted if title not in measured)
    return Verdict(
        claim,
        outcome,
        detail,
        {title: numbers(measured[title]) for title in there},
        missing,
        reason if outcome == NOT_MEASURED else "",
        note if outcome != NOT_MEASURED else "",
    )
