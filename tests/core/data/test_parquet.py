"""Image data sets in the layout of Hugging Face, made here."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow
import pytest
import torch
from archives import encoded, pixels, write_parquet
from pyarrow import parquet

from core.data import DataMissing, UnreadableImage, datasets

NAMES = ["cat", "dog", "owl"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def of(path, **parameters):
    return datasets["parquet"](path=str(path), **parameters)


def rows(images: torch.Tensor, labels) -> list[tuple[int, bytes]]:
    return sorted(zip(list(labels), (one.numpy().tobytes() for one in images), strict=True))


def planes(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


LAYOUTS = {
    "hub": (
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet",
    ),
    "converted": ("plain_text/train/0000.parquet", "plain_text/train/0001.parquet", "plain_text/test/0000.parquet"),
    "validation": ("train-0.parquet", "train-1.parquet", "validation-0.parquet"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_pixels_and_labels(tmp_path, layout):
    first, second, held_out = (tmp_path / "set" / name for name in LAYOUTS[layout])
    labels = [[0] * 300 + [1] * 20, [1, 2, 2], [2, 0, 1, 1]]
    images = [
        write_parquet(path, its, NAMES, seed=seed, group=100)
        for seed, (path, its) in enumerate(zip((first, second, held_out), labels, strict=True))
    ]
    data = of(tmp_path / "set", size=24)
    train, test = data.load("train"), data.load("test")
    assert rows(train.images, train.labels.tolist()) == rows(planes(np.concatenate(images[:2])), labels[0] + labels[1])
    assert rows(test.images, test.labels.tolist()) == rows(planes(images[2]), labels[2])
    assert (train.classes, train.name, train.shape) == (tuple(NAMES), "set", (3, 24, 24))
    assert len(set(train.labels[-40:].tolist())) > 1  # not class after class
    for limit in (0, 1, 9):
        assert data.load("train", limit).fingerprint == train.subset(slice(limit)).fingerprint
    assert data.load("train").fingerprint == train.fingerprint  # from the cache


def test_a_fifth_of_each_class_is_held_out_where_there_is_one_file(tmp_path):
    images = write_parquet(tmp_path / "all.parquet", [0] * 10 + [1] * 20, NAMES[:2], side=32)
    train, test = of(tmp_path / "all.parquet").load("train"), of(tmp_path / "all.parquet").load("test")
    assert np.bincount(test.labels).tolist() == [2, 4]
    both = rows(torch.cat([train.images, test.images]), train.labels.tolist() + test.labels.tolist())
    assert both == rows(planes(images), [0] * 10 + [1] * 20)
    other = of(tmp_path / "all.parquet", seed=1).load("test")
    assert other.fingerprint != test.fingerprint


def test_a_test_set_with_secret_labels_is_not_used(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", [0, 1, 2] * 4, NAMES)
    write_parquet(tmp_path / "test-0.parquet", [-1] * 5, NAMES, seed=1)
    write_parquet(tmp_path / "validation-0.parquet", [2, 1, 0], NAMES, seed=2)
    assert sorted(of(tmp_path).load("test").labels.tolist()) == [0, 1, 2]


def test_fine_labels_are_meant_and_others_can_be_named(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(
        path, [0, 1, 2, 0, 1, 2], NAMES, column="fine_label", image="img", more={"coarse_label": [0, 0, 1] * 2}
    )
    assert of(path).classes == tuple(NAMES)
    assert of(path, column="coarse_label").classes == ("0", "1")
    with pytest.raises(
        ValueError, match=r"column = 'x' is not allowed: the integers in .* are fine_label, coarse_label"
    ):
        _ = of(path, column="x").classes
    assert "column" not in of(path).to_dict()


def test_a_jpeg_is_named_as_such_also_from_the_cache(tmp_path):
    path = tmp_path / "a.parquet"
    cells = [{"bytes": encoded(pixels(at, 9, 9, 3), "JPEG"), "path": None} for at in range(6)]
    parquet.write_table(pyarrow.table({"image": cells, "label": [0, 1] * 3}), path)
    assert [of(path).load("train").encoding for _ in range(2)] == ["JPEG", "JPEG"]


def test_what_cannot_be_read_is_one_sentence(tmp_path):
    def said(match, **parameters):
        with pytest.raises(ValueError, match=match):
            of(tmp_path / "set", **parameters).load("train")

    folder = tmp_path / "set"
    folder.mkdir()
    said("holds no parquet file")
    path = folder / "train-0.parquet"
    path.write_bytes(b"PAR1 nothing PAR1")
    said("cannot be read as parquet files of images")
    parquet.write_table(pyarrow.table({"text": ["a"], "label": [0]}), path)
    said(r"has no column of images, .* it has text \(string\), label \(int64\)")
    image = {"bytes": encoded(pixels(0, 9, 9, 3)), "path": "a.png"}
    parquet.write_table(pyarrow.table({"image": [image] * 4, "caption": ["a"] * 4}), path)
    said("has no column of labels")
    parquet.write_table(pyarrow.table({"a": [image] * 4, "b": [image] * 4, "label": [0, 1] * 2}), path)
    said("several columns of images: a, b")
    parquet.write_table(pyarrow.table({"image": [image] * 4, "x": [0, 1] * 2, "y": [0, 1] * 2}), path)
    said("several columns of labels, x, y; name one")
    parquet.write_table(pyarrow.table({"image": [image] * 4, "label": [0, 1, None, 1]}), path)
    said("images without a label")
    parquet.write_table(pyarrow.table({"image": [image] * 4, "label": [0] * 4}), path)
    said("images of fewer than 2 classes")
    parquet.write_table(pyarrow.table({"image": [image] * 4, "label": [0, 10**9] * 2}), path)
    said("goes up to 1000000000: these are no classes")
    outside = {"bytes": None, "path": "/etc/passwd"}
    kinds = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    parquet.write_table(pyarrow.table({"image": pyarrow.array([outside] * 4, kinds), "label": [0, 1] * 2}), path)
    said("images kept in other files are not read")
    parquet.write_table(pyarrow.table({"image": [{**image, "bytes": b"no image"}] * 4, "label": [0, 1] * 2}), path)
    with pytest.raises(UnreadableImage, match=r"image \d of .*train-0.parquet cannot be read as an image"):
        of(folder).load("train")
    write_parquet(path, [0, 1, 1, 0], NAMES[:2])
    write_parquet(folder / "other" / "train-0.parquet", [0, 1, 1, 0], NAMES[:2])
    said("of several data sets")


def test_a_missing_package_and_a_missing_file_are_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(DataMissing, match="name a file or a folder of them with parquet:PATH"):
        _ = datasets["parquet"]().classes
    with pytest.raises(DataMissing, match=r"there is no .*nowhere"):
        of(tmp_path / "nowhere").load("test")
    write_parquet(tmp_path / "a.parquet", [0, 1] * 4, None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        DataMissing, match=r"pyarrow, which is not installed: pip install trigger-sensitivity\[parquet\]"
    ):
        of(tmp_path / "a.parquet").load("test")
