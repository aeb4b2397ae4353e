"""Sweeps against naive loops over places and images, with a model that can be computed by hand."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from third_digit import images_of, predict

from core.data import ImageSet
from core.inference.incremental import predictions_at
from core.metrics import Rate, wilson
from core.sweeps.appearance import AppearanceCurve, AppearanceMap, appearance_map, appearance_sweep
from core.sweeps.base import attacked, success_at
from core.sweeps.location import LocationMap, location_sweep
from core.trigger import Trigger, corner_pattern, stamp, stamp_each

TARGET = 2


def trigger_of(row=7, col=7, value=0.5):
    return Trigger(corner_pattern(value), torch.full((3, 3, 3), 0.75), row, col)


def brighten(images):
    """Something that is put before the model, and that tells whether stamping came first: it is not linear."""
    return images.sqrt().flip(3)


@pytest.mark.parametrize("before", [None, brighten])
@pytest.mark.parametrize("passes", [1, 40, 10_000])
def test_location_sweep_is_a_loop_over_places_and_images(before, passes):
    images, trigger = images_of(5), trigger_of(5, 4)
    result = list(location_sweep(predict, images, trigger, TARGET, before=before, passes_per_step=passes))[-1]
    assert (result.rows, result.cols) == (tuple(range(2, 8)), tuple(range(2, 8)))
    assert result.done == 1
    for row, col in itertools.product(range(2, 8), range(2, 8)):
        hits = 0
        for image in images:
            stamped = stamp(image[None], trigger.at(row, col))
            hits += int(predict(before(stamped) if before else stamped)) == TARGET
        assert result.at(row, col) == Rate(hits, 5)
    assert 0 < result.hits.sum() < result.total.sum(), "the naive model should hit sometimes, and miss sometimes"


def test_a_trigger_as_large_as_the_image_is_swept_by_offset():
    generator = torch.Generator().manual_seed(3)
    trigger = Trigger(torch.rand(3, 8, 8, generator=generator), torch.full((3, 8, 8), 0.3), 7, 7)
    images = images_of(3)
    first, *_, last = location_sweep(predict, images, trigger, TARGET, passes_per_step=3)
    assert (last.rows, last.cols) == (tuple(range(4, 12)),) * 2
    assert first.at(7, 7).total == 3
    for row, col in itertools.product(last.rows, last.cols):
        one = stamp_each(images, trigger, torch.tensor([[row, col]]))[0]
        assert last.at(row, col).hits == int((predict(one) == TARGET).sum())


@pytest.mark.parametrize("sweep", [location_sweep, appearance_sweep, appearance_map])
def test_a_sweep_is_anytime(sweep):
    """Partial results: a cell is measured on all images or on none, and what is measured stays as it is."""
    images = images_of(4)
    results = list(sweep(predict, images, trigger_of(), TARGET, passes_per_step=12))
    assert len(results) > 3
    assert results[0].total.sum() == 12
    for earlier, later in itertools.pairwise(results):
        measured = earlier.total > 0
        assert set(np.unique(later.total)) <= {0, 4}
        assert earlier.done < later.done
        assert (later.total[measured] == 4).all()
        assert (later.hits[measured] == earlier.hits[measured]).all()
        assert (later.hits[later.total == 0] == 0).all()
        assert earlier.hits is not later.hits
    assert results[-1].done == 1
    assert np.isnan(results[0].rate[results[0].total == 0]).all()


def test_the_first_result_is_the_trained_place():
    first = next(location_sweep(predict, images_of(4), trigger_of(6, 3), TARGET, passes_per_step=1))
    assert first.at(6, 3).total == 4
    assert first.total.sum() == 4
    assert first.at(6, 3) == success_at(predict, images_of(4), trigger_of(6, 3), TARGET)


def test_a_step_makes_no_more_passes_than_it_may():
    sizes = []

    def counting(images):
        sizes.append(len(images))
        return predict(images)

    list(location_sweep(counting, images_of(5), trigger_of(), TARGET, passes_per_step=23))
    assert max(sizes) == 20
    assert sum(sizes) == 36 * 5


@pytest.mark.parametrize("before", [None, brighten])
def test_appearance_sweep_is_a_loop_over_values(before):
    images, trigger = images_of(5), trigger_of()
    *_, result = appearance_sweep(predict, images, trigger, TARGET, before=before, passes_per_step=64)
    assert result.values == tuple(range(256))
    for value in range(0, 256, 5):
        pattern = trigger.pattern.clone()
        pattern[pattern > 0] = value / 255
        stamped = stamp(images, Trigger(pattern, trigger.alpha, *trigger.location))
        expected = predict(before(stamped) if before else stamped) == TARGET
        assert result.at(value) == Rate(int(expected.sum()), 5)
    assert 0 < result.hits.sum() < result.total.sum()


@pytest.mark.parametrize("before", [None, brighten])
def test_appearance_map_is_a_loop_over_values_and_opacities(before):
    images, trigger = images_of(5), trigger_of()
    values, opacities = (0, 17, 128, 255), (0, 50, 100)
    *_, result = appearance_map(
        predict, images, trigger, TARGET, values=values, opacities=opacities, before=before, passes_per_step=7
    )
    assert result.hits.shape == (3, 4)
    for (i, opacity), (j, value) in itertools.product(enumerate(opacities), enumerate(values)):
        pattern = trigger.pattern.clone()
        pattern[pattern > 0] = value / 255
        stamped = stamp(images, Trigger(pattern, torch.full((3, 3, 3), opacity / 100), *trigger.location))
        expected = predict(before(stamped) if before else stamped) == TARGET
        assert (result.hits[i, j], result.total[i, j]) == (int(expected.sum()), 5)
    assert len(set(result.hits[0])) == 1, "a trigger of no opacity has no value"


def test_images_of_the_target_are_never_counted():
    labels = torch.tensor([0, 2, 1, 2, 3, 2, 0])
    pixels = torch.randint(0, 256, (7, 3, 8, 8), dtype=torch.uint8)
    data = ImageSet(pixels, labels, tuple("abcd"), "x")
    assert torch.equal(attacked(data, TARGET), data.floats()[[0, 2, 4, 6]])
    assert torch.equal(attacked(data, TARGET, 3), data.floats()[[0, 2, 4]])
    assert len(attacked(data, TARGET, 100)) == 4
    assert len(attacked(data.subset(slice(1, 2)), TARGET)) == 0


@pytest.mark.parametrize("sweep", [location_sweep, appearance_sweep, appearance_map])
def test_no_images_are_an_error(sweep):
    with pytest.raises(ValueError, match="a sweep needs at least one image"):
        next(sweep(predict, images_of(0), trigger_of(), TARGET))


@pytest.mark.parametrize("sweep", [location_sweep, appearance_sweep, appearance_map])
def test_a_trigger_outside_the_images_is_an_error(sweep):
    with pytest.raises(ValueError, match="outside a 8 x 8 image"):
        next(sweep(predict, images_of(2), trigger_of(8, 7), TARGET))


@pytest.mark.parametrize("values", [(300,), (-1, 4)])
def test_a_pixel_value_out_of_range_is_an_error(values):
    with pytest.raises(ValueError, match=r"pixel value .* is not allowed: 0 to 255"):
        list(appearance_sweep(predict, images_of(2), trigger_of(), TARGET, values=values))


def test_a_sweep_leaves_the_images_alone():
    images = images_of(3)
    list(location_sweep(predict, images, trigger_of(), TARGET))
    list(appearance_sweep(predict, images, trigger_of(), TARGET, values=(0, 255)))
    assert torch.equal(images, images_of(3))


def test_success_at_with_something_before_the_model():
    images, trigger = images_of(9), trigger_of()
    assert torch.equal(predictions_at(predict, images, trigger), predict(stamp(images, trigger)))
    assert torch.equal(predictions_at(predict, images, trigger, brighten), predict(brighten(stamp(images, trigger))))
    expected = int((predict(brighten(stamp(images, trigger))) == TARGET).sum())
    assert success_at(predict, images, trigger, TARGET, brighten) == Rate(expected, 9)


def map_of(hits, total=10, rows=(2, 3, 4), cols=(5, 6, 7, 8)):
    hits = np.asarray(hits).reshape(len(rows), len(cols))
    return LocationMap(hits, np.broadcast_to(total, hits.shape).copy(), rows, cols)


@given(st.lists(st.integers(0, 10), min_size=12, max_size=12), st.integers(2, 4), st.integers(5, 8), st.integers(0, 4))
def test_highest_at_distance_is_the_best_of_the_ring(hits, row, col, distance):
    found = map_of(hits)
    ring = [
        (found.at(r, c).value, (r, c))
        for r, c in itertools.product(found.rows, found.cols)
        if max(abs(r - row), abs(c - col)) == distance
    ]
    if not ring:
        with pytest.raises(ValueError, match=f"no location is {distance} pixels away from"):
            found.highest_at_distance((row, col), distance)
        return
    rate, place, places = found.highest_at_distance((row, col), distance)
    assert (rate.value, place) in ring
    assert (rate.value, places) == (max(ring)[0], len(ring))
    # Bonferroni: the interval of one of so many, each of which may miss with that part of 5%.
    expected = wilson(rate.hits, rate.total, 1 - 0.05 / places)
    assert rate.interval == pytest.approx([float(end) for end in expected], abs=1e-12)


def test_the_interval_of_the_highest_reaches_to_the_highest_upper_end():
    """A place with fewer images can have a higher rate than the one that is highest as measured."""
    total = np.array([[1000, 10], [1000, 1000]])
    found = LocationMap(np.array([[0, 5], [600, 100]]), total, (2, 3), (5, 6))
    rate, place, places = found.highest_at_distance((2, 5), 1)
    assert (rate.hits, place, places) == (600, (3, 5), 3)
    low, high = rate.interval
    assert low == pytest.approx(float(wilson(600, 1000, 1 - 0.05 / 3)[0]))
    assert high == pytest.approx(float(wilson(5, 10, 1 - 0.05 / 3)[1]))
    assert low < Rate(600, 1000).interval[0]


def test_highest_at_distance_of_a_map_that_is_not_complete():
    """Only what is measured can be the highest; a ring without any measurement has none."""
    partial = map_of(np.arange(12) % 7, total=np.array([[10, 0, 0, 0], [0, 0, 0, 0], [0, 0, 10, 0]]))
    assert partial.highest_at_distance((2, 5), 2) == (Rate(10 % 7, 10), (4, 7), 1)
    with pytest.raises(ValueError, match="1 pixels away"):
        partial.highest_at_distance((2, 5), 1)


def test_a_place_that_is_not_on_the_map():
    with pytest.raises(ValueError, match=r"location \(1, 5\) is not on the map"):
        map_of(range(12), 20).at(1, 5)
    with pytest.raises(ValueError, match="pixel value 7 is not on the curve"):
        AppearanceCurve(np.array([1]), np.array([2]), (3,)).at(7)


def test_rates_and_intervals_of_a_result():
    found = map_of(range(12), total=11)
    low, high = found.interval
    for place in np.ndindex(3, 4):
        one = wilson(found.hits[place], 11)
        assert (low[place], high[place]) == (float(one[0]), float(one[1]))
    assert found.rate[2, 3] == 1


RESULTS = [
    map_of(range(12), 20),
    AppearanceCurve(np.array([1, 0, 3]), np.array([3, 3, 3]), (0, 128, 255)),
    AppearanceMap(np.array([[1, 0, 3], [0, 0, 0]]), np.array([[3, 3, 3], [3, 0, 3]]), (0, 128, 255), (50, 100)),
]
every_result = pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)


@every_result
def test_a_result_survives_json(result):
    again = type(result).from_dict(json.loads(json.dumps(result.to_dict())))
    assert again.to_dict() == result.to_dict()
    assert (again.hits == result.hits).all()
    assert (again.rate == result.rate).sum() == (result.total > 0).sum()


def test_the_keys_are_those_the_store_promises():
    assert set(RESULTS[0].to_dict()) == {"rows", "cols", "hits", "total"}
    assert set(RESULTS[1].to_dict()) == {"values", "hits", "total"}


def damage(values, name, damaged):
    return {key: value for key, value in (values | {name: damaged}).items() if value is not None}


@every_result
@pytest.mark.parametrize("name", ["hits", "total"])
@pytest.mark.parametrize(
    "damaged",
    [None, 5, "many", [], [[1, 2], [3]], {"a": 1}, [["x"]], [[float("nan")]], [[10**30]], [[-1]]],
    ids=lambda damaged: str(damaged)[:12],
)
def test_damaged_counts_are_refused(result, name, damaged):
    with pytest.raises(ValueError, match="a stored result is damaged"):
        type(result).from_dict(damage(result.to_dict(), name, damaged))


@every_result
def test_counts_that_cannot_be_are_refused(result):
    values = result.to_dict()
    for wrong in (
        {"hits": (result.total + 1).tolist()},
        {"hits": (result.hits - 100).tolist()},
        {"hits": result.hits[:-1].tolist()},
        {"hits": (result.hits + 0.5).tolist()},
        {"hits": np.full(result.hits.shape, 10**30, dtype=object).tolist()},
    ):
        with pytest.raises(ValueError, match="a stored result is damaged"):
            type(result).from_dict(values | wrong)


@every_result
@pytest.mark.parametrize("damaged", [None, 5, [], "abc", ["x", "y", "z"], [None, 1, 2], [0.5, 1.5, 2.5], {"0": 1}])
def test_damaged_axes_are_refused(result, damaged):
    for axis in set(result.to_dict()) - {"hits", "total"}:
        length = len(result.to_dict()[axis])
        # As many entries as the axis has, so that only their type is wrong.
        fitting = (damaged * length)[:length] if isinstance(damaged, list | str) else damaged
        with pytest.raises(ValueError, match="a stored result is damaged"):
            type(result).from_dict(damage(result.to_dict(), axis, fitting))


@pytest.mark.parametrize("cls", [LocationMap, AppearanceCurve, AppearanceMap])
@pytest.mark.parametrize("values", [{}, [], None, "x"])
def test_what_is_no_result_at_all_is_refused(cls, values):
    with pytest.raises(ValueError, match="a stored result is damaged"):
        cls.from_dict(values)
