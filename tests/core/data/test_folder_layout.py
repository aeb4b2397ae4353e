"""What folders mean: splits in the spellings that people have, classes, and what is refused."""

from __future__ import annotations

import unicodedata

import pytest
from PIL import Image

from core.data import datasets
from core.data.layout import layout_of, natural, role_of


def write(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path, "PNG")
    return root


def classes(root, split, names=("cat", "dog"), count=1):
    return write(root, *(f"{split}/{name}/{number}.png" for name in names for number in range(count)))


def refused(root, match):
    with pytest.raises(ValueError, match=match) as caught:
        layout_of(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"), ("Train", "Test"), ("TRAIN", "TEST"), ("tRaIn", "tEsT"), ("Training", "Testing"),
        ("Training", "Test"), ("train", "val"), ("train", "valid"), ("train", "validation"), ("Train", "Validation"),
        ("training_set", "test_set"), ("TrainingSet", "TestSet"), ("trainset", "testset"),
        ("train_images", "test_images"),
        ("Training Data", "Validation Data"), ("seg_train", "seg_test"), ("asl_alphabet_train", "asl_alphabet_test"),
        ("train2017", "val2017"), ("train", "test1"), ("trainval", "test"), ("train_val", "test"), ("train", "eval"),
        ("train", "dev"),
    ],
)  # fmt: skip
def test_splits_are_told_in_every_spelling(tmp_path, train, test):
    classes(tmp_path, train, count=3)
    classes(tmp_path, test)
    data = datasets["folder"](path=str(tmp_path))
    assert data.classes == ("cat", "dog")
    assert (len(data.load("train")), len(data.load("test"))) == (6, 2)


def test_a_validation_set_beside_a_test_set_is_left_out(tmp_path):
    for split in ("train", "val", "test"):
        classes(tmp_path, split)
    layout = layout_of(tmp_path)
    assert layout.test["cat"] == [tmp_path / "test" / "cat"]
    assert layout.notes == ("val is left out: train is the training set and test is the test set",)


def test_a_test_set_without_labels_gives_way_to_a_validation_set(tmp_path):
    for split in ("train", "val"):
        classes(tmp_path, split)
    write(tmp_path, "test/1.png", "test/2.png")
    assert layout_of(tmp_path).test["cat"] == [tmp_path / "val" / "cat"]


@pytest.mark.parametrize("meta", ["Meta/0.png", "Meta/cat/0.png", "foo/bar/0.png"])
def test_a_third_folder_is_no_class(tmp_path, meta):
    for split in ("Train", "Test"):
        classes(tmp_path, split)
    write(tmp_path, meta)
    layout = layout_of(tmp_path)
    assert list(layout.train) == ["cat", "dog"]
    assert layout.notes == (f"{meta.split('/')[0]} is left out: Train is the training set and Test is the test set",)


def test_a_third_folder_without_images_is_not_worth_a_word(tmp_path):
    for split in ("Train", "Test"):
        classes(tmp_path, split)
    (tmp_path / "Meta").mkdir()
    (tmp_path / "Meta" / "signs.csv").write_text("0,stop")
    assert layout_of(tmp_path).notes == ()


def test_a_test_set_without_folders_is_refused(tmp_path):
    """Traffic signs come like this, the labels of the test set in a table."""
    classes(tmp_path, "Train")
    write(tmp_path, "Test/0.png", "Meta/0.png")
    said = refused(tmp_path, "look like splits, but Test has no folder per class")
    assert f"name {tmp_path / 'Train'}" in said


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (
            ("train/cat/0.png", "train/dog/0.png", "foo/0.png"),
            "train in .* looks like a training set, but a test set is",
        ),
        (("train/cat/0.png", "train/dog/0.png"), "looks like a training set"),
        (("Testing/cat/0.png", "Testing/dog/0.png", "foo/0.png"), "looks like a test set, but a training set is not"),
        (("train/0.png", "test/0.png"), "test and train in .* look like splits, but train has no folder per class"),
        (("train/0.png", "test/0.png", "bus/0.png"), "look like splits"),
        (("test/0.png", "val/0.png"), "there is no training set"),
        (("train/0.png", "test/cat/0.png", "test/dog/0.png"), "but train has no folder per class"),
        (("train/cat/0.png", "Train/cat/0.png", "test/cat/0.png"), "each look like a training set"),
        (("a_train/b/0.png", "a_test/b/0.png", "c_train/b/0.png", "c_test/b/0.png"), "of several data sets"),
        (("cat/train/0.png", "cat/test/0.png", "dog/train/0.png"), "cat holds test and train: splits are needed above"),
        (("images/0.png", "masks/0.png"), "images, masks in .* do not look like classes"),
        (("images/cat/0.png", "images/dog/0.png", "other/0.png"), "images does not look like a class"),
        (("images/cat/0.png", "images/dog/0.png"), "has one class, images; .* if the classes are in it, name"),
        (("train/images/0.png", "train/labels/0.png", "test/images/0.png"), "do not look like classes"),
    ],
)
def test_what_looks_like_splits_is_never_taken_for_classes(tmp_path, made, match):
    refused(write(tmp_path, *made), match)


