"""Saliency maps as pictures: on a colour scale, over the image, with the trigger outlined."""

from __future__ import annotations

from html import escape

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dashboard.figures.html import data_url, svg_image

__all__ = ["PICTURE_STYLE", "heat", "outline", "overlaid", "picture"]

# Inferno at equal steps: dark is nothing, and it grows lighter evenly, in print too.
ANCHORS = ("000004", "280b54", "65156e", "9f2a63", "d44842", "f57d15", "fac127", "fcffa4")

OUTLINE = "#35e0e6"

PICTURE_STYLE = """
<style>
.ts-heat {position: relative; aspect-ratio: 1}
.ts-heat img {width: 100%; height: 100%; image-rendering: pixelated; border-radius: .2rem; display: block}
</style>
"""
"""CSS that every page with a :func:`picture` needs."""


def heat(saliency: Tensor) -> Tensor:
    """A map ``(H, W)`` in [0, 1] as colours ``(3, H, W)`` in [0, 1]."""
    places = np.linspace(0, 1, len(ANCHORS))
    values = saliency.numpy()
    colours = np.array([list(bytes.fromhex(anchor)) for anchor in ANCHORS]) / 255
    planes = [np.interp(values, places, colours[:, channel]) for channel in range(3)]
    return torch.from_numpy(np.stack(planes)).float()


def overlaid(image: Tensor, saliency: Tensor) -> Tensor:
    """An image ``(C, H, W)`` in [0, 1], faded to gray, with a map ``(H, W)`` in [0, 1] glowing on it: ``(3, H, W)``."""
    gray = image.mean(0).expand(3, -1, -1)
    weight = saliency.clamp(0, 1).sqrt()
    return (1 - weight) * (0.25 + 0.6 * gray) + weight * heat(saliency)


def outline(mask: Tensor) -> str:
    """SVG path around the pixels of a mask ``(H, W)`` that are at least half inside, in pixels of the image."""
    inside: npt.NDArray[np.bool_] = np.pad(mask.numpy() >= 0.5, 1)
    path = []
    for row, col in np.argwhere(inside[1:, 1:-1] != inside[:-1, 1:-1]).tolist():
        path.append(f"M{col} {row}h1")
    for row, col in np.argwhere(inside[1:-1, 1:] != inside[1:-1, :-1]).tolist():
        path.append(f"M{col} {row}v1")
    return "".join(path)


def picture(image: Tensor, mask: Tensor | None, name: str) -> str:
    """HTML of one picture ``(C, H, W)`` in [0, 1] with an outline around a mask ``(H, W)``."""
    over = ""
    if mask is not None:
        height, width = image.shape[1:]
        drawn = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
            f'<path d="{outline(mask)}" fill="none" stroke="{OUTLINE}" stroke-width=".5"/></svg>'
        )
        over = svg_image(drawn, "outline of the trigger", "position:absolute;inset:0;image-rendering:auto")
    return f'<div class="ts-heat"><img src="{data_url(image)}" alt="{escape(name)}">{over}</div>'
