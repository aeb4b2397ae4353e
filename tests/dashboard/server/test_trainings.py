"""Trainings of the server: one at a time, who may do what with them, and no signal to a process that a file names."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from mutations import mutated
from pages import _alone, page
from squares import six_colours
from streamlit.testing.v1 import AppTest

from core.attacks import attacks
from core.data import cache_folder, dataset_from
from core.recipe import Recipe
from core.runtime.atomic_files import write_atomically
from core.store.local import Store
from core.store.shipped import write_shipped
from core.training.state import Paused, ask_to_pause, held, read_unfinished
from core.training.trainer import Plan, train
from dashboard.server import beginning
from dashboard.server import trainings as module
from dashboard.server.queued import Queue, Waiting
from dashboard.server.trainings import Trainings
from dashboard.views.trained import finished

__all__ = ["_alone"]  # the fixture that keeps data and cache away

HOSTILE = [-1, 0, 1, pytest.param(os.getpid(), id="its own"), "1", 10**30, None, True, [1], {"pid": 1}, 2.5]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    dataset = dataset_from(f"folder:{six_colours(tmp_path / 'six')}")
    return Plan(dataset=dataset, model="resnet20", attack=attacks["badnets"](), recipe=Recipe(epochs=2, batch=16))


@pytest.fixture
def every(tmp_path: Path) -> Trainings:
    return Trainings(Store(tmp_path / "store"), tmp_path / "trainings")


class Process:
    """A process that runs until it is ended."""

    def __init__(self) -> None:
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        self.returncode = -signal.SIGTERM

    def wait(self, timeout: float) -> int:
        assert self.returncode is not None
        return self.returncode


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Process]]:
    """What has begun, by key, in place of processes that train."""
    found: dict[str, Process] = {}

    def start(plan: Plan, store: object, device: str, folder: Path, courtesy: object) -> Any:
        write_atomically(folder / "plan.json", json.dumps(plan.to_dict()).encode())
        found[plan.key] = Process()
        return found[plan.key]

    monkeypatch.setattr(module, "train_in_background", start)
    monkeypatch.setattr(module, "POLL", 0.01)
    yield found
    for process in found.values():
        process.returncode = 0


def until(said: Any) -> None:
    deadline = time.monotonic() + 60
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def states(every: Trainings) -> list[tuple[str, bool, int]]:
    return [(one.key.rpartition("/")[2], one.running, one.place) for one in every.unfinished()]


def test_eight_visitors_start_eight_trainings_and_one_runs(
    every: Trainings, plan: Plan, begun: dict[str, Process]
) -> None:
    plans = [replace(plan, seed=seed) for seed in range(8)]
    assert [every.start(one, f"visitor {one.seed}") for one in plans] == list(range(8))
    assert list(begun) == [plans[0].key]
    names = ["badnets", *(f"badnets-seed{seed}" for seed in range(1, 8))]
    assert states(every) == [(name, place == 0, place) for place, name in enumerate(names)]
    with pytest.raises(ValueError, match="waits to be trained already"):
        every.start(plans[3], "me")
    every.take_out(plans[2].key, "me")
    assert [state[0] for state in states(every)] == [name for name in names if name != "badnets-seed2"]
    begun[plans[0].key].returncode = 0
    until(lambda: plans[1].key in begun)
    assert states(every)[:2] == [("badnets-seed1", True, 0), ("badnets-seed3", False, 1)]
    every.pause(plans[1].key, "me")
    until(lambda: plans[3].key in begun)
    assert list(begun) == [plans[0].key, plans[1].key, plans[3].key]
    for one in plans[4:]:
        every.forget(one.key, "me")
    assert states(every) == [("badnets-seed3", True, 0)]


def test_a_training_of_the_command_line_is_waited_for(every: Trainings, plan: Plan, begun: dict[str, Process]) -> None:
    with held(every.store.checkpoint(plan.key).folder, plan.to_dict()):
        other = replace(plan, seed=1)
        assert every.start(other, "me") == 1
        assert [every.starter(key, "me") for key in (plan.key, other.key)] == [
            "the command line, or before this server started",
            "you",
        ]
        time.sleep(0.1)
        assert not begun
    until(lambda: other.key in begun)


def test_the_queue_outlives_the_server(every: Trainings, plan: Plan, begun: dict[str, Process], tmp_path: Path) -> None:
    moved = dataset_from(f"folder:{six_colours(tmp_path / 'moved' / 'six')}")
    plans = [plan, replace(plan, seed=1, at=moved), replace(plan, seed=2)]
    for one in plans:
        every.start(one, "me", "cpu")
    (file,) = (tmp_path / "trainings").glob("queue-*.json")
    kept = file.read_text()
    # The server dies; the training under way is another process.
    every._queue.path = tmp_path / "none.json"
    until(lambda: every._watcher is None)
    begun[plan.key].returncode = 0
    with held(every.store.checkpoint(plan.key).folder, plan.to_dict()):
        after = Trainings(every.store, tmp_path / "trainings")
        assert [(one.key, one.running, one.place) for one in after.unfinished()] == [
            (one.key, place == 0, place) for place, one in enumerate(plans)
        ]
        assert after._queue.waiting()[0].plan == plans[1], "and where its images are now"
        assert "before this server started" in after.starter(plans[1].key, "me")
        time.sleep(0.05)
        assert list(begun) == [plan.key]
    until(lambda: plans[1].key in begun)
    begun[plans[1].key].returncode = 0
    until(lambda: plans[2].key in begun)
    until(lambda: after._queue.waiting() == ())
    assert len(json.loads(kept)["waiting"]) == 2


def test_two_servers_of_a_store_have_one_queue(
    every: Trainings, plan: Plan, begun: dict[str, Process], tmp_path: Path
) -> None:
    other = Trainings(every.store, tmp_path / "trainings")
    plans = [replace(plan, seed=seed) for seed in range(3)]
    with held(every.store.checkpoint("six/resnet20/elsewhere").folder, plan.to_dict()):
        assert [every.start(plans[0], "me"), other.start(plans[1], "me"), every.start(plans[2], "me")] == [1, 2, 3]
        with pytest.raises(ValueError, match="waits to be trained already"):
            other.start(plans[2], "me")
        other.take_out(plans[0].key, "me")
        assert [one.plan for one in every._queue.waiting()] == plans[1:]
        every.take_out(plans[1].key, "me")
        every.take_out(plans[2].key, "me")
    assert not begun


def test_a_queue_that_cannot_be_written_is_one_sentence_and_stays(
    every: Trainings, plan: Plan, begun: dict[str, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    every.start(plan, "me")
    every.start(replace(plan, seed=1), "me")

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dashboard.server.queued.write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        every.start(replace(plan, seed=2), "me")
    monkeypatch.undo()
    assert states(every) == [("badnets", True, 0), ("badnets-seed1", False, 1)]
    every.take_out(replace(plan, seed=1).key, "me")


def test_a_damaged_queue_loses_what_is_damaged_only(plan: Plan, tmp_path: Path) -> None:
    entries = [{"plan": replace(plan, seed=seed).to_dict(), "device": "cpu"} for seed in range(2)]
    queue, rng = Queue(tmp_path, tmp_path), random.Random(0)
    for number in range(150):
        queue.path.write_bytes(mutated(json.dumps({"waiting": entries}), rng))
        os.utime(queue.path, ns=(number, number))
        assert len(queue.waiting()) <= len(entries) + 3
    entries[0]["plan"]["model"] = "nonesuch"
    queue.path.write_text(json.dumps({"waiting": entries}))
    assert [one.plan.seed for one in queue.waiting()] == [1]
    with queue.changed() as waiting:
        waiting.clear()
    assert json.loads(queue.path.read_text()) == {"waiting": []}


def test_trainings_that_waited_are_taken_up_with_the_first_page(
    plan: Plan, tmp_path: Path, begun: dict[str, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "store"))
    st.cache_resource.clear()
    beginning.take_up_queue.cache_clear()
    with Queue(cache_folder() / "trainings", tmp_path / "store").changed() as waiting:
        waiting.append(Waiting(plan, "cpu"))
    beginning.take_up_queue()
    until(lambda: plan.key in begun)


def test_what_cannot_begin_when_its_turn_comes_says_why_and_the_next_one_begins(
    every: Trainings, plan: Plan, begun: dict[str, Process]
) -> None:
    plans = [replace(plan, seed=seed) for seed in range(3)]
    for one in plans:
        every.start(one, "me")
    folder = every.store.checkpoint(plans[1].key).folder
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    write_shipped(every.store.root, {plans[1].key: "0"})
    begun[plans[0].key].returncode = 0
    until(lambda: plans[2].key in begun)
    (failed,) = [one for one in every.unfinished() if one.key == plans[1].key]
    assert "came with the repository" in failed.error
    every.forget(failed.key, "me")
    assert states(every) == [("badnets-seed2", True, 0)]


def test_the_queue_is_on_the_page_and_things_are_taken_out_there(
    plan: Plan, tmp_path: Path, begun: dict[str, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "store"))
    st.cache_resource.clear()
    every = module.trainings(str(tmp_path / "store"))
    for seed in range(3):
        every.start(replace(plan, seed=seed), "another tab")
    st.cache_resource.clear()  # as any visitor's browser can
    test = page("train")
    said = [text.value for text in test.markdown if "six/resnet20" in text.value]
    assert [text.partition(" · ")[2] for text in said] == [
        "running",
        "waits, number 1 in the queue",
        "waits, number 2 in the queue",
    ]
    assert [caption.value for caption in test.caption if "Started by" in caption.value] == ["Started by the owner"] * 3
    next(button for button in test.button if button.label == "Take out").click().run()
    assert not test.exception
    assert states(every) == [("badnets", True, 0), ("badnets-seed2", False, 1)]


@pytest.mark.parametrize("process", HOSTILE, ids=repr)
def test_no_process_is_signalled_because_a_file_names_it(
    process: object, every: Trainings, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minus one would be every process of the user."""

    def never(*given: object) -> None:
        raise AssertionError(f"os.kill{given}")

    monkeypatch.setattr(os, "kill", never)
    monkeypatch.setattr(os, "killpg", never)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    folder = every.store.checkpoint(plan.key).folder
    with held(folder, plan.to_dict()):
        (folder / ".training.json").write_text(json.dumps({"process": process, "plan": plan.to_dict()}))
        found = read_unfinished(folder)
        assert found is not None
        assert found.running
        assert found.process in (None, os.getpid())
        assert [one.running for one in every.unfinished()] == [True]
        every.pause(plan.key, "me")
        assert (folder / ".training.pause").exists()
        with pytest.raises(ValueError, match="is being trained"):
            every.forget(plan.key, "me")
    every.forget(plan.key, "me")
    assert not folder.exists()


