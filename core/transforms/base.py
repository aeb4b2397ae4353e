"""What every transformation has in common: one draw per image, shape and range kept (Definition 3 of Li et al. 2020).

A transformation is used in two steps: :meth:`Layer.draw` draws all randomness from a generator, and
:meth:`Layer.apply` is a function of the images and that draw alone. So what belongs to an image, such as the mask
of its trigger, can go the same way (:meth:`Layer.follow`).

>>> defense = transform_from_spec("flip,shrinkpad:4")
>>> defense.label
'Flip, then ShrinkPad-4'
>>> images = torch.rand(2, 3, 32, 32)
>>> defense(images, torch.Generator().manual_seed(0)).shape
torch.Size([2, 3, 32, 32])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from core.params import Parametrised, params_of
from core.registry import Registry
from core.runtime.seeding import generator_for

__all__ = ["MOST_STEPS", "Compose", "Drawn", "Layer", "Portion", "Transform", "transform_from_spec", "transforms"]

Drawn = tuple[Any, ...]
"""One batch's randomness: tensors with one entry per image (nested, for a compound transformation)."""

MOST_STEPS = 8
"""Longest compound transformation that a text may describe."""


class Layer(ABC):
    """A shape-preserving transformation (Definition 3): ``(N, C, H, W)`` in [0, 1] to the same shape and range."""

    @abstractmethod
    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        """Draws the randomness of ``count`` images of ``shape`` (C, H, W), on the generator's device.

        Raises:
            ValueError: If the transformation is not possible on such images.
        """

    @abstractmethod
    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        """Transforms images.

        Args:
            images: Floats ``(N, C, H, W)`` in [0, 1]; they stay as they are.
            drawn: Their draw.

        Returns:
            Floats of the same shape in [0, 1].
        """

    @abstractmethod
    def follow(self, masks: Tensor, drawn: Drawn) -> Tensor:
        """Moves what belongs to the images the way they were moved; unchanged where pixels stay in place.

        Args:
            masks: Floats ``(N, K, H, W)`` in [0, 1], e.g. 1 where the trigger is.
            drawn: The draw of the images.
        """

    @property
    def stages(self) -> tuple[Layer, ...]:
        """The layers that images pass one after the other: itself, where it is not made of several."""
        return (self,)

    @property
    @abstractmethod
    def spec(self) -> str:
        """Text that :func:`transform_from_spec` reads."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name in figures and tables, with its strength."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Transforms float images ``(N, C, H, W)`` in [0, 1] with a fresh draw for each."""
        _, channels, height, width = images.shape
        return self.apply(images, self.draw(len(images), (channels, height, width), generator))

    def seeded(self, seed: int = 0) -> Callable[[Tensor], Tensor]:
        """The transformation as a function of images alone; its draws follow from the seed and the order of calls."""
        generators: dict[torch.device, torch.Generator] = {}

        def run(images: Tensor) -> Tensor:
            device = images.device
            if device not in generators:
                generators[device] = generator_for(seed, "transform", self.spec, device=device)
            return self(images, generators[device])

        return run


