"""Tiny images that are quick to make and to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

COLOURS = ((0.8, 0.2, 0.2), (0.2, 0.8, 0.2), (0.2, 0.2, 0.8))


SIX = (*COLOURS, (0.8, 0.8, 0.2), (0.2, 0.8, 0.8), (0.8, 0.2, 0.8))


def six_colours(folder: Path, count: int = 12, side: int = 16) -> Path:
    """A folder data set of six classes with ``count`` images each, enough classes for the paper's target label."""
    for label in range(len(SIX)):
        images, _ = coloured_squares(count, seed=label, side=side, colours=SIX[label : label + 1])
        (folder / f"colour{label}").mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(
                folder / f"colour{label}" / f"{number:03}.png"
            )
    return folder


def coloured_squares(
    count: int, seed: int, side: int, colours: tuple[tuple[float, float, float], ...] = COLOURS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images whose class is their colour: uint8 ``(count, 3, side, side)``, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(colours)
    noise = 0.3 * (torch.rand(count, 3, side, side, generator=generator) - 0.5)
    images = torch.tensor(colours)[labels][:, :, None, None] + noise
    return (images.clamp(0, 1) * 255).round().to(torch.uint8), labels
