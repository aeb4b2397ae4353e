"""How long a training will take on this machine, measured with a few of its own steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch

from core.models import build_model
from core.runtime.device import select_device
from core.runtime.seeding import generator_for
from core.schemas.base import damaged
from core.training.allocator import kept_memory
from core.training.optimizer import Optimizer
from core.training.speeds import keep_speed
from core.training.step import Steps, pays
from core.training.trainer import Plan

__all__ = ["LEAST", "MOST", "SECONDS", "UNTIMED", "Estimate", "estimate", "estimate_plan", "timed"]

UNTIMED = 2
"""Steps that are not timed: in the first, graphs are compiled and memory is asked for."""
SECONDS = 5.0
"""Seconds for which steps are timed, but at least :data:`LEAST` and at most :data:`MOST`."""
LEAST, MOST = 3, 60


@dataclass(frozen=True)
class Estimate:
    """What a training will take.

    Attributes:
        done: Share of the measurement, 0 to 1.
        images_per_second: Speed of the steps so far; 0 before the first.
        seconds: What the whole training will take at it, preparing and measuring not included.
    """

    done: float
    images_per_second: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        try:
            return cls(*(float(values[name]) for name in ("done", "images_per_second", "seconds")))
        except (KeyError, TypeError) as error:
            raise damaged(error) from error


def estimate(plan: Plan, images: int, device: torch.device, *, compiled: bool = False) -> Iterator[Estimate]:
    """Times some steps of a training, of which nothing is kept but their speed (:mod:`core.training.speeds`).

    Args:
        plan: What would be trained.
        images: Images of its training set.
        device: Where it would be trained.
        compiled: Whether to compile the steps, for half a minute, as a long training is.

    Yields:
        The estimate after each step, from the median of those so far; the last one is complete.

    Raises:
        DataMissing: If the data set is not on this machine.
        ValueError: If the attack does not fit it.
    """
    recipe = plan.effective_recipe
    data = plan.source.load("train", limit=recipe.batch).to(device)
    plan.attack.check_target(len(data.classes))
    generator = generator_for(plan.seed, "estimate", device=device)
    poisoned = plan.attack.select(data.labels.cpu(), generator_for(plan.seed, "select")).to(device)
    model = build_model(plan.model, classes=len(data.classes), channels=data.shape[0], seed=plan.seed)
    model.normalise.fit(data.images)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = len(data) if compiled else 0
    steps = Steps(plan.attack, model, Optimizer(model, recipe), data, data.labels, poisoned, compiled=batch)
    model.train()
    index = torch.arange(len(data), device=device)
    speed = 0.0
    with kept_memory():
        for done, seconds in timed(lambda: steps.take(index, 0.0, generator), device):
            speed = len(data) / seconds if seconds else 0.0
            if done == 1 and speed:
                keep_speed(speed, plan.model, plan.attack, recipe, data.shape, device, compiled=compiled)
            yield Estimate(done, speed, recipe.epochs * images / speed if speed else 0.0)


def estimate_plan(plan: dict[str, Any], images: int) -> Iterator[Estimate]:
    """As :func:`estimate`, of a plan as JSON and in the way in which it would be trained on this machine."""
    made, device = Plan.from_dict(plan), select_device()
    yield from estimate(made, images, device, compiled=pays(made.model, made.effective_recipe, images, device))


def timed(
    step: Callable[[], Any], device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> Iterator[tuple[float, float]]:
    """Times a step again and again.

    Args:
        step: What is timed.
        device: Where it computes.
        clock: Seconds since any moment.

    Yields:
        How much is done, 0 to 1, and the median of the times so far, in seconds; 0 after the first steps, which are not
        counted.
    """
    times = list[float]()
    done, number = 0.0, 0
    while done < 1:
        start = clock()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        number += 1
        times += [clock() - start] if number > UNTIMED else []
        done = min(1.0, len(times) / LEAST, max(sum(times) / SECONDS, len(times) / MOST))
        yield done, statistics.median(times) if times else 0.0
