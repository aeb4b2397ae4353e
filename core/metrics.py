"""Rates as counts with an interval: clean accuracy, attack success rate, transformation robustness."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Strict
from torch import Tensor

from core import formatting

__all__ = ["BoundedRate", "Performance", "Rate", "attack_success_rate", "clean_accuracy", "clopper_pearson", "wilson"]

FloatArray = npt.NDArray[np.float64]


def wilson(hits: npt.ArrayLike, total: npt.ArrayLike, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Wilson score interval of a binomial proportion (Wilson 1927).

    Args:
        hits: Number of successes, any shape.
        total: Number of trials, same shape; the interval of no trials is [0, 1].
        confidence: Nominal coverage in (0, 1).

    Returns:
        Lower and upper end, each in [0, 1].

    Raises:
        ValueError: If a count is negative or there are more hits than trials.

    >>> low, high = wilson(90, 100)
    >>> round(float(low), 4), round(float(high), 4)
    (0.8256, 0.9448)
    """
    k, n = np.asarray(hits, dtype=np.float64), np.asarray(total, dtype=np.float64)
    if (k < 0).any() or (k > n).any():
        raise ValueError(f"hits = {hits!r} of total = {total!r} is not allowed: 0 <= hits <= total")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    safe = np.where(n > 0, n, 1)
    share = k / safe
    centre = (share + z**2 / (2 * safe)) / (1 + z**2 / safe)
    half = z / (1 + z**2 / safe) * np.sqrt(share * (1 - share) / safe + z**2 / (4 * safe**2))
    # The ends are exact at no and at all hits, where rounding would leave 1e-17.
    low = np.where((n > 0) & (k > 0), np.clip(centre - half, 0, 1), 0.0)
    high = np.where((n > 0) & (k < n), np.clip(centre + half, 0, 1), 1.0)
    return low, high


def clopper_pearson(hits: npt.ArrayLike, total: npt.ArrayLike, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Exact intervals of binomial proportions at confidence ``1 - alpha`` (Clopper and Pearson 1934).

    The ends are quantiles of beta distributions.

    Args:
        hits: Numbers of successes, any shape.
        total: Numbers of trials, a shape that broadcasts with it; the interval of no trials is [0, 1].
        alpha: How often the interval may miss the proportion, in (0, 1).

    Returns:
        Lower and upper ends in [0, 1], of the common shape.

    Raises:
        ValueError: If a count is negative, there are more hits than trials, or alpha is not between 0 and 1.

    >>> [round(float(end), 4) for end in clopper_pearson(0, 64, 0.05)]
    [0.0, 0.056]
    """
    from scipy.special import betaincinv  # a tenth of a second that only adaptive sweeps need

    k, n = np.broadcast_arrays(np.asarray(hits, dtype=np.float64), np.asarray(total, dtype=np.float64))
    if (k < 0).any() or (k > n).any():
        raise ValueError(f"hits = {hits!r} of total = {total!r} is not allowed: 0 <= hits <= total")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha!r} is not allowed: a number between 0 and 1")
    # The distribution has no quantile where a parameter is 0: the ends there are 0 and 1.
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, alpha / 2), 0.0)
    high = np.where(k < n, 1 - betaincinv(np.maximum(n - k, 1), k + 1, alpha / 2), 1.0)
    return low, high


@dataclass(frozen=True)
class Rate:
    """``hits`` of ``total``; a rate of nothing is ``nan``.

    Attributes:
        hits: Number of successes.
        total: Number of trials.

    >>> Rate(9, 10) + Rate(1, 10)
    Rate(hits=10, total=20)
    >>> print(Rate(9, 10))
    90.0% (59.6-98.2, 9 of 10)
    """

    hits: Annotated[int, Strict()]
    total: Annotated[int, Strict()]

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.total:
            raise ValueError(f"hits = {self.hits} of total = {self.total} is not allowed: 0 <= hits <= total")

    @property
    def value(self) -> float:
        """Share of hits in [0, 1]."""
        return self.hits / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval in [0, 1]."""
        low, high = wilson(self.hits, self.total)
        return float(low), float(high)

    def __add__(self, other: Rate) -> Rate:
        if isinstance(self, BoundedRate) or isinstance(other, BoundedRate):
            raise ValueError("a rate with an interval of its own cannot be added: the sum has none")
        return Rate(self.hits + other.hits, self.total + other.total)

    def __str__(self) -> str:
        if not self.total:
            return "no images"
        ends = formatting.interval(self.interval, "-")
        return f"{formatting.percent(self.value, '%')} ({ends}, {self.hits} of {self.total})"

    def to_dict(self) -> dict[str, int]:
        """Counts, ready for JSON."""
        return {"hits": self.hits, "total": self.total}


@dataclass(frozen=True)
class BoundedRate(Rate):
    """A rate whose 95% interval is not that of a number of trials fixed beforehand, and not to be had from its counts.

    Such are the rates of cells of adaptive maps, and the highest of several rates.

    Attributes:
        ends: Lower and upper end in [0, 1].

    >>> print(BoundedRate(9, 10, (0.5, 1.0)))
    90.0% (50.0-100.0, 9 of 10)
    """

    ends: tuple[float, float]

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval in [0, 1]."""
        return self.ends


class Performance(NamedTuple):
    """What a model does: the two rates of every table of the paper.

    Attributes:
        clean: Clean accuracy, on untouched images.
        success: Attack success rate, on attacked images of other classes than the target.
    """

    clean: Rate
    success: Rate


def attack_success_rate(predicted: Tensor, labels: Tensor, target: int) -> Rate:
    """Share of non-target images predicted as the target (Eq. 3 of Li et al. 2020).

    On transformed images this is the transformation robustness R_T of Eq. 5.

    Args:
        predicted: Predicted classes, int64 ``(N,)``.
        labels: True classes, int64 ``(N,)``; images of the target class do not count.
        target: The attacker's target label.

    Returns:
        Hits and number of images counted; an empty count is a rate of ``nan``, not an error.

    Raises:
        ValueError: If the two shapes differ.

    >>> import torch
    >>> attack_success_rate(torch.tensor([4, 4, 1]), torch.tensor([0, 4, 2]), target=4)
    Rate(hits=1, total=2)
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"predicted {tuple(predicted.shape)} and labels {tuple(labels.shape)} differ")
    counted = labels != target
    return Rate(hits=int((predicted[counted] == target).sum()), total=int(counted.sum()))


def clean_accuracy(predicted: Tensor, labels: Tensor) -> Rate:
    """Share of images predicted as their true class.

    Args:
        predicted: Predicted classes, int64 ``(N,)``.
        labels: True classes, int64 ``(N,)``.

    Raises:
        ValueError: If the two shapes differ.
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"predicted {tuple(predicted.shape)} and labels {tuple(labels.shape)} differ")
    return Rate(hits=int((predicted == labels).sum()), total=len(labels))
