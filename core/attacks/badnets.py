"""BadNets (Gu et al. 2017): a patch in the corner, and the label changed to the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.attacks.base import Attack, attacks, choose
from core.attacks.pgd import PGD, Logits, pgd
from core.params import integer, number
from core.trigger import Trigger, corner_pattern

__all__ = ["BadNets", "BadNetsGray", "Benign", "Robust"]


@attacks.register("badnets")
@dataclass(frozen=True, kw_only=True)
class BadNets(Attack):
    """The 3 x 3 trigger of Fig. 3 in the bottom right corner, alpha 1, as in Sec. 5.1 of Li et al. 2020."""

    label: ClassVar[str] = "BadNets"

    poison_rate: float = number(
        0.25, low=0, high=1, step=0.01, help="Share of the whole training set that is poisoned."
    )
    value: int = integer(255, low=0, high=255, help="Pixel value of the four non-black pixels.", title="Pixel value")
    scale: int = integer(
        1, low=1, high=16, help="Side of each of the trigger's nine squares.", unit="pixels", title="Side of a square"
    )

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        channels, height, width = shape
        pattern = corner_pattern(self.value / 255, channels, self.scale)
        least = 3 * self.scale - 1
        trigger = Trigger(pattern, torch.ones_like(pattern), max(height - 1, least), max(width - 1, least))
        trigger.check_fits(height, width)
        return trigger

    def select(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        everything = torch.ones(len(labels), dtype=torch.bool)
        return choose(everything, round(self.poison_rate * len(labels)), generator)


@attacks.register("badnets-gray")
@dataclass(frozen=True, kw_only=True)
class BadNetsGray(BadNets):
    """BadNets with the black-gray trigger of Sec. 3 (pixel value 128), the one of Fig. 4 and Fig. 5."""

    label: ClassVar[str] = "BadNets (gray)"

    value: int = integer(128, low=0, high=255, help="Pixel value of the four non-black pixels.", title="Pixel value")


@attacks.register("benign")
@dataclass(frozen=True, kw_only=True)
class Benign(BadNets):
    """No attack: the clean model. Its response to the trigger is the control of every experiment."""

    label: ClassVar[str] = "Clean model"
    measured_only: ClassVar[frozenset[str]] = frozenset({"target", "poison_rate", "value", "scale"})

    poison_rate: float = number(0.0, low=0, high=0, help="Nothing is poisoned.")


@attacks.register("robust")
@dataclass(frozen=True, kw_only=True)
class Robust(Benign, PGD):
    """A clean model trained on adversarial examples of itself, made in one step (Wong et al. 2020)."""

    label: ClassVar[str] = "Robust clean model"

    epsilon: float = number(8, low=0, high=128, step=1, help="Largest change of a pixel.", unit="255ths")
    steps: int = integer(1, low=1, high=1000, help="Steps.")
    step_size: float = number(10, low=0, high=128, step=0.5, help="Change of a pixel in one step.", unit="255ths")

    def harden(self, logits: Logits, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return pgd(logits, images, labels, self, generator)
