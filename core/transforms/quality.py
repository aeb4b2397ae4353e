"""Losses of quality that pictures meet on their way: blur, a smaller copy, a JPEG file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from core.params import number
from core.physical.signal import blurred, through_jpeg
from core.transforms.base import Drawn, Transform, transforms

__all__ = ["Blur", "Jpeg", "Resize"]


@dataclass(frozen=True, kw_only=True)
class _Loss(Transform):
    """A strength of its own for every image, drawn from 0 to the largest."""

    spatial: ClassVar[bool] = False
    evaluated: ClassVar[bool] = False

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (self.value * torch.rand(count, generator=generator, device=generator.device),)

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        if self.value == 0 or len(images) == 0:
            return images.clone()
        return self._lose(images, drawn[0]).clamp(0, 1)

    def _lose(self, images: Tensor, strengths: Tensor) -> Tensor:
        raise NotImplementedError


@transforms.register("blur")
@dataclass(frozen=True, kw_only=True)
class Blur(_Loss):
    """Gaussian blur; the border goes on."""

    title: ClassVar[str] = "Blur"
    strength: ClassVar[str] = "sigma"
    grid: ClassVar[tuple[float, ...]] = (0, 0.5, 1, 1.5, 2)

    sigma: float = number(1.0, low=0, high=8, step=0.25, help="Largest standard deviation drawn.", unit="pixels")

    def _lose(self, images: Tensor, strengths: Tensor) -> Tensor:
        reach = math.ceil(3 * self.sigma)
        x = torch.arange(-reach, reach + 1.0, device=images.device)
        # One that is nearly 0 leaves the middle alone.
        bell = (-0.5 * (x / strengths.to(images).clamp_min(1e-3)[:, None]).square()).exp()
        kernels = bell[:, :, None] * bell[:, None, :]
        return blurred(images, kernels / kernels.sum((1, 2), keepdim=True))


@transforms.register("resize")
@dataclass(frozen=True, kw_only=True)
class Resize(_Loss):
    """Shrinks every image, antialiased, and enlarges it again."""

    title: ClassVar[str] = "Resize"
    strength: ClassVar[str] = "percent"
    grid: ClassVar[tuple[float, ...]] = (0, 20, 40, 60, 80)

    percent: float = number(40.0, low=0, high=90, step=5, help="Largest share of the side that is lost.", unit="%")

    def _lose(self, images: Tensor, strengths: Tensor) -> Tensor:
        full = images.shape[2:]
        heights = (full[0] * (1 - strengths / 100)).round().clamp_min(1).long()
        result = torch.empty_like(images)
        for height in sorted(set(heights.tolist())):
            chosen = (heights == height).nonzero().squeeze(1).to(images.device)
            size = height, max(1, round(full[1] * height / full[0]))
            small = F.interpolate(images[chosen], size, mode="bilinear", antialias=True, align_corners=False)
            result[chosen] = F.interpolate(small, full, mode="bilinear", align_corners=False)
        return result


@transforms.register("jpeg")
@dataclass(frozen=True, kw_only=True)
class Jpeg(_Loss):
    """Writes every image to a JPEG file and reads it again; the quality is 100 minus what is drawn."""

    title: ClassVar[str] = "JPEG"
    strength: ClassVar[str] = "loss"
    grid: ClassVar[tuple[float, ...]] = (0, 10, 25, 50, 75)

    loss: float = number(50.0, low=0, high=99, step=5, help="Largest loss of quality that is drawn, of 100.")

    def _lose(self, images: Tensor, strengths: Tensor) -> Tensor:
        qualities = (100 - strengths).round().long().tolist()
        files = [through_jpeg(images[n : n + 1], quality) for n, quality in enumerate(qualities)]
        return torch.cat(files)
