"""The adaptive map: exact intervals, the width that was asked for, and coverage although it looks again and again."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from core.attacks import attacks
from core.metrics import Rate, clopper_pearson
from core.sweeps.adaptive import LEVEL, LEVEL_OF_HIGHEST, AdaptiveMap, adaptive_sweep, looks_for


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


def chances(width, at=(), steps=300):
    """All ways the images of a cell can fall, for rates between 0 and one half, look by look.

    Yields the number of images, at every look and ``at`` more, whether it is a look, the probability of so many hits of
    a cell that is not finished before, ``(images + 1, rates)``, and the rates. The distribution goes on image by image;
    what is finished stays.
    """
    rates = np.linspace(0, 0.5, steps + 1)
    looks = looks_for(width)
    chance = np.zeros((looks[-1] + 1, len(rates)))
    chance[0] = 1
    for images in range(1, looks[-1] + 1):
        chance[1:] = chance[1:] * (1 - rates) + chance[:-1] * rates
        chance[0] *= 1 - rates
        if images in looks or images in at:
            yield images, images in looks, chance[: images + 1], rates
        if images in looks:
            low, high = clopper_pearson(np.arange(images + 1), images, LEVEL)
            chance[: images + 1][high - low <= 2 * width / 100] = 0
    assert chance.sum() == 0  # after the last look every cell is finished


def covered(images, chance, rates, level):
    """Probability of each number of hits and rate where the interval holds the rate; else 0."""
    low, high = clopper_pearson(np.arange(images + 1), images, level)
    return chance * ((low[:, None] <= rates) & (rates <= high[:, None]))


@pytest.mark.parametrize("width", [4, 5, 7, 10, 15, 20, 30, 50])
def test_whenever_one_stops_the_interval_holds_the_rate_with_95_percent(width):
    """The exact probability. Who stops after a look gets finished cells as they were and the others as they are."""
    finished_and_right, worst = np.zeros(301), np.ones(301)
    for images, _, chance, rates in chances(width):
        right = covered(images, chance, rates, LEVEL)
        worst = np.minimum(worst, finished_and_right + right.sum(0))
        low, high = clopper_pearson(np.arange(images + 1), images, LEVEL)
        finished_and_right += right[high - low <= 2 * width / 100].sum(0)
    assert worst.min() >= 0.95
    assert finished_and_right.min() >= 0.95


@pytest.mark.parametrize("width", [5, 10, 20])
def test_the_interval_holds_the_rate_with_95_percent_however_few_images_there_are(width):
    """The exact probability for numbers of images of all sizes: cells that are left stop when they have all."""
    counts = {8, 50, 200, *range(1, looks_for(width)[-1], 3)}
    finished_and_right, least = np.zeros(101), {}
    for images, is_look, chance, rates in chances(width, at=counts, steps=100):
        right = covered(images, chance, rates, LEVEL)
        least[images] = (finished_and_right + right.sum(0)).min()
        low, high = clopper_pearson(np.arange(images + 1), images, LEVEL)
        if is_look:
            finished_and_right += right[high - low <= 2 * width / 100].sum(0)
    assert {8, looks_for(width)[-1]} <= set(least)
    assert min(least.values()) >= 0.95


@pytest.mark.parametrize("width", [5, 10, 20])
def test_the_corrected_intervals_of_k_rates_all_hold_with_95_percent(width):
    """Each of k misses with 5% / k at most, so that all k hold with 95%, whatever the k have to do with each other."""
    ring = [2, 3, 5, 7, 8, 16, 24]  # k: the places 1 to 3 pixels from a corner, and from a place in the middle
    finished_and_right, worst = {k: np.zeros(101) for k in ring}, dict.fromkeys(ring, 1.0)
    for images, _, chance, rates in chances(width, steps=100):
        low, high = clopper_pearson(np.arange(images + 1), images, LEVEL)
        for k in ring:
            right = covered(images, chance, rates, LEVEL_OF_HIGHEST / k)
            worst[k] = min(worst[k], (finished_and_right[k] + right.sum(0)).min())
            finished_and_right[k] += right[high - low <= 2 * width / 100].sum(0)
    assert all(worst[k] >= 1 - 0.05 / k for k in ring)


@pytest.mark.parametrize("images", [1, 8, 39, 40, 41, 50, 200, 512, 513, 9000])
def test_looks_take_all_images_at_most(images):
    every, looks = looks_for(5), looks_for(5, images)
    assert looks[-1] == min(images, every[-1])
    assert set(looks) - {images} <= set(every)
    assert list(looks) == sorted(set(looks))


def test_looks_at_no_images_are_refused():
    with pytest.raises(ValueError, match="images = 0 is not allowed: an integer from 1 up"):
        looks_for(5, 0)


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


@pytest.mark.parametrize("count", [1, 8, 50])
def test_a_rate_never_has_more_images_than_there_are(blue, count):
    """A map of few images is finished with all of them, each taken once."""
    predict, passes = by_place(torch.full((8, 8), 0.5))
    images = numbered(count, 1)
    *_, last = adaptive_sweep(predict, images, blue, 1, width=5)
    assert last.done == 1
    assert (last.total == count).all()
    assert (last.hits == int((images[:, 0, 0, 0] < 0.5).sum())).all()
    assert sum(passes) == 36 * count
    assert not last.narrow.any()
    assert last.images == count


def test_images_are_taken_in_the_order_of_one_seeded_permutation(blue):
    """The first n are a random sample: all cells see the same ones, other seeds see others."""
    predict, _ = by_place(torch.full((8, 8), 0.5))
    images = numbered(200, 1)
    first = {}
    for seed in (0, 1, 2, 3):
        result = next(adaptive_sweep(predict, images, blue, 1, seed=seed, passes_per_step=10**6))
        assert len(set(result.hits.ravel().tolist())) == 1
        again = next(adaptive_sweep(predict, images, blue, 1, seed=seed, passes_per_step=10**6))
        assert (again.hits == result.hits).all()
        first[seed] = int(result.hits[0, 0])
    assert len(set(first.values())) > 1


def test_more_images_than_are_needed_are_not_taken(blue):
    predict, _ = by_place(torch.full((8, 8), 0.5))
    *_, last = adaptive_sweep(predict, numbered(900, 1), blue, 1, width=10)
    assert last.images is None
    assert last.narrow.all()
    assert int(last.total.max()) <= looks_for(10)[-1] < 900


def test_a_place_that_is_not_measured_is_not_finished():
    nothing = np.zeros((1, 2), dtype=np.int64)
    assert AdaptiveMap(nothing, nothing, (2,), (2, 3), 50, looks_for(50)).done == 0


@pytest.fixture
def adaptive():
    """Cells of 64 to 512 images; all but one place of the 3 x 3 map are one pixel away from the middle."""
    total = np.array([[512, 512, 64], [512, 512, 64], [64, 64, 64]])
    hits = np.array([[256, 130, 40], [100, 511, 30], [1, 2, 41]])
    return AdaptiveMap(hits, total, (2, 3, 4), (5, 6, 7), 5.0, looks_for(5))


def test_the_rate_of_a_cell_has_the_interval_of_the_map(adaptive):
    low, high = adaptive.interval
    for (i, row), (j, col) in itertools.product(enumerate(adaptive.rows), enumerate(adaptive.cols)):
        rate = adaptive.at(row, col)
        assert (rate.hits, rate.total) == (adaptive.hits[i, j], adaptive.total[i, j])
        assert rate.interval == pytest.approx((low[i, j], high[i, j]), rel=1e-12)
        fixed = Rate(rate.hits, rate.total).interval
        assert rate.interval[0] < fixed[0]
        assert rate.interval[1] > fixed[1]


def test_the_highest_cell_has_an_interval_for_all_that_it_was_chosen_from(adaptive):
    """It holds the rate of the cell, and the highest of all rates: one with fewer images may be higher."""
    rate, place, places = adaptive.highest_at_distance((3, 6), 1)
    assert (rate.hits, rate.total, place, places) == (41, 64, (4, 7), 8)
    alpha = LEVEL_OF_HIGHEST / 8
    assert rate.interval[0] == clopper_pearson(41, 64, alpha)[0]
    others = [clopper_pearson(h, n, alpha)[1] for h, n in [(256, 512), (130, 512), (40, 64), (41, 64), (2, 64)]]
    assert rate.interval[1] == max(others)
    assert rate.interval[1] - rate.interval[0] > np.diff(adaptive.at(4, 7).interval)[0]


def test_what_is_stored_says_the_intervals(adaptive):
    values = json.loads(json.dumps(adaptive.to_dict()))
    np.testing.assert_allclose(values["low"], adaptive.interval[0], atol=1e-6)
    np.testing.assert_allclose(values["high"], adaptive.interval[1], atol=1e-6)
    again = AdaptiveMap.from_dict(values)
    np.testing.assert_array_equal(again.interval[0], adaptive.interval[0])


def test_a_sweep_without_images_is_refused(blue):
    with pytest.raises(ValueError, match="at least one image"):
        next(adaptive_sweep(lambda x: x, numbered(0, 1), blue, 1))


@pytest.mark.parametrize("damage", [{"looks": []}, {"looks": [5, 3]}, {"width": None}, {"looks": 3}, {"hits": 1}])
def test_a_damaged_map_is_refused(damage):
    values = AdaptiveMap(np.zeros((1, 1), int), np.ones((1, 1), int), (2,), (2,), 5.0, (1,)).to_dict()
    with pytest.raises(ValueError, match="damaged"):
        AdaptiveMap.from_dict(values | damage)
