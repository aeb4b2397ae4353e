"""A location map that spends images where they are needed: every cell gets an interval no wider than was asked for.

A cell whose rate is near 0 or 1 is known after a few dozen images, one near one half needs hundreds. Each cell is
looked at after fixed numbers of images, and is finished when its interval is narrow enough. That it was looked at
before is paid for: with S looks each interval is an exact one (Clopper and Pearson 1934) at confidence 1 - alpha / S,
so that by the union bound all of a cell's intervals hold together with probability 1 - alpha, whenever one stops.
Images are taken in random order without replacement, which makes the intervals wider than they need be, never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from core.metrics import FloatArray
from core.randomness import generator_for
from core.sweeps import PASSES_PER_STEP, Before, LocationMap, Predict, coarse_to_fine, read_counts
from core.trigger import Trigger, stamp_each

__all__ = ["AdaptiveMap", "adaptive_sweep", "clopper_pearson", "looks_for"]

ALPHA = 0.05
LOOKS = 6


@lru_cache(maxsize=65536)
def clopper_pearson(hits: int, total: int, alpha: float) -> tuple[float, float]:
    """Exact interval of a binomial proportion at confidence ``1 - alpha`` (Clopper and Pearson 1934).

    >>> [round(end, 4) for end in clopper_pearson(0, 64, 0.05)]
    [0.0, 0.056]
    """
    if total == 0:
        return 0.0, 1.0

    def end(wanted: int, low_tail: bool) -> float:
        below, above = 0.0, 1.0
        for _ in range(40):
            middle = (below + above) / 2
            tail = _tail(wanted, total, middle, low_tail)
            if (tail > alpha / 2) == low_tail:
                below = middle
            else:
                above = middle
        return (below + above) / 2

    low = end(hits, False) if hits > 0 else 0.0
    high = end(hits, True) if hits < total else 1.0
    return low, high


def _tail(hits: int, total: int, share: float, low: bool) -> float:
    """Probability of at most (or, not ``low``, at least) this many hits."""
    k = np.arange(0, hits + 1) if low else np.arange(hits, total + 1)
    logs = _log_choose(total)[k] + k * math.log(share) + (total - k) * math.log1p(-share)
    return float(np.exp(logs).sum())


@lru_cache(maxsize=256)
def _log_choose(total: int) -> FloatArray:
    k = torch.arange(total + 1, dtype=torch.float64)
    n = torch.tensor(float(total), dtype=torch.float64)
    values: FloatArray = (torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)).numpy()
    return values


@lru_cache(maxsize=64)
def looks_for(width: float, alpha: float = ALPHA, looks: int = LOOKS) -> tuple[int, ...]:
    """Numbers of images after which a cell is looked at, rising.

    The first is where a cell without a single hit is finished, the last where any cell is.

    Args:
        width: Largest half width of an interval, in points of percent.
        alpha: How often a cell's intervals may miss the truth.
        looks: Number of looks.

    Raises:
        ValueError: If the width is not between 1 and 50.

    >>> looks_for(5)[0] < 100 < 600 < looks_for(5)[-1] < 1000
    True
    """
    if not 1 <= width <= 50:
        raise ValueError(f"width = {width} is not allowed: a number from 1 to 50 (points)")

    def enough(share: float) -> int:
        """Smallest number of images that makes the interval of this rate narrow enough."""
        few, many = 1, 2
        while _span(share, many, alpha / looks) > 2 * width / 100:
            few, many = many, 2 * many
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (middle, many) if _span(share, middle, alpha / looks) > 2 * width / 100 else (few, middle)
        return many

    first, last = enough(0.0), enough(0.5)
    factor = (last / first) ** (1 / (looks - 1))
    return tuple(sorted({*(round(first * factor**i) for i in range(looks - 1)), last}))


def _span(share: float, total: int, alpha: float) -> float:
    low, high = clopper_pearson(round(share * total), total, alpha)
    return high - low


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
        """Ends of the intervals; all looks at a cell hold together with 95%."""
        alpha = ALPHA / len(self.looks)
        pairs = zip(self.hits.ravel().tolist(), self.total.ravel().tolist(), strict=True)
        ends = np.array([clopper_pearson(hits, total, alpha) for hits, total in pairs])
        return ends[:, 0].reshape(self.hits.shape), ends[:, 1].reshape(self.hits.shape)

    @property
    def finished(self) -> Any:
        """Which cells are as narrow as was asked for, bool ``(len(rows), len(cols))``."""
        low, high = self.interval
        return high - low <= 2 * self.width / 100

    @property
    def done(self) -> float:
        """Share of the cells that are finished, or have used all images."""
        return float((self.finished | (self.total >= self.looks[-1])).mean())

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
        passes_per_step: Forward passes between two results.
        seed: Seed of the order of the images.

    Yields:
        The map so far: first every cell after the first look, coarse to fine, then the cells that need more, the widest
        interval first; the last one is complete. Where there are fewer images than the last look asks for, a cell has
        all of them, and may be wider.

    Raises:
        ValueError: If there are no images, the trigger does not fit on them, or the width is not allowed.
    """
    if len(images) == 0:
        raise ValueError("a sweep needs at least one image")
    trigger.check_fits(images.shape[2], images.shape[3])
    looks = tuple(sorted({min(look, len(images)) for look in looks_for(width)}))
    rows, cols = trigger.places(images.shape[2], images.shape[3])
    shuffled = images[torch.randperm(len(images), generator=generator_for(seed, "adaptive"))]
    hits = np.zeros((len(rows), len(cols)), dtype=np.int64)
    total = np.zeros_like(hits)
    order = coarse_to_fine(rows, cols, trigger.location)
    for previous, look in zip((0, *looks), looks, strict=False):
        part = shuffled[previous:look]
        per_step = max(1, passes_per_step // len(part))
        for start in range(0, len(order), per_step):
            places = order[start : start + per_step]
            stamped = stamp_each(part, trigger, torch.tensor(places)).flatten(0, 1)
            predicted = predict(before(stamped) if before else stamped).view(len(places), len(part))
            for (row, col), found in zip(places, (predicted == target).sum(1).tolist(), strict=True):
                hits[row - rows[0], col - cols[0]] += found
                total[row - rows[0], col - cols[0]] = look
            result = AdaptiveMap(hits.copy(), total.copy(), tuple(rows), tuple(cols), width, looks)
            yield result
        low, high = result.interval
        span = high - low
        order = [place for place in order if span[place[0] - rows[0], place[1] - cols[0]] > 2 * width / 100]
        order.sort(key=lambda place: -span[place[0] - rows[0], place[1] - cols[0]])
        if not order:
            return
