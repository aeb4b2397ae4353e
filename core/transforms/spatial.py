"""Spatial transformations: Flip and ShrinkPad (Sec. 5.1), which move the trigger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from core.paper.constants import SHRINK
from core.params import integer, number
from core.transforms.base import Drawn, Transform, transforms
from core.trigger import size_factor

__all__ = ["Flip", "RandomShrinkPad", "ShrinkPad"]

LARGEST = 8
"""Largest shrink size at which images of the paper's size are measured, in pixels."""
MOST = 128
"""Largest shrink size that is allowed: as much of the largest images that are taken."""


@transforms.register("flip")
@dataclass(frozen=True, kw_only=True)
class Flip(Transform):
    """Left-right flip; as a defense always, in an enhanced attack with probability 0.5."""

    title: ClassVar[str] = "Flip"
    spatial: ClassVar[bool] = True
    strength: ClassVar[str] = "probability"
    grid: ClassVar[tuple[float, ...]] = (0, 0.5, 1)

    probability: float = number(1.0, low=0, high=1, step=0.05, help="Share of the images that are flipped.")

    @property
    def label(self) -> str:
        return self.title if self.probability == 1 else f"{self.title} ({100 * self.probability:g} %)"

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (torch.rand(count, generator=generator, device=generator.device) < self.probability,)

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        (flipped,) = drawn
        return torch.where(flipped[:, None, None, None], images.flip(3), images)


@transforms.register("shrinkpad")
@dataclass(frozen=True, kw_only=True)
class ShrinkPad(Transform):
    """ShrinkPad-k: shrinks by k pixels (bilinear, not antialiased), then pads with zeros around at a random place."""

    title: ClassVar[str] = "ShrinkPad"
    spatial: ClassVar[bool] = True
    strength: ClassVar[str] = "size"
    grid: ClassVar[tuple[float, ...]] = tuple(range(LARGEST + 1))

    size: int = integer(SHRINK, low=0, high=MOST, help="Rows and columns by which images shrink.", unit="pixels")

    @property
    def label(self) -> str:
        return f"{self.title}-{self.size}"

    @classmethod
    def sized(cls, shape: tuple[int, int, int]) -> Self:
        return cls(size=cls().size * size_factor(*shape[1:]))

    @classmethod
    def grid_for(cls, shape: tuple[int, int, int]) -> tuple[float, ...]:
        return tuple(size * size_factor(*shape[1:]) for size in cls.grid)

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        self.check(shape)
        sizes = torch.full((count,), self.size, device=generator.device)
        return sizes, _place(sizes, generator)

    def possible(self, shape: tuple[int, int, int]) -> bool:
        return self.size < min(shape[1:])

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises:
        ValueError: If the images are too small to shrink so far.
        """
        if not self.possible(shape):
            raise ValueError(f"size = {self.size} is not allowed: images are {shape[1]} x {shape[2]} pixels")

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        sizes, corner = drawn
        result = torch.empty_like(images)
        for size in sizes.unique().tolist():
            chosen = (sizes == size).nonzero().squeeze(1)
            result[chosen] = _shrink_and_pad(images[chosen], int(size), corner[chosen])
        return result


@transforms.register("random-shrinkpad")
@dataclass(frozen=True, kw_only=True)
class RandomShrinkPad(ShrinkPad):
    """ShrinkPad with a shrink size drawn for each image, from 0 to a maximum: the layer of an enhanced attack."""

    title: ClassVar[str] = "Random ShrinkPad"
    evaluated: ClassVar[bool] = False

    size: int = integer(SHRINK, low=0, high=MOST, help="Largest shrink size that is drawn.", unit="pixels")

    @property
    def label(self) -> str:
        return f"{self.title} (0 to {self.size})"

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        self.check(shape)
        sizes = torch.randint(0, self.size + 1, (count,), generator=generator, device=generator.device)
        return sizes, _place(sizes, generator)


def _place(sizes: Tensor, generator: torch.Generator) -> Tensor:
    """Row and column of the shrunk image's top-left corner, each from 0 to its shrink size: int64 ``(N, 2)``."""
    uniform = torch.rand(len(sizes), 2, generator=generator, device=generator.device)
    return (uniform * (sizes[:, None] + 1)).long().clamp_max(sizes[:, None])


def _shrink_and_pad(images: Tensor, size: int, corner: Tensor) -> Tensor:
    """ShrinkPad of images that all shrink by ``size``, each put at its own corner."""
    if size == 0 or len(images) == 0:
        return images
    height, width = images.shape[2:]
    small = F.interpolate(images, (height - size, width - size), mode="bilinear", align_corners=False)
    # Rounding takes white past 1. Padded on all sides, the place of the shrunk image is a crop.
    padded = F.pad(small.clamp_(0, 1), (size,) * 4)
    rows = size - corner[:, :1] + torch.arange(height, device=images.device)
    cols = size - corner[:, 1:] + torch.arange(width, device=images.device)
    index = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[index, :, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)
