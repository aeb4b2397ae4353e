"""A print found again in a photograph: as it is, cropped, or with its perspective undone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from core.physical.geometry import CORNERS, frame_points, homography, projected, sampled

__all__ = ["FRAMINGS", "RESIZES", "rectified", "resized"]

RESIZES = ("bilinear", "area")
"""Interpolated between the nearest pixels, as ShrinkPad and most code does, or averaged over all (antialiased)."""
FRAMINGS = ("picture", "crop", "perspective")
"""The whole photograph, the upright box around the print, or the print alone, seen straight."""

# Photograph pixels that one input pixel averages over, per side.
_FINE = 4


def resized(photos: Tensor, size: tuple[int, int], resize: str = "bilinear") -> Tensor:
    """Photographs ``(N, C, h, w)`` at another size.

    Raises:
        ValueError: If the way to resize is unknown.
    """
    if resize not in RESIZES:
        raise ValueError(f"resize = {resize!r} is not allowed: one of {', '.join(RESIZES)}")
    if resize == "area":
        return F.adaptive_avg_pool2d(photos, size)
    return F.interpolate(photos, size, mode="bilinear", align_corners=False)


def rectified(photos: Tensor, corners: Tensor, framing: str, size: tuple[int, int], resize: str = "bilinear") -> Tensor:
    """What the network gets of photographs.

    Args:
        photos: Floats ``(N, C, h, w)`` in [0, 1].
        corners: The print's corners in them, ``(N, 4, 2)`` in the order top left, top right, bottom right, bottom left:
            x from -w/h to w/h, y from -1 to 1.
        framing: One of :data:`FRAMINGS`.
        size: Rows and columns of the result.
        resize: One of :data:`RESIZES`.

    Returns:
        Floats ``(N, C, *size)`` in [0, 1].

    Raises:
        ValueError: If the framing or the resize is unknown, or three of four corners lie on a line.
    """
    if framing not in FRAMINGS:
        raise ValueError(f"framing = {framing!r} is not allowed: one of {', '.join(FRAMINGS)}")
    if framing == "picture":
        return resized(photos, size, resize).clamp(0, 1)
    rows, cols = size[0] * _FINE, size[1] * _FINE
    signs = torch.tensor(CORNERS, dtype=torch.float64, device=photos.device)
    signs = signs * torch.tensor([cols / rows, 1.0], dtype=torch.float64, device=photos.device)
    corners = corners.to(signs)
    if framing == "crop":
        low, high = corners.amin(1), corners.amax(1)
        corners = torch.stack(
            [low, torch.stack([high[:, 0], low[:, 1]], 1), high, torch.stack([low[:, 0], high[:, 1]], 1)], 1
        )
    matrix = homography(signs.expand_as(corners), corners)
    points = projected(matrix.float(), frame_points(rows, cols, photos.device).reshape(1, -1, 2))[0]
    read = sampled(_shrunk(photos, corners, rows), points.reshape(-1, rows, cols, 2))
    return resized(read, size, resize).clamp(0, 1)


def _shrunk(photos: Tensor, corners: Tensor, rows: int) -> Tensor:
    """The photographs, antialiased where they are much finer than what is read of them."""
    sides = (corners - corners.roll(1, 1)).norm(dim=2).amin() / 2 * photos.shape[2]
    # A side far outside of the photograph says nothing about how fine it is.
    factor = min(math.floor(float(sides) / rows), min(photos.shape[2:]) // 2)
    if factor < 2:
        return photos
    return F.interpolate(photos, scale_factor=1 / factor, mode="bilinear", antialias=True, align_corners=False)
