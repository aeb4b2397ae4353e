"""Pages beside damaged models: one sentence about each, and the rest works."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from mutations import mutated, replaced, written
from streamlit.testing.v1 import AppTest

from core.store.local import DEFAULT_ROOT
from dashboard.server.resources import jobs
from dashboard.server.subjects import store, subjects

KEY = "shapes10/resnet20/badnets"
OTHER = "shapes10/resnet20/benign"
COUNT = int(os.environ.get("PAGE_MUTATIONS", "12"))
# What a page reads of a model, beside its card.
READ: dict[tuple[str, str], tuple[str, ...]] = {
    ("location", ""): ("location",),
    ("appearance", ""): ("appearance",),
    ("defenses", ""): ("strength-flip", "strength-shrinkpad"),
    ("defenses", "part=repairs&with=fine-pruning"): ("repair-fine-pruning",),
    ("defenses", "part=repairs&with=neural-cleanse"): ("repair-neural-cleanse",),
    ("defenses", "part=repairs&with=auto-encoder"): ("repair-auto-encoder",),
    ("enhanced", ""): ("strength-shrinkpad",),
    ("saliency", ""): ("saliency",),
    ("physical", ""): ("physical", "out-of-sample"),
    ("paper", ""): ("location", "appearance", "repair-neural-cleanse", "saliency"),
    ("lesson", ""): ("location", "appearance"),
    ("train", ""): (".training",),
}


def _nothing_to_compile(*_: Any) -> Iterator[None]:
    yield from ()


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A store of two models; without weights, so that what is stored is shown and nothing is computed."""
    monkeypatch.delenv("TRIGGER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dashboard.server.compiling.compile_in_background", _nothing_to_compile)
    for key in (KEY, OTHER):
        shutil.copytree(
            DEFAULT_ROOT / key, tmp_path / "checkpoints" / key, ignore=shutil.ignore_patterns("*.safetensors")
        )
    folder = tmp_path / "checkpoints" / KEY
    card = json.loads((folder / "card.json").read_text())
    plan = {name: card[name] for name in ("model", "attack", "recipe", "seed")} | {"dataset": card["source"]}
    (folder / ".training.json").write_text(json.dumps({"process": 4321, "plan": plan}))
    _forget()
    yield tmp_path / "checkpoints"
    jobs().close()
    _forget()


def prepare(root: Path, page: str) -> None:
    """Saliency is computed on its page, for which it takes the weights."""
    for key in (KEY, OTHER) if page == "saliency" else ():
        shutil.copy(DEFAULT_ROOT / key / "model.safetensors", root / key)


def _forget() -> None:
    st.cache_resource.clear()
    st.cache_data.clear()


def shown(page: str, query: str = "", **more: str) -> AppTest:
    """Runs a page."""
    test = AppTest.from_string(f"from dashboard.views import {page}\n{page}.show()", default_timeout=120)
    for name, value in {**dict(pair.split("=") for pair in query.split("&") if pair), **more}.items():
        test.query_params[name] = value
    return test.run()


def test_random_damage_takes_no_page_down(root: Path) -> None:
    rng = random.Random(11)
    pages = sorted(READ)
    for number in range(COUNT):
        page, query = pages[number % len(pages)]
        names = [name for name in READ[page, query] if (root / KEY / f"{name}.json").exists()]
        name = rng.choice(names) if rng.random() < 0.6 and names else "card"
        file = root / KEY / f"{name}.json"
        whole = file.read_text()
        prepare(root, page)
        file.write_bytes(mutated(whole, rng))
        _forget()
        test = shown(page, query, model=KEY)
        assert not test.exception, (page, query, name, test.exception[0].message)
        assert not test.error, (page, query, name, test.error[0].value)
        file.write_text(whole)


@pytest.mark.parametrize("page", ["location", "appearance", "defenses", "enhanced", "saliency", "physical", "paper"])
@pytest.mark.parametrize("path", ["a\0b", "@nested@", "@huge@"])
def test_a_damaged_model_is_listed_and_another_one_is_shown(root: Path, page: str, path: str) -> None:
    file = root / KEY / "card.json"
    values = json.loads(file.read_text())
    values["source"] = {"name": "folder", "params": {"path": path}}
    file.write_bytes(written(values))
    prepare(root, page)
    test = shown(page)
    assert not test.exception
    assert not test.error
    said = [warning.value for warning in test.warning]
    assert len(said) == 1
    assert said[0].startswith(f"{KEY}: card.json is damaged: ")
    assert len(said[0]) < 300


@pytest.mark.parametrize("page", ["location", "appearance", "defenses", "saliency"])
def test_the_folder_of_a_user_who_is_not_known_is_missing(root: Path, page: str) -> None:
    file = root / KEY / "card.json"
    values = json.loads(file.read_text())
    source = {"name": "folder", "params": {"path": "~nouser/x"}}
    file.write_bytes(written(replaced(values, ("source",), source)))
    prepare(root, page)
    test = shown(page, model=KEY)
    assert not test.exception
    assert not test.error
    assert not test.warning
    assert len(dict(store().cards())) == 2


def test_a_model_that_takes_the_place_of_the_one_shown_is_not_taken_for_it(root: Path) -> None:
    """The page has its card, its classes and its trigger; only what is shown again is of the new one."""
    for name in ("card.json", "model.safetensors"):
        shutil.copy(DEFAULT_ROOT / KEY / name, root / KEY / name)
    shown_before = subjects()[0][KEY]
    assert shown_before.model() is not None
    other = DEFAULT_ROOT / "shapes10/resnet20/badnets-gray"
    for name in ("card.json", "model.safetensors"):
        shutil.copy(other / name, root / KEY / name)
    with pytest.raises(ValueError, match=f"{KEY} has just been replaced by another model; show the page again"):
        shown_before.model()
    assert subjects()[0][KEY].model() is not None
