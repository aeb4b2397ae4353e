"""Page *Train* with images of one's own: a folder, an archive, the size; and data sets that are not on this machine."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from pages import _alone, page
from squares import six_colours
from test_train_page import empty, press, started

from core.data import cache_folder
from core.store.local import Store
from core.training.trainer import Plan
from dashboard.server.owner import NotAllowed
from dashboard.widgets.own_images import store_archive

__all__ = ["_alone", "empty", "started"]  # fixtures


def test_a_folder_is_trained_on_at_its_size(empty: Store, started: list[Plan], tmp_path: Path) -> None:
    folder = six_colours(tmp_path / "six")
    test = page("train", **{"train-on": "folder", "train-enhanced": "yes"})
    assert not test.exception
    assert not [button for button in test.button if button.label == "Start"]
    next(field for field in test.text_input if field.label == "Folder on this machine").input(str(folder)).run()
    next(field for field in test.number_input if field.label == "Size (pixels)").set_value(64).run()
    assert not test.exception
    assert not test.error
    press(test, "Start")
    (made,) = started
    assert made.dataset.to_dict()["path"] == str(folder)
    assert made.dataset.shape == (3, 64, 64)
    assert made.attack.trigger((3, 64, 64)).height == 6
    assert made.attack.enhancement.max_shrink == 8


def test_a_folder_that_cannot_be_used_is_one_sentence(empty: Store, started: list[Plan], tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        test = page("train", **{"train-on": "folder", "train-folder": str(path)})
        assert not test.exception
        assert len(test.error) == 1
        assert not [button for button in test.button if button.label == "Start"]


def test_an_uploaded_archive_is_stored_and_chosen(
    empty: Store, started: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, buffer = six_colours(tmp_path / "six"), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.rglob("*.png"):
            archive.write(path, path.relative_to(folder))
    monkeypatch.setattr("dashboard.widgets.own_images.st.file_uploader", lambda *given, **options: buffer)
    test = page("train", **{"train-on": "folder"})
    test.text_input(key="own-images-name").input("six-colours").run()
    press(test, "Store")
    assert not test.exception
    assert not test.error
    assert (cache_folder() / "own-images" / "six-colours").is_dir()
    press(test, "Start")
    assert started[0].dataset.to_dict()["path"] == str(cache_folder() / "own-images" / "six-colours")


def test_others_than_the_owner_name_no_folder_and_store_nothing(
    empty: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGER_SERVED", "1")
    monkeypatch.setenv("TRIGGER_OWNER_TOKEN", "a token that is long enough")
    folder = six_colours(tmp_path / "six")
    test = page("train", **{"train-on": "folder", "train-folder": str(folder)})
    assert not test.exception
    assert "six" not in " ".join(str(one.value) for one in [*test.caption, *test.error, *test.markdown])
    assert not [button for button in test.button if button.label == "Store"]
    assert any("needs the owner" in caption.value for caption in test.caption)
    with pytest.raises(NotAllowed):
        store_archive(b"", "x", "a stranger")
    assert not (cache_folder() / "own-images").exists()


@pytest.mark.parametrize("name", ["cifar100", "gtsrb", "mnist", "fashion-mnist", "tiny-imagenet"])
def test_a_data_set_that_is_missing_is_offered_or_said(
    name: str, empty: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGER_DATA", str(tmp_path))
    test = page("train", **{"train-on": name})
    assert not test.exception
    fetch = [button.label for button in test.button if button.label.startswith("Fetch")]
    if name == "tiny-imagenet":
        assert not fetch
        assert "tiny-imagenet-200/" in test.info[0].value
    else:
        assert len(fetch) == 1
        assert " MB)" in fetch[0]
