"""Pages whose images have changed, were moved, or are named by what no folder can be called."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.attacks import attacks
from core.data import datasets
from core.recipe import Recipe
from core.store.local import Store
from core.training.trainer import Plan, train
from dashboard.server import resources
from dashboard.server.resources import jobs
from dashboard.server.subjects import subjects

PAGES = ("location", "appearance", "defenses", "enhanced", "saliency", "physical")
KEY = "letters/resnet20/badnets"


def paint(folder: Path, classes: str, count: int = 6, start: int = 0) -> None:
    """A folder of images of 16 x 16 pixels, each of a colour of its own."""
    for red, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + count):
            pixels = np.full((16, 16, 3), (10 + 40 * red, 5 * number, 90), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four classes, and two models trained on it for one epoch."""
    root = tmp_path_factory.mktemp("changed")
    paint(root / "letters", "bcde")
    for attack in ("badnets", "benign"):
        plan = Plan(
            dataset=datasets["folder"](path=str(root / "letters"), size=16),
            model="resnet20",
            attack=attacks[attack](target=1),
            recipe=Recipe(epochs=1, batch=16),
            name=attack,
        )
        list(train(plan, Store(root / "store")))
    return root


@pytest.fixture
def letters(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder, in whose store the pages look; the user's cache is its own."""
    monkeypatch.delenv("TRIGGER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dashboard.server.resources.compile_aside", lambda *_: None)
    for name in ("letters", "store"):
        shutil.copytree(once / name, tmp_path / name)
    for card in (tmp_path / "store").rglob("card.json"):
        card.write_text(card.read_text().replace(str(once / "letters"), str(tmp_path / "letters")))
    st.cache_resource.clear()
    yield tmp_path / "letters"
    restart()


def restart() -> None:
    """As if the application was started anew."""
    jobs().close(60)
    st.cache_resource.clear()


def page(name: str, **query: str) -> AppTest:
    test = AppTest.from_string(f"from dashboard.views import {name}\n{name}.show()", default_timeout=120)
    for key, value in {"model": KEY, **query}.items():
        test.query_params[key] = value
    return test.run()


def place_of(test: AppTest) -> Any:
    """The field for the folder's new place."""
    return next(one for one in test.text_input if one.label == "The folder is now at")


def edit(card: Path, **changes: Any) -> None:
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


@pytest.mark.parametrize("change", ["added", "removed"])
@pytest.mark.parametrize("name", PAGES)
def test_images_of_other_classes_are_refused_in_one_sentence(name: str, change: str, letters: Path) -> None:
    if change == "added":
        paint(letters, "a")
    else:
        shutil.rmtree(letters / "b")
    now = "a, b, c, d, e" if change == "added" else "c, d, e"
    test = page(name)
    assert not test.exception
    assert not test.error
    said = [one.value for one in test.info if "was trained on" in one.value]
    assert said == [
        "What is stored is shown, nothing new is measured: "
        f"the folder {letters} has the classes {now}, but {KEY} was trained on b, c, d, e."
    ]


@pytest.mark.parametrize("name", PAGES)
def test_other_images_are_said(name: str, letters: Path) -> None:
    assert not page(name).warning
    restart()
    paint(letters, "bcde", start=10)
    test = page(name)
    assert not test.exception
    assert [one.value for one in test.warning] == [
        f"The test images here are not those that {KEY} was measured on: rates are of other images than those stored "
        "with the model."
    ]


def test_what_was_measured_on_other_images_is_not_shown_for_these(letters: Path) -> None:
    """Measurements are kept on disk: they go by the images, not by the name of the folder."""
    names = []
    for start in (0, 10):
        restart()
        paint(letters, "bcde", start=start)
        data = resources.tested(subjects()[0][KEY])
        assert data is not None
        names.append(data.name)
    assert names[0] != names[1]


def test_a_clean_model_of_other_classes_is_left_out(letters: Path) -> None:
    card = letters.parent / "store" / "letters" / "resnet20" / "benign" / "card.json"
    assert "Clean" in str([one.proto.json for one in page("location").get("bidi_component")])
    edit(card, classes=["b", "c", "d", "e", "f"])
    restart()
    test = page("location")
    assert not test.exception
    assert not test.error
    assert [one.value for one in test.sidebar.warning] == [
        "The clean model letters/resnet20/benign is left out: it was trained on other classes or sizes of images."
    ]


def test_a_folder_that_was_moved_is_named_on_the_page(letters: Path) -> None:
    new = letters.parent / "elsewhere"
    letters.rename(new)
    test = page("location")
    assert not test.exception
    assert any(f"there is no folder {letters}" in one.value for one in test.info)
    place_of(test).set_value(str(letters.parent / "nix")).run()
    assert [one.value for one in test.error] == [f"there is no folder {letters.parent / 'nix'}"]
    paint(letters.parent / "digits", "01")
    place_of(test).set_value(str(letters.parent / "digits")).run()
    assert "has the classes 0, 1, but" in test.error[0].value
    place_of(test).set_value(str(new)).run()
    assert not test.exception
    assert not test.error
    assert not [one for one in test.text_input if one.label == "The folder is now at"]
    restart()
    again = page("defenses")
    assert not again.exception
    assert not any("there is no folder" in one.value for one in again.info)


ODD = [("~nouser/x", name) for name in (*PAGES, "paper", "train")]
ODD += [(path, "location") for path in ("a\0b", "", "x" * 5000, "relative/x")]


@pytest.mark.parametrize(("path", "name"), ODD, ids=lambda text: repr(text[:12]))
def test_a_card_with_an_odd_path_breaks_no_page(name: str, path: str, letters: Path) -> None:
    source = {"name": "folder", "params": {"path": path, "size": 16, "seed": 0}}
    edit(letters.parent / "store" / "letters" / "resnet20" / "benign" / "card.json", source=source)
    test = page(name, model="letters/resnet20/benign")
    assert not test.exception
    assert not test.error
    if path == "~nouser/x" and name in PAGES:
        assert any("there is no folder ~nouser/x" in one.value for one in test.info)
    if path == "a\0b":
        said = [one.value for one in test.sidebar.warning]
        assert any("control characters are in it" in one for one in said), said


class _Ended:
    returncode = 0

    def poll(self) -> int:
        return self.returncode


def test_an_interrupted_training_whose_folder_was_moved_is_continued(
    letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Plan] = []
    monkeypatch.setattr(
        "dashboard.server.trainings.train_in_background", lambda plan, *_: started.append(plan) or _Ended()
    )
    store, new = Store(letters.parent / "store"), letters.parent / "elsewhere"
    plan = Plan(
        dataset=datasets["folder"](path=str(letters), size=16),
        model="resnet20",
        attack=attacks["badnets"](target=2),
        recipe=Recipe(epochs=2, batch=16),
    )
    shutil.rmtree(store.root / "letters")
    training = train(plan, store)
    next(training)
    training.close()
    letters.rename(new)
    test = page("train")
    place_of(test).set_value(str(letters.parent / "nix")).run()
    assert f"there is no folder {letters.parent / 'nix'}" in [one.value for one in test.error]
    place_of(test).set_value(str(new)).run()
    assert not test.error
    next(one for one in test.button if one.label == "Continue").click().run()
    assert not test.exception
    assert [(one.key, one.source) for one in started] == [(plan.key, datasets["folder"](path=str(new), size=16))]
