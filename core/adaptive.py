"""A location map that spends images where they are needed: every cell gets an interval no wider than was asked for.

A cell whose rate is near 0 or 1 is known after a few dozen images, one near one half needs hundreds. Each cell is
looked at after fixed numbers of images, and is finished when its interval is narrow enough (a fixed-width sequential
interval, as in Frey 2010, "Fixed-Width Sequential Confidence Intervals for a Proportion"). That it was looked at
before, and stopped because of what was seen, is paid for as it is there: the intervals are those of Clopper and Pearson
(1934) at a level below 5%, :data:`LEVEL`, at which the probability that a cell's interval holds its rate, computed
exactly over all ways its images can fall, is at least 95% for every rate, wherever one stops to look at the map. The
tests compute it. Images are drawn at random with replacement, so that hits are binomial whatever the number of images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.metrics import FloatArray
from core.places import Before, Located, Predict, at_places
from core.randomness import generator_for
from core.sweeps import PASSES_PER_STEP, LocationMap, coarse_to_fine, read_counts
from core.trigger import Trigger

__all__ = ["LEVEL", "AdaptiveMap", "adaptive_sweep", "clopper_pearson", "looks_for"]

# Of the interval at each look. One interval that is looked at once would have 0.05.
LEVEL = 0.03
# Most new images at a look, as a share of those before, but at least one: looking again soon wastes fewer.
GROWTH = 0.1


def clopper_pearson(hits: npt.ArrayLike, total: int, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Exact intervals of binomial proportions at confidence ``1 - alpha`` (Clopper and Pearson 1934).

    Args:
        hits: Numbers of successes, any shape.
        total: Number of trials of each; the interval of no trials is [0, 1].
        alpha: How often the interval may miss the proportion.

    Returns:
        Lower and upper ends, of the shape of ``hits``.

    >>> [round(float(end), 4) for end in clopper_pearson(0, 64, 0.05)]
    [0.0, 0.056]
    """
    k = np.asarray(hits)
    return _low(k, total, alpha), 1 - _low(total - k, total, alpha)


def _low(hits: npt.NDArray[Any], total: int, alpha: float) -> FloatArray:
    """The proportions at which so many hits or more have probability ``alpha / 2``; 0 for no hits."""
    below, above = np.zeros(hits.shape), np.ones(hits.shape)
    counts = np.arange(total + 1)
    for _ in range(40 if total else 0):
        middle = (below + above) / 2
        logs = _log_choose(total) + counts * np.log(middle)[..., None] + (total - counts) * np.log1p(-middle)[..., None]
        tail = np.where(counts >= hits[..., None], np.exp(logs), 0).sum(-1)
        below, above = np.where(tail > alpha / 2, below, middle), np.where(tail > alpha / 2, middle, above)
    return np.where(hits > 0, (below + above) / 2, 0.0)


@lru_cache(maxsize=256)
def _log_choose(total: int) -> FloatArray:
    k = torch.arange(total + 1, dtype=torch.float64)
    n = torch.tensor(float(total), dtype=torch.float64)
    values: FloatArray = (torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)).numpy()
    return values


@lru_cache(maxsize=4096)
def _ends(total: int) -> tuple[FloatArray, FloatArray]:
    """Ends of the intervals of a cell with so many images, by its number of hits."""
    return clopper_pearson(np.arange(total + 1), total, LEVEL)


@lru_cache(maxsize=64)
def looks_for(width: float) -> tuple[int, ...]:
    """Numbers of images after which a cell is looked at, rising.

    The first is where a cell without a single hit is finished, at the last any cell is. The new ones of all looks
    but the first are a power of two, of which whole batches are made.

    Args:
        width: Largest half width of an interval, in points of percent.

    Raises:
        ValueError: If the width is not between 1 and 50.

    >>> looks = looks_for(5)
    >>> looks[0], looks[1], looks[-1]
    (40, 44, 512)
    """
    if not 1 <= width <= 50:
        raise ValueError(f"width = {width} is not allowed: a number from 1 to 50 (points)")

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
        looks: After how many images the cells were looked at.
    """

    width: float
    looks: tuple[int, ...]

    @property
    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Ends of the intervals; each holds the cell's rate with 95%, however often it was looked at."""
        low, high = np.zeros(self.hits.shape), np.ones(self.hits.shape)
        for images in np.unique(self.total):
            cells = self.total == images
            lows, highs = _ends(int(images))
            low[cells], high[cells] = lows[self.hits[cells]], highs[self.hits[cells]]
        return low, high

    @property
    def finished(self) -> npt.NDArray[np.bool_]:
        """Which cells are as narrow as was asked for, bool ``(len(rows), len(cols))``."""
        low, high = self.interval
        return high - low <= 2 * self.width / 100

    @property
    def done(self) -> float:
        """Share of the cells that are finished."""
        return float(self.finished.mean())

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return super().to_dict() | {"width": self.width, "looks": list(self.looks)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        hits, total = read_counts(values, "rows", "cols")
        try:
            width, looks = float(values["width"]), tuple(int(look) for look in values["looks"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"a stored result is damaged: {error!r}") from error
        if not looks or list(looks) != sorted(looks):
            raise ValueError("a stored result is damaged: its looks do not rise")
        return cls(hits, total, tuple(values["rows"]), tuple(values["cols"]), width, looks)


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
        seed: Seed of the draw of the images.

    Yields:
        The map so far: first every cell after the first look, coarse to fine, then the cells that need more, the widest
        interval first; the last one is complete.

    Raises:
        ValueError: If there are no images, the trigger does not fit on them, or the width is not allowed.
    """
    if len(images) == 0:
        raise ValueError("a sweep needs at least one image")
    trigger.check_fits(images.shape[2], images.shape[3])
    looks = looks_for(width)
    rows, cols = trigger.places(images.shape[2], images.shape[3])
    drawn = images[torch.randint(len(images), (looks[-1],), generator=generator_for(seed, "adaptive"))]
    hits = np.zeros((len(rows), len(cols)), dtype=np.int64)
    total = np.zeros_like(hits)
    order = coarse_to_fine(rows, cols, trigger.location)
    for previous, look in zip((0, *looks), looks, strict=False):
        part = drawn[previous:look]
        at = (located if located and not before else at_places(predict, before))(part, trigger)
        per_step = max(1, passes_per_step // len(part))
        for start in range(0, len(order), per_step):
            places = order[start : start + per_step]
            predicted = at(places)
            for (row, col), found in zip(places, (predicted == target).sum(1).tolist(), strict=True):
                hits[row - rows[0], col - cols[0]] += found
                total[row - rows[0], col - cols[0]] = look
            result = AdaptiveMap(hits.copy(), total.copy(), tuple(rows), tuple(cols), width, looks)
            yield result
        low, high = result.interval
        span = dict(zip(((row, col) for row in rows for col in cols), (high - low).ravel(), strict=True))
        order = sorted((place for place in order if span[place] > 2 * width / 100), key=lambda place: -span[place])
        if not order:
            return
