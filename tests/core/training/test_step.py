"""The steps of a training: compiled they are the same steps, and memory is kept between them."""

from __future__ import annotations

import copy
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from compilers import needs_compiler
from torch import nn

from core.attacks import attacks
from core.models import build_model
from core.models.base import BatchNorm
from core.recipe import Recipe
from core.store.local import Store
from core.training import step as steps
from core.training.step import Compiled
from core.training.trainer import Plan, train

ROOT = Path(__file__).resolve().parents[3]


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_norm_is_torchs_own_when_it_is_compiled(dtype):
    generator = torch.Generator().manual_seed(0)
    own, usual = BatchNorm(16), nn.BatchNorm2d(16)
    for layer in (own, usual):
        nn.init.uniform_(layer.weight, 0.5, 1.5, torch.Generator().manual_seed(1))
        nn.init.uniform_(layer.bias, -1, 1, torch.Generator().manual_seed(2))
    x = (3 * torch.randn(8, 16, 12, 12, generator=generator) + 5).to(dtype, memory_format=torch.channels_last)
    gradient = torch.randn(x.shape, generator=generator).to(x)
    compiled, found = torch.compile(own, dynamic=False), []
    for layer in (compiled, usual):
        taken = x.clone().requires_grad_()
        y = layer(taken)
        y.backward(gradient)
        found.append((y, taken.grad))
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
    for one, other in zip(*found, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, **close)
    torch.testing.assert_close(own.weight.grad, usual.weight.grad, rtol=1e-2, atol=0.2)
    torch.testing.assert_close(own.bias.grad, usual.bias.grad, rtol=1e-2, atol=0.2)
    assert own.state_dict().keys() == usual.state_dict().keys()
    for name, value in own.state_dict().items():
        torch.testing.assert_close(value, usual.state_dict()[name], rtol=1e-3, atol=1e-3)
    own.load_state_dict(usual.state_dict())
    assert torch.equal(own.eval()(x), usual.eval()(x))


@pytest.fixture
def plan(tiny):
    """Two epochs of two whole batches and a smaller one."""
    recipe = Recipe(epochs=2, batch=16, rate=0.01)
    return Plan(dataset=replace(tiny, count=40), model="resnet20", attack=attacks["badnets"](target=1), recipe=recipe)


@needs_compiler
def test_a_compiled_training_learns_the_same(plan, tmp_path, monkeypatch):
    graphs = torch._dynamo.utils.counters["stats"]
    usual = list(train(plan, Store(tmp_path / "usual")))
    before = graphs["unique_graphs"]
    monkeypatch.setattr(steps, "WORTH", 1)
    compiled = list(train(plan, Store(tmp_path / "compiled")))
    assert graphs["unique_graphs"] == before + 1
    assert [epoch.loss for epoch in compiled] == pytest.approx([epoch.loss for epoch in usual], rel=0.05)
    # An interruption changes nothing here either.
    store = Store(tmp_path / "interrupted")
    interrupted = train(plan, store)
    next(interrupted)
    interrupted.close()
    assert [epoch.loss for epoch in train(plan, store)] == [epoch.loss for epoch in compiled]
    cards = [Store(tmp_path / name).checkpoint(plan.key).card() for name in ("usual", "compiled", "interrupted")]
    assert [card.environment["training"] for card in cards] == ["not compiled", "compiled", "compiled"]


def test_a_short_training_is_not_compiled(plan, store, monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    assert len(list(train(plan, store))) == 2


def broken(_):
    raise RuntimeError("there is no compiler")


class Graph:
    """Stands for a compiled model: fails in a pass forward or back if it is told to."""

    made: ClassVar[list[Graph]] = []
    fails: ClassVar[str] = ""

    def __init__(self, model, dynamic):
        self.model, self.calls = model, 0
        self.made.append(self)

    def __call__(self, images):
        self.calls += 1
        if self.fails == "forward":
            broken(images)
        logits = self.model(images)
        if self.fails == "back":
            logits.register_hook(broken)
        return logits


@pytest.fixture
def graphs(monkeypatch):
    """What was given to the compiler."""
    monkeypatch.setattr(torch, "compile", Graph)
    monkeypatch.setattr(Graph, "made", [])
    return Graph.made


def test_only_whole_batches_are_compiled(graphs):
    model, images = build_model("resnet20", classes=3, seed=0).eval(), torch.rand(4, 3, 16, 16)
    compiled = Compiled(model, 4)
    assert torch.equal(compiled(images[:3]), model(images[:3]))
    assert graphs == []
    for _ in range(2):
        assert torch.equal(compiled(images), model(images))
    trial, real = graphs
    assert (trial.calls, real.calls) == (1, 2)
    assert real.model is model
    assert compiled.path == "compiled"


@pytest.mark.parametrize("fails", ["forward", "back"])
def test_without_a_compiler_the_training_goes_on_and_says_so(graphs, monkeypatch, caplog, fails):
    monkeypatch.setattr(Graph, "fails", fails)
    model, images = build_model("resnet20", classes=3, seed=0), torch.rand(4, 3, 16, 16)
    before = copy.deepcopy(model.state_dict())
    compiled = Compiled(model, 4)
    model.eval()
    for _ in range(2):
        assert torch.equal(compiled(images), model(images))
    assert len(graphs) == 1, "it is tried once"
    assert compiled.path == "not compiled"
    assert "not compiled" in caplog.text
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_pays():
    recipe = Recipe(epochs=10)
    cpu, mps = torch.device("cpu"), torch.device("mps")
    assert [steps.pays("resnet20", recipe, images, cpu) for images in (49_999, 50_000)] == [False, True]
    assert not steps.pays("resnet20", recipe, 50_000, mps)
    assert not steps.pays("vgg19", recipe, 50_000, cpu), "its small maps are matrix products"


# Measured in a process of its own, because the allocator finds again what earlier tests left. What the process holds is
# measured and not page faults alone: not every kernel counts those.
MEASURE_MEMORY = """
import json, resource
import torch
from core.training.allocator import kept_memory

PAGE, BLOCK = resource.getpagesize(), 64 << 20

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    before = faults()
    torch.zeros(BLOCK, dtype=torch.uint8).add_(1)
    return faults() - before

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE / BLOCK

step()
start = held()
freed = {"faults": step(), "held": held() - start}
with kept_memory():
    # The first steps find their place among what is there.
    *_, last = [step() for _ in range(6)]
    kept = {"faults": last, "held": held() - start}
after = {"held": held() - start}
with kept_memory():
    step()
    with kept_memory():
        pass
    nested = {"held": held() - start}
print(json.dumps({"freed": freed, "kept": kept, "after": after, "nested": nested}))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
    reason="only glibc is told to keep memory, and only Linux says how much a process holds",
)
def test_memory_is_kept_between_steps_and_given_back_at_the_end():
    """In blocks of 64 MiB, what the process holds beyond what it held at the start."""
    # Settings of the allocator from outside would decide instead.
    own = {"LD_PRELOAD", "GLIBC_TUNABLES"}
    outside = {name: value for name, value in os.environ.items() if name not in own and not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", MEASURE_MEMORY]
    environment = outside | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["freed"]["held"] < 1 / 4
    assert found["kept"]["held"] > 3 / 4
    assert found["kept"]["faults"] <= found["freed"]["faults"] / 4
    assert found["nested"]["held"] > 3 / 4, "the end of one of two does not give back what the other keeps"
    assert found["after"]["held"] < 1 / 4
