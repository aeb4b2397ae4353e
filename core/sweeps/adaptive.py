"""A location map that spends images where they are needed: every cell gets an interval no wider than was asked for.

A cell whose rate is near 0 or 1 is known after a few dozen images, one near one half needs hundreds. Each cell is
looked at after fixed numbers of images, and is finished when its interval is narrow enough (a fixed-width sequential
interval, as in Frey 2010, "Fixed-Width Sequential Confidence Intervals for a Proportion") or when there are no more
images. That it was looked at before, and stopped because of what was seen, is paid for as it is there: the intervals
are those of Clopper and Pearson (1934) at a level below 5%, :data:`LEVEL`, at which the probability that a cell's
interval holds its rate, computed exactly over all ways its images can fall, is at least 95% for every rate, wherever
one stops to look at the map and however many images there are. The tests compute it.

The rate is that of the distribution which the images are a random sample of. They are taken in the order of one seeded
permutation, none twice, so that the first n are n independent draws from the distribution and hits are binomial.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.inference.incremental import Before, Located, Predict, at_places
from core.metrics import BoundedRate, FloatArray, Rate, clopper_pearson
from core.runtime.seeding import generator_for
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.base import PASSES_PER_STEP, at_once, counts_of
from core.sweeps.coarse_to_fine import coarse_to_fine
from core.sweeps.location import LocationMap
from core.trigger import Trigger

__all__ = ["LEVEL", "AdaptiveMap", "adaptive_sweep", "looks_for"]

# Of the interval at each look. One interval that is looked at once would have 0.05.
LEVEL = 0.03
# Of the interval of the highest of k cells, divided by k. At levels as low as those, looking again and again costs more
# than 0.03 pays for: up to 0.065 instead of 0.05.
LEVEL_OF_HIGHEST = 0.015
# Most new images at a look, as a share of those before, but at least one: looking again soon wastes fewer.
GROWTH = 0.1


@lru_cache(maxsize=256)
def _known(total: int) -> FloatArray:
    """Lower and upper ends by the number of hits, ``(2, total + 1)``; nan for those nobody has asked for yet."""
    return np.full((2, total + 1), np.nan)


def _ends(hits: npt.NDArray[np.int64], total: int) -> FloatArray:
    """Ends of the intervals of cells with so many images, ``(2, N)``; most have been asked for before."""
    known = _known(total)
    new = np.unique(hits[np.isnan(known[0, hits])])
    if len(new):
        known[:, new] = clopper_pearson(new, total, LEVEL)
    return known[:, hits]


@lru_cache(maxsize=64)
def looks_for(width: float, images: int | None = None) -> tuple[int, ...]:
    """Numbers of images after which a cell is looked at, rising.

    The first is where a cell without a single hit is finished, at the last any cell is. The new ones of all looks
    but the first, and but a last one that takes the remaining images, are a power of two, of which whole batches are
    made.

    Args:
        width: Largest half width of an interval, in points of percent.
        images: How many images there are; looks that would need more are replaced by one at all of them.

    Raises:
        ValueError: If the width is not between 1 and 50, or there are no images.

    >>> looks = looks_for(5)
    >>> looks[0], looks[1], looks[-1]
    (40, 44, 512)
    >>> looks_for(5, 50), looks_for(5, 8)
    ((40, 44, 48, 50), (8,))
    """
    if not 1 <= width <= 50:
        raise ValueError(f"width = {width} is not allowed: a number from 1 to 50 (points)")
    if images is not None:
        if images < 1:
            raise ValueError(f"images = {images} is not allowed: an integer from 1 up")
        every = looks_for(width)
        return every if images >= every[-1] else (*(look for look in every if look < images), images)

    def too_wide(share: float, total: int) -> bool:
        low, high = clopper_pearson(round(share * total), total, LEVEL)
        return bool(high - low > 2 * width / 100)

    def enough(share: float) -> int:
        """Smallest number of images that makes the interval of this rate narrow enough."""
        few, many = 0, 1
        while too_wide(share, many):
            few, many = many, 2 * many
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (middle, many) if too_wide(share, middle) else (few, middle)
        return many

    looks, last = [enough(0.0)], enough(0.5)
    while looks[-1] < last:
        looks.append(looks[-1] + 2 ** max(0, math.floor(math.log2(GROWTH * looks[-1]))))
    return tuple(looks)


@dataclass(frozen=True)
class AdaptiveMap(LocationMap):
    """A location map whose cells have as many images as they needed.

    Attributes:
        width: Largest half width that was asked for, in points.
        looks: After how many images the cells were looked at; the last is after all of them, or where every interval is
            narrow enough.
    """

    width: float
    looks: tuple[int, ...]

    @cached_property
    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Ends of the intervals; each holds the cell's rate with 95%, however often it was looked at."""
        low, high = np.zeros(self.hits.shape), np.ones(self.hits.shape)
        for images in np.unique(self.total).tolist():
            cells = self.total == images
            low[cells], high[cells] = _ends(self.hits[cells], images)
        return low, high

    def _rate(self, hits: int, total: int, among: int = 1) -> Rate:
        low, high = clopper_pearson(hits, total, LEVEL if among == 1 else LEVEL_OF_HIGHEST / among)
        return BoundedRate(hits, total, (float(low), float(high)))

    @property
    def narrow(self) -> npt.NDArray[np.bool_]:
        """Which cells' intervals are as narrow as was asked for, bool ``(len(rows), len(cols))``."""
        low, high = self.interval
        narrow: npt.NDArray[np.bool_] = (high - low <= 2 * self.width / 100) & (self.total > 0)
        return narrow

    @property
    def images(self) -> int | None:
        """How many images there are; None where there are more than any cell needs."""
        return self.looks[-1] if self.looks[-1] < looks_for(self.width)[-1] else None

    @property
    def finished(self) -> npt.NDArray[np.bool_]:
        """Which cells are as narrow as was asked for or have all images, bool ``(len(rows), len(cols))``."""
        finished: npt.NDArray[np.bool_] = self.narrow | (self.total == self.looks[-1])
        return finished

    @property
    def done(self) -> float:
        """Share of the cells that are finished."""
        return float(self.finished.mean())

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, with the ends of the intervals, which are not those of as many images taken at once."""
        low, high = (np.round(end, 6).tolist() for end in self.interval)
        return super().to_dict() | {"low": low, "high": high, "width": self.width, "looks": list(self.looks)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        stored = checked(schemas.Adaptive, values)
        hits, total = counts_of(stored.hits, stored.total)
        return cls(hits, total, tuple(stored.rows), tuple(stored.cols), stored.width, tuple(stored.looks))


def adaptive_sweep(
    predict: Predict,
    images: Tensor,
    trigger: Trigger,
    target: int,
    *,
    width: float = 5.0,
    before: Before | None = None,
    located: Located | None = None,
    passes_per_step: int = PASSES_PER_STEP,
    seed: int = 0,
) -> Iterator[AdaptiveMap]:
    """Attack success rate at every location, each known to within ``width`` points (Sec. 3.2, Fig. 4).

    Args:
        predict: The model.
        images: Images whose true class is not the target, floats ``(N, C, H, W)`` in [0, 1].
        trigger: The trigger; the map starts at its location.
        target: The target label.
        width: Largest half width of a cell's interval, in points of percent.
        before: What is put between stamping and the model, if anything.
        located: A faster way to the same predictions at any place, such as ``Predictor.located``; not taken with
            ``before``.
        passes_per_step: Forward passes between two results.
        seed: Seed of the order in which the images are taken.

    Yields:
        The map so far: first every cell after the first look, coarse to fine, then the cells that need more, the widest
        interval first; the last one is complete: every cell is that narrow, or has all images.

    Raises:
        ValueError: If there are no images, the trigger does not fit on them, or the width is not allowed.
    """
    if len(images) == 0:
        raise ValueError("a sweep needs at least one image")
    trigger.check_fits(images.shape[2], images.shape[3])
    looks = looks_for(width, len(images))
    rows, cols = trigger.mapped(images.shape[2], images.shape[3])
    permuted = torch.randperm(len(images), generator=generator_for(seed, "adaptive"))
    hits = np.zeros((len(rows), len(cols)), dtype=np.int64)
    total = np.zeros_like(hits)
    order = coarse_to_fine(rows, cols, trigger.location)
    for previous, look in zip((0, *looks), looks, strict=False):
        part = images[permuted[previous:look]]
        at = (located if located and not before else at_places(predict, before))(part, trigger)
        per_step = at_once(passes_per_step, part)
        for start in range(0, len(order), per_step):
            places = order[start : start + per_step]
            predicted = at(places)
            for (row, col), successes in zip(places, (predicted == target).sum(1).tolist(), strict=True):
                at_place = rows.index(row), cols.index(col)
                hits[at_place] += successes
                total[at_place] = look
            result = AdaptiveMap(hits.copy(), total.copy(), tuple(rows), tuple(cols), width, looks)
            yield result
        low, high = result.interval
        span = dict(zip(((row, col) for row in rows for col in cols), (high - low).ravel(), strict=True))
        order = sorted((place for place in order if span[place] > 2 * width / 100), key=lambda place: -span[place])
        if not order:
            return
