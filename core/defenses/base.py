"""What every repair has in common: it is given a model and clean data, and returns a model that is safer.

A repair works in two steps: :meth:`Repair.run` finds out what to change, which may take minutes and can be watched and
stopped, and :meth:`Repair.build` makes the repaired model from what was found, so that it can be stored and had again
at once.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from core.data import ImageSet
from core.models import Classifier
from core.params import Parametrised
from core.registry import Registry
from core.runtime.seeding import generator_for
from core.schemas.base import damaged
from core.store.weights import rounded
from core.training.augmentation import augment, draw
from core.trigger import Trigger

__all__ = [
    "Material",
    "Outcome",
    "Progress",
    "Repair",
    "defense_from_dict",
    "defenses",
    "fit",
    "packed",
    "private_copy",
    "prune",
    "rebuilt",
    "split_test",
]


@dataclass(frozen=True)
class Material:
    """The clean data that a defender has.

    Attributes:
        train: Clean training images.
        validation: Clean images that the model was not trained on: one half of the test set (Sec. 5.1). What a repair
            is worth is measured on the other half.
    """

    train: ImageSet
    validation: ImageSet


@dataclass(frozen=True)
class Outcome:
    """What a repair has found out.

    Attributes:
        state: Tensors from which :meth:`Repair.build` makes the repaired model.
        record: What it says about the model, ready for JSON.
    """

    state: dict[str, Tensor]
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far a repair is.

    Attributes:
        done: Share of the work, 0 to 1; an estimate, since some stop early.
        note: What it is doing, in a few words.
        outcome: The result; only in the last one.
    """

    done: float
    note: str
    outcome: Outcome | None = None


@dataclass(frozen=True, kw_only=True)
class Repair(Parametrised):
    """A defense that makes another model out of a model."""

    name: ClassVar[str]
    label: ClassVar[str]
    """Name in figures and tables, as in the paper."""
    paper_settings: ClassVar[Mapping[str, Any]] = {}
    """What the paper has where the default is less, so that a laptop can do it."""

    @abstractmethod
    def run(self, model: Classifier, material: Material, device: torch.device, seed: int = 0) -> Iterator[Progress]:
        """Finds out what to change.

        Args:
            model: The model that may be infected; it stays as it is.
            material: Clean data.
            device: Where to compute.
            seed: Seed of all draws.

        Yields:
            Progress; the last one carries the outcome.

        Raises:
            ValueError: If the material does not fit.
        """

    @abstractmethod
    def build(self, model: Classifier, state: Mapping[str, Tensor]) -> Classifier:
        """The repaired model, in evaluation mode on the CPU.

        Args:
            model: The model that was repaired; it stays as it is.
            state: As :meth:`run` found it.

        Raises:
            ValueError: If the state does not fit the model.
        """

    def report(
        self,
        model: Classifier,
        outcome: Outcome,
        practical: ImageSet,
        trigger: Trigger,
        target: int,
        device: torch.device,
    ) -> dict[str, Any]:
        """What else is worth knowing, measured with what only the attacker knows; ready for JSON.

        Args:
            model: The model as it was.
            outcome: What the repair found.
            practical: The half of the test set that the repair has not seen.
            trigger: The true trigger.
            target: The true target label.
            device: Where to compute.
        """
        return {}


defenses: Registry[Repair] = Registry("defense", "core.defenses", "trigger_sensitivity.defenses")


def defense_from_dict(values: Mapping[str, Any]) -> Repair:
    """A repair from ``{"name", "params"}``, as stored results have it.

    Raises:
        ValueError: If the name is unknown or a parameter is not allowed.
    """
    try:
        return defenses[values["name"]].from_dict(values["params"])
    except (KeyError, TypeError) as error:
        raise damaged(error) from error


def split_test(data: ImageSet, seed: int = 0) -> tuple[ImageSet, ImageSet]:
    """The test set in two halves drawn at random, the same ones each time: validation set and practical test set."""
    order = torch.randperm(len(data), generator=generator_for(seed, "halves"))
    middle = len(data) // 2
    return data.subset(order[:middle]), data.subset(order[middle:])


def packed(model: Classifier) -> dict[str, Tensor]:
    """The weights of a repaired model as they are part of a state; :func:`rebuilt` reads them."""
    return {f"model.{name}": tensor for name, tensor in rounded(model).items()}


def rebuilt(model: Classifier, state: Mapping[str, Tensor]) -> Classifier:
    """A copy of a model with the weights of a state and its ``pruned`` channels cut off, each where the state has them.

    Raises:
        ValueError: If the state does not fit the model.
    """
    repaired = private_copy(model)
    weights = {name.removeprefix("model."): t.float() for name, t in state.items() if name.startswith("model.")}
    try:
        if weights:
            repaired.load_state_dict(weights)
        if "pruned" in state:
            prune(repaired, state["pruned"].long())
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"the repair does not fit the model: {str(error).splitlines()[0]}") from error
    return repaired


@torch.no_grad()
def prune(model: Classifier, channels: Tensor) -> None:
    """Cuts off channels of the last component, in place: their columns of the linear layer become zero.

    Args:
        model: The model; its linear layer has weights ``(classes, channels)``.
        channels: Which ones, int64 ``(n,)``, each from 0 to ``channels - 1``.
    """
    model.head.weight[:, channels] = 0


def fit(
    model: Classifier,
    data: ImageSet,
    order: Tensor,
    rate: float,
    device: torch.device,
    generator: torch.Generator,
    *,
    change: Callable[[Tensor], Tensor] = lambda images: images,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Trains a model further, in place: one pass over images in the order given, augmented, SGD with momentum 0.9.

    Args:
        model: The model; in evaluation mode afterwards.
        data: Training images.
        order: Which of them, int64 ``(n,)``.
        rate: Learning rate.
        device: Where to compute.
        generator: Source of the augmentation, on the CPU.
        change: What happens to every augmented batch.
        after: What happens after every step.
    """
    model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    for index in torch.split(order, 128):
        images = change(augment(data.images[index], draw(len(index), generator)).float().div_(255))
        loss = F.cross_entropy(model(images.to(device)), data.labels[index].to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        after()
    model.eval()


def private_copy(model: Classifier) -> Classifier:
    """A copy on the CPU, float32, in evaluation mode, that can be changed."""
    return copy.deepcopy(model).to("cpu").float().eval()
