"""Photographs of which each is taken from a place of its own: a camera that lies between two others.

A preset is one placement, and one that sits in a dip of the success rate says little: whole rates are means over many.

>>> RANGES["near"].label
'distance 1 to 1.1, yaw to 8°, pitch to 4°, roll to 2°, aim to 2%'
>>> RANGES["far"].label
'distance 1.1 to 1.4, yaw 8 to 15°, pitch 4 to 8°, roll 2 to 4°, aim to 5%'
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.physical.camera import FAR, NEAR, OFF, VARIED, Camera
from core.transforms.base import Drawn, Layer

__all__ = ["RANGES", "Range"]

SIGNED = ("yaw", "pitch", "roll", "brightness")
"""Of what may vary, what goes to both sides of nothing."""


@dataclass(frozen=True)
class Range(Layer):
    """Every image printed and photographed with a camera of its own, drawn uniformly from between two.

    What is drawn for each image is :data:`core.physical.camera.VARIED`: of yaw, pitch, roll and exposure the size, and
    the side with it. The error of pointing the camera is drawn by every camera. All else is as of the second one.

    Attributes:
        low: Where the range begins.
        high: Where it ends, in nothing nearer or more careful than ``low``.
    """

    low: Camera
    high: Camera

    @property
    def spec(self) -> str:
        """Both cameras by the parameters that are not neutral."""
        return f"from {self.low.spec} to {self.high.spec}"

    @property
    def label(self) -> str:
        """The placements that it covers, for people."""
        parts = []
        for name, unit in (("distance", ""), ("yaw", "°"), ("pitch", "°"), ("roll", "°")):
            first, last = getattr(self.low, name), getattr(self.high, name)
            begin = f"{first:g} " if first or name == "distance" else ""
            parts.append(f"{name} {begin}to {last:g}{unit}")
        return ", ".join((*parts, f"aim to {self.high.aim:g}%"))

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        base = self.high.draw(count, shape, generator)
        uniform = torch.rand(len(VARIED), count, generator=generator, device=generator.device)
        own = []
        for name, values in zip(VARIED, uniform.double(), strict=True):
            low, high = getattr(self.low, name), getattr(self.high, name)
            if name in SIGNED:
                sides = 2 * values - 1
                own.append(sides.sign() * low + (high - low) * sides)
            else:
                own.append(low + (high - low) * values)
        return *base, *own

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        return self.high.apply(images, drawn).clamp(0, 1)

    def follow(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self.high.follow(masks, drawn)


RANGES = {"near": Range(OFF, NEAR), "far": Range(NEAR, FAR)}
"""*near*: from a print that fills the picture, seen straight, to the preset near; *far*: from there to preset far."""
