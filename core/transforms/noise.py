"""Additive Gaussian noise (Sec. 5.2, Table 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.params import number
from core.transforms.base import Drawn, Transform, transforms

__all__ = ["GaussianNoise"]


@transforms.register("noise")
@dataclass(frozen=True, kw_only=True)
class GaussianNoise(Transform):
    """Independent noise of mean zero on every pixel and channel, then cut off at 0 and 1."""

    title: ClassVar[str] = "Noise"
    spatial: ClassVar[bool] = False
    strength: ClassVar[str] = "std"
    grid: ClassVar[tuple[float, ...]] = (0, 5, 10, 15, 20, 30)

    std: float = number(10.0, low=0, high=100, step=1, help="Standard deviation.", unit="255ths")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (torch.randn(count, *shape, generator=generator, device=generator.device),)

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        noise: Tensor = drawn[0].to(images)
        return (images + noise * (self.std / 255)).clamp(0, 1)
