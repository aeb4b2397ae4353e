"""What the files that the application saves are called, and what their columns are: of every figure and table alike.

A table has one row per rate: first what it is of (:data:`SOURCE_COLUMNS`), then what the table adds, last the rate
(:data:`RATE_COLUMNS`). Rates and the ends of intervals are in percent, as on the pages.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Self

from core.metrics import Rate
from core.store.card import Card
from core.transforms import Compose
from core.trigger import Trigger
from dashboard.server.subjects import Subject
from dashboard.state.trigger import look_of

__all__ = [
    "ACCURACY",
    "ALL",
    "RATE_COLUMNS",
    "SOURCE_COLUMNS",
    "SUCCESS",
    "WILSON",
    "Entry",
    "Mean",
    "Source",
    "file_name",
    "table",
    "to_csv",
    "to_json",
]

SOURCE_COLUMNS = (
    "dataset", "encoding", "network", "model", "pixel_value", "opacity_percent", "pattern", "repair", "defense",
)  # fmt: skip
RATE_COLUMNS = ("quantity", "hits", "total", "rate_percent", "low_percent", "high_percent", "interval")
SUCCESS, ACCURACY = "attack success rate", "clean accuracy"
WILSON = "95% Wilson"
ALL = "all-attacks"
"""In place of a model's name in that of a file about all attacks of a network."""
TRAINED = "as trained"
DECIMALS = 4


@dataclass(frozen=True)
class Source:
    """What numbers or a picture are of.

    Attributes:
        dataset: Name of the data set, as in the path of the model.
        encoding: How its images were stored before.
        network: Registered name of the network.
        model: Name of the model: the attack, and what differs from its defaults.
        value: Pixel value of the trigger, 0 to 255; None where it is several.
        opacity: Its opacity in percent; None where it is several.
        pattern: The trigger's layout where it was painted, else :data:`TRAINED`.
        repair: Name of the repair, or nothing.
        defense: Text of the transformation in front of the model, or nothing.
    """

    dataset: str
    encoding: str
    network: str
    model: str
    value: int | None = None
    opacity: int | None = None
    pattern: str = TRAINED
    repair: str = ""
    defense: str = ""

    @classmethod
    def of_card(cls, card: Card) -> Self:
        """A stored model with the trigger it was trained with."""
        look = look_of(card.attack_object.trigger(card.shape))
        name = card.key.rpartition("/")[2]
        return cls(card.dataset, card.encoding, card.model, name, look.value, look.opacity)

    @classmethod
    def of(cls, subject: Subject, shown: Trigger | None = None, before: Compose | None = None) -> Self:
        """A model of a page, by default with its own trigger and nothing in front of it.

        Args:
            subject: The model.
            shown: The trigger that is stamped.
            before: The transformations in front of the model.
        """
        look, trained = look_of(shown if shown is not None else subject.trigger), look_of(subject.trigger)
        return replace(
            cls.of_card(subject.card),
            model=subject.name,
            value=look.value,
            opacity=look.opacity,
            pattern=TRAINED if look.layout == trained.layout else look.layout,
            repair=subject.repair,
            defense=before.spec if before is not None else "",
        )

    def all_attacks(self) -> Self:
        """The same of all attacks of the network."""
        return replace(self, model=ALL, value=None, opacity=None, repair="", defense="")

    @property
    def columns(self) -> list[object]:
        """The columns :data:`SOURCE_COLUMNS`; nothing where there is nothing."""
        return ["" if entry is None else entry for entry in astuple(self)]


@dataclass(frozen=True)
class Mean:
    """A mean share that is no count of hits, such as of saliency.

    Attributes:
        value: In [0, 1].
        total: Number of images; None if it is of none.
        ends: The ends of its interval in [0, 1], or None.
        interval: How the interval was made, or nothing.
    """

    value: float
    total: int | None = None
    ends: tuple[float, float] | None = None
    interval: str = ""


Entry = tuple[Source, Sequence[object], str, Rate | Mean | None]
"""A row: what it is of, what the table adds, the quantity, and the rate, or None where there is none."""


def file_name(kind: str, source: Source, others: int = 0) -> str:
    """Name of a file without its ending: what it shows, data set, network, model, trigger and defense.

    Args:
        kind: What it shows.
        source: What it is of; of the first, where it is of several models.
        others: Number of the other models in it.

    >>> file_name("location", Source("cifar10", "original", "resnet20", "badnets", 128, 100, defense="shrinkpad:4"))
    'location_cifar10_resnet20_badnets_value128_opacity100_shrinkpad-4'
    >>> file_name("defenses", Source("cifar10", "original", "resnet20", ALL))
    'defenses_cifar10_resnet20_all-attacks'
    """
    parts = [kind, source.dataset, source.network, source.model]
    parts += [f"and{others}others"] if others else []
    if source.value is not None:
        parts += [f"value{source.value}", f"opacity{source.opacity}"]
        parts += ["painted"] if source.pattern != TRAINED else []
    if source.model != ALL:
        defense = "_".join(part for part in (source.repair, source.defense) if part)
        parts.append(defense or "no-defense")
    return "_".join(re.sub(r"[^\w.+-]+", "-", part).strip("-") for part in parts)


def table(own: Sequence[str], entries: Iterable[Entry]) -> list[list[object]]:
    """Rows of a file, the header first.

    Args:
        own: Names of the columns that the table adds.
        entries: The rows.

    >>> source = Source("cifar10", "original", "resnet20", "badnets", 255, 100)
    >>> header, row = table(["row"], [(source, [31], SUCCESS, Rate(1, 4))])
    >>> dict(zip(header, row, strict=True))["rate_percent"]
    25.0
    """
    rows: list[list[object]] = [[*SOURCE_COLUMNS, *own, *RATE_COLUMNS]]
    for source, values, quantity, rate in entries:
        rows.append([*source.columns, *values, quantity, *_numbers(rate)])
    return rows


def _numbers(rate: Rate | Mean | None) -> list[object]:
    """The columns :data:`RATE_COLUMNS` but the quantity; nothing where nothing was measured."""
    if rate is None:
        return [""] * 6
    if isinstance(rate, Rate):
        if not rate.total:
            return [int(rate.hits), 0, "", "", "", ""]
        low, high = rate.interval
        return [int(rate.hits), int(rate.total), _percent(rate.value), _percent(low), _percent(high), WILSON]
    ends: list[object] = ["", ""] if rate.ends is None else [_percent(end) for end in rate.ends]
    return ["", "" if rate.total is None else rate.total, _percent(rate.value), *ends, rate.interval]


def _percent(share: float) -> float:
    return round(100 * float(share), DECIMALS)


def to_csv(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV text."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def to_json(rows: Sequence[Sequence[object]]) -> str:
    """The same as JSON: a list of objects, one for each row below the header; null where there is nothing.

    >>> to_json([["model", "rate_percent"], ["badnets", 25.0], ["benign", ""]])
    '[{"model": "badnets", "rate_percent": 25.0}, {"model": "benign", "rate_percent": null}]'
    """
    header, *entries = rows
    named = [
        {str(name): None if entry == "" else entry for name, entry in zip(header, row, strict=True)} for row in entries
    ]
    return json.dumps(named)
