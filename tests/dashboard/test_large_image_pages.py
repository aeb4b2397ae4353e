"""Every page with models of images of 64 and of 224 pixels: a network of one epoch on a few images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pages import ALL, _alone, page
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.attacks import attacks
from core.data import datasets
from core.recipe import Recipe
from core.store.local import Store
from core.training.trainer import Plan, train

__all__ = ["_alone"]  # the fixture that keeps data and cache away

SIDES = (64, 224)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One model of each size."""
    root = tmp_path_factory.mktemp("large")
    rng, made = np.random.default_rng(0), Store(root / "store")
    for side in SIDES:
        for label, name in enumerate(("blue", "red")):
            folder = root / f"images{side}" / name
            folder.mkdir(parents=True)
            for number in range(10):
                pixels = rng.integers(0, 60, (side, side, 3))
                pixels[..., 2 - 2 * label] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        data = datasets["folder"](path=str(root / f"images{side}"), size=side)
        for kind in ("benign", "badnets"):
            attack = attacks[kind].for_model("resnet20", (3, side, side), target=1)
            plan = Plan(
                dataset=data, model="resnet20", attack=attack, recipe=Recipe(epochs=1, batch=8), name=attack.title
            )
            for _ in train(plan, made, torch.device("cpu")):
                pass
    return made


@pytest.fixture(autouse=True)
def used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(store.root))


def components(test: AppTest) -> list[dict]:
    return [json.loads(one.proto.json) for one in test.get("bidi_component")]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ALL)
def test_every_page_shows_a_model_of_large_images(name: str, side: int) -> None:
    test = page(name, model=f"images{side}/resnet20/badnets")
    assert not test.exception
    assert not test.error


def test_saliency_shrinks_large_images_by_as_much_of_them() -> None:
    test = page("saliency", model="images224/resnet20/badnets")
    assert any("ShrinkPad-28" in one.proto.body for one in test.get("html"))


@pytest.mark.parametrize("side", SIDES)
def test_the_pad_has_all_places_and_between_those_of_the_map_the_rate_is_measured(side: int) -> None:
    place = {"row": str(side - 2), "col": str(side - 3)}
    test = page("location", **{"model": f"images{side}/resnet20/badnets"} | place)
    assert not test.exception
    assert not test.error
    (pad,) = [one for one in components(test) if "boxHeight" in one and "trained" in one]
    assert (pad["height"], pad["boxHeight"]) == (side, 3 * side // 32)
    assert (pad["row"], pad["col"]) == (side - 2, side - 3)
    assert pad["rows"] == [3 * side // 32 - 1, side - 1]
    rates = next(one for one in components(test) if "models" in one)
    assert rates["models"]
