"""Training augmentation of 32 x 32 classifiers: random crop after padding, and random flip; batched, on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Draw", "augment", "draw"]

# Zero-padding of 4 pixels before the crop: the standard CIFAR augmentation (He et al. 2016), also in the paper's code.
PADDING = 4


@dataclass(frozen=True)
class Draw:
    """One batch's randomness: crop offsets ``(N, 2)`` in 0..2*PADDING and whether to mirror ``(N,)``."""

    offsets: Tensor
    mirror: Tensor


def draw(count: int, generator: torch.Generator) -> Draw:
    """Draws the augmentation of ``count`` images, on the generator's device."""
    device = generator.device
    offsets = torch.randint(0, 2 * PADDING + 1, (count, 2), generator=generator, device=device)
    mirror = torch.rand(count, generator=generator, device=device) < 0.5
    return Draw(offsets, mirror)


def augment(images: Tensor, chosen: Draw) -> Tensor:
    """Pads with zeros, crops at the drawn offsets and mirrors where drawn.

    Args:
        images: ``(N, C, H, W)`` of any type.
        chosen: The draw for these images.

    Returns:
        Images of the same shape and type, channels last in memory.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (PADDING,) * 4)
    rows = chosen.offsets[:, :1] + torch.arange(height, device=images.device)
    cols = chosen.offsets[:, 1:] + torch.arange(width, device=images.device)
    cols = torch.where(chosen.mirror[:, None], cols.flip(1), cols)
    index = torch.arange(count, device=images.device)[:, None, None]
    # Indices on both sides of the channel slice put it last: the memory order the convolutions want.
    return padded[index, :, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)
