"""Enhanced attacks (Sec. 4.2): poisoned images pass a random transformation layer before they are trained on.

Any attack can be enhanced by any compound transformation. The layer is sampled anew for every poisoned image each time
it is seen, which estimates the expectation of Eq. 9 (the paper's "sampling-based training method").

>>> from core.attacks import attacks
>>> attack = Enhanced(base=attacks["badnets"](), enhancement=Enhancement(max_shrink=2))
>>> attack.title, attack.label
('badnets+max2', 'BadNets+ (max 2)')
>>> attack.enhancement.layer.label
'Flip (50 %), then Random ShrinkPad (0 to 2)'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.attacks.base import Attack, attacks
from core.attacks.pgd import Logits, Surrogates
from core.data import ImageSet
from core.paper.constants import SHRINK
from core.params import Parametrised, Value, flag, integer, number, params_of, text
from core.transforms import Compose, Layer, Portion, transform_from_spec
from core.transforms.spatial import MOST, Flip, RandomShrinkPad
from core.trigger import Trigger, size_factor

__all__ = ["Enhanced", "Enhancement", "attack_from_dict"]


@dataclass(frozen=True, kw_only=True)
class Enhancement(Parametrised):
    """The random transformation layer of an enhanced attack and what passes it."""

    max_shrink: int = integer(
        SHRINK,
        low=0,
        high=MOST,
        help="Largest shrink size of the layer's ShrinkPad.",
        unit="pixels",
        title="Largest shrink size",
    )
    transforms: str = text(
        "",
        help="Another layer than random Flip, then random ShrinkPad; e.g. flip:0.5,noise:10.",
        title="Other transformations",
    )
    benign_too: bool = flag(
        True, help="Benign training images pass the layer too (Sec. 5.3).", title="Benign images too"
    )
    share: float = number(
        1.0,
        low=0.05,
        high=1,
        step=0.05,
        help="Share of the images that pass the layer, 1 = all; the others stay as they are.",
        title="Share of the images",
    )

    @classmethod
    def defaults(cls, shape: tuple[int, int, int] | None) -> dict[str, Value]:
        """Defaults that differ from the declared ones for images of a shape (C, H, W)."""
        most = params_of(cls)["max_shrink"].default
        return {} if shape is None else {"max_shrink": int(most) * size_factor(*shape[1:])}

    def __post_init__(self) -> None:
        super().__post_init__()
        # One spelling of each layer; an unknown one is refused here.
        object.__setattr__(self, "transforms", transform_from_spec(self.transforms).spec)
        default = params_of(Enhancement)["max_shrink"].default
        if self.transforms and self.max_shrink != default:
            raise ValueError(f"max_shrink = {self.max_shrink} is not allowed beside transforms, which replace it")

    @property
    def layer(self) -> Layer:
        """The compound transformation, with its randomness (the set T of Eq. 9)."""
        return self._whole_layer if self.share == 1 else Portion(self._whole_layer, self.share)

    @property
    def _whole_layer(self) -> Compose:
        """What the images pass that do pass it."""
        if self.transforms:
            return transform_from_spec(self.transforms)
        flip = Flip(probability=0.5)
        return Compose((flip, RandomShrinkPad(size=self.max_shrink)) if self.max_shrink else (flip,))

    @property
    def is_sized(self) -> bool:
        """Whether it is the paper's, but for the largest shrink size (Fig. 14)."""
        return not self.transforms and self.benign_too and self.share == 1

    @property
    def suffix(self) -> str:
        """What follows the ``+`` in a checkpoint's path: nothing for the paper's setting."""
        parts = []
        if self.transforms:
            parts.append(re.sub(r"[:,]", "-", self.transforms))
        elif self.max_shrink != SHRINK:
            parts.append(f"max{self.max_shrink}")
        parts += [f"share{self.share:g}"] * (self.share != 1) + ["poisoned-only"] * (not self.benign_too)
        return "-".join(parts)

    @property
    def note(self) -> str:
        """What differs from the paper's setting, for people."""
        parts = []
        if self.transforms:
            parts.append(self._whole_layer.label)
        elif self.max_shrink != SHRINK:
            parts.append(f"max {self.max_shrink}")
        parts += [f"{100 * self.share:g} % of the images"] * (self.share != 1)
        parts += ["poisoned only"] * (not self.benign_too)
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Enhanced(Attack):
    """Any attack whose poisoned images are transformed (Eq. 7), sampled per image (Eq. 8 and 9)."""

    base: Attack
    enhancement: Enhancement = field(default_factory=Enhancement)

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", self.base.target)
        object.__setattr__(self, "name", self.base.name)
        name, _, note = self.base.label.partition(" (")
        notes = [text for text in (note.rstrip(")"), self.enhancement.note) if text]
        object.__setattr__(self, "label", f"{name}+ ({', '.join(notes)})" if notes else f"{name}+")

    @property
    def title(self) -> str:
        return f"{self.base.title}+{self.enhancement.suffix}"

    @property
    def sized_title(self) -> str:
        """The title with the largest shrink size in it, the paper's too: the names of the models of Fig. 14.

        >>> from core.attacks import attacks
        >>> Enhanced(base=attacks["badnets"]()).sized_title
        'badnets+max4'
        """
        sized = self.enhancement.is_sized
        return f"{self.base.title}+max{self.enhancement.max_shrink}" if sized else self.title

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        return self.base.trigger(shape)

    def select(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        return self.base.select(labels, generator)

    def relabel(self, labels: Tensor, poisoned: Tensor) -> Tensor:
        return self.base.relabel(labels, poisoned)

    def prepare(self, data: ImageSet, poisoned: Tensor, surrogates: Surrogates, seed: int) -> ImageSet:
        return self.base.prepare(data, poisoned, surrogates, seed)

    def poison(self, images: Tensor, trigger: Trigger, generator: torch.Generator) -> Tensor:
        return self.enhancement.layer(self.base.poison(images, trigger, generator), generator)

    def accompany(self, images: Tensor, generator: torch.Generator) -> Tensor:
        images = self.base.accompany(images, generator)
        return self.enhancement.layer(images, generator) if self.enhancement.benign_too else images

    def harden(self, logits: Logits, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return self.base.harden(logits, images, labels, generator)

    def to_dict(self) -> dict[str, Value]:
        return self.base.to_dict()

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Any:
        raise TypeError("an enhanced attack is read with attack_from_dict")

    def to_card(self) -> dict[str, Any]:
        values = self.enhancement.to_dict()
        if self.enhancement.share == 1:
            del values["share"]  # as in the cards and plans of before there was one
        return self.base.to_card() | {"enhanced": values}


def attack_from_dict(values: Mapping[str, Any]) -> Attack:
    """The attack that :meth:`Attack.to_card` described.

    Raises:
        ValueError: If the name is unknown or a parameter is not allowed.
    """
    base = attacks[values["name"]].from_dict(values["params"])
    if "enhanced" not in values:
        return base
    return Enhanced(base=base, enhancement=Enhancement.from_dict(values["enhanced"]))
