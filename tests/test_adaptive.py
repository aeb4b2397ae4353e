"""The adaptive map: exact intervals, the width that was asked for, and coverage although it looks again and again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from core.adaptive import LEVEL, AdaptiveMap, adaptive_sweep, clopper_pearson, looks_for
from core.attacks import attacks


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
        assert (low[index], high[index]) == clopper_pearson(int(count), 9, 0.03)


@pytest.mark.parametrize("width", [2, 5, 10, 30])
def test_the_looks_end_where_every_rate_is_known_well_enough(width):
    looks = looks_for(width)
    assert list(looks) == sorted(set(looks))
    low, high = clopper_pearson(0, looks[0], LEVEL)
    assert high - low <= 2 * width / 100
    low, high = clopper_pearson(looks[-1] // 2, looks[-1], LEVEL)
    assert high - low <= 2 * width / 100
    low, high = clopper_pearson(0, looks[0] - 1, LEVEL)
    assert high - low > 2 * width / 100


@pytest.mark.parametrize("width", [4, 5, 7, 10, 15, 20, 30, 50])
def test_whenever_one_stops_the_interval_holds_the_rate_with_95_percent(width):
    """The exact probability, over all ways the images can fall, for rates between 0 and one half.

    The distribution of the hits of a cell goes on image by image; what is finished at a look stays as it is. Whoever
    stops the map after a look gets finished cells as they were and the others as they are.
    """
    rates = np.linspace(0, 0.5, 301)
    looks = looks_for(width)
    chance = np.zeros((looks[-1] + 1, len(rates)))
    chance[0] = 1
    finished_and_right, worst, images = np.zeros(len(rates)), np.ones(len(rates)), 0
    for look in looks:
        for _ in range(look - images):
            chance[1:] = chance[1:] * (1 - rates) + chance[:-1] * rates
            chance[0] *= 1 - rates
        images = look
        low, high = clopper_pearson(np.arange(look + 1), look, LEVEL)
        right = chance[: look + 1] * ((low[:, None] <= rates) & (rates <= high[:, None]))
        worst = np.minimum(worst, finished_and_right + right.sum(0))
        narrow = high - low <= 2 * width / 100
        finished_and_right += right[narrow].sum(0)
        chance[: look + 1][narrow] = 0
    assert chance.sum() == 0  # after the last look every cell is finished
    assert worst.min() >= 0.95
    assert finished_and_right.min() >= 0.95


@pytest.mark.parametrize("width", [0, 0.5, 51, float("nan")])
def test_a_width_that_is_not_allowed_is_refused(width):
    with pytest.raises(ValueError, match=r"width = .* is not allowed: a number from 1 to 50"):
        looks_for(width)


def by_place(rates, seed=0):
    """A model that takes an image for the target at each place with that place's rate, and counts its passes.

    An image's red value in the middle decides: with rate r it is the target for the r-th part of all images.
    """
    counted = []

    def predict(stamped):
        counted.append(len(stamped))
        lit = stamped[:, 2].eq(1)  # the trigger's blue
        row = torch.where(lit.any(2), torch.arange(lit.shape[1]), -1).amax(1)
        col = torch.where(lit.any(1), torch.arange(lit.shape[2]), -1).amax(1)
        return (stamped[:, 0, 0, 0] < rates[row, col]).long()

    return predict, counted


def numbered(count, seed):
    """Images whose red value is uniform between 0 and 1: the rate of a threshold t among all of them is t."""
    images = torch.zeros(count, 3, 8, 8)
    values = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    images[:, 0] = values[:, None, None]
    return images


@pytest.fixture
def blue():
    trigger = attacks["badnets"]().trigger((3, 8, 8))
    pattern = torch.zeros(3, 3, 3)
    pattern[2] = 1
    alpha = torch.zeros(3, 3, 3)
    alpha[2] = 1
    return type(trigger)(pattern, alpha, 7, 7)


def test_every_cell_is_as_narrow_as_asked_and_easy_ones_take_few_images(blue):
    rates = torch.zeros(8, 8)
    rates[7, 7], rates[5, 5] = 0.5, 1
    predict, counted = by_place(rates)
    results = list(adaptive_sweep(predict, numbered(1200, 1), blue, 1, passes_per_step=512))
    last = results[-1]
    assert isinstance(last, AdaptiveMap)
    low, high = last.interval
    assert bool((high - low <= 0.1).all())
    assert last.done == 1
    looks = looks_for(5)
    assert int(last.total[0, 0]) == looks[0]
    assert int(last.total[5, 5]) == looks[-1]
    assert int(last.total[3, 3]) == looks[0]
    assert sum(counted) == int(last.total.sum()) < 0.2 * 36 * looks[-1]
    assert [result.done for result in results] == sorted(result.done for result in results)
    assert AdaptiveMap.from_dict(json.loads(json.dumps(last.to_dict()))).looks == last.looks


def test_the_first_results_are_spread_over_the_image(blue):
    predict, _ = by_place(torch.zeros(8, 8))
    first = next(adaptive_sweep(predict, numbered(100, 1), blue, 1, passes_per_step=4 * looks_for(5)[0]))
    assert 1 <= int((first.total > 0).sum()) <= 4
    assert int(first.total[5, 5]) > 0


def test_intervals_cover_the_truth_although_the_map_looks_again_and_again(blue):
    """200 maps of 36 cells with rates between 0 and 1; the truth is the rate over all images of that map."""
    generator = torch.Generator().manual_seed(5)
    covered = []
    for seed in range(40):
        rates = torch.rand(8, 8, generator=generator)
        images = numbered(900, seed)
        predict, _ = by_place(rates)
        *_, last = adaptive_sweep(predict, images, blue, 1, width=10, seed=seed, passes_per_step=10**6)
        truth = np.array(
            [[float((images[:, 0, 0, 0] < rates[r, c]).float().mean()) for c in last.cols] for r in last.rows]
        )
        low, high = last.interval
        covered.append((low <= truth) & (truth <= high))
    assert np.mean(covered) >= 0.95


def test_few_images_are_drawn_again_and_again(blue):
    """Ten images are enough to know their rates to any width: what is asked is the rate among them."""
    rates = torch.full((8, 8), 0.5)
    predict, _ = by_place(rates)
    images = numbered(10, 1)
    *_, last = adaptive_sweep(predict, images, blue, 1, width=10)
    truth = float((images[:, 0, 0, 0] < 0.5).float().mean())
    low, high = last.interval
    assert last.done == 1
    assert bool(((low <= truth) & (truth <= high)).all())


def test_a_sweep_without_images_is_refused(blue):
    with pytest.raises(ValueError, match="at least one image"):
        next(adaptive_sweep(lambda x: x, numbered(0, 1), blue, 1))


@pytest.mark.parametrize("damage", [{"looks": []}, {"looks": [5, 3]}, {"width": None}, {"looks": 3}, {"hits": 1}])
def test_a_damaged_map_is_refused(damage):
    values = AdaptiveMap(np.zeros((1, 1), int), np.ones((1, 1), int), (2,), (2,), 5.0, (1,)).to_dict()
    with pytest.raises(ValueError, match="damaged"):
        AdaptiveMap.from_dict(values | damage)
