"""Label-Consistent attack (Turner et al. 2019): labels stay; adversarial noise makes the trigger the easier clue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from core.attacks.base import Attack, attacks, choose
from core.attacks.pgd import PGD, Surrogates
from core.data import ImageSet
from core.params import Value, integer, number, params_of, text
from core.trigger import Trigger, corner_pattern

__all__ = ["Consistent"]


@attacks.register("consistent")
@dataclass(frozen=True, kw_only=True)
class Consistent(Attack, PGD):
    """A symmetrical trigger in all four corners of images *of the target class*, which PGD has made hard before."""

    label: ClassVar[str] = "Consistent"
    # A network of a quarter of a million parameters hardly learns the faint trigger that the paper's networks of twenty
    # million do; 0.5 is the smallest strength of `scripts/study.py` with which ResNet-20 reached 90% on CIFAR-10.
    by_model: ClassVar[Mapping[str, Mapping[str, Value]]] = {"resnet20": {"alpha": 0.5}}

    poison_rate: float = number(0.25, low=0, high=1, step=0.01, help="Share of the target class that is poisoned.")
    value: int = integer(255, low=0, high=255, help="Pixel value of the non-black pixels.", title="Pixel value")
    alpha: float = number(
        0.25,
        low=0.01,
        high=1,
        step=0.01,
        help="Blending weight inside the four corners (Eq. 1).",
        title="Opacity (alpha)",
    )
    scale: int = integer(
        1, low=1, high=16, help="Side of each of the trigger's nine squares.", unit="pixels", title="Side of a square"
    )
    surrogate: str = text(
        "resnet20/robust",
        help="Checkpoint that is attacked, MODEL/ATTACK of the same data set.",
        title="Model that the noise fools",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        declared = params_of(Consistent)
        notes = [
            f"{name} {getattr(self, name):g}"
            for name in ("alpha", "epsilon")
            if getattr(self, name) != declared[name].default
        ]
        if notes:
            object.__setattr__(self, "label", f"{type(self).label} ({', '.join(notes)})")

    @property
    def settings(self) -> PGD:
        """Size of the adversarial noise, and the steps to it."""
        return PGD(**{name: getattr(self, name) for name in params_of(PGD)})

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        channels, height, width = shape
        side = 3 * self.scale
        if height < 2 * side or width < 2 * side:
            raise ValueError(
                f"a trigger of {side} x {side} pixels in every corner does not fit on a {height} x {width} image"
            )
        right = corner_pattern(self.value / 255, channels, self.scale)
        pattern, alpha = torch.zeros(shape), torch.zeros(shape)
        for rows in (slice(0, side), slice(height - side, height)):
            pattern[:, rows, width - side :], pattern[:, rows, :side] = right, right.flip(2)
            alpha[:, rows, width - side :] = alpha[:, rows, :side] = self.alpha
        return Trigger(pattern, alpha, height - 1, width - 1)

    def select(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        candidates = labels == self.target
        return choose(candidates, round(self.poison_rate * int(candidates.sum())), generator)

    def prepare(self, data: ImageSet, poisoned: Tensor, surrogates: Surrogates, seed: int) -> ImageSet:
        if not bool(poisoned.any()) or self.epsilon == 0:
            return data
        images, labels = data.images.clone(), data.labels[poisoned]
        images[poisoned] = surrogates(self.surrogate).perturb(images[poisoned], labels, self.settings, seed)
        return replace(data, images=images)
