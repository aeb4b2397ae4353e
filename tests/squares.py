"""Tiny images that are quick to make and to learn."""

from __future__ import annotations

import torch

COLOURS = ((0.8, 0.2, 0.2), (0.2, 0.8, 0.2), (0.2, 0.2, 0.8))


def coloured_squares(count: int, seed: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images whose class is their colour: uint8 ``(count, 3, side, side)``, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(COLOURS)
    noise = 0.3 * (torch.rand(count, 3, side, side, generator=generator) - 0.5)
    images = torch.tensor(COLOURS)[labels][:, :, None, None] + noise
    return (images.clamp(0, 1) * 255).round().to(torch.uint8), labels
