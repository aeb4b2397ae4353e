"""Exact intervals of binomial proportions, in memory that grows with the number of intervals and with nothing else.

The ends are quantiles of beta distributions. Their distribution function is the regularized incomplete beta function,
here by its continued fraction (Lentz's method; DLMF 8.17.22), and it is inverted by Newton steps kept in a bracket.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from core.metrics import FloatArray

__all__ = ["clopper_pearson"]

# Relative. A Newton step squares the error, so that what follows a step as small as this is exact to rounding.
_SMALL_STEP = 1e-8
_SMALL_TERM = 1e-14
# Both loops end long before; a limit keeps a mistake from becoming an endless loop.
_MOST_STEPS = 200
_MOST_TERMS = 100_000
_TINY = 1e-300


def clopper_pearson(hits: npt.ArrayLike, total: npt.ArrayLike, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Exact intervals of binomial proportions at confidence ``1 - alpha`` (Clopper and Pearson 1934).

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
    k, n = np.broadcast_arrays(np.asarray(hits), np.asarray(total))
    if (k < 0).any() or (k > n).any():
        raise ValueError(f"hits = {hits!r} of total = {total!r} is not allowed: 0 <= hits <= total")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha!r} is not allowed: a number between 0 and 1")
    return _low(k, n, alpha), 1 - _low(n - k, n, alpha)


def _low(hits: npt.NDArray[np.int64], total: npt.NDArray[np.int64], alpha: float) -> FloatArray:
    """The proportions at which so many hits or more have probability ``alpha / 2``; 0 for no hits."""
    low = np.zeros(hits.shape)
    some = hits > 0
    a = hits[some].astype(np.float64)
    low[some] = _beta_quantile(alpha / 2, a, total[some] - a + 1)
    return low


def _beta_quantile(share: float, a: FloatArray, b: FloatArray) -> FloatArray:
    """Where the beta distributions with these parameters, ``(N,)``, have the share below."""
    below, above, x = np.zeros_like(a), np.ones_like(a), a / (a + b)
    for _ in range(_MOST_STEPS):
        density, excess = _beta(x, a, b)
        excess -= share
        below, above = np.where(excess < 0, x, below), np.where(excess < 0, above, x)
        step = x - excess / np.maximum(density, _TINY)
        following = np.where((below <= step) & (step <= above), step, (below + above) / 2)
        if (abs(following - x) <= _SMALL_STEP * x).all():
            return following
        x = following
    return x


def _beta(x: FloatArray, a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Density and distribution function of beta distributions at ``x`` in (0, 1), all ``(N,)``."""
    power = np.exp(a * np.log(x) + b * np.log1p(-x) - _log_beta(a, b))
    # The fraction converges quickly below the mean; above it that of the mirrored distribution does.
    mirrored = x > (a + 1) / (a + b + 2)
    p, q, y = np.where(mirrored, b, a), np.where(mirrored, a, b), np.where(mirrored, 1 - x, x)
    part = power / (p * _fraction(y, p, q))
    return power / (x * (1 - x)), np.where(mirrored, 1 - part, part)


def _fraction(x: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """``1 + d1 / (1 + d2 / (1 + ...))`` of DLMF 8.17.22, by Lentz's method."""
    value = c = np.ones_like(x)
    d = np.zeros_like(x)
    for term in range(1, _MOST_TERMS):
        m = term // 2
        if term % 2:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 + factor * d
        d = 1 / np.where(abs(d) < _TINY, _TINY, d)
        c = 1 + factor / c
        c = np.where(abs(c) < _TINY, _TINY, c)
        value = value * c * d
        if (abs(c * d - 1) < _SMALL_TERM).all():
            break
    return value


def _log_beta(a: FloatArray, b: FloatArray) -> FloatArray:
    """Logarithm of the beta function."""
    p, q = torch.from_numpy(a), torch.from_numpy(b)
    values: FloatArray = (torch.lgamma(p) + torch.lgamma(q) - torch.lgamma(p + q)).numpy()
    return values
