"""Intervals of rates whose trials depend on each other: the same images under two models, and crops of one photograph.

>>> paired = Paired(both=14, first=5, second=0, neither=22)
>>> [round(end, 3) for end in paired.interval]
[0.011, 0.226]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.metrics import FloatArray, Rate, wilson

__all__ = ["Paired", "clustered", "hull", "paired_interval"]

Ends = tuple[float, float]


def paired_interval(both: int, first: int, second: int, neither: int, confidence: float = 0.95) -> Ends:
    """Interval of the difference of two rates on the same trials (method 10 of Newcombe 1998b).

    It joins the Wilson intervals of both rates, and takes into account how they go together by the correlation phi of
    the two outcomes, with a correction for continuity. Newcombe, R. G. (1998b): Improved confidence intervals for the
    difference between binomial proportions based on paired data, Statistics in Medicine 17, 2635-2650.

    Args:
        both: Trials in which both succeed.
        first: In which the first succeeds alone.
        second: In which the second succeeds alone.
        neither: In which none does.
        confidence: Nominal coverage in (0, 1).

    Returns:
        Lower and upper end of the first rate minus the second one, each in [-1, 1]; all of it where there is no trial.

    Raises:
        ValueError: If a count is negative.
    """
    if min(both, first, second, neither) < 0:
        raise ValueError(f"counts {(both, first, second, neither)} are not allowed: integers from 0 up")
    total = both + first + second + neither
    if not total:
        return -1.0, 1.0
    hits, others = both + first, both + second
    (low, other_low), (high, other_high) = (ends.tolist() for ends in wilson([hits, others], [total] * 2, confidence))
    rate, other = hits / total, others / total
    together: float = both * neither - first * second
    if together > 0:
        together = max(0.0, together - total / 2)
    sizes = hits * (total - hits) * others * (total - others)
    phi = together / math.sqrt(sizes) if sizes else 0.0

    def joined(one: float, two: float) -> float:
        return math.sqrt(max(0.0, one**2 - 2 * phi * one * two + two**2))

    difference = rate - other
    return difference - joined(rate - low, other_high - other), difference + joined(high - rate, other - other_low)


def clustered(values: npt.ArrayLike, groups: npt.ArrayLike, confidence: float = 0.95) -> Ends:
    """Interval of a mean over trials that belong together in groups, between which alone there is independence.

    The variance is that of a ratio over the groups (Rao and Scott 1992: A simple method for the analysis of clustered
    binary data, Biometrics 48, 577-585), the quantile that of Student's t with one degree of freedom less than groups.

    Args:
        values: Of every trial, ``(N,)``: 0 or 1, or a difference of such.
        groups: Which group it is of, ``(N,)``.
        confidence: Nominal coverage in (0, 1).

    Returns:
        Lower and upper end; without limits where there are fewer than two groups. Where the groups do not differ, the
        two are the same, since nothing there tells how much groups differ: see :func:`hull`.
    """
    from scipy.special import stdtrit  # a tenth of a second that few need

    each, which = np.asarray(values, dtype=np.float64), np.asarray(groups)
    members: FloatArray = np.unique(which)[:, None] == which
    if len(members) < 2:
        return -math.inf, math.inf
    sums, sizes = (members * each).sum(1), members.sum(1)
    mean = sums.sum() / sizes.sum()
    spread = ((sums - mean * sizes) ** 2).sum() * len(sizes) / (len(sizes) - 1)
    half = float(stdtrit(len(sizes) - 1, 0.5 + confidence / 2)) * math.sqrt(spread) / sizes.sum()
    return float(mean - half), float(mean + half)


def hull(one: Ends, other: Ends, bounds: Ends) -> Ends:
    """The smallest interval that holds two others, within bounds.

    >>> hull((0.2, 0.4), (0.1, 0.3), (0, 1))
    (0.1, 0.4)
    """
    return max(min(one[0], other[0]), bounds[0]), min(max(one[1], other[1]), bounds[1])


@dataclass(frozen=True)
class Paired:
    """How two models did on the same images.

    Attributes:
        both: Images on which both succeed.
        first: On which the first succeeds alone.
        second: On which the second succeeds alone.
        neither: On which none does.
        widened: Interval of the difference where images belong together, see :func:`clustered`; None where they do not.
    """

    both: int
    first: int
    second: int
    neither: int
    widened: Ends | None = None

    @classmethod
    def of(cls, first: npt.NDArray[Any], second: npt.NDArray[Any], groups: npt.NDArray[Any] | None = None) -> Paired:
        """From the successes of both, booleans ``(N,)`` each, and the groups of the images that belong together."""
        counts = [int((one & two).sum()) for one in (first, ~first) for two in (second, ~second)]
        widened = None if groups is None else clustered(first.astype(int) - second.astype(int), groups)
        return cls(counts[0], counts[1], counts[2], counts[3], widened)

    @property
    def total(self) -> int:
        """Number of images."""
        return self.both + self.first + self.second + self.neither

    @property
    def rates(self) -> tuple[Rate, Rate]:
        """The success rate of each."""
        return Rate(self.both + self.first, self.total), Rate(self.both + self.second, self.total)

    @property
    def difference(self) -> float:
        """First rate minus second rate, in [-1, 1]; nan of no images."""
        return (self.first - self.second) / self.total if self.total else math.nan

    @property
    def interval(self) -> Ends:
        """95% interval of the difference; of images that belong together, no narrower than that of independent ones."""
        ends = paired_interval(self.both, self.first, self.second, self.neither)
        return ends if self.widened is None else hull(ends, self.widened, (-1.0, 1.0))
