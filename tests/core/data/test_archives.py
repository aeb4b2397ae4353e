"""Data sets of other people, from small archives in their real layouts, against torchvision's own readers."""

from __future__ import annotations

import hashlib
import zipfile

import numpy as np
import pytest
import torch
from archives import KINDS, NUMBERS, cifar100, gtsrb_kaggle, gtsrb_torchvision, idx, make, mnist, pixels, save
from PIL import Image
from torchvision import datasets as published

from core.data import DataMissing, UnreadableImage, datasets
from core.data.fetching import Archive, fetch_archives


def rows(images: torch.Tensor, labels: torch.Tensor) -> list[tuple[int, bytes]]:
    """Images with their labels, in an order that does not depend on theirs."""
    return sorted(zip(labels.tolist(), (one.numpy().tobytes() for one in images), strict=True))


def reference(data, size: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """What torchvision's reader gives, resized as BackdoorBench does it: both sides."""
    images = []
    for image, _ in data:
        image = image.convert("RGB")
        images.append(np.asarray(image.resize((size, size), Image.Resampling.BILINEAR) if size else image))
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()), torch.tensor([label for _, label in data])


@pytest.mark.parametrize("split", ["train", "test"])
def test_gtsrb_is_what_torchvision_reads(folder, split):
    gtsrb_torchvision(folder)
    images, labels = reference(published.GTSRB(str(folder), split), 32)
    found = datasets["gtsrb"]().load(split)
    assert rows(found.images, found.labels) == rows(images, labels)
    if split == "test":
        assert torch.equal(found.images, images)
        assert found.labels.tolist() == labels.tolist()
    else:
        assert len(set(found.labels[:20].tolist())) > 10  # not class after class
    assert found.classes[14] == "Stop"
    assert (len(found.classes), found.shape, found.name) == (43, (3, 32, 32), "gtsrb")


@pytest.mark.parametrize("split", ["train", "test"])
def test_gtsrb_of_kaggle_is_the_same(folder, split, tmp_path, monkeypatch):
    gtsrb_torchvision(folder)
    there = datasets["gtsrb"]().load(split)
    gtsrb_kaggle(tmp_path / "kaggle")
    monkeypatch.setenv("TRIGGER_DATA", str(tmp_path / "kaggle"))
    here = datasets["gtsrb"]().load(split)
    assert here.fingerprint == there.fingerprint
    assert datasets["gtsrb"](size=48).load(split, 3).shape == (3, 48, 48)
    assert datasets["gtsrb"](size=48).title == "gtsrb-48"


def test_a_list_of_signs_names_no_other_file_and_no_other_class(folder):
    gtsrb_kaggle(folder)
    table = folder / "gtsrb" / "Test.csv"
    good = table.read_text()
    save(folder / "secret.png", pixels(0, 9, 9, 3))
    for bad, said in (
        (good.replace("Test/00003.png", "../secret.png"), r"names '\.\./secret\.png', which is not in"),
        (good.replace("Test/00003.png", "/etc/passwd"), "names '/etc/passwd', which is not in"),
        (good.replace(",21,Test", ",43,Test"), "has the label '43' for Test/00003.png: 0 to 42 are allowed"),
        (good.replace("ClassId", "Class"), "lacks the columns"),
    ):
        table.write_text(bad)
        with pytest.raises(ValueError, match=said):
            datasets["gtsrb"]().load("test")


