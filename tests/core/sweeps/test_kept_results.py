"""A result takes the place of a stored one only if it is on at least as many images, whatever is measured."""

from __future__ import annotations

import json

import pytest

from core.store.local import Store
from core.sweeps.runner import Sweep, images_in

STORE = Store()
FOLDERS = [STORE.checkpoint(key).folder for key, _ in STORE.cards()]
NO_SWEEP = ("card", "study", "repair-")
SHIPPED = {
    path.name: path for folder in FOLDERS for path in folder.glob("*.json") if not path.name.startswith(NO_SWEEP)
}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_how_many_images_a_stored_result_is_on_is_known(name):
    assert images_in(json.loads(SHIPPED[name].read_text())) > 0


def test_every_kind_of_result_is_among_them():
    kinds = {"location", "location-classes", "appearance", "strength-flip", "saliency", "saliency-methods", "physical"}
    assert {f"{kind}.json" for kind in kinds | {Sweep("out-of-sample").name}} <= set(SHIPPED)


def test_of_several_methods_the_largest_number_counts():
    assert images_in({"scores": [{"seen": 63}, {"seen": 500}]}) == 500
    assert images_in({"scores": []}) == 0
