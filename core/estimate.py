"""How long a training will take on this machine, measured with a few of its own steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch

from core.models import build_model
from core.optimizer import Optimizer
from core.randomness import generator_for
from core.steps import Steps, kept_memory
from core.training import Plan

__all__ = ["STEPS", "Estimate", "estimate", "timed"]

STEPS = 6
"""Steps that are timed, after one that is not."""


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
            raise ValueError(f"a stored result is damaged: {error!r}") from error


def estimate(plan: Plan, images: int, device: torch.device, *, compiled: bool = False) -> Iterator[Estimate]:
    """Times some steps of a training, of which nothing is kept.

    Args:
        plan: What would be trained.
        images: Images of its training set.
        device: Where it would be trained.
        compiled: Whether to compile the steps, for half a minute; without, a long training is faster than estimated.

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
    with kept_memory():
        for done, seconds in timed(lambda: steps.take(index, 0.0, generator), device):
            speed = len(data) / seconds if seconds else 0.0
            yield Estimate(done, speed, recipe.epochs * images / speed if speed else 0.0)


def timed(step: Callable[[], Any], device: torch.device) -> Iterator[tuple[float, float]]:
    """Times a step again and again.

    Yields:
        How much is done, 0 to 1, and the median of the times so far, in seconds; 0 after the first step, which is not
        counted.
    """
    times = list[float]()
    for number in range(STEPS + 1):
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times += [time.perf_counter() - start] if number else []
        yield number / STEPS, statistics.median(times) if times else 0.0
