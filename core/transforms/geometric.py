"""Small changes of the geometry, not by whole pixels: what ShrinkPad and Flip leave out.

Every image has its own draw, up to a largest strength. What comes in from outside is black, as in ShrinkPad.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from core.params import number
from core.physical.geometry import CORNERS, frame_points, homography, projected
from core.transforms.base import Drawn, Transform, transforms

__all__ = ["Affine", "Perspective", "Rotation", "Shift"]


@dataclass(frozen=True, kw_only=True)
class _Warp(Transform):
    """Reads every image at the points to which a homography of its own takes the pixels of the result."""

    spatial: ClassVar[bool] = True
    evaluated: ClassVar[bool] = False

    @abstractmethod
    def _matrices(self, drawn: Drawn, aspect: float, rows: int) -> Tensor:
        """Homographies from the result's plane to the image's, ``(N, 3, 3)``; y from -1 to 1, x from -aspect to aspect.

        Args:
            drawn: The draw of the images.
            aspect: Width of the images over their height.
            rows: Their height in pixels.
        """

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        if self.value == 0 or len(images) == 0:
            return images.clone()
        rows, cols = images.shape[2:]
        matrices = self._matrices(drawn, cols / rows, rows).to(images)
        points, _ = projected(matrices, frame_points(rows, cols, images.device).reshape(1, -1, 2))
        scale = torch.tensor([rows / cols, 1.0], dtype=points.dtype, device=points.device)
        grid = (points * scale).reshape(-1, rows, cols, 2)
        return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False).clamp(0, 1)


def _signed(count: int, numbers: int, generator: torch.Generator) -> Tensor:
    """Uniform in [-1, 1], ``(count, numbers)``."""
    return 2 * torch.rand(count, numbers, generator=generator, device=generator.device) - 1


def _linear(rows: list[list[Tensor]]) -> Tensor:
    """Homographies ``(N, 3, 3)`` of 2 x 3 entries ``(N,)`` each."""
    zero = torch.zeros_like(rows[0][0])
    return torch.stack([torch.stack(row, -1) for row in [*rows, [zero, zero, zero + 1]]], -2)


@transforms.register("shift")
@dataclass(frozen=True, kw_only=True)
class Shift(_Warp):
    """Moves every image, by parts of a pixel too, in both directions independently."""

    title: ClassVar[str] = "Shift"
    strength: ClassVar[str] = "pixels"
    grid: ClassVar[tuple[float, ...]] = (0, 0.5, 1, 2, 4)

    pixels: float = number(1.0, low=0, high=64, step=0.25, help="Largest shift that is drawn.", unit="pixels")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (self.pixels * _signed(count, 2, generator),)

    def _matrices(self, drawn: Drawn, aspect: float, rows: int) -> Tensor:
        x, y = (drawn[0] * 2 / rows).unbind(1)
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        return _linear([[one, zero, x], [zero, one, y]])


@transforms.register("rotation")
@dataclass(frozen=True, kw_only=True)
class Rotation(_Warp):
    """Turns every image around its middle, by an angle drawn from ``[-degrees, degrees]``."""

    title: ClassVar[str] = "Rotation"
    strength: ClassVar[str] = "degrees"
    grid: ClassVar[tuple[float, ...]] = (0, 5, 10, 20, 30)

    degrees: float = number(10.0, low=0, high=180, step=1, help="Largest angle that is drawn.", unit="degrees")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (self.degrees * _signed(count, 1, generator)[:, 0],)

    def _matrices(self, drawn: Drawn, aspect: float, rows: int) -> Tensor:
        angle = drawn[0] * (math.pi / 180)
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
        return _linear([[cos, -sin, zero], [sin, cos, zero]])


@transforms.register("affine")
@dataclass(frozen=True, kw_only=True)
class Affine(_Warp):
    """Stretches, turns and shears: each entry of the 2 x 2 matrix is drawn up to a percentage from the identity's."""

    title: ClassVar[str] = "Affine"
    strength: ClassVar[str] = "percent"
    grid: ClassVar[tuple[float, ...]] = (0, 5, 10, 20, 30)

    percent: float = number(10.0, low=0, high=50, step=1, help="Largest change of an entry of the matrix.", unit="%")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (self.percent / 100 * _signed(count, 4, generator),)

    def _matrices(self, drawn: Drawn, aspect: float, rows: int) -> Tensor:
        a, b, c, d = drawn[0].unbind(1)
        zero = torch.zeros_like(a)
        return _linear([[1 + a, b, zero], [c, 1 + d, zero]])


@transforms.register("perspective")
@dataclass(frozen=True, kw_only=True)
class Perspective(_Warp):
    """Moves each corner inwards, by a share of half the side drawn for each direction, as torchvision's does."""

    title: ClassVar[str] = "Perspective"
    strength: ClassVar[str] = "percent"
    grid: ClassVar[tuple[float, ...]] = (0, 10, 20, 30, 50)

    percent: float = number(20.0, low=0, high=90, step=5, help="Largest move of a corner.", unit="% of half the side")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (self.percent / 100 * torch.rand(count, 4, 2, generator=generator, device=generator.device),)

    def _matrices(self, drawn: Drawn, aspect: float, rows: int) -> Tensor:
        moved: Tensor = drawn[0].double()
        size = torch.tensor([aspect, 1.0], dtype=moved.dtype, device=moved.device)
        corners = torch.tensor(CORNERS, dtype=moved.dtype, device=moved.device) * size
        return homography(corners * (1 - moved), corners.expand_as(moved))