def test_a_training_that_is_asked_to_pause_stops_after_its_step_and_goes_on(every: Trainings, plan: Plan) -> None:
    store, folder = every.store, every.store.checkpoint(plan.key).folder
    assert not ask_to_pause(folder)
    assert not (folder / ".training.pause").exists(), "nobody is at it"
    whole = [epoch.loss for epoch in train(plan, Store(store.root.parent / "other"))]
    running = train(plan, store)
    first = next(running)
    assert ask_to_pause(folder)
    with pytest.raises(
        Paused, match="six/resnet20/badnets was asked to pause; it goes on after its last finished epoch"
    ):
        next(running)
    found = read_unfinished(folder)
    assert found is not None
    assert (found.running, found.history) == (False, (first,))
    assert not (folder / ".training.pause").exists()
    assert [epoch.loss for epoch in train(plan, store)] == whole
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.safetensors"]


def test_a_request_of_before_does_not_pause_the_next_training(every: Trainings, plan: Plan) -> None:
    folder = every.store.checkpoint(plan.key).folder
    folder.mkdir(parents=True)
    (folder / ".training.pause").touch()
    assert len(list(train(plan, every.store))) == 2


@pytest.mark.timeout(600)
def test_a_process_that_was_started_elsewhere_obeys(every: Trainings, plan: Plan, tmp_path: Path) -> None:
    plan = replace(plan, recipe=replace(plan.effective_recipe, epochs=300))
    elsewhere = Trainings(every.store, tmp_path / "elsewhere")
    elsewhere.start(plan, "me", "cpu")
    try:
        until_long = time.monotonic() + 400
        while not any(one.history for one in every.unfinished()):
            assert time.monotonic() < until_long
            time.sleep(0.1)
        every.pause(plan.key, "me")
        while every.unfinished()[0].running:
            assert time.monotonic() < until_long
            time.sleep(0.1)
    finally:
        elsewhere.pause(plan.key, "me")
    assert 0 < len(every.unfinished()[0].history) < 300


