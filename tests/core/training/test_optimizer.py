"""Muon for the convolutions and SGD for the rest, against torch's own, and its state."""

from __future__ import annotations

import pytest
import torch
from torch.overrides import TorchFunctionMode

from core.models import build_model
from core.recipe import Recipe
from core.training.muon import Float32Muon
from core.training.optimizer import REST_DECAY, REST_RATE, Optimizer


def model_of(seed=0, channels=3):
    model = build_model("resnet20", classes=3, channels=channels, seed=seed)
    return model.to(memory_format=torch.channels_last).train()


def gradients(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        last = parameter.ndim == 4
        parameter.grad = drawn.to(memory_format=torch.channels_last) if last else drawn


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_sgd_is_torchs_own():
    recipe, model, other = Recipe(optimizer="sgd", weight_decay=1e-3), model_of(), model_of()
    ours = Optimizer(model, recipe)
    theirs = torch.optim.SGD(other.parameters(), 1.0, recipe.momentum, weight_decay=1e-3, nesterov=True)
    for seed, rate in enumerate((0.1, 0.05)):
        for each in (model, other):
            gradients(each, seed)
        ours.step(rate)
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
    for name, weight in weights(other).items():
        assert torch.equal(weights(model)[name], weight)


@pytest.mark.parametrize("channels", [1, 3])
def test_muon_moves_every_direction_of_a_convolution_equally_far(channels):
    """The step's matrix has singular values near 1 (Newton-Schulz leaves 0.7 to 1.2) times the rate, after decay."""
    recipe = Recipe(weight_decay=0.1)
    model = model_of(channels=channels)
    before, optimizer = weights(model), Optimizer(model, recipe)
    gradients(model, 0)
    optimizer.step(0.02)
    for name, weight in weights(model).items():
        if weight.ndim != 4:
            continue
        moved = (before[name] * (1 - 0.02 * 0.1) - weight).permute(0, 2, 3, 1).flatten(1)
        scale = max(1, moved.shape[0] / moved.shape[1]) ** 0.5
        singular = torch.linalg.svdvals(moved) / (0.02 * scale)
        assert 0.5 < float(singular.min()) <= float(singular.max()) < 1.3, name


@pytest.mark.parametrize(("rows", "columns"), [(16, 27), (64, 9), (8, 8)])
def test_newton_schulz_in_float32_is_torchs_own_but_for_rounding(rows, columns):
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(rows, columns)) for _ in range(2))
    settings = {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.9, "nesterov": True, "ns_steps": 5}
    float32, own = Float32Muon([ours], **settings), torch.optim.Muon([theirs], **settings)
    for _ in range(3):
        ours.grad = torch.randn(rows, columns, generator=generator)
        theirs.grad = ours.grad.clone()
        before = ours.detach().clone()
        float32.step()
        own.step()
        step = float((ours.detach() - before).norm())
        assert float((ours - theirs).detach().norm()) < 0.05 * step
    assert torch.equal(float32.state[ours]["momentum_buffer"], own.state[theirs]["momentum_buffer"])


@pytest.mark.parametrize("fast", [False, True])
def test_products_are_in_bfloat16_where_the_device_is_fast_at_it(monkeypatch, fast):
    monkeypatch.setattr("core.training.optimizer.has_fast_bfloat16", lambda device: fast)
    model = model_of()
    gradients(model, 0)
    types = set()

    class Types(TorchFunctionMode):
        def __torch_function__(self, func, _, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if func is torch.addmm:
                types.add(result.dtype)
            return result

    with Types():
        Optimizer(model, Recipe()).step(0.02)
    assert types == {torch.bfloat16 if fast else torch.float32}


def test_the_rest_takes_sgd():
    recipe, model, other = Recipe(), model_of(), model_of()
    optimizer = Optimizer(model, recipe)
    rest = [p for p in other.parameters() if p.ndim != 4]
    theirs = torch.optim.SGD(rest, 0.02 * REST_RATE, recipe.momentum, weight_decay=REST_DECAY, nesterov=True)
    for each in (model, other):
        gradients(each, 0)
    optimizer.step(0.02)
    theirs.step()
    for name, weight in weights(other).items():
        assert torch.equal(weights(model)[name], weight) == (weight.ndim != 4), name


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("kind", ["muon", "sgd"])
def test_a_restored_state_goes_on_to_the_same_weights(kind, momentum):
    recipe = Recipe(optimizer=kind, weight_decay=1e-3, momentum=momentum, nesterov=momentum > 0)
    model, other = model_of(), model_of(seed=1)
    optimizer = Optimizer(model, recipe)
    gradients(model, 0)
    optimizer.step(0.1)
    other.load_state_dict(model.state_dict())
    restored = Optimizer(other, recipe)
    restored.restore({name: tensor.clone() for name, tensor in optimizer.momentum().items()})
    for each, its in ((model, optimizer), (other, restored)):
        gradients(each, 1)
        its.step(0.05)
    for name, weight in weights(model).items():
        assert torch.equal(weights(other)[name], weight), name
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["muon", "sgd"])
def test_the_momentum_of_another_model_is_refused(kind):
    recipe, model = Recipe(optimizer=kind), model_of()
    optimizer = Optimizer(model, recipe)
    gradients(model, 0)
    optimizer.step(0.1)
    kept = optimizer.momentum()
    fresh = Optimizer(model_of(), recipe)
    for wrong in ({}, {f"{name}0": tensor for name, tensor in kept.items()}, {n: t[:1] for n, t in kept.items()}):
        with pytest.raises(ValueError, match="momentum"):
            fresh.restore(wrong)
    assert fresh.momentum() == {}


def test_other_memory_layouts_are_refused():
    with pytest.raises(ValueError, match="channels last"):
        Optimizer(build_model("resnet20", classes=3, channels=3, seed=0), Recipe())
