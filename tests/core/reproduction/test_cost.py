"""Estimates of a grid: what was measured counts, else the operations of the passes and the machine's matrix rate."""

from __future__ import annotations

import pytest
import torch

from core.attacks import attacks
from core.data import dataset_from
from core.models import build_model
from core.physical import FACTORS
from core.recipe import recipe_for
from core.reproduction.cost import BACKWARD, PASSING_SHARE, TRAINING_SHARE, Cost, hours_of
from core.reproduction.tasks import TRAINING, grid
from core.runtime.machine_speed import operations
from core.sweeps.physical import DISTANCES, MAP_IMAGES, YAWS, conditions
from core.training.speeds import keep_speed

CPU = torch.device("cpu")
RATE = 1e12


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def tasks_of(*only, model="vgg19", **options):
    found = grid(dataset_from("cifar10"), [model], only=only, **options)
    return {task.id.split("/", 2)[2]: task for task in found}


def test_operations_are_counted_of_shapes_alone():
    model = build_model("resnet20", classes=10, seed=0).eval()
    task = tasks_of("fig4", model="resnet20", images=100)["badnets-gray location"]
    places = 30 * 30
    expected = 100 * places * operations(model, (3, 32, 32)) / (PASSING_SHARE * RATE)
    assert Cost(RATE, CPU).seconds(task) == pytest.approx(expected)


def test_vgg19_takes_about_four_fifths_of_a_gigaflop_a_pass():
    task = tasks_of("fig4")["badnets-gray training"]
    seconds = Cost(RATE, CPU).seconds(task)
    assert seconds == pytest.approx(30 * 50_000 * BACKWARD * 0.797e9 / (TRAINING_SHARE * RATE), rel=0.02)
    assert Cost(2 * RATE, CPU).seconds(task) == pytest.approx(seconds / 2)


def test_a_measured_speed_counts():
    task = tasks_of("fig4", recipe="short")["badnets-gray training"]
    recipe = recipe_for("short", "vgg19")
    keep_speed(500.0, "vgg19", attacks["badnets-gray"](), recipe, (3, 32, 32), CPU, compiled=False)
    assert Cost(RATE, CPU).seconds(task) == recipe.epochs * 50_000 / 500
    assert Cost(RATE, CPU).seconds(tasks_of("fig4")["badnets-gray training"]) != recipe.epochs * 50_000 / 500


def test_repairs_as_in_the_paper_take_longer():
    laptop, paper = (tasks_of("table1", as_in_paper=flag)["badnets repair-neural-cleanse"] for flag in (False, True))
    assert laptop.repair.to_dict()["rounds"] == 80
    assert (paper.repair.to_dict()["rounds"], paper.repair.to_dict()["batch"]) == (1000, 32)
    assert Cost(RATE, CPU).seconds(paper) > 100 * Cost(RATE, CPU).seconds(laptop)
    encoder = tasks_of("table1", as_in_paper=True)["badnets repair-auto-encoder"].repair.to_dict()
    assert (encoder["epochs"], encoder["batch"], encoder["rate"]) == (100, 16, 0.001)


def test_every_task_has_an_estimate():
    tasks = [task for name in ("resnet20", "resnet34") for task in tasks_of(model=name).values()]
    hours = hours_of(tasks, CPU)
    assert set(hours) == {task.id for task in tasks}
    assert all(0 < value < 1e6 for value in hours.values())
    assert any(task.name == TRAINING for task in tasks)


def test_photographs_cost_what_is_predicted():
    tasks = tasks_of("fig11", "fig12", model="resnet20")
    each = {name: Cost(RATE, CPU).seconds(tasks[f"badnets {name}"]) for name in ("physical", "out-of-sample-natural")}
    passes = {name: round(seconds * PASSING_SHARE * RATE / _passes_of(1)) for name, seconds in each.items()}
    maps, factors = len(DISTANCES) * len(YAWS), 2 * len(FACTORS)
    both = len(conditions()) - maps - factors
    assert passes["physical"] == 560 * (2 * both + factors) + MAP_IMAGES * maps
    assert passes["out-of-sample-natural"] == 560 * (3 + 2 * 2)


def _passes_of(images):
    return images * operations(build_model("resnet20", classes=10, seed=0).eval(), (3, 32, 32))


def test_a_task_that_is_not_possible_does_not_end_the_others(monkeypatch):
    tasks = list(tasks_of("fig4", images=10, model="resnet20").values())
    whole = Cost.seconds

    def impossible(cost, task):
        if task.name == "location":
            raise ValueError("the trigger does not fit")
        return whole(cost, task)

    monkeypatch.setattr(Cost, "seconds", impossible)
    hours = hours_of(tasks, CPU)
    assert {name.rpartition(" ")[2] for name, value in hours.items() if value == 0} == {"location"}
    assert any(hours.values())
