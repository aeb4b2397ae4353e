"""A user's folder of images: layouts, splits, decoding, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from core.data import DataMissing, dataset_from, datasets


def write(path, colour=(10, 20, 30), size=(32, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def tree(root, counts, start=0):
    """Classes with so many images, each of one colour of its own: red is the class, green the number."""
    for red, (name, count) in enumerate(counts.items()):
        for number in range(count):
            write(root / name / f"{number:03}.png", (red * 40, start + number, 7))
    return root


def identities(images):
    return [(int(image[0, 0, 0]) // 40, int(image[1, 0, 0])) for image in images.images]


def folder(path, **parameters):
    return datasets["folder"](path=str(path), **parameters)


def test_train_and_test_folders_are_the_splits(tmp_path):
    tree(tmp_path / "train", {"cat": 5, "dog": 4})
    tree(tmp_path / "test", {"cat": 2, "dog": 1}, start=100)
    data = folder(tmp_path)
    assert data.classes == ("cat", "dog")
    train, test = data.load("train"), data.load("test")
    assert sorted(identities(train)) == [(0, n) for n in range(5)] + [(1, n) for n in range(4)]
    assert sorted(identities(test)) == [(0, 100), (0, 101), (1, 100)]
    assert [label for label, _ in identities(train)] == train.labels.tolist()
    assert train.shape == (3, 32, 32)


def test_val_is_the_test_set_where_there_is_no_test(tmp_path):
    tree(tmp_path / "train", {"cat": 2, "dog": 2})
    tree(tmp_path / "val", {"cat": 1, "dog": 1}, start=100)
    assert sorted(identities(folder(tmp_path).load("test"))) == [(0, 100), (1, 100)]


def test_undivided_folder_is_split_by_class_into_parts_that_do_not_overlap(tmp_path):
    tree(tmp_path, {"cat": 20, "dog": 10, "owl": 2})
    train, test = (folder(tmp_path).load(split) for split in ("train", "test"))
    assert test.labels.bincount().tolist() == [4, 2, 1]
    assert train.labels.bincount().tolist() == [16, 8, 1]
    everything = sorted(identities(train) + identities(test))
    assert everything == [(0, n) for n in range(20)] + [(1, n) for n in range(10)] + [(2, n) for n in range(2)]


def test_seed_decides_the_split_and_the_order(tmp_path):
    tree(tmp_path, {"cat": 30, "dog": 30})
    first = folder(tmp_path).load("test")
    assert identities(first) == identities(folder(tmp_path).load("test"))
    assert sorted(identities(first)) != sorted(identities(folder(tmp_path, seed=1).load("test")))
    assert len(set(first.labels[:6].tolist())) == 2


def test_limit_gives_a_prefix(tmp_path):
    tree(tmp_path, {"cat": 10, "dog": 10})
    whole = folder(tmp_path).load("train")
    for limit in (0, 3, 100):
        assert folder(tmp_path).load("train", limit=limit).fingerprint == whole.subset(slice(limit)).fingerprint


def test_a_class_called_train_is_a_class(tmp_path):
    tree(tmp_path, {"bus": 2, "train": 2})
    tree(tmp_path / "train" / "steam", {"small": 1})
    assert folder(tmp_path).classes == ("bus", "train")


def test_images_in_inner_folders_count_and_other_files_do_not(tmp_path, caplog):
    tree(tmp_path, {"cat/young": 3, "dog": 3})
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "dog" / "._000.png").write_text("another system's metadata")
    (tmp_path / ".cache").mkdir()
    data = folder(tmp_path)
    assert data.classes == ("cat", "dog")
    train = data.load("train")
    assert len(train) + len(data.load("test")) == 6
    assert train.notes == ("files left out because they are no images: 1 (dog/notes.txt)",)
    assert train.subset(slice(1)).notes == train.notes
    assert "because they are no images: 1 (" in caplog.text


def test_size_is_a_parameter(tmp_path):
    tree(tmp_path, {"cat": 2, "dog": 2})
    assert folder(tmp_path, size=48).load("test").shape == (3, 48, 48)
    with pytest.raises(ValueError, match="size = 4 is not allowed"):
        folder(tmp_path, size=4)


def test_no_folder_is_missing_data(tmp_path):
    for data in (folder(tmp_path / "nowhere"), datasets["folder"]()):
        assert not data.available()
        with pytest.raises(DataMissing, match="folder:PATH"):
            data.load("train")
        with pytest.raises(DataMissing, match="folder:PATH"):
            _ = data.classes


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "has no folders; it needs one per class"),
        ({"cat": 3}, "has one class, cat; it needs at least 2"),
        ({"cat": 3, "dog": 0}, r"has one class, cat; it needs at least 2 \(no images are in dog\)"),
        ({"cat": 3, "dog": 1}, "dog has one image; it needs at least 2"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(tmp_path, counts, message):
    tree(tmp_path, counts)
    for name in counts:
        (tmp_path / name).mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=message):
        folder(tmp_path).load("train")


def test_a_class_that_only_the_test_set_has_is_refused(tmp_path):
    tree(tmp_path / "train", {"cat": 1, "dog": 1})
    tree(tmp_path / "test", {"cat": 1, "dog": 1, "owl": 1})
    for split in ("train", "test"):
        with pytest.raises(ValueError, match="lacks: owl"):
            folder(tmp_path).load(split)


def test_an_unreadable_image_is_named(tmp_path):
    tree(tmp_path, {"cat": 3, "dog": 3})
    for split in ("train", "test"):
        (tmp_path / "dog" / "001.png").write_bytes(b"no image")
        (tmp_path / "dog" / "000.png").write_bytes(b"no image")
        (tmp_path / "dog" / "002.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"dog.00\d\.png cannot be read as an image"):
            folder(tmp_path).load(split)


@pytest.mark.parametrize(
    ("name", "title"),
    [("flowers", "flowers"), ("my flowers (2)", "my-flowers-2"), ("cifar10", "cifar10-folder"), ("...", "folder")],
)
def test_title_is_safe_in_a_path(tmp_path, name, title):
    assert folder(tmp_path / name).title == title


def test_pixels_are_those_of_the_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / split / name / "x.png")
    images = folder(tmp_path).load("test").images
    assert torch.equal(images[0], torch.from_numpy(pixels).permute(2, 0, 1))


def test_a_relative_path_is_found_from_any_directory(tmp_path, monkeypatch):
    tree(tmp_path / "pets", {"cat": 3, "dog": 3})
    monkeypatch.chdir(tmp_path)
    for path in ("pets", "./pets", "pets/../pets/"):
        data = folder(path)
        assert data == folder(tmp_path / "pets")
        assert data.to_dict()["path"] == str(tmp_path / "pets")
        assert data.spec == f"folder:{tmp_path / 'pets'}"
    monkeypatch.chdir("/")
    assert data.available()
    assert dataset_from(data.spec).load("test").fingerprint == data.load("test").fingerprint


def test_the_users_home_is_found(tmp_path, monkeypatch):
    tree(tmp_path / "pets", {"cat": 3, "dog": 3})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder("~/pets") == folder(tmp_path / "pets")


def test_the_home_of_a_user_who_is_not_known_is_missing_data():
    data = folder("~nouser/pets")
    assert (data.title, data.spec, data.available()) == ("pets", "folder:~nouser/pets", False)
    with pytest.raises(DataMissing, match="there is no folder ~nouser/pets; name a folder"):
        data.load("test")


@pytest.mark.parametrize("path", ["a\0b", "\0", "a/\ud800"])
def test_what_no_folder_can_be_called_is_refused(path):
    with pytest.raises(ValueError, match=r"path = .* is not allowed: no folder can have this name"):
        folder(path)


@pytest.mark.parametrize("path", ["x" * 5000, "a/" * 5000])
def test_a_path_that_is_too_long_is_missing_data(path):
    data = folder(path)
    assert not data.available()
    with pytest.raises(DataMissing, match="there is no folder"):
        data.load("test")


def break_files(root, *names):
    for name in names:
        (root / name).write_bytes(b"no image")


def test_broken_images_are_skipped_if_asked_and_counted(tmp_path, caplog):
    tree(tmp_path / "train", {"cat": 5, "dog": 5})
    tree(tmp_path / "test", {"cat": 1, "dog": 1}, start=100)
    break_files(tmp_path / "train", "cat/001.png", "dog/003.png")
    with pytest.raises(ValueError, match=r"train.(cat.001|dog.003)\.png cannot be read as an image"):
        folder(tmp_path).load("train")
    data = folder(tmp_path, skip_broken=True).load("train")
    assert sorted(identities(data)) == [(0, n) for n in (0, 2, 3, 4)] + [(1, n) for n in (0, 1, 2, 4)]
    assert [label for label, _ in identities(data)] == data.labels.tolist()
    (note,) = data.notes
    assert note.startswith("images of the train set left out because they cannot be read: 2 (")
    assert "cat/001.png" in note
    assert note in caplog.text
    assert folder(tmp_path, skip_broken=True).load("test").notes == ()


def test_a_limit_gives_a_prefix_also_where_images_are_skipped(tmp_path):
    tree(tmp_path / "train", {"cat": 9, "dog": 9})
    tree(tmp_path / "test", {"cat": 1, "dog": 1})
    break_files(tmp_path / "train", *(f"cat/00{n}.png" for n in range(5)), "dog/003.png")
    data = folder(tmp_path, skip_broken=True)
    whole = data.load("train")
    assert len(whole) == 12
    for limit in range(14):
        assert data.load("train", limit=limit).fingerprint == whole.subset(slice(limit)).fingerprint


def test_a_class_without_a_readable_image_is_named(tmp_path):
    tree(tmp_path / "train", {"cat": 2, "dog": 2})
    tree(tmp_path / "test", {"cat": 1, "dog": 1})
    break_files(tmp_path / "train", "dog/000.png", "dog/001.png")
    with pytest.raises(ValueError, match="class dog has no image in the train set that can be read"):
        folder(tmp_path, skip_broken=True).load("train")


def test_what_was_stored_before_broken_images_could_be_skipped_is_still_the_same(tmp_path):
    values = {"path": str(tmp_path), "size": 32, "seed": 0}
    assert folder(tmp_path).to_dict() == values
    assert datasets["folder"].from_dict(values) == folder(tmp_path)
    skipping = folder(tmp_path, skip_broken=True)
    assert datasets["folder"].from_dict(skipping.to_dict()) == skipping


def test_every_kind_of_file_is_an_image_by_name_or_by_content(tmp_path):
    tree(tmp_path, {"cat": 2, "dog": 2})
    picture = Image.new("RGB", (32, 32), (0, 200, 0))
    picture.save(tmp_path / "cat" / "a.jfif", "JPEG")
    picture.save(tmp_path / "cat" / "b.TGA")
    picture.save(tmp_path / "cat" / "n01440764_1", "PNG")  # no ending at all
    picture.save(tmp_path / "cat" / "c.bin", "WEBP")
    (tmp_path / "cat" / "d.bin").write_bytes(bytes(100))
    data = folder(tmp_path)
    train, test = data.load("train"), data.load("test")
    assert len(train) + len(test) == 8
    assert train.notes == ("files left out because they are no images: 1 (cat/d.bin)",)


def test_a_link_to_nothing_is_a_broken_image(tmp_path):
    tree(tmp_path, {"cat": 10, "dog": 2})
    (tmp_path / "cat" / "000.png").unlink()
    (tmp_path / "cat" / "000.png").symlink_to("elsewhere.png")
    data = folder(tmp_path, skip_broken=True)
    assert len(data.load("train")) + len(data.load("test")) == 11
