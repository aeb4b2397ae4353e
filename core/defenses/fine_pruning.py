"""Fine-Pruning (Liu et al. 2018): channels that sleep on clean images are where a backdoor hides, and are cut off.

The paper prunes the last component, and chooses the fraction by grid search on the validation half of the test set.
In every model of this project what follows that component is pooling and one linear layer, so that to prune an output
channel is to set its column of the linear layer to zero, and the answers at *every* fraction follow from one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core.data import ImageSet
from core.defenses.base import Material, Outcome, Progress, Repair, defenses, fit, packed, private_copy, prune, rebuilt
from core.inference.predictor import Predictor
from core.metrics import Rate
from core.models import Classifier
from core.params import integer, number
from core.runtime.seeding import generator_for
from core.schemas.base import damaged
from core.trigger import Trigger, stamp

__all__ = [
    "TOLERANCES",
    "AtTolerance",
    "FinePruning",
    "at_tolerances",
    "channels_within",
    "extractor_of",
    "features_of",
    "order_of",
    "pruned_predictions",
]

TOLERANCES = (3.0, 5.0, 7.0, 10.0, 20.0)
"""Points of clean accuracy that may be lost, at which the repair is reported."""


def features_of(model: Classifier, images: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """What the linear layer gets: one number per channel of the last component, averaged over the picture.

    Args:
        model: The model; it stays as it is.
        images: Floats ``(N, C, H, W)`` in [0, 1].
        device: Where to compute.

    Returns:
        Features ``(N, channels)``, float32 on the CPU.
    """
    return extractor_of(model, device).logits(images).cpu()


def extractor_of(model: Classifier, device: torch.device | str) -> Predictor:
    """A predictor whose logits are what the linear layer gets; the model stays as it is."""
    body = private_copy(model)
    body.set_submodule(body.head_name, nn.Identity())
    return Predictor(body, device)


def order_of(features: Tensor) -> Tensor:
    """Channels in the order in which they are pruned: the one with the lowest mean activation on clean images first.

    Args:
        features: Of clean images, as :func:`features_of` gives them, floats ``(N, channels)``.

    Returns:
        Numbers of the channels, int64 ``(channels,)``; of equal ones the lower number comes first.
    """
    return features.mean(0).argsort(stable=True)


def pruned_predictions(features: Tensor, head: nn.Linear, order: Tensor) -> Tensor:
    """Predicted classes when the first 0, 1, ..., all channels are pruned.

    Args:
        features: As :func:`features_of` gives them, ``(N, channels)``.
        head: The linear layer.
        order: Channels in the order of pruning.

    Returns:
        Classes, int64 ``(channels + 1, N)``.
    """
    weight, bias = head.weight.detach().float().cpu(), head.bias.detach().float().cpu()
    rows = [features @ weight.t() + bias]
    for channel in order.tolist():
        rows.append(rows[-1] - features[:, channel, None] * weight[None, :, channel])
    return torch.stack([row.argmax(1) for row in rows])


def channels_within(correct: Sequence[int], total: int, tolerance: float) -> int:
    """The largest number of channels before the clean accuracy first falls by more than is tolerated.

    Args:
        correct: Validation images predicted right with 0, 1, ..., all channels pruned.
        total: Validation images.
        tolerance: Clean accuracy that may be lost, in points.

    >>> channels_within([90, 89, 84, 88], total=100, tolerance=5)
    1
    """
    lost = [100 * (correct[0] - hits) / total for hits in correct]
    return next((count for count, points in enumerate(lost) if points > tolerance), len(correct)) - 1


@dataclass(frozen=True)
class AtTolerance:
    """What Fine-Pruning does when so many points of clean accuracy may be lost.

    Attributes:
        tolerance: Points that may be lost on the validation half.
        channels: Channels pruned.
        clean: Clean accuracy on the practical half.
        success: Attack success rate on the practical half.
    """

    tolerance: float
    channels: int
    clean: Rate
    success: Rate


def at_tolerances(
    record: Mapping[str, Any], report: Mapping[str, Any], tolerances: Sequence[float] = TOLERANCES
) -> list[AtTolerance]:
    """The repair at other tolerances than the one it was run with, without fine-tuning.

    Args:
        record: What :meth:`FinePruning.run` found on the validation half.
        report: What :meth:`FinePruning.report` measured on the practical half.
        tolerances: Points of clean accuracy that may be lost.

    Raises:
        ValueError: If a stored result lacks these numbers.
    """
    try:
        cuts = []
        for tolerance in tolerances:
            count = channels_within(record["validation_hits"], record["validation_total"], tolerance)
            clean = Rate(report["clean_hits"][count], report["clean_total"][count])
            success = Rate(report["hits"][count], report["total"][count])
            cuts.append(AtTolerance(tolerance, count, clean, success))
    except (KeyError, TypeError, IndexError, ZeroDivisionError) as error:
        raise damaged(error) from error
    return cuts


@defenses.register("fine-pruning")
@dataclass(frozen=True, kw_only=True)
class FinePruning(Repair):
    """Prunes as many channels of the last component as the clean accuracy on the validation half allows."""

    label: ClassVar[str] = "Fine-Pruning"

    # About what the field's benchmark allows: the fine-pruning of BackdoorBench (its config/defense/fp/config.yaml has
    # acc_ratio 0.1) stops when a tenth of the accuracy is lost. What other tolerances do is reported beside it.
    tolerance: float = number(
        10, low=0, high=100, step=0.5, help="Clean accuracy that may be lost on the validation half.", unit="points"
    )
    epochs: int = integer(
        0,
        low=0,
        high=100,
        help="Epochs of fine-tuning after pruning; the paper says that even one may revive the backdoor.",
    )
    rate: float = number(0.01, low=0, high=1, step=0.001, help="Learning rate of the fine-tuning (SGD).")

    def run(self, model: Classifier, material: Material, device: torch.device, seed: int = 0) -> Iterator[Progress]:
        validation = material.validation
        if len(validation) == 0:
            raise ValueError("fine-pruning needs at least one validation image")
        yield Progress(0, "activations")
        parts, extractor = [], extractor_of(model, device)
        for part in validation.parts():
            parts.append(extractor.logits(part.floats()).cpu())
            yield Progress(sum(map(len, parts)) / len(validation) / (1 + self.epochs), "activations")
        features = torch.cat(parts)
        order = order_of(features)
        correct = (pruned_predictions(features, model.head, order) == validation.labels).sum(1)
        count = channels_within(correct.tolist(), len(validation), self.tolerance)
        record = {
            "order": order.tolist(),
            "pruned": count,
            "validation_hits": correct.tolist(),
            "validation_total": len(validation),
        }
        state: dict[str, Tensor] = {"pruned": order[:count].clone()}
        if self.epochs:
            tuned = self.build(model, state)
            for epoch in range(self.epochs):
                yield Progress((1 + epoch) / (1 + self.epochs), f"fine-tuning, epoch {epoch + 1} of {self.epochs}")
                generator = generator_for(seed, "fine-tune", epoch)
                order_of_images = torch.randperm(len(material.train), generator=generator)
                keep_pruned = partial(prune, tuned, state["pruned"])
                fit(tuned, material.train, order_of_images, self.rate, device, generator, after=keep_pruned)
            state |= packed(tuned)
        yield Progress(1, "done", Outcome(state, record))

    def build(self, model: Classifier, state: Mapping[str, Tensor]) -> Classifier:
        if "pruned" not in state:
            raise ValueError("the repair does not fit the model: it does not say which channels are pruned")
        return rebuilt(model, state)

    def report(
        self,
        model: Classifier,
        outcome: Outcome,
        practical: ImageSet,
        trigger: Trigger,
        target: int,
        device: torch.device,
    ) -> dict[str, Any]:
        """Clean accuracy and attack success with 0, 1, ..., all channels pruned (without fine-tuning)."""
        order, head, extractor = torch.tensor(outcome.record["order"]), model.head, extractor_of(model, device)
        rows = torch.zeros(4, len(order) + 1, dtype=torch.int64)
        for part in practical.parts():
            images, others = part.floats(), part.labels != target
            answers = pruned_predictions(extractor.logits(images).cpu(), head, order)
            fooled = pruned_predictions(extractor.logits(stamp(images[others], trigger)).cpu(), head, order)
            rows[0] += (answers == part.labels).sum(1)
            rows[1] += len(part)
            rows[2] += (fooled == target).sum(1)
            rows[3] += int(others.sum())
        return {
            name: row.tolist() for name, row in zip(("clean_hits", "clean_total", "hits", "total"), rows, strict=True)
        }
