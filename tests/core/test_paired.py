"""Intervals of paired and clustered rates: against formulas written out, examples of textbooks, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from core.paired import Paired, clustered, hull, paired_interval
from core.paper.claims.intervals import difference


def naive_interval(first, second):
    """Method 10 of Newcombe 1998b, from the outcomes of single trials, term by term as it is printed."""
    e = sum(a and b for a, b in zip(first, second, strict=True))
    f = sum(a and not b for a, b in zip(first, second, strict=True))
    g = sum(b and not a for a, b in zip(first, second, strict=True))
    n = len(first)
    h = n - e - f - g

    def wilson(successes):
        interval = stats.binomtest(successes, n).proportion_ci(method="wilson")
        return interval.low, interval.high

    (l1, u1), (l2, u2) = wilson(e + f), wilson(e + g)
    p1, p2 = (e + f) / n, (e + g) / n
    product = (e + f) * (g + h) * (e + g) * (f + h)
    phi = 0.0
    if product:
        top = e * h - f * g
        if top > n / 2:
            top = top - n / 2
        elif top >= 0:
            top = 0
        phi = top / math.sqrt(product)
    dl1, du1, dl2, du2 = p1 - l1, u1 - p1, p2 - l2, u2 - p2
    delta = math.sqrt(max(0, dl1**2 - 2 * phi * dl1 * du2 + du2**2))
    epsilon = math.sqrt(max(0, du1**2 - 2 * phi * du1 * dl2 + dl2**2))
    return p1 - p2 - delta, p1 - p2 + epsilon


@pytest.mark.parametrize("seed", range(20))
def test_a_paired_difference_is_the_printed_formula(seed):
    stream = np.random.default_rng(seed)
    count, common, share = int(stream.integers(5, 80)), stream.random(), stream.random()
    base = stream.random(count) < share
    first, second = (np.where(stream.random(count) < common, base, stream.random(count) < 0.5) for _ in range(2))
    paired = Paired.of(first.astype(bool), second.astype(bool))
    assert paired.total == count
    assert paired.difference == pytest.approx(first.mean() - second.mean())
    assert paired.interval == pytest.approx(naive_interval(first.tolist(), second.tolist()), abs=1e-9)


@pytest.mark.parametrize("counts", [(10, 0, 0, 0), (0, 0, 0, 10), (0, 10, 0, 0), (0, 0, 10, 0), (5, 0, 0, 5)])
def test_the_ends_stay_where_they_can_be(counts):
    low, high = paired_interval(*counts)
    assert -1 <= low <= (counts[1] - counts[2]) / 10 <= high <= 1
    assert low < high


def test_of_no_images_nothing_is_known():
    assert Paired(0, 0, 0, 0).interval == (-1, 1)
    assert math.isnan(Paired(0, 0, 0, 0).difference)
    with pytest.raises(ValueError, match="integers from 0 up"):
        paired_interval(1, -1, 0, 0)


def test_a_pair_says_more_than_two_independent_rates():
    """Where both mostly agree, the paired interval is narrower."""
    paired = Paired(40, 12, 2, 46)
    low, high = paired.interval
    wide_low, wide_high = difference(*paired.rates)
    assert high - low < wide_high - wide_low
    assert low > 0
    assert stats.binomtest(12, 14).pvalue < 0.05  # McNemar, exact


def test_the_interval_holds_the_difference_as_often_as_it_says():
    stream, held = np.random.default_rng(3), 0
    for _ in range(400):
        counts = stream.multinomial(120, [0.3, 0.2, 0.1, 0.4])
        low, high = paired_interval(*counts.tolist())
        held += low <= 0.1 <= high
    assert 0.92 * 400 <= held <= 0.985 * 400


def test_groups_of_equal_size_give_the_t_interval_of_their_means():
    stream = np.random.default_rng(0)
    groups = np.arange(60) % 6
    values = stream.random(60) < 0.2 + 0.1 * groups
    means = [values[groups == group].mean() for group in range(6)]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert clustered(values, groups) == pytest.approx((expected.low, expected.high))


def test_groups_of_other_sizes_weigh_by_them():
    values, groups = np.array([1, 1, 1, 1, 0, 0]), np.array([0, 0, 0, 0, 1, 2])
    low, high = clustered(values, groups)
    assert (low + high) / 2 == pytest.approx(4 / 6)
    residuals = [4 - 4 * 4 / 6, 0 - 4 / 6, 0 - 4 / 6]
    half = stats.t.ppf(0.975, 2) * math.sqrt(sum(r**2 for r in residuals) * 3 / 2) / 6
    assert high - low == pytest.approx(2 * half)


def test_one_group_knows_nothing_and_equal_groups_differ_in_nothing():
    assert clustered([1, 0, 1], [0, 0, 0]) == (-math.inf, math.inf)
    assert clustered([1, 0, 1, 0], [0, 0, 1, 1]) == (0.5, 0.5)


def test_crops_of_one_photograph_widen_the_difference():
    groups = np.arange(50) % 5
    first, second = groups > 0, np.zeros(50, dtype=bool)
    alone, together = Paired.of(first, second), Paired.of(first, second, groups)
    assert together.difference == alone.difference
    assert together.interval[0] < alone.interval[0]
    assert together.interval[1] == 1
    assert hull((0.2, 0.3), (-2, 2), (-1, 1)) == (-1, 1)
