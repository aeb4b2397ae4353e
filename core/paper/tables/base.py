"""What all tables are made of: rows of texts, and rates as texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core import formatting
from core.metrics import Rate
from core.paper.constants import ROWS
from core.paper.numbers import PaperNumber
from core.paper.results import Results
from core.store.card import Card, Damaged
from core.store.local import Checkpoint, Store

__all__ = ["Models", "Row", "Table", "pair", "paper_pair", "percent", "readable", "results_by_network"]

Row = list[str]
Models = list[tuple[Checkpoint, Card]]
Table = Callable[[Models], Iterator[Row]]
"""Makes the rows of a table, the first one being its head."""


def percent(rate: Rate, *, interval: bool = True) -> str:
    """A rate in percent, with its 95% interval."""
    shown = formatting.percent(rate.value, "%")
    return f"{shown} ({formatting.interval(rate.interval, '-')})" if interval else shown


def pair(first: Rate, second: Rate) -> str:
    """Two rates in percent, such as attack success and clean accuracy."""
    return f"{formatting.percent(first.value)} / {formatting.percent(second.value)}"


def readable(store: Store) -> Models:
    """All readable checkpoints: data set by data set, the clean models first."""

    def place(checkpoint: Checkpoint, card: Card) -> tuple[object, ...]:
        base, plus, suffix = checkpoint.key.rpartition("/")[2].partition("+")
        return (card.dataset, card.model, ROWS.index(base) if base in ROWS else len(ROWS), base, plus, suffix)

    cards = [(store.checkpoint(key), card) for key, card in store.cards() if not isinstance(card, Damaged)]
    return sorted(cards, key=lambda pair: place(*pair))


def results_by_network(checkpoints: Models) -> dict[str, Results]:
    """Everything stored of every network and data set, by ``dataset/model``."""
    networks = dict.fromkeys((card.dataset, card.model) for _, card in checkpoints)
    roots = [Store(checkpoint.folder.parents[2]) for checkpoint, _ in checkpoints[:1]]
    return {f"{data}/{model}": Results.read(root, data, model) for root in roots for data, model in networks}


def paper_pair(number: PaperNumber | None) -> str:
    """The paper's two rates; of one that it has not, a dash."""
    return "" if number is None else f"{formatting.number(number.success)} / {formatting.number(number.clean) or '-'}"
