"""Projected gradient descent against what can be worked out by hand, and its cache."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from core.attacks.pgd import PGD, Surrogate, pgd
from core.runtime.seeding import generator_for

WEIGHTS = torch.randn(3, 3 * 8 * 8, generator=torch.Generator().manual_seed(5))


def linear(images):
    return images.flatten(1) @ WEIGHTS.T


def images_of(count, seed=0):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("epsilon", [0, 4, 64])
def test_the_result_lies_in_the_ball_and_in_the_image_range(epsilon):
    images, labels = images_of(5), torch.tensor([0, 1, 2, 0, 1])
    before = images.clone()
    made = pgd(linear, images, labels, PGD(epsilon=epsilon, steps=5, step_size=8), generator_for(0))
    assert torch.equal(images, before)
    assert float((made - images).abs().max()) <= epsilon / 255 + 1e-6
    assert bool(((made >= 0) & (made <= 1)).all())
    assert not made.requires_grad


def test_the_best_attack_on_two_classes_is_found():
    """For a linear model of two classes it is known: every pixel by epsilon against the sign of its weight."""
    weights = WEIGHTS[:2]
    images, labels = images_of(4) * 0.5 + 0.25, torch.tensor([0, 1, 0, 1])
    made = pgd(
        lambda x: x.flatten(1) @ weights.T, images, labels, PGD(epsilon=16, steps=20, step_size=2), generator_for(0)
    )
    towards = (weights[1] - weights[0]).sign().view(3, 8, 8)
    sign = torch.where(labels == 0, 1.0, -1.0)[:, None, None, None]
    torch.testing.assert_close(made, images + 16 / 255 * sign * towards, atol=1e-5, rtol=0)


def test_the_loss_rises_and_parameters_collect_nothing():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    images, labels = images_of(6), torch.tensor([0, 1, 2, 0, 1, 2])
    made = pgd(model, images, labels, PGD(epsilon=16, steps=10, step_size=2), generator_for(0))
    with torch.no_grad():
        assert float(F.cross_entropy(model(made), labels)) > float(F.cross_entropy(model(images), labels))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.fixture
def counted(tmp_path):
    """A surrogate with an empty cache, and how often its model was asked."""
    calls = []

    def logits(images):
        calls.append(len(images))
        return linear(images)

    def surrogate(weights="abc"):
        return Surrogate(logits, weights, torch.device("cpu"), tmp_path)

    return surrogate, calls, tmp_path


def bytes_of(count, seed=0):
    return (images_of(count, seed) * 255).byte()


def test_what_was_made_once_is_not_made_again(counted):
    surrogate, calls, folder = counted
    images, labels, settings = bytes_of(4), torch.tensor([0, 1, 2, 0]), PGD(steps=3)
    first = surrogate().perturb(images, labels, settings)
    asked = len(calls)
    assert asked == 3
    assert first.dtype == torch.uint8
    assert not torch.equal(first, images)
    assert torch.equal(surrogate().perturb(images, labels, settings), first)
    assert len(calls) == asked
    assert [path.suffix for path in folder.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("changed", ["weights", "epsilon", "steps", "step_size", "seed", "images", "labels"])
def test_anything_that_changes_makes_it_anew(counted, changed):
    """A stale cache is never reused: everything that went in is part of the name."""
    surrogate, calls, _ = counted
    images, labels = bytes_of(4), torch.tensor([0, 1, 2, 0])
    surrogate().perturb(images, labels, PGD(steps=3))
    asked = len(calls)
    settings = {"epsilon": PGD(steps=3, epsilon=15), "steps": PGD(steps=4), "step_size": PGD(steps=3, step_size=1)}
    surrogate("other" if changed == "weights" else "abc").perturb(
        bytes_of(4, seed=1) if changed == "images" else images,
        labels.flip(0) if changed == "labels" else labels,
        settings.get(changed, PGD(steps=3)),
        1 if changed == "seed" else 0,
    )
    assert len(calls) > asked


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_a_damaged_cache_is_made_anew(counted, damage):
    surrogate, _, folder = counted
    images, labels, settings = bytes_of(3), torch.tensor([0, 1, 2]), PGD(steps=2)
    first = surrogate().perturb(images, labels, settings)
    next(folder.iterdir()).write_bytes(damage)
    assert torch.equal(surrogate().perturb(images, labels, settings), first)


def test_a_cache_that_cannot_be_written_costs_nothing_else(counted):
    surrogate, _, folder = counted
    (folder / "file").write_text("in the way")
    aside = Surrogate(surrogate().logits, "abc", torch.device("cpu"), folder / "file")
    images, labels, settings = bytes_of(3), torch.tensor([0, 1, 2]), PGD(steps=2)
    assert torch.equal(aside.perturb(images, labels, settings), surrogate().perturb(images, labels, settings))


def test_no_images_are_no_work(counted):
    surrogate, calls, _ = counted
    assert len(surrogate().perturb(bytes_of(0), torch.zeros(0, dtype=torch.int64), PGD())) == 0
    assert not calls
