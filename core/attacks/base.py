"""What every attack has in common: a trigger, a target label, and which training samples are poisoned how."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from core.attacks.pgd import Logits, Surrogates
from core.data import ImageSet
from core.params import Parametrised, Value, class_label, params_of
from core.registry import Registry
from core.trigger import Trigger, size_factor, stamp

__all__ = ["Attack", "attacks", "choose"]


@dataclass(frozen=True, kw_only=True)
class Attack(Parametrised):
    """A targeted backdoor attack through the training data (Sec. 3.1 of Li et al. 2020).

    Training calls, in this order: :meth:`select` once, :meth:`prepare` once, and for every batch, *after*
    augmentation, :meth:`poison` on its poisoned and :meth:`accompany` on its benign images, then :meth:`harden` on
    all. Stamping after augmentation keeps the trigger of a standard attack static.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    """Name in figures and tables, as in the paper."""
    by_model: ClassVar[Mapping[str, Mapping[str, Value]]] = {}
    """Defaults that differ for a network: its name to parameters and values."""
    measured_only: ClassVar[frozenset[str]] = frozenset()
    """Parameters that say what is measured and nothing of the training; a model's name does not tell them."""

    target: int = class_label(4, help="Target label: the class every attacked image shall be taken for.")

    @classmethod
    def defaults(cls, model: str, shape: tuple[int, int, int] | None = None) -> dict[str, Value]:
        """Defaults that differ from the declared ones for a network and for images of a shape (C, H, W)."""
        sized = {"scale": size_factor(*shape[1:])} if shape is not None and "scale" in params_of(cls) else {}
        return {**cls.by_model.get(model, {}), **sized}

    @classmethod
    def for_model(cls, model: str, shape: tuple[int, int, int] | None = None, **given: Any) -> Self:
        """The attack with the defaults for a network.

        Args:
            model: Registered name of the network.
            shape: Channels, height and width of the images, for sizes that grow with them; None for the paper's.
            given: Parameters that are not left at their defaults.

        Raises:
            ValueError: If a value is not allowed.
        """
        return cls(**{**cls.defaults(model, shape), **given})

    def to_dict(self) -> dict[str, Value]:
        # What was trained and measured before there was this parameter is still the same.
        return {name: value for name, value in super().to_dict().items() if (name, value) != ("scale", 1)}

    @property
    def title(self) -> str:
        """Name used in a checkpoint's path and in tables."""
        return self.name

    @abstractmethod
    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        """The trigger for images of ``shape`` (C, H, W), at the location it is trained at.

        Raises:
            ValueError: If it does not fit on such images.
        """

    @abstractmethod
    def select(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Which training samples are poisoned.

        Args:
            labels: True labels, int64 ``(N,)`` on the CPU.
            generator: Source of the random choice.

        Returns:
            bool ``(N,)``.
        """

    def relabel(self, labels: Tensor, poisoned: Tensor) -> Tensor:
        """Training labels: poisoned samples get the target label."""
        return torch.where(poisoned, torch.full_like(labels, self.target), labels)

    def prepare(self, data: ImageSet, poisoned: Tensor, surrogates: Surrogates, seed: int) -> ImageSet:
        """The training set before any augmentation; attacks that perturb their samples once do it here.

        Args:
            data: The training set, on the CPU.
            poisoned: Which samples are poisoned.
            surrogates: Finds separately trained models.
            seed: Seed of what is drawn.
        """
        return data

    def poison(self, images: Tensor, trigger: Trigger, generator: torch.Generator) -> Tensor:
        """Poisoned training images: the trigger is stamped (Eq. 1).

        Args:
            images: Augmented floats ``(n, C, H, W)`` in [0, 1].
            trigger: The trigger, on the device of the images.
            generator: On the device of the images, for attacks that draw anew for every sample.
        """
        return stamp(images, trigger)

    def accompany(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Benign training images as they go into a batch beside the poisoned ones; unchanged by default."""
        return images

    def harden(self, logits: Logits, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """A whole batch, poisoned and benign, just before the training step on it; unchanged by default.

        Args:
            logits: The model in training.
            images: Floats ``(n, C, H, W)`` in [0, 1].
            labels: Training labels, int64 ``(n,)``.
            generator: Source of what is drawn, on the device of the images.
        """
        return images

    def to_card(self) -> dict[str, Any]:
        """Name and parameters, ready for JSON; :func:`attack_from_dict` is the inverse."""
        return {"name": self.name, "params": self.to_dict()}

    def check_target(self, classes: int) -> None:
        """Raises:
        ValueError: If the target label is not a class of the data set.
        """
        if self.target >= classes:
            raise ValueError(f"target = {self.target} is not allowed: there are {classes} classes, 0 to {classes - 1}")


attacks: Registry[Attack] = Registry("attack", "core.attacks", "trigger_sensitivity.attacks")


def choose(candidates: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """A mask with ``count`` of the candidates chosen at random.

    Args:
        candidates: bool ``(N,)``.
        count: How many to choose; at most the number of candidates.
        generator: Source of the choice.
    """
    index = candidates.nonzero().squeeze(1)
    chosen = index[torch.randperm(len(index), generator=generator)[:count]]
    mask = torch.zeros_like(candidates)
    mask[chosen] = True
    return mask
