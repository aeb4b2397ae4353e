"""Images of a stored model: those of its card, or refused in one sentence; and folders that were moved."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from core.attacks import attacks
from core.data import DataMissing, datasets
from core.defenses import defenses
from core.inference.predictor import Predictor
from core.recipe import Recipe
from core.reproduction.performing import perform
from core.reproduction.tasks import Task
from core.store.card import BEGINNING, Card
from core.store.card_images import OtherData, data_set_of, images_of, name_anew, other_images, same_kind
from core.store.local import Store
from core.sweeps.repair import repair_sweep
from core.sweeps.runner import Sweep, carry_out
from core.training.throughput import estimate
from core.training.trainer import Plan, train
from core.workers import train as train_process

CPU = torch.device("cpu")


def paint(folder, classes, count=6, start=0):
    """A folder of images of 8 x 8 pixels, each of a colour of its own."""
    for red, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + count):
            pixels = np.full((8, 8, 3), (10 + 40 * red, 5 * number, 90), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")


def plan_of(path, attack="badnets", **parameters):
    return Plan(
        dataset=datasets["folder"](path=str(path), size=8, **parameters),
        model="resnet20",
        attack=attacks[attack](target=1),
        recipe=Recipe(epochs=1, batch=16),
        name=attack,
    )


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder of four classes, and a model trained on it for one epoch."""
    root = tmp_path_factory.mktemp("changing")
    paint(root / "letters", "bcde")
    list(train(plan_of(root / "letters"), Store(root / "store")))
    return root


