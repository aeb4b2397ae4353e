"""Schemas of repairs: what each of the three records, and what was measured after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    model_validator,
)

from core.schemas.base import (
    Count,
    FewSurprises,
    Fits,
    Index,
    Measured,
    Method,
    Positive,
    Rates,
    Row,
    Share,
    Spent,
    Text,
    _check_counts,
)

__all__ = ["Repair", "SeedRun"]


class Pruning(FewSurprises):
    """What Fine-Pruning says of a model."""

    order: Annotated[list[Count], Field(min_length=1)]
    pruned: Count
    validation_hits: Row | None = None
    validation_total: Positive | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        count = len(self.order)
        if sorted(self.order) != list(range(count)):
            raise ValueError(f"order is not one of the numbers 0 to {count - 1}")
        if self.pruned > count:
            raise ValueError(f"{self.pruned} of {count} channels are pruned")
        if (self.validation_hits is None) != (self.validation_total is None):
            raise ValueError("hits and total of the validation images go together")
        if self.validation_hits is not None:
            _check_counts(self.validation_hits, [self.validation_total] * (count + 1), count + 1)
        return self

    def fit(self, model: Fits) -> None:
        """Raises:
        ValueError: If the model has other channels.
        """
        if len(self.order) != model.channels:
            raise ValueError(f"order is of {len(self.order)} channels, and the model has {model.channels}")


class PruningReport(FewSurprises):
    """Both rates with every number of pruned channels."""

    clean_hits: Row
    clean_total: Row
    hits: Row
    total: Row


class Cleanse(FewSurprises):
    """What Neural Cleanse says of a model, label by label."""

    norms: Annotated[list[Spent], Field(min_length=1)]
    indices: list[Index]
    flagged: list[Count]
    success: list[Share]
    rounds: Row
    pruned: Count = 0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        count = len(self.norms)
        for name in ("indices", "success", "rounds"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries, and norms has {count}")
        if len(set(self.flagged)) < len(self.flagged) or max(self.flagged, default=0) >= count:
            raise ValueError("flagged is not a list of different labels")
        return self

    def fit(self, model: Fits) -> None:
        """Raises:
        ValueError: If the model has other classes.
        """
        if len(self.norms) != model.classes:
            raise ValueError(f"norms are of {len(self.norms)} classes, and the model has {model.classes}")


RECORDS: Mapping[str, type[Pruning] | type[Cleanse]] = {"fine-pruning": Pruning, "neural-cleanse": Cleanse}
"""Repairs whose records are read; those of others are shown nowhere."""


class SeedRun(FewSurprises):
    """The same repair with another seed."""

    seed: Count
    seconds: Spent
    clean: Rates
    success: Rates
    record: dict[str, Any]


class Repair(Measured):
    """``repair-<name>.json``."""

    defense: Method
    done: Share
    note: Text
    seconds: Spent
    clean: Rates
    success: Rates
    clean_before: Rates
    success_before: Rates
    record: dict[str, Any] = Field(default_factory=dict)
    report: dict[str, Any] = Field(default_factory=dict)
    runs: list[SeedRun] = Field(default_factory=list)
    warning: Text = ""

    def _records(self) -> list[Pruning | Cleanse]:
        kind = RECORDS.get(self.defense.name)
        if kind is None or self.done < 1:
            return []
        return [kind.model_validate(record) for record in (self.record, *(run.record for run in self.runs))]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for record in self._records():
            if isinstance(record, Pruning) and self.report:
                report, count = PruningReport.model_validate(self.report), len(record.order) + 1
                _check_counts(report.hits, report.total, count)
                _check_counts(report.clean_hits, report.clean_total, count)
                if min(report.clean_total) < 1:
                    raise ValueError("its report is of no images")
        return self

    def fit(self, model: Fits) -> None:
        for record in self._records():
            record.fit(model)
