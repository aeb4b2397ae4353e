"""A training that has not ended: who is at it, what is known of it, and an estimate of how long it will take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from squares import six_colours

from core.attacks import Enhanced, attacks
from core.data import dataset_from
from core.recipe import Recipe
from core.runtime.yielding import Courtesy
from core.store.local import Store
from core.training.state import discard, read_unfinished
from core.training.throughput import UNTIMED, Estimate, estimate
from core.training.trainer import Plan, train
from core.workers.train import train_in_background

# Seconds after which a process of its own counts as stuck: of low priority, it gets what the other tests leave.
STUCK = 400


@pytest.fixture
def plan(tmp_path):
    """A plan that another process can load too."""
    dataset = dataset_from(f"folder:{six_colours(tmp_path / 'six')}")
    recipe = Recipe(epochs=3, batch=16)
    return Plan(dataset=dataset, model="resnet20", attack=attacks["badnets"](), recipe=recipe, seed=1)


def test_a_plan_survives_json(plan):
    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again.to_dict() == plan.to_dict()
    assert again.key == plan.key
    enhanced = replace(plan, attack=Enhanced(base=attacks["blended"]()))
    assert Plan.from_dict(enhanced.to_dict()).key.endswith("blended-seed1+")
    named = replace(plan, name="mine")
    assert Plan.from_dict(json.loads(json.dumps(named.to_dict()))) == named


def test_trainings_of_two_kinds_at_once_have_a_folder_each(plan, store):
    """A default that differs is in the name: neither is refused, and neither loses its epochs to the other."""
    plans = [replace(plan, seed=0, attack=attacks["badnets"](target=target)) for target in (4, 2)]
    running = [train(one, store) for one in plans]
    first = [next(one) for one in running]
    assert [one.key for one in plans] == ["six/resnet20/badnets", "six/resnet20/badnets-target2"]
    for one, epoch in zip(plans, first, strict=True):
        found = read_unfinished(store.checkpoint(one.key).folder)
        assert (found.history, found.plan) == ((epoch,), one.to_dict())
    for one in running:
        one.close()


def test_of_a_training_with_a_given_name_the_epochs_are_known_too(plan, store):
    named = replace(plan, name="mine")
    running = train(named, store)
    first = next(running)
    running.close()
    found = read_unfinished(store.checkpoint("six/resnet20/mine").folder)
    assert found.history == (first,)
    assert Plan.from_dict(found.plan) == named
    continued = train(named, store)
    assert next(continued) == first
    continued.close()


@pytest.mark.parametrize("damage", [{"dataset": None}, {"recipe": {"name": "fast"}}, {"seed": None}, {"model": "nix"}])
def test_a_damaged_plan_is_refused(plan, damage):
    with pytest.raises(ValueError, match=r"damaged|nix"):
        Plan.from_dict(plan.to_dict() | damage)


def test_an_interrupted_training_is_known_and_can_be_forgotten(plan, store):
    folder = store.checkpoint(plan.key).folder
    assert read_unfinished(folder) is None
    running = train(plan, store)
    first = next(running)
    found = read_unfinished(folder)
    assert found.process == os.getpid()
    with pytest.raises(ValueError, match=r"six/resnet20/badnets-seed1 is being trained"):
        discard(folder)
    running.close()
    found = read_unfinished(folder)
    assert found.process is None
    assert found.history == (first,)
    assert Plan.from_dict(found.plan).to_dict() == plan.to_dict()
    discard(folder)
    assert read_unfinished(folder) is None
    assert not folder.exists()


def test_a_finished_training_is_none(plan, store):
    list(train(plan, store))
    folder = store.checkpoint(plan.key).folder
    assert read_unfinished(folder) is None
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.safetensors"]


def test_of_two_trainings_of_one_model_the_second_is_refused(plan, store):
    running = train(plan, store)
    next(running)
    with pytest.raises(ValueError, match="is being trained by another process"):
        next(train(plan, store))
    assert [epoch.epoch for epoch in running] == [2, 3]


def test_a_state_of_another_plan_is_not_its_history(plan, store):
    running = train(plan, store)
    next(running)
    running.close()
    other = train(replace(plan, seed=2, name="badnets-seed1"), store)
    folder = store.checkpoint(plan.key).folder
    state = (folder / "training.safetensors").read_bytes()
    next(other)
    (folder / "training.safetensors").write_bytes(state)
    other.close()
    assert read_unfinished(folder).history == ()


def test_a_process_of_its_own_is_killed_and_another_goes_on(plan, store, tmp_path):
    folder = store.checkpoint(plan.key).folder
    plan = replace(plan, recipe=replace(plan.recipe, epochs=4))
    process = train_in_background(plan, store.root, "cpu", tmp_path / "first")
    deadline = time.monotonic() + STUCK
    while time.monotonic() < deadline and ((found := read_unfinished(folder)) is None or not found.history):
        time.sleep(0.02)
    assert found.process == process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = read_unfinished(folder)
    assert found.process is None
    assert 1 <= len(found.history) < 4
    process = train_in_background(plan, store.root, "cpu", tmp_path / "second")
    assert process.wait(STUCK) == 0, (tmp_path / "second" / "log.txt").read_text()
    assert store.checkpoint(plan.key).card().history[0]["loss"] == round(found.history[0].loss, 4)


class Counting(Courtesy):
    """Counts how often it could have rested."""

    def __init__(self, path):
        super().__init__(path)
        self.times = 0

    def rest(self):
        self.times += 1


def test_a_training_rests_before_every_step_and_is_the_same(plan, store, tmp_path):
    courtesy = Counting(tmp_path / "waiting")
    *_, with_rests = train(plan, store, courtesy=courtesy)
    *_, without = train(plan, Store(tmp_path / "other"))
    recipe = plan.effective_recipe
    assert courtesy.times == recipe.epochs * -(-len(plan.dataset.load("train")) // recipe.batch)
    assert with_rests.loss == without.loss


def test_a_process_of_its_own_ends_although_somebody_waits_all_the_time(plan, store, tmp_path):
    plan = replace(plan, recipe=replace(plan.recipe, epochs=1))
    waiting = tmp_path / "waiting"
    waiting.touch()
    process = train_in_background(plan, store.root, "cpu", tmp_path / "log", waiting)
    deadline = time.monotonic() + STUCK
    while process.poll() is None and time.monotonic() < deadline:
        os.utime(waiting, (time.time(),) * 2)
        time.sleep(0.02)
    assert process.wait(STUCK) == 0, (tmp_path / "log" / "log.txt").read_text()
    assert store.checkpoint(plan.key).exists


def test_what_cannot_be_trained_ends_with_one_sentence(plan, store, tmp_path):
    plan = replace(plan, attack=attacks["badnets"](target=9))
    process = train_in_background(plan, store.root, "cpu", tmp_path / "log")
    assert process.wait(STUCK) == 1
    said = (tmp_path / "log" / "log.txt").read_text().strip().splitlines()
    assert said == ["target = 9 is not allowed: there are 6 classes, 0 to 5"]
    result = subprocess.run([sys.executable, "-m", "core.workers.train", "--help"], capture_output=True, text=True)
    assert result.returncode == 0


def test_an_estimate_is_of_the_whole_training_and_changes_nothing(plan, store):
    found = list(estimate(plan, 600, torch.device("cpu")))
    assert [one.done for one in found[:UNTIMED]] == [0] * UNTIMED
    assert sorted(one.done for one in found) == [one.done for one in found]
    assert [one.done == 1 for one in found] == [False] * (len(found) - 1) + [True]
    last = found[-1]
    assert last.seconds == pytest.approx(3 * 600 / last.images_per_second)
    assert last.images_per_second > 0
    assert not store.root.exists()
    assert Estimate.from_dict(json.loads(json.dumps(last.to_dict()))) == last


def test_a_damaged_estimate_is_refused():
    with pytest.raises(ValueError, match="damaged"):
        Estimate.from_dict({"done": 1})
