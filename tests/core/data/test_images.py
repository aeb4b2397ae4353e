"""ImageSet, the places data come from, and a contract that every registered data set keeps."""

from __future__ import annotations

from pathlib import Path

import archives
import pytest
import torch
from PIL import Image

from core.data import DataMissing, ImageSet, cache_folder, data_folders, dataset_from, datasets
from core.registry import UnknownName


def image_set(**changes):
    images = torch.arange(4 * 3 * 2 * 2).reshape(4, 3, 2, 2).to(torch.uint8)
    values = {"images": images, "labels": torch.tensor([0, 1, 0, 1]), "classes": ("a", "b"), "name": "x"}
    return ImageSet(**values | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(4, 3, 2, 2)}, "images are uint8"),
        ({"images": torch.zeros(4, 2, 2, dtype=torch.uint8)}, "images are uint8"),
        ({"labels": torch.tensor([0, 1, 0])}, r"labels are int64 \(4,\)"),
        ({"labels": torch.tensor([0, 1, 0, 1], dtype=torch.int32)}, "labels are int64"),
        ({"labels": torch.tensor([0, 1, 0, 2])}, "labels go from 0 to 2, but there are 2 classes"),
        ({"labels": torch.tensor([0, -1, 0, 1])}, "labels go from -1 to 1"),
    ],
)
def test_an_image_set_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        image_set(**changes)


def test_parts_are_all_images_in_their_order_and_few_of_large_ones():
    images = image_set()
    parts = list(images.parts(3))
    assert [len(part) for part in parts] == [3, 1]
    assert torch.equal(torch.cat([part.images for part in parts]), images.images)
    assert torch.equal(torch.cat([part.labels for part in parts]), images.labels)
    large = ImageSet(torch.zeros((), dtype=torch.uint8).expand(300, 3, 224, 224), torch.zeros(300).long(), ("a",), "x")
    assert [len(part) for part in large.parts()] == [111, 111, 78]
    assert list(large.subset(slice(0)).parts()) == []


def test_floats_are_in_the_unit_interval_and_exact():
    images = image_set(images=torch.tensor([0, 128, 255, 1]).to(torch.uint8).reshape(4, 1, 1, 1))
    assert images.floats().dtype == torch.float32
    torch.testing.assert_close(images.floats().flatten(), torch.tensor([0, 128 / 255, 1, 1 / 255]), atol=0, rtol=1e-7)
    assert torch.equal(images.floats(torch.tensor([2, 0])), images.floats()[[2, 0]])
    assert torch.equal(images.floats(slice(1, 3)), images.floats()[1:3])
    images.floats().zero_()
    assert images.images.flatten().tolist() == [0, 128, 255, 1]


def test_subset_keeps_images_with_their_labels():
    chosen = image_set().subset(torch.tensor([3, 0]))
    assert torch.equal(chosen.images, image_set().images[[3, 0]])
    assert chosen.labels.tolist() == [1, 0]
    assert (chosen.classes, chosen.name) == (("a", "b"), "x")


def test_fingerprint_depends_on_pixels_labels_and_shape_only():
    first = image_set()
    assert first.fingerprint == image_set(name="y", encoding="other").fingerprint
    assert len(first.fingerprint) == 16
    other_pixel = first.images.clone()
    other_pixel[3, 2, 1, 1] += 1
    others = [
        image_set(images=other_pixel),
        image_set(labels=torch.tensor([0, 1, 0, 0])),
        image_set(images=first.images.reshape(4, 3, 1, 4)),
        first.subset(slice(3)),
        first.subset(torch.tensor([1, 0, 2, 3])),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 6
    assert first.subset(slice(None)).fingerprint == first.fingerprint


def test_data_folders_in_order(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TRIGGER_DATA", "somewhere")
    assert data_folders() == [Path("somewhere"), Path("data"), tmp_path / "trigger-sensitivity" / "data"]
    monkeypatch.delenv("TRIGGER_DATA")
    assert data_folders()[0] == Path("data")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "trigger-sensitivity"


def test_dataset_from_a_text(tmp_path):
    assert dataset_from("cifar10") == datasets["cifar10"]()
    assert dataset_from("shapes10") == datasets["shapes10"]()
    assert dataset_from("shapes10:3") == datasets["shapes10"](seed=3)
    assert dataset_from("folder:a:b c") == datasets["folder"](path="a:b c")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("cifar", UnknownName, "did you mean 'cifar10'"),
        ("", UnknownName, "there is no data set ''"),
        ("cifar10:x", ValueError, "cifar10 takes nothing after a colon, not 'x'"),
        ("shapes10:x", ValueError, "seed = 'x' is not allowed: an integer"),
        ("shapes10:-1", ValueError, "seed = -1 is not allowed"),
    ],
)
def test_dataset_from_a_bad_text(spec, error, message):
    with pytest.raises(error, match=message):
        dataset_from(spec)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A data set by name; small ones are made of those that are not on every machine."""

    def make(name):
        if name in archives.KINDS:
            archives.make(name, tmp_path / "data", monkeypatch)
            monkeypatch.setenv("TRIGGER_DATA", str(tmp_path / "data"))
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        if name == "parquet":
            archives.write_parquet(tmp_path / "mine.parquet", [0, 1] * 20, ["a", "b"])
            return datasets[name](path=str(tmp_path / "mine.parquet"))
        if name != "folder":
            return datasets[name]()
        for label in ("a", "b"):
            (tmp_path / "mine" / label).mkdir(parents=True, exist_ok=True)
            for number in range(20):
                Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "mine" / label / f"{number}.png")
        return datasets[name](path=str(tmp_path / "mine"))

    return make


@pytest.mark.parametrize("name", datasets.names())
def test_every_data_set_keeps_the_contract(name, make):
    data = make(name)
    assert data.name == name
    assert type(data).from_dict(data.to_dict()) == data
    assert dataset_from(data.spec) == data
    assert len(data.classes) == len(set(data.classes)) >= 2
    assert data.title
    assert not set(data.title) & set('/\\:*?"<>| ')
    if not data.available():
        with pytest.raises(DataMissing):
            data.load("test", limit=1)
        pytest.skip(f"{name} is not on this machine")
    for split in ("train", "test"):
        few, more = data.load(split, limit=3), data.load(split, limit=7)
        assert (len(few), len(more)) == (3, 7)
        assert few.fingerprint == more.subset(slice(3)).fingerprint
        assert (few.classes, few.name) == (data.classes, data.title)
        assert few.images.is_contiguous()
        assert data.labels(split)[:7].tolist() == more.labels.tolist()
        with pytest.raises(ValueError, match="limit = -1 is not allowed"):
            data.load(split, limit=-1)
    assert data.load("train", limit=7).fingerprint != data.load("test", limit=7).fingerprint


def test_a_data_set_that_cannot_be_downloaded_says_so():
    with pytest.raises(OSError, match="shapes10 cannot be downloaded"):
        datasets["shapes10"]().download()
