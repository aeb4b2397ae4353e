"""Page *Open a model*: a file becomes a model in the list; what cannot be opened is one sentence."""

from __future__ import annotations

import time
from pathlib import Path

import archives
import pytest
import squares
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from core.importing.elsewhere import Asked, import_elsewhere
from core.models import build_model
from core.store.local import Store
from dashboard.server.owner import NotAllowed
from dashboard.server.resources import jobs
from dashboard.views import open_model

PATIENCE = 240


@pytest.fixture(autouse=True)
def store_of_ones_own(monkeypatch, tmp_path):
    """A store and a cache of the test's own, and no job of another test."""
    monkeypatch.setattr(open_model, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("TRIGGER_SERVED", raising=False)
    st.cache_resource.clear()
    made = Store(tmp_path / "store")
    made.root.mkdir()
    monkeypatch.setattr(open_model, "store", lambda: made)
    # In this process: another one gives way to all others, and the tests share the machine.
    monkeypatch.setattr(open_model, "in_process", lambda _, arguments, *__, **___: import_elsewhere(**arguments))
    yield made
    jobs().close()
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Weights of a network that nobody trained, as a training loop saves them."""
    path = tmp_path_factory.mktemp("weights") / "somebody.pth"
    torch.save(build_model("resnet20", classes=10, channels=3, seed=0).state_dict(), path)
    return path


def page(**query: str) -> AppTest:
    test = AppTest.from_string("from dashboard.views import open_model\nopen_model.show()", default_timeout=60)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def ended(test: AppTest) -> AppTest:
    """The page once the import has ended."""
    job = jobs().find(open_model.KEY)
    assert job is not None
    until = time.monotonic() + PATIENCE
    while job.snapshot().running:
        assert time.monotonic() < until
        time.sleep(0.1)
    return test.run()


def opened(test: AppTest, path: str) -> AppTest:
    test.text_input(key="open-path").set_value(path)
    test.selectbox(key="open-ways").set_value("rgb:unit").run()  # all ways take as many times as long
    next(button for button in test.button if button.label == "Open").click().run()
    return ended(test)


def test_a_file_becomes_a_model_of_the_list(weights, store_of_ones_own):
    test = opened(page(**{"open-data": "shapes10"}), str(weights))
    assert not test.exception
    assert not test.error, [error.value for error in test.error]
    assert [success.value for success in test.success] == ["Stored as shapes10/resnet20/somebody."]
    assert store_of_ones_own.keys() == ["shapes10/resnet20/somebody"]
    links = next(markdown.value for markdown in test.markdown if markdown.value.startswith("Go on with"))
    assert "(location?model=shapes10/resnet20/somebody)" in links
    card = store_of_ones_own.checkpoint("shapes10/resnet20/somebody").card()
    assert card.is_imported
    tables = " ".join(table.value.to_string() for table in test.table)
    assert str(card.clean_accuracy) in tables
    assert "rgb:unit" in tables
    assert [warning.value.lower() for warning in test.warning] == [warning.lower() for warning in card.warnings]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "there is no such file or folder"), (b"", "is empty"), (b"nonsense" * 10, "somebody.pth")],
    ids=["missing", "empty", "nonsense"],
)
def test_what_cannot_be_opened_is_one_sentence(tmp_path, content, sentence, store_of_ones_own):
    path = tmp_path / "somebody.pth"
    if content is not None:
        path.write_bytes(content)
    test = opened(page(**{"open-data": "shapes10"}), str(path))
    assert not test.exception
    assert len(test.error) == 1
    assert test.error[0].value.startswith("Nothing was stored: ")
    assert sentence in test.error[0].value
    assert store_of_ones_own.keys() == []


def test_an_upload_is_kept_only_while_it_is_needed(weights, store_of_ones_own, tmp_path):
    files = {"model": weights.read_bytes()}
    job = open_model.start_import(
        Asked(path="", dataset="shapes10", preprocess="rgb:unit"),
        files,
        {"model": "../../their weights.pth"},
        "somebody",
    )
    until = time.monotonic() + PATIENCE
    while job.snapshot().running and time.monotonic() < until:
        time.sleep(0.1)
    snapshot = job.snapshot()
    assert snapshot.error == ""
    assert snapshot.result.key == "shapes10/resnet20/their-weights"
    assert not list((tmp_path / "cache").rglob("*.pth"))


def test_a_painted_trigger_is_that_of_the_model(weights, store_of_ones_own):
    test = page(**{"open-data": "shapes10", "open-trigger": "painted"})
    next(one for one in test.number_input if one.label == "Pixels a cell").set_value(2).run()
    test.text_input(key="open-place").set_value("7,9")
    test.text_input(key="open-target").set_value("heart")
    test = opened(test, str(weights))
    assert not test.error, [error.value for error in test.error]
    attack = store_of_ones_own.checkpoint("shapes10/resnet20/somebody").card().attack_object
    trigger = attack.trigger((3, 32, 32))
    assert (attack.target, trigger.location, trigger.height, trigger.width) == (6, (7, 9), 6, 6)


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_a_model_of_images_of_ones_own_is_opened(kind, tmp_path, store_of_ones_own):
    names = ["red", "green", "blue", "gold"]
    if kind == "folder":
        place = squares.six_colours(tmp_path / "mine", count=4)
    else:
        pytest.importorskip("pyarrow")
        place = tmp_path / "mine.parquet"
        archives.write_parquet(place, [0, 1, 2, 3] * 5, names)
    classes = 6 if kind == "folder" else 4
    file = tmp_path / "own.pth"
    torch.save(build_model("resnet20", classes=classes, seed=0).state_dict(), file)
    test = page(**{"open-data": kind})
    assert "The data set's images are missing." not in [caption.value for caption in test.caption]
    test.text_input(key="open-path").set_value(str(file)).run()
    assert "The data set's images are missing." in [caption.value for caption in test.caption]
    next(one for one in test.text_input if "on this machine" in one.label and one.key != "open-path").set_value(
        str(place)
    )
    next(one for one in test.number_input if one.label == "Size (pixels)").set_value(24)
    test = opened(test, str(file))
    assert not test.exception
    assert not test.error, [error.value for error in test.error]
    (key,) = store_of_ones_own.keys()
    card = store_of_ones_own.checkpoint(key).card()
    assert (key, card.shape, len(card.classes)) == ("mine/resnet20/own", (3, 24, 24), classes)
    assert card.source["params"]["path"] == str(place)


def test_a_visitor_names_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TRIGGER_SERVED", "1")
    place = squares.six_colours(tmp_path / "mine", count=1)
    test = page(**{"open-data": "folder", "open-folder": str(place)})
    assert not test.exception
    assert not [one for one in test.text_input if "on this machine" in one.label]
    assert "6 classes" not in " ".join(caption.value for caption in test.caption)


def test_nothing_to_open_cannot_be_opened():
    test = page()
    button = next(button for button in test.button if button.label == "Open")
    assert button.disabled
    assert "Name a file, or bring one." in [caption.value for caption in test.caption]


def test_a_visitor_may_not_open_models(monkeypatch, weights):
    monkeypatch.setenv("TRIGGER_SERVED", "1")
    test = page()
    assert not test.exception
    assert not [button for button in test.button if button.label == "Open"]
    with pytest.raises(NotAllowed, match="Opening a model needs the owner"):
        open_model.start_import(Asked(path=str(weights), dataset="shapes10"), {}, {}, "a visitor")


def test_an_import_says_what_it_does_and_fails_as_the_command_does(weights, tmp_path):
    store = str(tmp_path / "other")
    Path(store).mkdir()
    asked = {"path": str(weights), "dataset": "shapes10", "preprocess": "rgb:unit"}
    *steps, last = import_elsewhere(store, asked, "cpu")
    assert any("rgb:unit" in step.note for step in steps)
    assert (last.done, last.key) == (1, "shapes10/resnet20/somebody")
    with pytest.raises(ValueError, match="is stored already"):
        list(import_elsewhere(store, asked, "cpu"))
    with pytest.raises(ValueError, match="target = 12 is not allowed"):
        list(import_elsewhere(store, asked | {"target": "12"}, "cpu"))
