"""Rates, against textbook definitions and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.metrics import BoundedRate, Rate, attack_success_rate, clean_accuracy, wilson

# z with 2.5% above it, from a table of the normal distribution.
Z95 = 1.959963984540054
COUNTS = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def score_interval(hits, total, z=Z95):
    """Wilson 1927 as it is defined: the proportions p that a score test does not reject, found by bisection.

    The test statistic is (share - p) / sqrt(p (1 - p) / n); its absolute value is z at both ends.
    """
    share = hits / total

    def rejected(p):
        return abs(share - p) > z * math.sqrt(p * (1 - p) / total)

    def border(outside, inside):
        for _ in range(200):
            middle = (outside + inside) / 2
            outside, inside = (middle, inside) if rejected(middle) else (outside, middle)
        return inside

    return (border(0.0, share) if hits else 0.0), (border(1.0, share) if hits < total else 1.0)


@given(COUNTS)
def test_wilson_solves_the_score_equation(counts):
    low, high = wilson(*counts)
    expected = score_interval(*counts)
    assert float(low) == pytest.approx(expected[0], abs=1e-9)
    assert float(high) == pytest.approx(expected[1], abs=1e-9)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_has_the_published_values(hits, total, low, high):
    assert tuple(round(float(end), 4) for end in wilson(hits, total)) == (low, high)


@given(COUNTS)
def test_wilson_is_an_interval_around_the_share_and_mirrors(counts):
    hits, total = counts
    low, high = wilson(hits, total)
    assert 0 <= low <= hits / total <= high <= 1
    mirrored = wilson(total - hits, total)
    assert float(mirrored[0]) == pytest.approx(1 - float(high), abs=1e-12)
    narrower = wilson(hits, total, confidence=0.8)
    assert low <= narrower[0] <= narrower[1] <= high


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.97])
def test_wilson_covers_about_as_often_as_it_says(share):
    """Exact coverage, averaged over sample sizes: the sum of the binomial probabilities whose interval holds it."""
    covered = []
    for total in range(200, 260):
        hits = np.arange(total + 1)
        low, high = wilson(hits, np.full_like(hits, total))
        log = [
            math.lgamma(total + 1)
            - math.lgamma(k + 1)
            - math.lgamma(total - k + 1)
            + k * math.log(share)
            + (total - k) * math.log(1 - share)
            for k in hits
        ]
        covered.append(np.exp(log)[(low <= share) & (share <= high)].sum())
    assert 0.935 < np.mean(covered) < 0.97


def test_wilson_of_arrays_is_wilson_of_each():
    hits, total = np.array([[0, 3], [5, 0]]), np.array([[4, 3], [9, 0]])
    low, high = wilson(hits, total)
    assert low.shape == high.shape == (2, 2)
    for place in np.ndindex(2, 2):
        one = wilson(hits[place], total[place])
        assert (low[place], high[place]) == (float(one[0]), float(one[1]))
    assert (low[1, 1], high[1, 1]) == (0, 1)


@pytest.mark.parametrize(("hits", "total"), [(3, 2), (-1, 2), (0, -1), ([1, 4], [2, 3])])
def test_impossible_counts_are_refused(hits, total):
    with pytest.raises(ValueError, match="is not allowed: 0 <= hits <= total"):
        wilson(hits, total)
    if isinstance(hits, int):
        with pytest.raises(ValueError, match=f"hits = {hits} of total = {total} is not allowed"):
            Rate(hits, total)


def test_a_rate_of_nothing():
    rate = Rate(0, 0)
    assert math.isnan(rate.value)
    assert rate.interval == (0, 1)
    assert str(rate) == "no images"


def test_a_rate_shows_its_count_and_interval():
    rate = Rate(81, 263)
    assert str(rate) == "30.8% (25.5-36.6, 81 of 263)"
    assert rate.value == 81 / 263
    assert Rate(**rate.to_dict()) == rate
    assert Rate(1, 2) + Rate(0, 0) == Rate(1, 2)


def test_a_rate_with_an_interval_of_its_own_shows_that_one_and_is_not_added():
    rate = BoundedRate(5, 10, (0.1, 0.9))
    assert rate.interval == (0.1, 0.9)
    assert str(rate) == "50.0% (10.0-90.0, 5 of 10)"
    for a, b in ((rate, Rate(1, 2)), (Rate(1, 2), rate)):
        with pytest.raises(ValueError, match="interval of its own cannot be added"):
            a + b


LABELLED = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=40)


@given(LABELLED, st.integers(0, 4))
def test_attack_success_counts_images_of_other_classes_only(pairs, target):
    predicted = torch.tensor([p for p, _ in pairs], dtype=torch.int64)
    labels = torch.tensor([y for _, y in pairs], dtype=torch.int64)
    hits = total = 0
    for p, y in pairs:
        if y == target:
            continue
        total += 1
        hits += p == target
    assert attack_success_rate(predicted, labels, target) == Rate(hits, total)
    assert clean_accuracy(predicted, labels) == Rate(sum(p == y for p, y in pairs), len(pairs))


def test_predictions_and_labels_belong_together():
    for function in (clean_accuracy, lambda p, y: attack_success_rate(p, y, 0)):
        with pytest.raises(ValueError, match=r"predicted \(3,\) and labels \(1,\) differ"):
            function(torch.zeros(3, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