@pytest.fixture
def letters(once, tmp_path, monkeypatch):
    """A copy of both, whose card names the copy of the folder; the user's cache is its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("letters", "store"):
        shutil.copytree(once / name, tmp_path / name)
    card = tmp_path / "store" / "letters" / "resnet20" / "badnets" / "card.json"
    card.write_text(card.read_text().replace(str(once / "letters"), str(tmp_path / "letters")))
    return tmp_path / "letters"


@pytest.fixture
def checkpoint(letters):
    return Store(letters.parent / "store").checkpoint("letters/resnet20/badnets")


def measure(checkpoint, kind="location", limit=None, **options):
    model = checkpoint.model()
    *_, last = carry_out(Sweep(kind), checkpoint, model, Predictor(model, CPU), limit, **options)
    return last


def test_the_images_of_a_card_are_read(checkpoint):
    card = checkpoint.card()
    test = images_of(card, "test")
    assert (test.classes, test.shape) == (tuple("bcde"), (3, 8, 8)) == (card.classes, card.shape)
    assert test.fingerprint == card.test == card.beginning
    assert other_images(card, test) == ""
    assert len(images_of(card, "train")) + len(test) == 24
    assert len(images_of(card, "test", 3)) == 3


def changed(folder, how):
    """What happens to a folder between two uses."""
    if how == "removed":
        shutil.rmtree(folder / "b")
    elif how == "added":
        paint(folder, ["f"])
    elif how == "renamed":
        (folder / "b").rename(folder / "x")
    elif how == "all new":
        shutil.rmtree(folder)
        paint(folder, ["north", "south", "east", "west"])


CHANGES = {
    "removed": "the classes c, d, e, but letters/resnet20/badnets was trained on b, c, d, e",
    "added": "the classes b, c, d, e, f, but letters/resnet20/badnets was trained on b, c, d, e",
    "renamed": "the classes c, d, e, x, but letters/resnet20/badnets was trained on b, c, d, e",
    "all new": "the classes east, north, south, west, but letters/resnet20/badnets was trained on b, c, d, e",
}


@pytest.mark.parametrize("how", CHANGES)
def test_other_classes_are_refused_whatever_is_measured(letters, checkpoint, how):
    changed(letters, how)
    said = f"the folder {letters} has {CHANGES[how]}"
    with pytest.raises(OtherData) as refused:
        images_of(checkpoint.card(), "test")
    assert str(refused.value) == said
    task = Task(
        name="location",
        dataset=checkpoint.card().source,
        model="resnet20",
        attack=checkpoint.card().attack,
    )
    for measuring in (
        lambda: measure(checkpoint),
        lambda: measure(checkpoint, "physical"),
        lambda: measure(checkpoint, "saliency"),
        lambda: list(repair_sweep(checkpoint, defenses["fine-pruning"](), CPU)),
        lambda: list(perform(task, Store(letters.parent / "store"), CPU)),
    ):
        with pytest.raises(OtherData, match="was trained on b, c, d, e"):
            measuring()
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == ["card.json", "model.safetensors"]


def test_another_shape_is_refused(checkpoint, tiny):
    card = replace(
        checkpoint.card(), dataset="tiny", source={"name": "tiny", "params": {}}, classes=tiny.classes, shape=(3, 8, 8)
    )
    with pytest.raises(OtherData, match=r"images of tiny are 3 x 16 x 16 \(channels, rows, columns\), but tiny/"):
        images_of(card, "test")
    assert len(images_of(replace(card, shape=(3, 16, 16)), "test")) == 48


def test_of_many_classes_those_that_differ_are_named(letters, checkpoint):
    many = [f"c{number:03}" for number in range(100)]
    shutil.rmtree(letters)
    paint(letters, many[:-1], count=2)
    with pytest.raises(OtherData, match=r"c000.* and 87 more, but .* was trained on c099, c000.* and 88 more$"):
        images_of(replace(checkpoint.card(), classes=tuple(many)), "test")


def test_a_surrogate_for_images_of_another_size_is_refused(letters):
    store = Store(letters.parent / "store")
    list(train(plan_of(letters, "robust"), store))
    plan = plan_of(letters, "consistent")
    larger = replace(plan, dataset=datasets["folder"](path=str(letters), size=9))
    with pytest.raises(ValueError, match=r"surrogate = 'resnet20/robust' is not allowed: it has other sizes of images"):
        next(train(larger, store))


def test_other_test_images_are_said_and_replace_nothing(letters, checkpoint):
    first = measure(checkpoint)
    assert (first.stored, first.warning) == (True, "")
    assert checkpoint.result("location")["test"] == checkpoint.card().test
    list(repair_sweep(checkpoint, defenses["fine-pruning"](), CPU))
    stored = {name: checkpoint.result(name) for name in ("location", "repair-fine-pruning")}
    paint(letters, "bcde", count=6, start=6)  # more images: another test set
    again = measure(checkpoint)
    assert again.warning == (
        "the test images here are not those that letters/resnet20/badnets was measured on: rates are of other images"
    )
    assert int(again.result.total.max()) > int(first.result.total.max())
    assert not again.stored
    with pytest.raises(ValueError, match=r"not those that .* than the stored repair-fine-pruning, which stays"):
        list(repair_sweep(checkpoint, defenses["fine-pruning"](), CPU))
    assert {name: checkpoint.result(name) for name in stored} == stored
    # Nothing is overwritten by what is not stored yet, and what is told to be replaced is.
    assert measure(checkpoint, "appearance").stored
    assert measure(checkpoint, replace=True).stored
    *_, repaired = repair_sweep(checkpoint, defenses["fine-pruning"](), CPU, replace=True)
    assert repaired.warning == again.warning
    assert checkpoint.result("location")["test"] != checkpoint.card().test
    # Those of the card come back, fewer as they are.
    for path in letters.rglob("*.png"):
        if int(path.stem) >= 6:
            path.unlink()
    assert measure(checkpoint).stored
    assert checkpoint.result("location") == stored["location"] | {
        name: checkpoint.result("location")[name] for name in ("seconds", "environment")
    }


def test_older_results_are_taken_for_those_of_the_card(letters, checkpoint):
    measure(checkpoint)
    values = checkpoint.result("location")
    checkpoint.save_result("location", {name: value for name, value in values.items() if name != "test"})
    paint(letters, "bcde", count=6, start=6)
    assert not measure(checkpoint).stored


def test_the_first_images_tell_as_well(checkpoint, tiny):
    card, test = checkpoint.card(), tiny.load("test")
    many = test.subset(torch.arange(BEGINNING + 10) % 48)
    other = replace(many, images=many.images.flip(3))
    first, first_other = (images.subset(slice(BEGINNING)) for images in (many, other))
    card = replace(
        card,
        clean_accuracy=replace(card.clean_accuracy, hits=0, total=len(many)),
        test=many.fingerprint,
        beginning=first.fingerprint,
    )
    assert [bool(other_images(card, images)) for images in (many, first, other, first_other)] == [
        False,
        False,
        True,
        True,
    ]
    # An older card tells them apart by their number only, or by how they were stored.
    older = replace(card, beginning="")
    told = (many, first, other, first.subset(slice(1000)), replace(first, encoding="JPEG-re-encoded"))
    assert [bool(other_images(older, images)) for images in told] == [False, False, True, True, True]
    assert "(JPEG-re-encoded, not original)" in other_images(older, told[-1])


def test_older_cards_have_no_beginning(checkpoint):
    values = json.loads(checkpoint.card().to_json())
    del values["beginning"]
    assert Card.from_json(json.dumps(values)) == replace(checkpoint.card(), beginning="")


def test_a_folder_that_was_moved_is_named_anew(letters, checkpoint):
    card, new = checkpoint.card(), letters.parent / "elsewhere" / "alphabet"
    content = (checkpoint.folder / "card.json").read_bytes()
    shutil.move(letters, new)
    with pytest.raises(DataMissing) as missing:
        images_of(card, "test")
    assert str(missing.value).startswith(f"there is no folder {letters}, whose images letters/resnet20/badnets was")
    assert "--data PATH" in str(missing.value)
    with pytest.raises(DataMissing, match=r"there is no folder .*nowhere"):
        name_anew(card, letters.parent / "nowhere")
    with pytest.raises(DataMissing):
        images_of(card, "test")
    assert name_anew(card, new) == data_set_of(card) == datasets["folder"](path=str(new), size=8)
    assert images_of(card, "test").fingerprint == card.test
    assert measure(checkpoint).stored
    assert (checkpoint.folder / "card.json").read_bytes() == content
    # Moved once more, and back.
    shutil.move(new, letters)
    assert data_set_of(card) == card.dataset_object
    assert images_of(card, "test").fingerprint == card.test


def test_a_folder_of_other_images_is_not_taken_for_the_moved_one(letters, checkpoint):
    card, other = checkpoint.card(), letters.parent / "digits"
    paint(other, "0123")
    for path in (other, ""):
        with pytest.raises((OtherData, DataMissing), match=r"has the classes 0, 1, 2, 3, but|there is no folder ''"):
            name_anew(card, path)
    assert data_set_of(card) == card.dataset_object


def test_what_was_said_of_some_images_does_not_count_for_others(letters, checkpoint):
    """A model that is trained at the old place later, on other images, finds its own."""
    card, new = checkpoint.card(), letters.parent / "elsewhere"
    shutil.move(letters, new)
    name_anew(card, new)
    paint(letters, "bcde", start=40)
    store = Store(letters.parent / "store" / "second")
    list(train(plan_of(letters), store))
    second = store.checkpoint("letters/resnet20/badnets").card()
    assert images_of(card, "test").fingerprint == card.test
    assert images_of(second, "test").fingerprint == second.test != card.test
    # What is taken back is forgotten.
    assert name_anew(card, letters) == data_set_of(card) == card.dataset_object


@pytest.mark.parametrize("content", [b"", b"[", b"[1]", b'{"a": 1}', b"\xff\xfe"])
def test_a_damaged_memory_is_none(letters, checkpoint, content):
    memory = letters.parent / "cache" / "trigger-sensitivity" / "moved.json"
    memory.parent.mkdir(parents=True)
    memory.write_bytes(content)
    assert images_of(checkpoint.card(), "test").fingerprint == checkpoint.card().test


def test_data_that_are_no_folder_stay_where_they_are(checkpoint):
    card = replace(checkpoint.card(), dataset="shapes10", source={"name": "shapes10", "params": {}})
    with pytest.raises(ValueError, match="data = '/x' is not allowed: shapes10 is no folder that could be elsewhere"):
        name_anew(card, "/x")


def test_an_interrupted_training_continues_where_its_folder_is_now(letters):
    store, new = Store(letters.parent / "second"), letters.parent / "elsewhere"
    plan = replace(plan_of(letters), recipe=Recipe(epochs=3, batch=16))
    expected = Store(letters.parent / "third")
    list(train(plan, expected))
    training = train(plan, store)
    assert next(training).epoch == 1
    training.close()
    shutil.move(letters, new)
    with pytest.raises(DataMissing, match=str(letters)):
        next(train(plan, store))
    moved = replace(plan, at=datasets["folder"](path=str(new), size=8))
    assert [epoch.epoch for epoch in train(moved, store)] == [1, 2, 3]
    card, whole = (one.checkpoint("letters/resnet20/badnets").card() for one in (store, expected))
    assert card.weights == whole.weights
    assert card.source["params"]["path"] == str(new)
    assert images_of(card, "test").fingerprint == card.test
    assert list(estimate(moved, 20, CPU))[-1].done == 1


def test_a_training_in_the_background_takes_the_new_place(letters, monkeypatch):
    store, new = Store(letters.parent / "second"), letters.parent / "elsewhere"
    shutil.move(letters, new)
    plan = replace(plan_of(letters), at=datasets["folder"](path=str(new), size=8))
    commands = []
    monkeypatch.setattr(train_process.subprocess, "Popen", lambda command, **_: commands.append(command))
    train_process.train_in_background(plan, store.root, "cpu", letters.parent / "plan")
    monkeypatch.setattr("sys.argv", commands[0][2:])
    monkeypatch.setattr(train_process.os, "nice", lambda _: 0)
    train_process.main()
    assert store.checkpoint(plan.key).card().dataset_object == plan.at


def test_models_of_one_kind_have_equal_classes_in_equal_order_and_equal_shapes(checkpoint):
    card = checkpoint.card()
    assert same_kind(card, replace(card, test="0" * 16))
    assert not same_kind(card, replace(card, classes=card.classes[::-1]))
    assert not same_kind(card, replace(card, shape=(3, 9, 9)))
