"""Stored examples of saliency: what a page draws of them is what it draws with the weights."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from core.attribution.methods import Explained, displayed, methods
from core.inference.predictor import Predictor
from core.runtime.seeding import generator_for
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.results import StoredResults
from core.sweeps.runner import Sweep, carry_out
from core.sweeps.saliency_examples import RESULT, SaliencyExamples, shown_twice
from core.transforms import transform_from_spec

KEY = "shapes10/resnet20/badnets"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A shipped model's copy, the examples of its first images, and its model."""
    root = tmp_path_factory.mktemp("store")
    shutil.copytree(DEFAULT_ROOT / KEY, root / KEY)
    checkpoint = Store(root).checkpoint(KEY)
    model = checkpoint.model()
    *_, last = carry_out(Sweep(RESULT), checkpoint, model, Predictor(model), 3)
    assert last.stored
    return checkpoint, last.result, model


def test_examples_are_the_maps_of_a_plain_loop(stored):
    checkpoint, made, model = stored
    card = checkpoint.card()
    data, target = card.dataset_object.load("test", 20), card.attack_object.target
    trigger, before = card.attack_object.trigger(card.shape), transform_from_spec("shrinkpad")
    explained, method = Explained(model), methods["gradient"]()
    assert made.indices == tuple((data.labels != target).nonzero().squeeze(1)[:3].tolist())
    for index in made.indices:
        image = data.subset(slice(index, index + 1)).floats()
        images, _ = shown_twice(image, trigger, before, generator_for(index, "saliency"))
        maps, predicted = made.of(index)
        assert tuple(explained.predict(images).tolist()) == predicted
        plain = displayed(method(explained, images, torch.full((2,), target)))
        assert (maps - plain).abs().max() <= 0.5 / 255 + 1e-6
    assert made.of(next(index for index in range(20) if index not in made.indices)) is None


def test_they_are_read_as_they_were_stored(stored):
    checkpoint, made, _ = stored
    again = StoredResults(checkpoint).saliency_examples
    assert (again.indices, again.predicted) == (made.indices, made.predicted)
    assert np.array_equal(again.maps, made.maps)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"indices": [0, 1]}, "predictions for 2 images are lacking"),
        ({"maps": "AAAA"}, "maps cannot be unpacked"),
        ({"size": [31, 32]}, "the maps are not of 3 images"),
    ],
)
def test_damaged_examples_are_refused(stored, damage, said):
    _, made, _ = stored
    with pytest.raises(ValueError, match=said):
        SaliencyExamples.from_dict(made.to_dict() | damage)
