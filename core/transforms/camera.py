"""Print and camera as a random transformation: an attacker who expects to be photographed trains through it (Sec. 5.5).

Whole pixels are what ShrinkPad moves a trigger by; a photograph moves it by parts of a pixel, blurs it and changes its
light. Every image has a photograph of its own: the distance, the angles, the aim, the light, the blur and the noise are
drawn for each (Eq. 9 with another set of transformations).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from core.params import integer
from core.physical.camera import FAR, OFF, VARIED
from core.physical.ranges import Range
from core.transforms.base import Drawn, Transform, transforms

__all__ = ["PIXELS", "PrintAndCamera"]

PIXELS = 64
"""Height of the photographs: half of what the physical attack is measured with, at a quarter of the time."""


@transforms.register("camera")
@dataclass(frozen=True, kw_only=True)
class PrintAndCamera(Transform):
    """Every image printed and photographed, at most as far and as carelessly as the preset *far*, times the range.

    Uniformly drawn for each image: the distance from 1 up, the defocus, the motion and the noise from 0 up, and yaw,
    pitch, roll and exposure to both sides; the lamp's colour from that of daylight, 6500 K, to the preset's.
    """

    title: ClassVar[str] = "Camera"
    spatial: ClassVar[bool] = True
    strength: ClassVar[str] = "range"
    grid: ClassVar[tuple[float, ...]] = (0, 25, 50, 75, 100)
    evaluated: ClassVar[bool] = False

    range: int = integer(100, low=0, high=150, step=5, help="How far the preset far is drawn from.", unit="%")

    @property
    def label(self) -> str:
        return self.title if self.range == 100 else f"{self.title} ({self.range} %)"

    @cached_property
    def cameras(self) -> Range:
        """The cameras that are drawn from."""
        share = self.range / 100
        scaled = {
            name: getattr(OFF, name) + share * (getattr(FAR, name) - getattr(OFF, name)) for name in (*VARIED, "aim")
        }
        return Range(OFF, replace(FAR, **scaled, pixels=PIXELS))

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return self.cameras.draw(count, shape, generator)

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        if self.range == 0 or len(images) == 0:
            return images.clone()
        return self.cameras.apply(images, drawn)

    def follow(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return masks if self.range == 0 else self.cameras.follow(masks, drawn)