def test_a_model_that_is_trained_anew_has_its_curves_in_both_lists() -> None:
    script = """
from core.metrics import Rate
from core.training.state import Epoch
from dashboard.views.trained import _draw_curves

for where in ("curves", "finished"):
    _draw_curves("a/resnet20/badnets", (Epoch(1, 1, 1.0, Rate(1, 2), Rate(1, 2), 1.0, 1.0),), where)
"""
    test = AppTest.from_string(script, default_timeout=60).run()
    assert not test.exception
    assert [button.label for button in test.get("download_button")].count("Numbers (CSV)") == 2


def test_a_finished_model_is_listed_and_deleted_by_who_may(
    plan: Plan, tmp_path: Path, begun: dict[str, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "store"
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    st.cache_resource.clear()
    every = module.trainings(str(root))
    by_hand = replace(plan, seed=7)
    every.start(plan, "me")
    for one in (plan, by_hand):
        list(train(one, every.store))
    begun[plan.key].returncode = 0
    assert {one.key for one in finished(every)} == {plan.key, by_hand.key}
    test = page("train")
    assert not test.exception
    assert len(test.get("plotly_chart")) == 2
    assert {code.value for code in test.code} == {f'rm -r "$TRIGGER_CHECKPOINTS/{one.key}"' for one in (plan, by_hand)}
    assert any("location?model=six/resnet20/badnets" in text.value for text in test.markdown)
    (delete,) = [button for button in test.button if button.label == "Delete it"]
    assert delete.disabled
    with pytest.raises(ValueError, match="was not trained by this application"):
        every.delete(by_hand.key, "me")
    write_shipped(root, {plan.key: "0"})
    with pytest.raises(ValueError, match="came with the repository and is not deleted"):
        every.delete(plan.key, "me")
    write_shipped(root, {})
    test.checkbox(key=f"sure {plan.key}").check().run()
    test.button(key=f"delete {plan.key}").click().run()
    assert not test.exception
    assert list(every.store.keys()) == [by_hand.key]


def test_a_model_of_another_training_than_the_applications_is_not_deleted(
    every: Trainings, plan: Plan, begun: dict[str, Process]
) -> None:
    every.start(plan, "me")
    begun[plan.key].returncode = 0
    list(train(replace(plan, seed=5, name="badnets"), every.store))
    assert every.store.keys() == [plan.key]
    assert not every.was_trained_here(plan.key)
    with pytest.raises(ValueError, match="was not trained by this application"):
        every.delete(plan.key, "me")


def test_the_command_line_says_that_it_was_asked_to_pause(every: Trainings, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(replace(plan, recipe=Recipe(epochs=300, batch=16)).to_dict()))
    command = [sys.executable, "-m", "core.workers.train", str(tmp_path / "plan.json"), "--device", "cpu"]
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(
        [*command, "--store", str(every.store.root)], cwd=root, stderr=subprocess.PIPE, text=True
    )
    folder = every.store.checkpoint(plan.key).folder
    deadline = time.monotonic() + 400
    while not ask_to_pause(folder):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    said = process.communicate(timeout=400)[1]
    assert process.returncode == 1
    assert said.strip().splitlines()[-1].endswith("was asked to pause; it goes on after its last finished epoch")
