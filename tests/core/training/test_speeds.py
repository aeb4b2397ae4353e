"""How fast this machine trains: kept by what was trained and timed, and found again for the same work only."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from core.attacks import Enhanced, attacks
from core.data import cache_folder
from core.metrics import Rate
from core.recipe import Recipe
from core.training import trainer as training
from core.training.speeds import keep_speed, known_speed, seconds_left
from core.training.state import Epoch
from core.training.throughput import LEAST, MOST, SECONDS, UNTIMED, timed
from core.training.trainer import Plan, train

CPU, SHAPE, RATE = torch.device("cpu"), (3, 32, 32), Rate(1, 2)
BADNETS, ROBUST = attacks["badnets"], attacks["robust"]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def known(model="resnet20", attack=None, recipe=None, shape=SHAPE, compiled=False):
    found = known_speed(model, attack or BADNETS(), recipe or Recipe(), shape, CPU, compiled=compiled)
    return found and found.images_per_second


def test_a_speed_is_of_the_same_work_only():
    keep_speed(800.0, "resnet20", BADNETS(), Recipe(), SHAPE, CPU, compiled=False)
    assert known() == 800
    # What decides nothing: the target, the trigger, how long it goes on.
    assert known(attack=BADNETS(target=2, value=200), recipe=Recipe(epochs=99, rate=0.1)) == 800
    others = (
        {"model": "vgg19"},
        {"attack": Enhanced(base=BADNETS())},
        {"attack": attacks["blended"]()},
        {"recipe": Recipe(batch=32)},
        {"recipe": Recipe(optimizer="sgd")},
        {"shape": (3, 64, 64)},
        {"compiled": True},
    )
    assert [known(**other) for other in others] == [None] * len(others)


def test_an_attack_that_takes_further_passes_counts_with_their_number():
    keep_speed(90.0, "resnet20", ROBUST(), Recipe(), SHAPE, CPU, compiled=False)
    assert known(attack=ROBUST()) == 90
    more = {name: value + 1 for name, value in ROBUST().to_dict().items() if name == "steps"}
    assert more
    assert known(attack=ROBUST(**more)) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"images_per_second": 0, "day": ""}'])
def test_what_cannot_be_read_is_not_known(content):
    keep_speed(800.0, "resnet20", BADNETS(), Recipe(), SHAPE, CPU, compiled=False)
    (file,) = (cache_folder() / "speeds").iterdir()
    file.write_text(content)
    assert known() is None


def test_a_training_keeps_the_speed_of_its_epochs_but_the_first(tiny, store, monkeypatch):
    monkeypatch.setattr(training, "WORTH_KEEPING", 0.0)
    plan = Plan(dataset=tiny, model="resnet20", attack=BADNETS(target=1), recipe=Recipe(epochs=3, batch=32))
    steps = train(plan, store)

    def kept():
        return known(attack=plan.attack, recipe=plan.recipe, shape=(3, 16, 16))

    next(steps)
    assert kept() is None
    second = next(steps)
    assert kept() == pytest.approx(second.images_per_second)
    # Continued, it begins with compiling again.
    steps.close()
    keep_speed(7.0, "resnet20", plan.attack, plan.recipe, (3, 16, 16), CPU, compiled=False)
    list(train(plan, store))
    assert kept() == 7


def epochs(*seconds, of=10):
    return [Epoch(number, of, 0.1, RATE, RATE, end, 100.0) for number, end in enumerate(seconds, start=1)]


def test_the_remaining_time_is_told_from_the_latest_epochs():
    assert seconds_left([]) is None
    assert seconds_left(epochs(60)) == 540
    assert seconds_left(epochs(60, 64, 68)) == 7 * 4, "the first one was compiled meanwhile"
    # Slower since somebody else computes, too; one odd epoch in between does not count.
    assert seconds_left(epochs(60, 64, 68, 78, 88, 188, 198, 208)) == 2 * 10
    assert seconds_left(epochs(1, 2, of=2)) == 0


class Clock:
    """Steps that take given times."""

    def __init__(self, *seconds):
        self.now, self.left = 0.0, list(seconds)

    def step(self):
        self.now += self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def timed(self):
        return list(timed(self.step, CPU, clock=lambda: self.now))


def test_the_first_steps_are_left_out_and_the_others_timed_for_seconds():
    found = Clock(30.0, 5.0, 0.2).timed()
    assert [seconds for _, seconds in found[:UNTIMED]] == [0, 0]
    assert found[-1] == (1, pytest.approx(0.2))
    assert len(found) - UNTIMED == pytest.approx(SECONDS / 0.2, abs=1)
    assert len(Clock(0.001).timed()) == UNTIMED + MOST
    assert len(Clock(60.0).timed()) == UNTIMED + LEAST


def test_a_plan_with_other_settings_has_another_file(tmp_path):
    for batch in (16, 32):
        keep_speed(1.0, "resnet20", BADNETS(), replace(Recipe(), batch=batch), SHAPE, CPU, compiled=False)
    files = list((cache_folder() / "speeds").iterdir())
    assert len(files) == 2
    assert set(json.loads(files[0].read_text())) == {"images_per_second", "day"}