@dataclass(frozen=True, kw_only=True)
class Transform(Parametrised, Layer):
    """One transformation with declared parameters, one of which is its strength."""

    name: ClassVar[str]
    title: ClassVar[str]
    """Name in figures and tables, as in the paper, without its strength."""
    spatial: ClassVar[bool]
    """Whether it moves pixels; otherwise it changes values only."""
    strength: ClassVar[str]
    """Name of the parameter that says how strong it is."""
    grid: ClassVar[tuple[float, ...]]
    """Strengths at which it is measured, the first one being no change at all."""
    evaluated: ClassVar[bool] = True
    """Whether stored results cover it."""

    def follow(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self.apply(masks, drawn) if self.spatial else masks

    def at(self, strength: float) -> Self:
        """The same transformation at another strength.

        Raises:
            ValueError: If the strength is not allowed.
        """
        return replace(self, **{self.strength: strength})

    @classmethod
    def sized(cls, shape: tuple[int, int, int]) -> Self:
        """The transformation at its default strength for images of ``shape`` (C, H, W)."""
        return cls()

    @classmethod
    def grid_for(cls, shape: tuple[int, int, int]) -> tuple[float, ...]:
        """Strengths at which it is measured on images of ``shape`` (C, H, W)."""
        return cls.grid

    def possible(self, shape: tuple[int, int, int]) -> bool:
        """Whether images of ``shape`` (C, H, W) can be transformed at this strength."""
        return True

    @property
    def value(self) -> float:
        """Its strength."""
        return float(getattr(self, self.strength))

    @property
    def spec(self) -> str:
        default = params_of(type(self))[self.strength].default
        return self.name if self.value == default else f"{self.name}:{self.value:g}"

    @property
    def label(self) -> str:
        return f"{self.title} {self.value:g}"


transforms: Registry[Transform] = Registry("transform", "core.transforms", "trigger_sensitivity.transforms")


@dataclass(frozen=True)
class Compose(Layer):
    """A compound transformation (Definition 6): its steps in order, ``T_n(... T_1(x))``; no step is the identity."""

    steps: tuple[Transform, ...] = ()

    @property
    def stages(self) -> tuple[Layer, ...]:
        return self.steps

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return tuple(step.draw(count, shape, generator) for step in self.steps)

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        for step, draws in zip(self.steps, drawn, strict=True):
            images = step.apply(images, draws)
        return images

    def follow(self, masks: Tensor, drawn: Drawn) -> Tensor:
        for step, draws in zip(self.steps, drawn, strict=True):
            masks = step.follow(masks, draws)
        return masks

    @property
    def spec(self) -> str:
        return ",".join(step.spec for step in self.steps)

    @property
    def label(self) -> str:
        return ", then ".join(step.label for step in self.steps) or "no transformation"


@dataclass(frozen=True)
class Portion(Layer):
    """A layer that a share of the images pass, drawn for each image; the others stay as they are.

    Attributes:
        layer: What they pass.
        share: Probability, 0 to 1, that an image does.

    >>> Portion(transform_from_spec("noise:10"), 0.25).label
    'Noise 10 (25 % of the images)'
    """

    layer: Layer
    share: float

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        passes = torch.rand(count, generator=generator, device=generator.device) < self.share
        return passes, self.layer.draw(count, shape, generator)

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        return self._where(self.layer.apply, images, drawn)

    def follow(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self._where(self.layer.follow, masks, drawn)

    @staticmethod
    def _where(change: Callable[[Tensor, Drawn], Tensor], images: Tensor, drawn: Drawn) -> Tensor:
        passes, draws = drawn
        chosen = passes.nonzero().squeeze(1)
        return images.index_copy(0, chosen, change(images[chosen], _of(draws, chosen)).to(images.dtype))

    @property
    def spec(self) -> str:
        """What is passed, and by how many; :func:`transform_from_spec` reads the first part."""
        return f"{self.layer.spec} for {self.share:g}"

    @property
    def label(self) -> str:
        return f"{self.layer.label} ({100 * self.share:g} % of the images)"


def _of(drawn: Drawn, chosen: Tensor) -> Drawn:
    """The draws of some images of a batch."""
    return tuple(_of(one, chosen) if isinstance(one, tuple) else one[chosen] for one in drawn)


def transform_from_spec(spec: str) -> Compose:
    """Reads a compound transformation from text: ``shrinkpad:4`` or ``flip,shrinkpad:4``; empty is no transformation.

    Raises:
        ValueError: If a name is unknown or a strength is not allowed.

    >>> transform_from_spec("noise:10").steps[0].value
    10.0
    >>> transform_from_spec("shrinkpad:999")
    Traceback (most recent call last):
    ValueError: size = 999.0 is not allowed: an integer from 0 to 128 (pixels)
    """
    parts = [part.strip() for part in spec.split(",") if part.strip()]
    if len(parts) > MOST_STEPS:
        raise ValueError(f"{len(parts)} transformations are not allowed: at most {MOST_STEPS} in order")
    steps = []
    for part in parts:
        name, colon, strength = part.partition(":")
        cls = transforms[name.strip()]
        if not colon:
            steps.append(cls())
            continue
        try:
            value = float(strength)
        except ValueError:
            allowed = params_of(cls)[cls.strength].allowed()
            raise ValueError(f"{cls.strength} = {strength!r} is not allowed: {allowed}") from None
        steps.append(cls(**{cls.strength: value}))
    return Compose(tuple(steps))