def test_a_damaged_sign_is_named(folder):
    gtsrb_kaggle(folder)
    (folder / "gtsrb" / "Test" / "00003.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableImage, match=r"00003\.png cannot be read as an image"):
        datasets["gtsrb"]().load("test")


@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar100_is_what_torchvision_reads(folder, split, monkeypatch):
    sums = cifar100(folder)
    monkeypatch.setattr(published.CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(published.CIFAR100, "test_list", [["test", sums["test"]]])
    meta = {"filename": "meta", "key": "fine_label_names", "md5": sums["meta"]}
    monkeypatch.setattr(published.CIFAR100, "meta", meta)
    images, labels = reference(published.CIFAR100(str(folder), split == "train"))
    found = datasets["cifar100"]().load(split)
    assert torch.equal(found.images, images)
    assert torch.equal(found.labels, labels)
    assert (len(set(found.classes)), found.classes[0], found.classes[-1]) == (100, "apple", "worm")
    assert found.classes == tuple(sorted(found.classes))


def test_a_batch_of_cifar100_that_was_not_published_is_not_unpickled(folder):
    cifar100(folder)
    with pytest.raises(ValueError, match="train is damaged or not CIFAR-100: its MD5 is"):
        datasets["cifar100"]().load("train")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_one_channel_becomes_three_equal_ones(folder, name, kind, packed, tmp_path):
    mnist(folder, kind, packed)
    mnist(tmp_path / "unpacked", kind)
    for split in ("train", "test"):
        images, labels = reference(getattr(published, kind)(str(tmp_path / "unpacked"), split == "train"))
        found = datasets[name]().load(split)
        assert torch.equal(found.images, images)
        assert torch.equal(found.labels, labels)
        assert torch.equal(found.images[:, 0], found.images[:, 2])
    for ours, theirs in zip(found.classes, getattr(published, kind).classes, strict=True):
        assert theirs in (ours, f"{found.classes.index(ours)} - {ours}")


def test_damaged_digits_are_refused(folder):
    mnist(folder)
    path = folder / "MNIST" / "raw" / "train-images-idx3-ubyte"
    good = path.read_bytes()
    for bad, said in (
        (good[:-1], "is damaged: it says 15680 values and has 15679"),
        (b"\0\0\x0d\x03" + good[4:], "is no IDX file of bytes with 3 dimensions"),
        (idx(pixels(0, 20, 29, 28)), "has 20 x 29 x 28 values"),
        (good[:4] + b"\xff\xff\xff\xff" + good[8:], "has 4294967295 x 28 x 28 values"),
        (idx(pixels(0, 19, 28, 28)), "has 19 images and .* has 20 labels"),
        (b"", "is no IDX file"),
    ):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=said):
            datasets["mnist"]().load("train")


def test_tiny_imagenet(folder, monkeypatch):
    make("tiny-imagenet", folder, monkeypatch)
    data = datasets["tiny-imagenet"]()
    assert data.classes == ("goldfish", "salamander (n01629819)", "salamander (n02124075)")
    base = folder / "tiny-imagenet-200"
    images, labels = reference(published.ImageFolder(str(base / "train")), 64)  # torchvision has no reader of its own
    found = data.load("train")
    assert rows(found.images, found.labels) == rows(images, labels)
    test = data.load("test")
    assert test.labels.tolist() == [at * 2 % 3 for at in range(9)]
    for at in (0, 8):
        expected = np.asarray(Image.open(base / f"val/images/val_{at}.JPEG").convert("RGB"))
        assert np.array_equal(test.images[at].permute(1, 2, 0).numpy(), expected)
    table = base / "val" / "val_annotations.txt"
    table.write_text(table.read_text().replace(NUMBERS[1], "n00000001"))
    with pytest.raises(ValueError, match=r"has the class 'n00000001' for val_2\.JPEG"):
        data.load("test")
    table.unlink()
    with pytest.raises(ValueError, match="lists no image"):
        data.load("test")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_said_with_where_it_was_looked_for(folder, kind):
    for split in ("train", "test"):
        with pytest.raises(DataMissing, match=r"is not in .*data.*: .*TRIGGER_DATA"):
            datasets[kind]().load(split)
    assert not datasets[kind]().available()
    assert "$TRIGGER_DATA" in (datasets[kind].__doc__ or "")


def test_a_changed_image_is_read_anew_and_the_rest_is_kept_decoded(folder, tmp_path):
    gtsrb_kaggle(folder)
    first = datasets["gtsrb"]().load("test")
    assert list((tmp_path / "cache").rglob("gtsrb-test-32-*.safetensors"))
    assert datasets["gtsrb"]().load("test").fingerprint == first.fingerprint
    table = folder / "gtsrb" / "Test.csv"
    table.write_text(table.read_text().replace(",7,Test", ",8,Test"))
    assert datasets["gtsrb"]().load("test").labels[1] == 8


def test_archives_are_fetched_checked_and_unpacked(folder, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    with zipfile.ZipFile(there / "a.zip", "w") as archive:
        archive.writestr("GTSRB/Training/00000/a.ppm", "a")
        archive.writestr("../../escaped.txt", "b")
    (there / "b.gz").write_bytes(b"kept as it is")

    def archive_of(name, folder):
        md5 = hashlib.md5((there / name).read_bytes(), usedforsecurity=False).hexdigest()
        return Archive((there / name).as_uri(), md5, folder)

    shares: list[float] = []
    both = [archive_of("a.zip", "gtsrb"), archive_of("b.gz", "MNIST/raw")]
    fetch_archives(both, "GTSRB", shares.append)
    data = tmp_path / "cache" / "trigger-sensitivity" / "data"
    assert (data / "gtsrb/GTSRB/Training/00000/a.ppm").read_text() == "a"
    assert (data / "MNIST/raw/b.gz").read_bytes() == b"kept as it is"
    assert not list(tmp_path.glob("escaped.txt")) + list(data.parent.glob("escaped.txt"))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    wrong = Archive((there / "b.gz").as_uri(), "0" * 32, "other")
    with pytest.raises(OSError, match="is not GTSRB: its MD5 is"):
        fetch_archives([both[0], wrong], "GTSRB")
    assert not (data / "other").exists()
