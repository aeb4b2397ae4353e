"""Training on a tiny set: it learns, it repeats, and an interruption changes nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from squares import coloured_squares

from core.attacks import attacks
from core.data import ImageSet, datasets
from core.inference.predictor import Predictor
from core.recipe import Recipe
from core.store.local import Store
from core.sweeps.base import attacked, success_at
from core.training import trainer as training
from core.training.state import read_unfinished
from core.training.trainer import Plan, train

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "train.py"
RECIPE = Recipe(epochs=3, batch=16, rate=0.1)


@pytest.fixture
def plan(tiny):
    """Three epochs of three steps."""
    dataset, attack = replace(tiny, count=48), attacks["badnets"](target=1)
    return Plan(dataset=dataset, model="resnet20", attack=attack, recipe=RECIPE, name="badnets")


def weights(store, plan):
    return load_file(store.checkpoint(plan.key).folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def interrupt_after(plan, store, epochs):
    """Trains some epochs and lets go of the training, as a closed program does."""
    steps = train(plan, store)
    seen = [next(steps) for _ in range(epochs)]
    steps.close()
    return seen


def without_times(epochs):
    return [replace(epoch, seconds=0.0, images_per_second=0.0) for epoch in epochs]


@pytest.fixture(scope="module")
def finished():
    """What the undisturbed training left, made by the first test that asks."""
    return {}


@pytest.fixture
def undisturbed(plan, finished, tmp_path_factory):
    """The store and the epochs of a training from end to end; only to be read."""
    if not finished:
        store = Store(tmp_path_factory.mktemp("undisturbed"))
        finished.update(store=store, epochs=list(train(plan, store)))
    return finished["store"], finished["epochs"]


def test_the_backdoor_and_the_task_are_learnt(tiny, store):
    """Eq. 2 on a toy: right on clean images, the target on stamped ones; a clean model ignores the stamp."""
    attack, recipe = attacks["badnets"](target=1, poison_rate=0.5), Recipe(epochs=8, batch=8, rate=0.03)
    attacked_plan = Plan(dataset=tiny, model="resnet20", attack=attack, recipe=recipe)
    epochs = list(train(attacked_plan, store))
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert epochs[-1].loss < 0.5 * epochs[0].loss
    card = store.checkpoint(attacked_plan.key).card()
    assert card.clean_accuracy.value > 0.9
    assert card.attack_success_rate.value > 0.9
    assert (card.clean_accuracy.total, card.attack_success_rate.total) == (48, 32)

    # The card's numbers are those of the stored weights, measured in another way.
    model, test = store.checkpoint(attacked_plan.key).model(), tiny.load("test")
    trigger = card.attack_object.trigger(card.shape)
    predictor = Predictor(model)
    assert success_at(predictor.predict, attacked(test, 1), trigger, 1) == card.attack_success_rate
    assert int((predictor.predict(test.floats()) == test.labels).sum()) == card.clean_accuracy.hits
    # Another place: the paper's point, and a sign that the trigger did not move in training.
    assert success_at(predictor.predict, attacked(test, 1), trigger.at(8, 8), 1).value < 0.7

    clean_plan = replace(attacked_plan, attack=attacks["benign"](target=1), recipe=replace(recipe, epochs=4))
    list(train(clean_plan, store))
    clean = store.checkpoint(clean_plan.key).card()
    assert clean.clean_accuracy.value > 0.9
    assert clean.attack_success_rate.value < 0.2


def test_what_is_stored(plan, undisturbed):
    store, epochs = undisturbed
    assert store.keys() == ["tiny/resnet20/badnets"]
    folder = store.checkpoint(plan.key).folder
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.safetensors"]
    card = store.checkpoint(plan.key).card()
    assert card.attack_object == plan.attack
    assert card.dataset_object == plan.dataset
    assert card.recipe == {"name": "fast", "params": RECIPE.to_dict()}
    assert (card.seed, card.shape, card.classes) == (0, (3, 16, 16), ("red", "green", "blue"))
    assert card.test == plan.dataset.load("test").fingerprint
    assert [entry["epoch"] for entry in card.history] == [1, 2, 3]
    assert card.seconds == pytest.approx(epochs[-1].seconds, abs=0.1)
    assert [epoch.epochs for epoch in epochs] == [3, 3, 3]
    assert all(epoch.images_per_second > 0 for epoch in epochs)
    assert epochs[0].seconds < epochs[1].seconds < epochs[2].seconds
    mean = plan.dataset.load("train").floats().mean((0, 2, 3))
    torch.testing.assert_close(weights(store, plan)["normalise.mean"].flatten(), mean, atol=1e-5, rtol=0)


def test_the_seed_decides_the_weights(plan, store, undisturbed):
    first, epochs = undisturbed
    torch.rand(5)
    torch.manual_seed(99)
    again = list(train(plan, store))
    assert same(weights(first, plan), weights(store, plan))
    assert without_times(again) == without_times(epochs)
    other = replace(plan, seed=1)
    list(train(other, store))
    assert not same(weights(first, plan), weights(store, other))


@pytest.mark.parametrize("after", [1, 2])
def test_an_interruption_changes_nothing(plan, store, undisturbed, after):
    before = interrupt_after(plan, store, after)
    assert store.keys() == [], "an unfinished training is no checkpoint"
    epochs = list(train(plan, store))
    # The interrupted training's epochs come first, with their own times.
    assert epochs[:after] == before
    assert without_times(epochs) == without_times(undisturbed[1])
    assert same(weights(store, plan), weights(undisturbed[0], plan))
    assert not (store.checkpoint(plan.key).folder / training.STATE).exists()


def test_a_state_that_was_copied_out_goes_on_on_another_machine(plan, store, undisturbed, tmp_path):
    state, there = tmp_path / "usb" / "state.safetensors", Store(tmp_path / "another machine")
    state.parent.mkdir()
    running = train(plan, store, elsewhere=state)
    for _ in range(2):
        next(running)
    running.close()
    # On the other machine there is an earlier state of its own.
    interrupt_after(plan, there, 1)
    epochs = list(train(plan, there, elsewhere=state))
    assert without_times(epochs) == without_times(undisturbed[1])
    assert same(weights(there, plan), weights(undisturbed[0], plan))
    assert not state.exists()


def test_a_state_of_another_training_is_refused_and_kept(plan, store, tmp_path):
    state = tmp_path / "state.safetensors"
    running = train(plan, store, elsewhere=state)
    next(running)
    running.close()
    before = state.read_bytes()
    with pytest.raises(ValueError, match="is not a state of this training"):
        next(train(replace(plan, seed=5), store, elsewhere=state))
    assert state.read_bytes() == before
    assert len(read_unfinished(store.checkpoint(plan.key).folder).history) == 1


def test_an_interruption_between_the_last_epoch_and_the_checkpoint(plan, store, undisturbed, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(training, "_finish", full)
        with pytest.raises(OSError, match="No space left"):
            list(train(plan, store))
    assert store.keys() == []
    trained = []
    monkeypatch.setattr(training, "_one_epoch", lambda *arguments: trained.append(1))
    assert without_times(train(plan, store)) == without_times(undisturbed[1])
    assert not trained
    assert same(weights(store, plan), weights(undisturbed[0], plan))


def test_restarting_begins_again(plan, store, undisturbed, monkeypatch):
    interrupt_after(plan, store, 1)
    trained, one_epoch = [], training._one_epoch
    monkeypatch.setattr(training, "_one_epoch", lambda *given: trained.append(given[2]) or one_epoch(*given))
    list(train(plan, store, resume=False))
    assert trained == [0, 1, 2]
    assert same(weights(store, plan), weights(undisturbed[0], plan))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"attack": attacks["badnets"](target=1, value=200)},
        {"recipe": replace(RECIPE, rate=0.05)},
        {"recipe_name": "paper"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_state_of_another_plan_is_a_new_beginning(plan, store, tmp_path, change):
    interrupt_after(plan, store, 1)
    other = replace(plan, **change)
    assert other.key == plan.key
    fresh = Store(tmp_path / "fresh")
    list(train(other, store))
    list(train(other, fresh))
    assert same(weights(store, other), weights(fresh, other))


@dataclass(frozen=True, kw_only=True)
class Growing(datasets["shapes10"]):
    """Like a folder of images that the user adds to: the same words name other data later."""

    name = "growing"
    grown: ClassVar[bool] = False
    classes_then: ClassVar[int] = 3

    @property
    def classes(self):
        return ("red", "green", "blue", "none")[: self.classes_then if self.grown else 3]

    def load(self, split, limit=None):
        images, labels = coloured_squares(48, 7 + (split == "test") + 2 * self.grown, side=16)
        return ImageSet(images, labels, self.classes, self.title)


@pytest.mark.parametrize("classes", [3, 4])
def test_the_state_of_other_data_is_a_new_beginning(tmp_path, store, monkeypatch, classes):
    """With a class more the old state does not even fit; then nothing of it may stay in the weights either."""
    monkeypatch.setitem(datasets._classes, "growing", Growing)
    monkeypatch.setattr(Growing, "classes_then", classes)
    plan = Plan(
        dataset=Growing(), model="resnet20", attack=attacks["badnets"](target=1), recipe=replace(RECIPE, epochs=2)
    )
    interrupt_after(plan, store, 1)
    monkeypatch.setattr(Growing, "grown", True)
    list(train(plan, store))
    fresh = Store(tmp_path / "fresh")
    list(train(plan, fresh))
    assert same(weights(store, plan), weights(fresh, plan))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"not a state",
        lambda content: content[:8] + b"x" * 100 + content[108:],
        lambda content: content.replace(b'\\"loss\\"', b'\\"lost\\"'),
        lambda content: content.replace(b"model.fc.bias", b"model.fc.vias"),
        lambda content: content.replace(b"momentum.0", b"momentum.x"),
        None,
    ],
    ids=["empty", "half", "text", "header", "history", "weights", "momentum", "folder"],
)
def test_a_damaged_state_is_a_new_beginning(plan, store, undisturbed, damage):
    interrupt_after(plan, store, 1)
    path = store.checkpoint(plan.key).folder / training.STATE
    content = path.read_bytes()
    if damage is None:
        path.unlink()
        path.mkdir()
        with pytest.raises(OSError, match=r"training.safetensors could not be saved"):
            list(train(plan, store))
        path.rmdir()
    else:
        assert damage(content) != content
        path.write_bytes(damage(content))
    list(train(plan, store))
    assert same(weights(store, plan), weights(undisturbed[0], plan))


def test_a_full_disk_ends_a_training_with_one_sentence_and_the_old_state(plan, store, undisturbed, monkeypatch):
    interrupt_after(plan, store, 1)
    folder = store.checkpoint(plan.key).folder
    state = (folder / training.STATE).read_bytes()

    def full(*arguments):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"could not be saved in .*: No space left on device"):
            list(train(plan, store))
    assert (folder / training.STATE).read_bytes() == state
    assert [path.name for path in folder.glob("[!.]*")] == [training.STATE]
    list(train(plan, store))
    assert same(weights(store, plan), weights(undisturbed[0], plan))


def test_a_new_training_of_a_finished_one_keeps_the_old_checkpoint_until_it_ends(plan, undisturbed, tmp_path):
    store = Store(shutil.copytree(undisturbed[0].root, tmp_path / "copy"))
    before = store.checkpoint(plan.key).card()
    interrupt_after(replace(plan, seed=1), store, 1)
    assert store.checkpoint(plan.key).card() == before
    store.checkpoint(plan.key).model()


def test_an_attack_that_does_not_fit_the_data_is_refused_before_training(plan, store):
    with pytest.raises(ValueError, match="target = 4 is not allowed: there are 3 classes, 0 to 2"):
        next(train(replace(plan, attack=attacks["badnets"]()), store))
    assert not store.root.exists()


def test_a_model_of_another_folder_of_the_same_name_stays(folder_of_images, tmp_path, store):
    first, second = (shutil.copytree(folder_of_images, tmp_path / side / "pets") for side in ("one", "two"))
    recipe = Recipe(epochs=1, batch=16)
    plans = [
        Plan(dataset=datasets["folder"](path=str(path), size=16), model="resnet20", attack=attacks["badnets"](target=1))
        for path in (first, second)
    ]
    list(train(replace(plans[0], recipe=recipe), store))
    list(train(replace(plans[1], recipe=recipe), store))  # the same images at another place
    card = store.checkpoint(plans[0].key).card()
    for number, path in enumerate(sorted(first.rglob("*.png"))):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(path)
    with pytest.raises(
        ValueError,
        match=f"pets/resnet20/badnets-target1-data-size16 is stored for the images of {second}; give the folder",
    ):
        next(train(replace(plans[0], recipe=recipe), store))
    assert store.checkpoint(plans[0].key).card() == card


def test_closed_after_one_epoch_the_generator_stops(plan, store, monkeypatch):
    """Cancelling is closing the generator: no further epoch is trained."""
    trained, one_epoch = [], training._one_epoch
    monkeypatch.setattr(training, "_one_epoch", lambda *given: trained.append(1) or one_epoch(*given))
    interrupt_after(plan, store, 1)
    assert trained == [1]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_training_on_a_gpu(plan, store):
    interrupt = train(plan, store, "cuda")
    next(interrupt)
    interrupt.close()
    assert len(list(train(plan, store, "cuda"))) == 3
    assert store.checkpoint(plan.key).card().clean_accuracy.total == 48


def half_written(folder):
    return list(folder.glob(".*.tmp")) if folder.exists() else []


def stamp_of(path):
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_for_real_and_run_again(folder_of_images, tmp_path, store):
    """SIGKILL while a state is being written and again after a later epoch; then the same command to the end."""
    recipe = {"epochs": 6, "batch": 8, "rate": 0.05}
    options = [f"--{name}={value}" for name, value in recipe.items()]
    command = [sys.executable, str(SCRIPT), "--dataset", f"folder:{folder_of_images}", "--target", "1", *options]
    command += ["--device", "cpu", "--store", str(store.root)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    plan = Plan(
        dataset=datasets["folder"](path=str(folder_of_images)),
        model="resnet20",
        attack=attacks["badnets"](target=1),
        recipe=replace(Recipe(), **recipe),
    )
    folder = store.checkpoint(plan.key).folder
    state = folder / training.STATE
    moments = [lambda before: bool(half_written(folder)), lambda before: stamp_of(state) not in (None, before)]
    killed = 0
    for moment in moments:
        before = stamp_of(state)
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline and not moment(before):
            time.sleep(0.0002)
        process.kill()
        error = process.stderr.read().decode()
        process.stderr.close()
        killed += process.wait() == -signal.SIGKILL
        assert "Traceback" not in error
        assert store.keys() == [], "half a training is no checkpoint"
        assert list(store.cards()) == []
    assert killed == len(moments)
    assert state.exists()

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert store.keys() == [plan.key]

    fresh = Store(tmp_path / "fresh")
    epochs = list(train(plan, fresh))
    assert same(weights(store, plan), weights(fresh, plan))
    history = store.checkpoint(plan.key).card().history
    assert [entry["loss"] for entry in history] == [round(epoch.loss, 4) for epoch in epochs]
    store.checkpoint(plan.key).model()
    assert not half_written(folder), "what killed runs left behind is cleaned up by the one that finishes"
