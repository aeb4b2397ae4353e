"""The grid of the paper: what it consists of, what is left of it, and where its tasks run."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from squares import six_colours

from core.data import dataset_from
from core.paper.constants import ATTACKS
from core.paper.numbers import paper_numbers
from core.paper.results import Results
from core.reproduction import executors as engines
from core.reproduction.executors import ATTEMPTS, Outcome, Processes, RayCluster, Serial, run_tasks
from core.reproduction.performing import pending, perform
from core.reproduction.tasks import PARTS, TRAINING, Task, grid
from core.store.local import DEFAULT_ROOT, Store

SHAPES = dataset_from("shapes10")


def names_of(tasks):
    return {task.id.split("/", 1)[1] for task in tasks}


@pytest.mark.parametrize("model", ["resnet20", "vgg19", "resnet34"])
def test_the_whole_grid_makes_every_number_of_the_paper(model):
    made = names_of(grid(SHAPES, [model]))
    for one in paper_numbers():
        result = one.defense.partition(":")[0]
        repairs = ("fine-pruning", "neural-cleanse", "auto-encoder")
        wanted = TRAINING if not result else f"repair-{result}" if result in repairs else f"strength-{result}"
        assert f"{model}/{one.attack} {wanted}" in made
    for size in range(9):
        assert f"{model}/consistent+max{size} strength-shrinkpad" in made
    for name in ("badnets", "blended", "consistent"):
        assert {f"{model}/{name}+poisoned-only strength-{what}" for what in ("flip", "shrinkpad")} <= made
    assert {f"{model}/badnets-gray location", f"{model}/badnets-gray appearance"} <= made
    assert f"{model}/blended+ saliency" in made


def test_every_task_comes_after_what_it_needs_and_has_a_name_of_its_own():
    tasks = grid(SHAPES, ["vgg19", "resnet20"])
    seen = set()
    for task in tasks:
        assert set(task.needs) <= seen
        assert task.id not in seen
        seen.add(task.id)
    assert "shapes10/resnet20/robust training" in seen


@pytest.mark.parametrize("part", PARTS)
def test_each_table_and_figure_can_be_made_alone(part):
    cifar = dataset_from("cifar10")  # Fig. 12 needs pictures that are not the data set's own
    tasks = grid(cifar, ["resnet20"], only=[part])
    assert any(part in task.parts for task in tasks)
    assert all(task.parts == (part,) or task.name == TRAINING for task in tasks)
    everything = {task.id for task in grid(cifar, ["resnet20"])}
    assert {task.id for task in tasks} <= everything


def test_photographs_are_enough_to_attack_500():
    tasks = grid(dataset_from("cifar10"), ["resnet20"], only=["fig11", "fig12"], images=500)
    counts = {task.name: task.images for task in tasks if task.name != TRAINING}
    assert counts == {"physical": 560, "out-of-sample": 560, "out-of-sample-natural": 560}
    assert {t.images for t in grid(SHAPES, ["resnet20"], only=["fig11"], limit=7) if t.name == "physical"} == {7}


def test_out_of_sample_photographs_are_a_task_that_is_performed(tmp_path):
    dataset = dataset_from(f"folder:{six_colours(tmp_path / 'six')}")
    tasks = grid(dataset, ["resnet20"], only=["fig12"], epochs=1, limit=4)
    store = Store(tmp_path / "store")
    found = [task for task in tasks if task.attack_object.title == "badnets"]
    assert [task.name for task in found] == [TRAINING, "out-of-sample", "out-of-sample-natural"]
    for task in found:
        list(perform(task, store, torch.device("cpu")))
    for task in found[1:]:
        stored = store.checkpoint(task.key).result(task.name)
        assert stored is not None
        assert stored["total"] == [4] * 5
    assert pending(found, store) == []
    path = store.checkpoint(found[1].key).folder / "out-of-sample.json"
    older = {name: value for name, value in json.loads(path.read_text()).items() if name != "outcomes"}
    path.write_text(json.dumps(older))
    assert [task.name for task in pending(found, store)] == ["out-of-sample"], "from one place, as before"


def test_every_attack_is_photographed():
    tasks = grid(dataset_from("cifar10"), ["resnet20"], only=["fig11", "fig12"])
    for name in ("physical", "out-of-sample", "out-of-sample-natural"):
        assert {task.attack_object.title for task in tasks if task.name == name} == set(ATTACKS)


def test_out_of_sample_pictures_are_never_the_data_sets_own():
    assert all(task.name != "out-of-sample" for task in grid(SHAPES, ["resnet20"]))


def test_a_task_survives_the_way_to_another_process():
    for task in grid(SHAPES, ["resnet20"], epochs=3, limit=7, seed=5):
        assert Task.from_dict(task.to_dict()) == task


def test_images():
    counts = {task.name: task.images for task in grid(SHAPES, ["resnet20"], images=500, limit=0)}
    assert (counts["location"], counts["saliency"], counts["strength-flip"]) == (500, 500, 0)
    counts = {task.name: task.images for task in grid(SHAPES, ["resnet20"], images=0, limit=40)}
    assert (counts["location"], counts["strength-flip"]) == (40, 40)


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="part = 'table9' is not allowed"):
        grid(SHAPES, ["resnet20"], only=["table9"])


def test_what_is_stored_is_not_left(tmp_path):
    tasks = grid(SHAPES, ["resnet20"], only=["table5"])
    assert pending(tasks, Store()) == []
    store = Store(tmp_path)
    assert pending(tasks, store) == tasks
    key = "shapes10/resnet20/badnets"
    shutil.copytree(DEFAULT_ROOT / key, tmp_path / key)
    left = pending(tasks, store)
    assert names_of(tasks) - names_of(left) == {
        f"resnet20/badnets {name}" for name in (TRAINING, "strength-flip", "strength-shrinkpad")
    }


def test_weights_that_are_not_stored_are_made_again_only_where_they_are_needed(tmp_path):
    """Results of a large model may be stored without its weights."""
    key = "shapes10/resnet20/badnets"
    shutil.copytree(DEFAULT_ROOT / key, tmp_path / key)
    (tmp_path / key / "model.safetensors").unlink()
    tasks = [task for task in grid(SHAPES, ["resnet20"], only=["table5"]) if task.key == key]
    assert pending(tasks, Store(tmp_path)) == []
    (tmp_path / key / "strength-flip.json").unlink()
    assert [task.name for task in pending(tasks, Store(tmp_path))] == [TRAINING, "strength-flip"]


class Fake:
    """An engine that writes down what it is given."""

    def __init__(self, workers=2, errors=(), losses=()):
        self.workers, self.errors, self.losses = workers, dict(errors), list(losses)
        self.running, self.order, self.most = [], [], 0

    def start(self, task):
        self.running.append(task)
        self.order.append(task.id)
        self.most = max(self.most, len(self.running))

    def finished(self):
        task = self.running.pop(0)
        if task.name in self.losses:
            self.losses.remove(task.name)
            return [Outcome(task, "died", lost=True)]
        return [Outcome(task, self.errors.get(task.name, ""))]

    def close(self):
        pass


def one(name, *needs):
    dataset = {"name": "shapes10", "params": {}}
    card = {"name": "badnets", "params": {}}
    prefix = "shapes10/resnet20/badnets "
    return Task(name=name, dataset=dataset, model="resnet20", attack=card, needs=tuple(prefix + need for need in needs))


def test_tasks_wait_for_what_they_need_and_fill_the_workers():
    engine = Fake(workers=2)
    tasks = [one("a"), one("b", "a"), one("c"), one("d", "b", "c"), one("e")]
    outcomes = list(run_tasks(tasks, engine))
    assert {outcome.task.name for outcome in outcomes} == set("abcde")
    assert not any(outcome.error for outcome in outcomes)
    order = [name[-1] for name in engine.order]
    assert order.index("b") > order.index("a")
    assert order.index("d") > max(order.index("b"), order.index("c"))
    assert engine.most == 2


def test_what_needs_a_failed_task_fails_and_the_rest_goes_on():
    tasks = [one("a"), one("b", "a"), one("c", "b"), one("d")]
    outcomes = {outcome.task.name: outcome.error for outcome in run_tasks(tasks, Fake(errors={"a": "no data"}))}
    assert outcomes["a"] == "no data"
    assert outcomes["b"] == "it needs shapes10/resnet20/badnets a, which failed"
    assert "which failed" in outcomes["c"]
    assert outcomes["d"] == ""


def test_a_lost_worker_is_forgiven_twice():
    engine = Fake(losses=["a"] * (ATTEMPTS - 1))
    assert [outcome.error for outcome in run_tasks([one("a")], engine)] == [""]
    assert len(engine.order) == ATTEMPTS
    engine = Fake(losses=["a"] * ATTEMPTS)
    assert [outcome.error for outcome in run_tasks([one("a")], engine)] == ["died"]


@pytest.fixture
def small(tmp_path):
    """A grid of a few seconds: two attacks on tiny images."""
    dataset = dataset_from(f"folder:{six_colours(tmp_path / 'six')}")
    tasks = grid(dataset, ["resnet20"], only=["table5"], epochs=1, limit=6)
    return [task for task in tasks if task.attack["name"] != "consistent" and task.attack_object.title != "blended+"]


def rates(root):
    """Every measured number of a store, and when each file was written."""
    results = Results.read(Store(root), "six", "resnet20")
    found = {title: (card.clean_accuracy, card.weights) for title, card in results.cards.items()}
    curves = {
        (title, name): (curve.hits.tolist(), curve.clean_hits.tolist())
        for title, curves in results.curves.items()
        for name, curve in curves.items()
    }
    return found, curves


def test_here_and_in_processes_give_the_same(small, tmp_path):
    seen = []
    here = Serial(str(tmp_path / "here"), "cpu", lambda task, progress: seen.append((task.id, progress.done)))
    assert not any(outcome.error for outcome in run_tasks(small, here))
    assert {name for name, _ in seen} == {task.id for task in small}
    assert pending(small, Store(tmp_path / "here")) == []

    pool = Processes(str(tmp_path / "pool"), "cpu", 2)
    victims = []

    def kill():
        """Takes one of the two processes away as soon as something is stored."""
        deadline = time.monotonic() + 280
        while time.monotonic() < deadline and not list((tmp_path / "pool").glob("*/*/*/card.json")):
            time.sleep(0.02)
        if pool._pool is not None:
            victims.append(next(iter(pool._pool._processes)))
            os.kill(victims[0], 9)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        outcomes = list(run_tasks(small, pool))
    finally:
        pool.close()
        killer.join()
    assert victims
    assert not any(outcome.error for outcome in outcomes)
    assert rates(tmp_path / "pool") == rates(tmp_path / "here")
    # Everything is there already: nothing is done again.
    for task in small:
        assert list(perform(task, Store(tmp_path / "pool"), torch.device("cpu"))) == []


def ray_workers():
    """Process ids of the workers that perform a task now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::perform_whole" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def test_a_ray_cluster_loses_a_worker_and_nothing_else(small, tmp_path, monkeypatch):
    """A real local cluster with two workers, one of which is killed in the middle."""
    ray = pytest.importorskip("ray")
    root = tmp_path / "store"
    monkeypatch.setenv("PYTHONPATH", str(DEFAULT_ROOT.parent))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    cluster = RayCluster(str(root), "cpu")
    assert cluster.workers == 2
    written, victims = {}, []

    def kill():
        deadline = time.monotonic() + 280
        while time.monotonic() < deadline and not list(root.glob("*/*/*/card.json")):
            time.sleep(0.02)
        written.update({path: path.stat().st_mtime_ns for path in root.glob("*/*/*/[!.]*.json")})
        while time.monotonic() < deadline and not victims:
            for worker in ray_workers()[:1]:
                os.kill(worker, 9)
                victims.append(worker)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        outcomes = list(run_tasks(small, cluster))
    finally:
        killer.join()
        cluster.close()
    assert victims
    assert not any(outcome.error for outcome in outcomes), [outcome.error for outcome in outcomes]
    assert pending(small, Store(root)) == []
    assert all(path.stat().st_mtime_ns == time_then for path, time_then in written.items()), "made twice"


def test_without_ray_it_says_what_to_install(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(engines.importlib, "import_module", absent)
    with pytest.raises(ValueError, match="needs Ray: pip install"):
        RayCluster("store", "cpu")
