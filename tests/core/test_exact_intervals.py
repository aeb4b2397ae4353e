"""Exact intervals: against their definition, at any number of images, without memory that grows with its square."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from core.metrics import clopper_pearson


@pytest.mark.parametrize(("hits", "total"), [(0, 20), (1, 20), (10, 20), (19, 20), (20, 20), (130, 700)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_ends_are_where_the_tails_are_half_of_alpha(hits, total, alpha):
    """Against the definition, with the binomial probabilities written out."""

    def at_most(k, share):
        return sum(math.comb(total, i) * share**i * (1 - share) ** (total - i) for i in range(k + 1))

    low, high = clopper_pearson(hits, total, alpha)
    assert 0 <= low <= hits / total <= high <= 1
    if hits == 0:
        assert low == 0
    else:
        assert 1 - at_most(hits - 1, low) == pytest.approx(alpha / 2, rel=1e-6)
    if hits == total:
        assert high == 1
    else:
        assert at_most(hits, high) == pytest.approx(alpha / 2, rel=1e-6)


def test_nothing_is_known_of_no_images():
    assert clopper_pearson(0, 0, 0.05) == (0.0, 1.0)


def test_many_intervals_at_once_are_those_one_by_one():
    hits = np.array([[0, 3], [7, 9]])
    low, high = clopper_pearson(hits, 9, 0.03)
    for index, count in np.ndenumerate(hits):
        one = [float(end) for end in clopper_pearson(int(count), 9, 0.03)]
        assert [low[index], high[index]] == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.03, 0.0005])
def test_the_ends_are_exact_on_as_many_images_as_a_width_of_one_point_takes(alpha):
    """Against sums of logarithms of binomial probabilities."""
    total = 12_288
    hits = np.array([1, 7, 900, 6144, 12_000, 12_287])
    low, high = clopper_pearson(hits, total, alpha)
    counts = np.arange(total + 1)
    choose = np.array([math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in counts])
    for k, lower, upper in zip(hits, low, high, strict=True):
        chance = [np.exp(choose + counts * np.log(p) + (total - counts) * np.log1p(-p)) for p in (lower, upper)]
        assert chance[0][k:].sum() == pytest.approx(alpha / 2, rel=1e-6)
        assert chance[1][: k + 1].sum() == pytest.approx(alpha / 2, rel=1e-6)


def test_memory_does_not_grow_with_the_square_of_the_number_of_images():
    """All intervals of 4,000 images: a table of 4,001 by 4,001 numbers would take 128 MB."""
    tracemalloc.start()
    try:
        clopper_pearson(np.arange(4001), 4000, 0.03)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("hits", "total"), [(3, 2), (-1, 2), ([1, 4], [2, 3])])
def test_impossible_counts_are_refused(hits, total):
    with pytest.raises(ValueError, match="is not allowed: 0 <= hits <= total"):
        clopper_pearson(hits, total, 0.05)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, float("nan")])
def test_a_level_that_is_not_allowed_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha = .* is not allowed: a number between 0 and 1"):
        clopper_pearson(1, 2, alpha)
