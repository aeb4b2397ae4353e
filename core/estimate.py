"""How long a training will take on this machine, measured with a few of its own steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F

from core.inference import has_fast_bfloat16
from core.models import build_model
from core.optimizer import Optimizer
from core.randomness import generator_for
from core.training import Plan, poisoned_batch

__all__ = ["STEPS", "Estimate", "estimate"]

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


def estimate(plan: Plan, images: int, device: torch.device) -> Iterator[Estimate]:
    """Times some steps of a training, of which nothing is kept.

    Args:
        plan: What would be trained.
        images: Images of its training set.
        device: Where it would be trained.

    Yields:
        The estimate after each step, the fastest of which counts; the last one is complete.

    Raises:
        DataMissing: If the data set is not on this machine.
        ValueError: If the attack does not fit it.
    """
    recipe = plan.effective_recipe
    data = plan.dataset.load("train", limit=recipe.batch).to(device)
    plan.attack.check_target(len(data.classes))
    trigger = plan.attack.trigger(data.shape).to(device)
    generator = generator_for(plan.seed, "estimate", device=device)
    poisoned = plan.attack.select(data.labels.cpu(), generator_for(plan.seed, "select")).to(device)
    model = build_model(plan.model, classes=len(data.classes), channels=data.shape[0], seed=plan.seed)
    model.normalise.fit(data.images)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, index = Optimizer(model, recipe), torch.arange(len(data), device=device)
    model.train()
    fastest = float("inf")
    for step in range(STEPS + 1):
        start = time.perf_counter()
        batch = poisoned_batch(plan.attack, trigger, data, poisoned, index, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
            batch = plan.attack.harden(model, batch, data.labels, generator)
            logits = model(batch)
        F.cross_entropy(logits.float(), data.labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step(0.0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if step == 0:
            yield Estimate(0.0, 0.0, 0.0)
            continue
        fastest = min(fastest, time.perf_counter() - start)
        speed = len(data) / fastest
        yield Estimate(step / STEPS, speed, recipe.epochs * images / speed)
