"""Plane projective geometry, batched: where a flat print is seen, and how to see it straight again.

A homography is a matrix ``(..., 3, 3)`` that takes ``(x, y, 1)`` of one plane to ``(u w, v w, w)`` of another, where
``w > 0`` is in front of the camera. Planes have x to the right and y down, and a picture of aspect a = width / height
spans ``[-a, a] x [-1, 1]``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CORNERS", "frame_points", "homography", "pinhole", "projected", "sampled"]

CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))
"""Signs of a rectangle's corners: top left, top right, bottom right, bottom left."""


def pinhole(
    distance: float | Tensor, yaw: float | Tensor, pitch: float | Tensor, roll: float | Tensor, view: float
) -> Tensor:
    """Homographies of planes to the pictures of a pinhole camera that looks at their origins.

    Args (numbers, or tensors ``(N,)`` with one for each plane):
        distance: Camera to origin, in multiples of the distance at which ``[-a, a] x [-1, 1]`` fills the picture.
        yaw: Degrees by which the plane is turned around its vertical axis, right side away from the camera.
        pitch: Degrees by which it is turned around its horizontal axis, lower side away.
        roll: Degrees by which it is turned in itself, clockwise.
        view: Vertical angle of view in degrees.

    Returns:
        Float64 ``(3, 3)``, or ``(N, 3, 3)``.
    """
    focal = 1 / math.tan(math.radians(view) / 2)
    given = [torch.as_tensor(value, dtype=torch.float64) for value in (distance, yaw, pitch, roll)]
    zero = 0 * (given[0] + given[1] + given[2] + given[3])  # of the shape that all of them have together
    distances, *angles = (value + zero for value in given)
    (cy, sy), (cp, sp), (cr, sr) = ((angle.cos(), angle.sin()) for angle in (a.deg2rad() for a in angles))
    # Turned in itself first, then around the horizontal, then around the vertical axis; z points away from the camera.
    x = (cy * cr - sy * sp * sr, -cy * sr - sy * sp * cr)
    y = (cp * sr, cp * cr)
    z = (sy * cr + cy * sp * sr, -sy * sr + cy * sp * cr)
    rows = [(focal * x[0], focal * x[1], zero), (focal * y[0], focal * y[1], zero), (z[0], z[1], distances * focal)]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def homography(source: Tensor, target: Tensor) -> Tensor:
    """The homographies that take four points to four others.

    Args:
        source: ``(..., 4, 2)``.
        target: ``(..., 4, 2)``.

    Returns:
        ``(..., 3, 3)`` float64 with 1 in the last place.

    Raises:
        ValueError: If three of four points lie on a line, so that there is none.
    """
    source, target = source.double(), target.double()
    x, y = source.unbind(-1)
    u, v = target.unbind(-1)
    ones, zeros = torch.ones_like(x), torch.zeros_like(x)
    above = torch.stack([x, y, ones, zeros, zeros, zeros, -u * x, -u * y], -1)
    below = torch.stack([zeros, zeros, zeros, x, y, ones, -v * x, -v * y], -1)
    try:
        solved = torch.linalg.solve(torch.cat([above, below], -2), torch.cat([u, v], -1))
    except RuntimeError:
        raise ValueError("four points of which three lie on a line are no picture's corners") from None
    matrix = torch.cat([solved, torch.ones_like(solved[..., :1])], -1).reshape(*solved.shape[:-1], 3, 3)
    if not bool(matrix.isfinite().all()) or bool((torch.linalg.det(matrix).abs() < 1e-12).any()):
        raise ValueError("four points of which three lie on a line are no picture's corners")
    return matrix


def projected(matrix: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Points behind homographies.

    Args:
        matrix: ``(..., 3, 3)``.
        points: ``(..., K, 2)``.

    Returns:
        Where they are seen, ``(..., K, 2)``, and their weight w, ``(..., K)``: where it is not above 0 they are not in
        front of the camera, and seen nowhere.
    """
    x, y = points[..., 0], points[..., 1]
    u, v, weight = (
        (matrix[..., i, 0, None] * x).addcmul(matrix[..., i, 1, None], y).add_(matrix[..., i, 2, None])
        for i in range(3)
    )
    scale = weight.clamp_min(1e-9).reciprocal()
    return torch.stack([u * scale, v * scale], -1), weight


def frame_points(rows: int, cols: int, device: torch.device) -> Tensor:
    """The pixel centres of a picture in its plane: ``(rows, cols, 2)``, x from -cols/rows to cols/rows, y -1 to 1."""
    y = (torch.arange(rows, device=device) * 2 + 1) / rows - 1
    x = ((torch.arange(cols, device=device) * 2 + 1) / cols - 1) * (cols / rows)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def sampled(images: Tensor, points: Tensor) -> Tensor:
    """Images read at points of their planes, bilinear; the border goes on outside.

    Args:
        images: ``(N, C, H, W)``.
        points: ``(N, h, w, 2)`` with y from -1 to 1 and x from -W/H to W/H.
    """
    aspect = images.shape[3] / images.shape[2]
    scale = torch.tensor([1 / aspect, 1], dtype=points.dtype, device=points.device)
    return F.grid_sample(images, (points * scale).to(images), padding_mode="border", align_corners=False)