@pytest.mark.parametrize(
    "names",
    [
        ("bus", "train"),
        ("test_tube", "train_station"),
        ("freight_train", "passenger_train", "test_bench"),
        ("evaluation", "work"),
        ("mask", "no mask"),
        ("photos", "paintings"),
    ],
)
def test_classes_that_only_sound_like_splits_stay_classes(tmp_path, names):
    write(tmp_path, *(f"{name}/{number}.png" for name in names for number in range(2)))
    layout = layout_of(tmp_path)
    assert (list(layout.train), layout.test) == (sorted(names), None)


def test_archives_with_a_folder_of_the_same_name_in_each_split(tmp_path):
    for split in ("seg_train/seg_train", "seg_test/seg_test"):
        classes(tmp_path, split)
    write(tmp_path, "seg_pred/seg_pred/1.png")
    layout = layout_of(tmp_path)
    assert layout.train["cat"] == [tmp_path / "seg_train" / "seg_train" / "cat"]
    assert [note.split()[0] for note in layout.notes] == ["seg_pred"]


def test_a_folder_called_images_in_each_split(tmp_path):
    for split in ("train/images", "test/images"):
        classes(tmp_path, split)
    assert list(layout_of(tmp_path).train) == ["cat", "dog"]


def test_what_is_no_class(tmp_path):
    write(
        tmp_path,
        "cat/0.png",
        "dog/0.png",
        "__MACOSX/cat/0.png",
        ".ipynb_checkpoints/0.png",
        ".git/0.png",
        "@eaDir/0.png",
    )
    write(tmp_path, "cat/.ipynb_checkpoints/0-checkpoint.png", "cat/__MACOSX/1.png", "cat/._0.png")
    (tmp_path / "owl").mkdir()
    (tmp_path / "owl" / "notes.txt").write_text("none yet")
    layout = layout_of(tmp_path)
    assert list(layout.train) == ["cat", "dog"]
    assert layout.notes == (f"folders of {tmp_path.name} without images, which are no classes: owl",)
    write(tmp_path, "cat/1.png", "dog/1.png")
    data = datasets["folder"](path=str(tmp_path))
    assert len(data.load("train")) + len(data.load("test")) == 4


def test_images_beside_the_classes_are_counted(tmp_path):
    write(tmp_path, "cat/0.png", "dog/0.png", "1.png", "2.png")
    (tmp_path / "readme.txt").write_text("x")
    assert layout_of(tmp_path).notes == (
        f"images left out because they lie in {tmp_path.name}, beside the folders of its classes: 2",
    )


def test_a_class_that_is_empty_in_the_test_set_is_said(tmp_path):
    classes(tmp_path, "train")
    classes(tmp_path, "test", ["cat"])
    for _ in range(2):
        refused(tmp_path, r"class dog of .*train has no images in .*test")
        (tmp_path / "test" / "dog").mkdir(exist_ok=True)


def test_two_spellings_of_a_name_in_unicode_are_one_class(tmp_path):
    composed, taken_apart = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    write(tmp_path, "Wal/0.png", "Wal/1.png", f"{composed}/0.png", f"{taken_apart}/0.png")
    data = datasets["folder"](path=str(tmp_path))
    assert data.classes == (composed, "Wal") if composed < "Wal" else ("Wal", composed)
    assert sum(len(data.load(split)) for split in ("train", "test")) == 4
    classes(tmp_path / "divided", "train", [composed, "Wal"])
    classes(tmp_path / "divided", "test", [taken_apart, "Wal"])
    assert set(datasets["folder"](path=str(tmp_path / "divided")).classes) == {composed, "Wal"}


def test_numbered_folders_come_in_the_order_of_their_numbers(tmp_path):
    write(tmp_path, *(f"{number}/0.png" for number in range(1, 13)))
    assert list(layout_of(tmp_path).train) == [str(number) for number in range(1, 13)]


def test_numbers_of_one_length_come_as_they_always_did():
    names = [f"{number:05}" for number in range(43)] + ["n01440764", "n02102040", "Zebra", "ant", "cat", "cats"]
    assert sorted(names, key=natural) == sorted(names)


def test_names_that_tell_no_split():
    for name in ("strain", "trainer", "contest", "latest", "interval", "valve", "cat", "3", "", "test_train"):
        assert role_of(name) is None or name == "test_train", name


def test_a_folder_that_cannot_be_listed_is_said(tmp_path, monkeypatch):
    write(tmp_path, "cat/0.png", "dog/0.png")

    def fail(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("core.data.layout.os.scandir", fail)
    refused(tmp_path, "cat cannot be read: Permission denied")


@pytest.mark.parametrize("name", ["two\nlines", "tab\there", "bell\a"])
def test_a_class_whose_name_no_card_can_hold_is_refused_before_anything_is_trained(tmp_path, name):
    write(tmp_path, "cat/1.png", "cat/2.png", f"{name}/1.png", f"{name}/2.png")
    refused(tmp_path, "has a class whose name has control characters: '")
