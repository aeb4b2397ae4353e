"""The table of predicted classes: what it holds, how it is stored, and what damaged ones say."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from core.data import ImageSet
from core.inference.incremental import at_places
from core.sweeps.base import attacked
from core.sweeps.location import LocationMap
from core.sweeps.place_classes import UNKNOWN, PlaceClasses, attacked_set, classes_sweep
from core.trigger import Trigger, stamp


def some_data(count=12):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 1, 6, 7), generator=generator, dtype=torch.uint8)
    labels = torch.randint(4, (count,), generator=generator)
    return ImageSet(images, labels, ("a", "b", "c", "d"), "made-up")


def predict(images):
    """Which quarter of the brightness an image has, in a way that every pixel counts."""
    weights = torch.linspace(0, 1, images[0].numel()).view_as(images[0])
    return (images * weights).sum((1, 2, 3)).mul(7).long() % 4


@pytest.fixture
def table():
    data = attacked_set(some_data(), 2, 5)
    trigger = Trigger(torch.ones(1, 2, 3), torch.ones(1, 2, 3), 5, 6)
    return data, trigger, list(classes_sweep(at_places(predict), data, trigger, passes_per_step=20))


def test_every_place_is_predicted_as_if_stamped_alone(table):
    data, trigger, found = table
    last = found[-1]
    assert (last.rows, last.cols) == (tuple(range(1, 6)), tuple(range(2, 7)))
    for row in last.rows:
        for col in last.cols:
            expected = predict(stamp(data.floats(), trigger.at(row, col)))
            assert last.at(row, col).tolist() == expected.tolist()
    assert last.labels.tolist() == data.labels.tolist()
    assert 2 not in last.labels
    assert last.images == data.fingerprint


def test_the_images_are_those_that_success_is_counted_on():
    data = some_data()
    torch.testing.assert_close(attacked_set(data, 2, 5).floats(), attacked(data, 2, 5))


def test_counts_are_those_of_the_places_that_are_known(table):
    _, _, found = table
    first, last = found[0], found[-1]
    assert (first.done, last.done) == (4 / 25, 1)
    known = first.classes[:, :, 0] != UNKNOWN
    counts = first.counts(2)
    assert counts.total.tolist() == np.where(known, 5, 0).tolist()
    assert counts.hits.tolist() == np.where(known, (last.classes == 2).sum(2), 0).tolist()
    assert last.counts(2).total.tolist() == np.full((5, 5), 5).tolist()


def test_it_is_the_same_after_json(table):
    last = table[2][-1]
    again = PlaceClasses.from_dict(json.loads(json.dumps(last.to_dict())))
    assert (again.classes == last.classes).all()
    assert (again.labels.tolist(), again.rows, again.cols, again.images) == (
        last.labels.tolist(),
        last.rows,
        last.cols,
        last.images,
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"classes": "no base64!"},
        {"classes": "AAAA"},
        {"rows": [1, 2]},
        {"rows": []},
        {"labels": ["a"] * 5},
        {"labels": [300] * 5},
        {"cols": None},
        {"rows": [1.5, 2, 3, 4, 5]},
    ],
)
def test_a_damaged_table_is_one_sentence(table, damage):
    with pytest.raises(ValueError, match="a stored result is damaged"):
        PlaceClasses.from_dict(table[2][-1].to_dict() | damage)


def test_nonsense_is_refused(table):
    data, trigger, found = table
    with pytest.raises(ValueError, match="at least one image"):
        next(classes_sweep(at_places(predict), data.subset(slice(0)), trigger))
    with pytest.raises(ValueError, match=r"location \(0, 0\) is not in the table"):
        found[-1].at(0, 0)


def test_joined_maps_have_each_place_from_the_one_on_more_images():
    mine = LocationMap(np.array([[1, 2], [3, 0]]), np.array([[10, 10], [10, 0]]), (4, 5), (6, 7))
    other = LocationMap(np.array([[9, 9, 0]]), np.array([[20, 10, 5]]), (5,), (5, 6, 7))
    found = mine.joined(other)
    assert found.hits.tolist() == [[1, 2], [3, 0]]
    assert found.total.tolist() == [[10, 10], [10, 5]]
    assert mine.joined(LocationMap(np.array([[7]]), np.array([[30]]), (5,), (6,))).at(5, 6).hits == 7
    assert mine.hits.tolist() == [[1, 2], [3, 0]]
