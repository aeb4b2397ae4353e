"""How far the results of each network agree with the paper, and which network has the most of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import pandas as pd

from core.models import models
from core.paper.claims.base import HOLDS, LI, NOT_MEASURED, Verdict
from core.paper.comparison import Number
from core.paper.constants import PAPER_MODELS, STANDARD
from dashboard.server.subjects import Subject
from dashboard.tables.paper import agreement

__all__ = ["Standing", "most_measured", "standings_table"]

PAPER_DATA = "cifar10"


@dataclass(frozen=True)
class Standing:
    """One network beside the paper.

    Attributes:
        model: Registered name.
        outcomes: How many statements of the paper have each outcome, one of :data:`core.paper.claims.base.OUTCOMES`.
        there: Rates that the paper has.
        measured: Those of them that were measured.
        near: Those of these that are within 5 points.
    """

    model: str
    outcomes: Mapping[str, int]
    there: int
    measured: int
    near: int

    @classmethod
    def of(cls, model: str, numbers: Sequence[Number], verdicts: Iterable[Verdict]) -> Self:
        """Counts what was compared and judged of a network, by its registered name."""
        outcomes = Counter(verdict.outcome for verdict in verdicts if verdict.claim.source == LI)
        return cls(model, outcomes, *agreement(numbers))

    @property
    def holding(self) -> int:
        """Statements of the paper that hold."""
        return self.outcomes.get(HOLDS, 0)

    @property
    def statements(self) -> int:
        """Statements of the paper."""
        return sum(self.outcomes.values())

    @property
    def judged(self) -> int:
        """Those that could be judged."""
        return self.statements - self.outcomes.get(NOT_MEASURED, 0)


def standings_table(standings: Sequence[Standing]) -> pd.DataFrame:
    """A row for each network that has a measured rate, the paper's own networks first."""
    measured = [one for one in standings if one.measured]
    measured.sort(key=lambda one: (one.model not in PAPER_MODELS, -one.measured))
    return pd.DataFrame(
        {
            "Network": [models[one.model].label for one in measured],
            "In the paper": ["yes" if one.model in PAPER_MODELS else "no" for one in measured],
            "Statements judged": [f"{one.judged} of {one.statements}" for one in measured],
            "Statements that hold": [f"{one.holding} of {one.judged}" for one in measured],
            "Rates measured": [f"{one.measured} of {one.there}" for one in measured],
            "Within 5 points": [f"{one.near} of {one.measured}" for one in measured],
        }
    )


def most_measured(found: Mapping[str, Subject]) -> str:
    """A model of the network with the most stored results: on the paper's data set, and of equals the paper's network.

    Args:
        found: The models by key; at least one.
    """
    counts = Counter[tuple[str, str]]()
    for key, subject in found.items():
        dataset, model, _ = key.split("/")
        counts[dataset, model] += sum(1 for _ in subject.checkpoint.folder.glob("*.json"))
    dataset, model = max(counts, key=lambda one: (one[0] == PAPER_DATA, counts[one], one[1] in PAPER_MODELS))
    wanted = f"{dataset}/{model}/{STANDARD[0]}"
    return wanted if wanted in found else next(key for key in found if key.startswith(f"{dataset}/{model}/"))
