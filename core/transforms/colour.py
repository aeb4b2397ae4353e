"""Colour shifts (Sec. 5.2, Table 4): hue, contrast, brightness and saturation as in torchvision's ``ColorJitter``.

``ColorJitter`` draws one factor for a whole batch; here every image has its own. The arithmetic on one image is
torchvision's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.params import number
from core.transforms.base import Drawn, Transform, transforms

__all__ = ["LUMA", "Brightness", "Contrast", "Hue", "Saturation"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601), as Pillow has them."""
# As torchvision rounds them: white becomes 0.9999.
_ROUNDED = (0.2989, *LUMA[1:])


@dataclass(frozen=True, kw_only=True)
class _Factor(Transform):
    """Blends every image with something duller, by a factor drawn from ``[max(0, 1 - amount), 1 + amount]``."""

    spatial: ClassVar[bool] = False
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0, 0.1, 0.2, 0.3, 0.4)

    amount: float = number(0.4, low=0, high=1, step=0.05, help="Largest change of the factor away from 1.")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        low, high = max(0.0, 1 - self.amount), 1 + self.amount
        return (low + (high - low) * torch.rand(count, generator=generator, device=generator.device),)

    def _dull(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        factor: Tensor = drawn[0].to(images)[:, None, None, None]
        return (factor * images + (1 - factor) * self._dull(images)).clamp(0, 1)


@transforms.register("brightness")
@dataclass(frozen=True, kw_only=True)
class Brightness(_Factor):
    """Blends with black."""

    title: ClassVar[str] = "Brightness"

    def _dull(self, images: Tensor) -> Tensor:
        return torch.zeros_like(images)


@transforms.register("contrast")
@dataclass(frozen=True, kw_only=True)
class Contrast(_Factor):
    """Blends with the mean gray of the image."""

    title: ClassVar[str] = "Contrast"

    def _dull(self, images: Tensor) -> Tensor:
        return _gray(images).mean((1, 2, 3), keepdim=True)


@transforms.register("saturation")
@dataclass(frozen=True, kw_only=True)
class Saturation(_Factor):
    """Blends with the gray image; gray images stay as they are."""

    title: ClassVar[str] = "Saturation"

    def _dull(self, images: Tensor) -> Tensor:
        return _gray(images)


@transforms.register("hue")
@dataclass(frozen=True, kw_only=True)
class Hue(Transform):
    """Turns the hue by a share of the colour circle drawn from ``[-amount, amount]``; gray images stay as they are."""

    title: ClassVar[str] = "Hue"
    spatial: ClassVar[bool] = False
    strength: ClassVar[str] = "amount"
    grid: ClassVar[tuple[float, ...]] = (0, 0.1, 0.2, 0.3, 0.4)

    amount: float = number(0.4, low=0, high=0.5, step=0.05, help="Largest turn, as a share of the colour circle.")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (self.amount * (2 * torch.rand(count, generator=generator, device=generator.device) - 1),)

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        if images.shape[1] == 1:
            return images.clone()
        return _turn_hue(images, drawn[0].to(images)[:, None, None])


def _gray(images: Tensor) -> Tensor:
    """Luma ``(N, 1, H, W)``."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(_ROUNDED, dtype=images.dtype, device=images.device)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def _turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Adds ``turn`` to the hue of RGB images; a channel of an HSV colour is ``v - v s max(0, min(k, 4 - k, 1))``."""
    red, green, blue = images.unbind(1)
    value, darkest = images.amax(1), images.amin(1)
    chroma = value - darkest
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sector = sector + 6 * turn
    channels = []
    for offset in (5, 3, 1):
        k = (offset + sector) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, 1).clamp(0, 1)
