"""How long the tasks of a grid will take on this machine: an estimate, before any is begun.

A training takes as long as the last one of its kind took here, an epoch for an epoch. Where none was measured, and for
everything else, the operations of a network's passes are counted and divided by what is usual of the machine's matrix
rate, which is measured now.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import cache

import torch

from core.data import Dataset
from core.models import models
from core.models.base import Undrawn
from core.recipe import Recipe
from core.reproduction.tasks import TRAINING, Task
from core.runtime.device import fast_type
from core.runtime.machine_speed import matrix_rate, operations
from core.sweeps.physical import conditions, presets_and_ranges, ranges
from core.sweeps.runner import PHOTOGRAPHIC
from core.training.speeds import known_speed
from core.training.step import pays
from core.transforms import transforms

__all__ = ["Cost", "hours_of"]

TRAINING_SHARE, PASSING_SHARE = 0.2, 0.3
"""Usual shares of the matrix rate that training steps and forward passes reach."""
TEST, TRAIN = 10_000, 50_000
"""Images of a test set and a training set whose number is not known before they are read."""
BACKWARD = 3
"""Passes that a pass forward and back is worth."""


def hours_of(tasks: Iterable[Task], device: torch.device) -> dict[str, float]:
    """Estimated hours of every task, by its id; 0 for one that is not possible, which says so when it is begun."""
    cost, hours = Cost(matrix_rate(fast_type(device), device), device), {}
    for task in tasks:
        hours[task.id] = 0.0
        with contextlib.suppress(ValueError):
            hours[task.id] = cost.seconds(task) / 3600
    return hours


class Cost:
    """Estimates tasks.

    Args:
        rate: Floating-point operations a second of a matrix product.
        device: Where the tasks will run.
    """

    def __init__(self, rate: float, device: torch.device) -> None:
        self.rate, self.device = rate, device

    def seconds(self, task: Task) -> float:
        """Estimated seconds of a task; crafting the images of the Consistent Attack is left out."""
        shape = task.dataset_object.shape or (3, 32, 32)
        if task.name == TRAINING:
            return self._training(task, task.training_recipe, shape)
        passes = _passes(task, task.dataset_object, shape)
        return passes * _operations(task.model, shape) / (PASSING_SHARE * self.rate)

    def _training(self, task: Task, recipe: Recipe, shape: tuple[int, int, int]) -> float:
        images = recipe.epochs * TRAIN
        for compiled in (pays(task.model, recipe, TRAIN, self.device), False):
            known = known_speed(task.model, task.attack_object, recipe, shape, self.device, compiled=compiled)
            if known is not None:
                return images / known.images_per_second
        return images * BACKWARD * _operations(task.model, shape) / (TRAINING_SHARE * self.rate)


def _passes(task: Task, dataset: Dataset, shape: tuple[int, int, int]) -> float:
    """Forward passes of a measurement, about."""
    images, name = task.images or TEST, task.name
    if name.startswith("strength-"):
        return 2 * images * len(transforms[name.removeprefix("strength-")]().grid_for(shape))
    if name == "repair-neural-cleanse":
        repair = task.repair.to_dict()
        return (
            BACKWARD
            * len(dataset.classes)
            * float(repair["rounds"])
            * float(repair["batches"])
            * float(repair["batch"])
        )
    trigger = task.attack_object.trigger(shape)
    rows, cols = trigger.places(*shape[1:])
    each = {
        "location": len(rows) * len(cols),
        "appearance": 256,
        "saliency": 4 * BACKWARD,
        **dict.fromkeys(PHOTOGRAPHIC[1:], len(presets_and_ranges()) + len(ranges())),
    }
    if name == "physical":
        return float(sum(way.images(images) * (1 + way.has_benign) for way in conditions()))
    return images * each.get(name, 4.0)


@cache
def _operations(model: str, shape: tuple[int, int, int]) -> float:
    """Operations of a network's forward pass; of its shapes only, so that no weights are made."""
    with torch.device("meta"), Undrawn():
        return operations(models[model](10, shape[0]).eval(), shape)
