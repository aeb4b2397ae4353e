"""Sweeps of one property of the trigger: its location (Fig. 4) and its appearance (Fig. 5).

A sweep is *anytime*: it yields its result so far, as counts, again and again until it is complete, so that a picture
can be shown at once and a caller can stop whenever it wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from torch import Tensor

from core.inference.incremental import Before, Located, Predict, at_places
from core.metrics import BoundedRate, Rate, wilson
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.base import PASSES_PER_STEP, Counted, at_once, counts_of
from core.sweeps.coarse_to_fine import coarse_to_fine
from core.trigger import Trigger

__all__ = ["Highest", "LocationMap", "counts_of", "location_sweep"]


class Highest(NamedTuple):
    """The highest of several rates of a map.

    Attributes:
        rate: The rate, with an interval that takes into account of how many it is the highest.
        location: Row and column where it is.
        places: How many it is the highest of.
    """

    rate: Rate
    location: tuple[int, int]
    places: int


@dataclass(frozen=True)
class LocationMap(Counted):
    """Attack success over trigger locations; the keys of ``location.json``.

    Attributes:
        hits: Images taken for the target, ``(len(rows), len(cols))``.
        total: Images tried, same shape; 0 where nothing is measured yet.
        rows: Row of the box's bottom-right pixel.
        cols: Column of the box's bottom-right pixel.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]

    def at(self, row: int, col: int) -> Rate:
        """The rate at a location; of no images where the map has places around it but not this one.

        Raises:
            ValueError: If the location is not on the map.
        """
        if row not in self.rows or col not in self.cols:
            if self.rows[0] <= row <= self.rows[-1] and self.cols[0] <= col <= self.cols[-1]:
                return Rate(0, 0)
            raise ValueError(f"location ({row}, {col}) is not on the map")
        i, j = self.rows.index(row), self.cols.index(col)
        return self._rate(int(self.hits[i, j]), int(self.total[i, j]))

    def _rate(self, hits: int, total: int, among: int = 1) -> Rate:
        """The rate of a cell with its interval: one of ``among`` that all hold their rates with 95% together."""
        if among == 1:
            return Rate(hits, total)
        low, high = wilson(hits, total, 1 - 0.05 / among)
        return BoundedRate(hits, total, (float(low), float(high)))

    def highest_at_distance(self, location: tuple[int, int], distance: int) -> Highest:
        """The highest rate among locations ``distance`` pixels away (larger of row and column difference), and where.

        It was chosen because it is the highest, so its interval is corrected for the number k of locations it was
        chosen from (Bonferroni, as the same images are behind all of them): the k intervals hold all k rates with 95%,
        and so this one, which reaches to the highest of their upper ends, holds the rate of the location that was found
        and the highest of the k rates, wherever that is.

        Raises:
            ValueError: If no location is that far away.
        """
        rows, cols = np.asarray(self.rows)[:, None], np.asarray(self.cols)[None]
        away = np.maximum(abs(rows - location[0]), abs(cols - location[1])) == distance
        away &= self.total > 0
        if not away.any():
            raise ValueError(f"no location is {distance} pixels away from {location}")
        i, j = np.unravel_index(int(np.argmax(np.where(away, self.rate, -1))), away.shape)
        places = int(away.sum())
        highest = self._rate(int(self.hits[i, j]), int(self.total[i, j]), places)
        if places > 1:
            counts = zip(self.hits[away].tolist(), self.total[away].tolist(), strict=True)
            upper = max(self._rate(hits, total, places).interval[1] for hits, total in set(counts))
            highest = BoundedRate(highest.hits, highest.total, (highest.interval[0], upper))
        return Highest(highest, (self.rows[int(i)], self.cols[int(j)]), places)

    def joined(self, other: LocationMap) -> Self:
        """The same map with each place as the other one has it where that is on more images.

        The other one may be of other places; those that this one lacks are left out.
        """
        hits, total = self.hits.copy(), self.total.copy()
        rows, cols = (
            sorted(set(mine) & set(theirs)) for mine, theirs in ((self.rows, other.rows), (self.cols, other.cols))
        )
        mine = np.ix_([self.rows.index(row) for row in rows], [self.cols.index(col) for col in cols])
        theirs = np.ix_([other.rows.index(row) for row in rows], [other.cols.index(col) for col in cols])
        more = other.total[theirs] > total[mine]
        hits[mine] = np.where(more, other.hits[theirs], hits[mine])
        total[mine] = np.where(more, other.total[theirs], total[mine])
        return replace(self, hits=hits, total=total)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"rows": list(self.rows), "cols": list(self.cols), **self._counts()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If counts and axes do not fit each other.
        """
        stored = checked(schemas.Location, values)
        hits, total = counts_of(stored.hits, stored.total)
        return cls(hits, total, tuple(stored.rows), tuple(stored.cols))


def location_sweep(
    predict: Predict,
    images: Tensor,
    trigger: Trigger,
    target: int,
    *,
    before: Before | None = None,
    located: Located | None = None,
    passes_per_step: int = PASSES_PER_STEP,
) -> Iterator[LocationMap]:
    """Attack success rate at every location at which the trigger fits (Sec. 3.2, "The Effect of Location").

    On images of 64 pixels and more, at every so many of them: :meth:`core.trigger.Trigger.mapped`.

    Args:
        predict: The model.
        images: Images whose true class is not the target, floats ``(N, C, H, W)`` in [0, 1]; see :func:`attacked`.
        trigger: The trigger; the map starts at its location.
        target: The target label.
        before: What is put between stamping and the model, if anything.
        located: A faster way to the same predictions at any place, such as ``Predictor.located``; not taken with
            ``before``.
        passes_per_step: Forward passes between two results.

    Yields:
        The map so far, coarse to fine; the last one is complete.

    Raises:
        ValueError: If there are no images, or the trigger does not fit on them.
    """
    if len(images) == 0:
        raise ValueError("a sweep needs at least one image")
    trigger.check_fits(images.shape[2], images.shape[3])
    rows, cols = trigger.mapped(images.shape[2], images.shape[3])
    hits = np.zeros((len(rows), len(cols)), dtype=np.int64)
    total = np.zeros_like(hits)
    order = coarse_to_fine(rows, cols, trigger.location)
    per_step = at_once(passes_per_step, images)
    at = (located if located and not before else at_places(predict, before))(images, trigger)
    for start in range(0, len(order), per_step):
        places = order[start : start + per_step]
        predicted = at(places)
        for (row, col), successes in zip(places, (predicted == target).sum(1).tolist(), strict=True):
            at_place = rows.index(row), cols.index(col)
            hits[at_place], total[at_place] = successes, len(images)
        yield LocationMap(hits.copy(), total.copy(), tuple(rows), tuple(cols))
