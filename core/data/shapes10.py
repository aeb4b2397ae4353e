"""shapes10: ten shapes on textured ground, drawn from formulas, so that everything runs with nothing to download.

Each image is one anti-aliased shape in a random pose and colour before a random texture. A pixel's coverage by the
shape is ``clip(1/2 - d, 0, 1)`` with ``d`` its signed distance in pixels. Every shape is symmetric about its vertical
axis and every pose is as likely as its mirror image, so a left-right mirrored image keeps its label.

>>> shapes = Shapes10()
>>> shapes.load("test", limit=3).images.shape
torch.Size([3, 3, 32, 32])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.images import Dataset, ImageSet, Split, datasets, prefix_length
from core.data.outlines import CLASSES, TILT, Array, signed_distance
from core.params import integer

__all__ = ["DRAWS", "SIZES", "Shapes10", "render"]

SIDE = 32
SIZES: dict[Split, int] = {"train": 20_000, "test": 4_000}
DRAWS = 24
"""Random numbers that an image takes, besides its noise."""
CHUNK = 250
"""Images rendered together; always whole chunks, so that a limit cannot change a rounding."""


def _smooth_step(value: Array, width: Array) -> Array:
    """0 to 1 around zero over ``width``: an anti-aliased edge."""
    edge: Array = np.clip(0.5 + value / width, 0.0, 1.0)
    return edge


def _gradient(x: Array, y: Array, p: Array) -> Array:
    return 0.5 + x / (0.9 * SIDE)


def _glow(x: Array, y: Array, p: Array) -> Array:
    cx, cy = (p[:2] - 0.5) * SIDE
    glow: Array = np.hypot(x - cx, y - cy) / (0.8 * SIDE)
    return glow


def _stripes(x: Array, y: Array, p: Array) -> Array:
    period = 5.0 + 6.0 * p[0]
    return _smooth_step(np.abs((x / period + p[1]) % 1.0 - 0.5) - 0.25, 1.0 / period)


def _checker(x: Array, y: Array, p: Array) -> Array:
    side = 4.0 + 4.0 * p[0]
    u = np.abs((x / side + p[1]) % 2.0 - 1.0) - 0.5
    v = np.abs((y / side + p[2]) % 2.0 - 1.0) - 0.5
    a, b = _smooth_step(u, 1.0 / side), _smooth_step(v, 1.0 / side)
    return a + b - 2.0 * a * b


def _dots(x: Array, y: Array, p: Array) -> Array:
    period = 6.0 + 4.0 * p[0]
    u = (x / period + p[1]) % 1.0 - 0.5
    v = (y / period + p[2]) % 1.0 - 0.5
    return _smooth_step((0.24 + 0.1 * p[3]) - np.hypot(u, v), 1.0 / period)


def _waves(x: Array, y: Array, p: Array) -> Array:
    cx, cy = (p[:2] - 0.5) * 2.0 * SIDE
    waves: Array = 0.5 + 0.5 * np.sin(np.hypot(x - cx, y - cy) * (0.45 + 0.4 * p[2]) + 2.0 * np.pi * p[3])
    return waves


def _clouds(x: Array, y: Array, p: Array) -> Array:
    """Low-frequency noise: plane waves whose phases bend one another."""
    a = np.sin(x * (0.12 + 0.1 * p[0]) + 6.3 * p[1])
    b = np.sin(y * (0.12 + 0.1 * p[2]) + 6.3 * p[3] + 1.5 * a)
    clouds: Array = 0.5 + 0.25 * (np.sin(0.22 * x + 2.0 * b + 6.3 * p[4]) + np.sin(0.17 * y + 2.2 * a + 6.3 * p[5]))
    return clouds


TEXTURES = (_gradient, _glow, _stripes, _checker, _dots, _waves, _clouds)

_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float64)
_X, _Y = _COLUMNS - (SIDE - 1) / 2, (SIDE - 1) / 2 - _ROWS
_HUES = 2 * np.pi * np.arange(3) / 3


def _turned(x: Array, y: Array, angle: Array) -> tuple[Array, Array]:
    """Coordinates in a frame turned by ``angle`` radians, one per image."""
    cosine, sine = (f(angle)[:, None, None] for f in (np.cos, np.sin))
    return cosine * x + sine * y, cosine * y - sine * x


def _colour(hue: Array, brightness: Array, chroma: Array) -> Array:
    """Colours ``(n, 3, 1, 1)`` whose mean over the channels is ``brightness``, exactly; hue in turns."""
    room = np.minimum(brightness, 1.0 - brightness)
    wave = np.cos(2 * np.pi * hue[:, None] - _HUES)
    colour: Array = (brightness[:, None] + (chroma * room)[:, None] * wave)[:, :, None, None]
    return colour


def render(labels: NDArray[np.int64], u: Array, noise: Array) -> NDArray[np.uint8]:
    """Draws images from numbers in [0, 1): a pure function.

    Args:
        labels: ``(n,)``, indices into the classes.
        u: ``(n, DRAWS)``, everything random about an image but its noise.
        noise: ``(n, 3, 32, 32)``.

    Returns:
        uint8 ``(n, 3, 32, 32)``.
    """
    radius = 7.5 + 4.5 * u[:, 0]
    reach = SIDE / 2 - 0.9 * radius
    cx, cy = (2 * u[:, 1] - 1) * reach, (2 * u[:, 2] - 1) * reach
    tilt = np.radians(np.array(list(TILT.values()), dtype=np.float64))[labels] * (2 * u[:, 3] - 1)
    x, y = _turned(_X - cx[:, None, None], _Y - cy[:, None, None], tilt)
    size = radius[:, None, None]
    distance = np.empty_like(x)  # in pixels
    for label, shape in enumerate(CLASSES):
        which = np.flatnonzero(labels == label)
        distance[which] = signed_distance(shape, x[which] / size[which], y[which] / size[which]) * size[which]

    tx, ty = _turned(_X, _Y, 2 * np.pi * u[:, 4])
    kind = (u[:, 5] * len(TEXTURES)).astype(np.int64)
    mix = np.empty_like(x)
    for number, texture in enumerate(TEXTURES):
        which = np.flatnonzero(kind == number)
        mix[which] = texture(tx[which], ty[which], u[which, 6:12].T[:, :, None, None])
    mix = np.clip(mix, 0.0, 1.0)[:, None]

    # One side of the shape's outline is dark and the other light: their brightnesses are at least 0.18 apart.
    dark_ground = u[:, 12] < 0.5
    dark, light = 0.16 + 0.26 * u[:, 13:16], 0.60 + 0.32 * u[:, 13:16]
    ground = np.where(dark_ground[:, None], dark, light)
    shape_brightness = np.where(dark_ground, light[:, 2], dark[:, 2])
    first = _colour(u[:, 16], ground[:, 0], 0.3 + 0.6 * u[:, 17])
    second = _colour(u[:, 16] + 0.5 * (u[:, 18] - 0.5), ground[:, 1], 0.3 + 0.6 * u[:, 19])
    colour = _colour(u[:, 16] + 0.25 + 0.5 * u[:, 20], shape_brightness, 0.45 + 0.55 * u[:, 21])

    lit, _ = _turned(_X - cx[:, None, None], _Y - cy[:, None, None], 2 * np.pi * u[:, 22])
    shade = 1.0 + np.clip(0.10 * lit / size, -0.12, 0.12) - 0.10 * np.clip(1.0 + distance / 2.5, 0.0, 1.0)
    shadow = 1.0 - np.where(dark_ground, 0.35, 0.12)[:, None, None] * np.clip(1.0 - distance / 3.5, 0.0, 1.0) ** 2
    coverage = np.clip(0.5 - distance, 0.0, 1.0)[:, None]
    behind = (first + (second - first) * mix) * shadow[:, None]
    image = behind + (colour * shade[:, None] - behind) * coverage
    image += (noise - 0.5) * (0.02 + 0.05 * u[:, 23, None, None, None])
    eight_bit: NDArray[np.uint8] = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    return eight_bit


@datasets.register("shapes10")
@dataclass(frozen=True, kw_only=True)
class Shapes10(Dataset):
    """Procedural 32 x 32 RGB images of ten shapes, 20,000 to train on and 4,000 to test on, classes balanced.

    The same on every machine: float64 throughout, and only :meth:`numpy.random.Generator.random` of one PCG64 stream
    per split. The numbers of all images are drawn before the first is rendered, so a limit gives a prefix.
    """

    label: ClassVar[str] = "Shapes-10"

    seed: int = integer(0, low=0, high=2**31 - 1, help="Seed of every shape, pose, colour and texture.")

    @property
    def title(self) -> str:
        return self.name if self.seed == 0 else f"{self.name}-{self.seed}"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, SIDE, SIDE)

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def available(self) -> bool:
        return True

    def _drawn(self, split: Split) -> tuple[np.random.Generator, NDArray[np.int64]]:
        """The stream of numbers of a split, and what is drawn first: the labels."""
        stream = np.random.Generator(np.random.PCG64([self.seed, list(SIZES).index(split)]))
        return stream, np.argsort(stream.random(SIZES[split]), kind="stable") % len(CLASSES)

    def labels(self, split: Split) -> Tensor:
        return torch.from_numpy(self._drawn(split)[1])

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        wanted = prefix_length(SIZES[split], limit)
        stream, labels = self._drawn(split)
        u = stream.random((len(labels), DRAWS))
        images = np.empty((wanted, 3, SIDE, SIDE), dtype=np.uint8)
        for start in range(0, wanted, CHUNK):
            noise = stream.random((CHUNK, 3, SIDE, SIDE))
            chunk = slice(start, start + CHUNK)
            images[chunk] = render(labels[chunk], u[chunk], noise)[: wanted - start]
        return ImageSet(torch.from_numpy(images), torch.from_numpy(labels[:wanted].copy()), CLASSES, self.title)
