"""Print and camera, simulated: what a classifier gets when an attacked image is printed and photographed (Sec. 5.5).

The order is that of light and signal: ink on paper, the sheet before a background, a lens, a sensor, the camera's
processing, and the resize to the network's input. Blur, light and noise act on linear light, as they do in a camera.

>>> image = torch.rand(1, 3, 32, 32)
>>> bool((OFF(image, torch.Generator()) == image).all())
True
>>> FAR.only("distance").distance, FAR.only("distance").noise
(1.4, 0.0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from core.params import Param, Parametrised, Value, choice, integer, number, params_of
from core.physical.geometry import CORNERS, frame_points, pinhole, projected, sampled
from core.physical.light import colour_of, from_linear, to_linear
from core.physical.rectify import FRAMINGS, RESIZES, rectified, resized
from core.physical.signal import blurred, through_jpeg
from core.transforms.base import Drawn, Layer

__all__ = ["FACTORS", "FAR", "NEAR", "OFF", "PRESETS", "VARIED", "Camera"]

BACKGROUNDS = ("wall", "paper", "black", "clutter")
# Reflectance of a painted wall, of paper and of nothing, encoded.
_SHADES = {"wall": 0.62, "paper": 1.0, "black": 0.0}
# Cells of the colours behind the sheet, per side.
_CLUTTER = 5
# Texture pixels per image pixel: nearest-neighbour edges of the print stay sharp under bilinear sampling.
_TEXTURE = 4


@dataclass(frozen=True, kw_only=True)
class Camera(Parametrised, Layer):
    """A print of every image, photographed and resized to its former shape; with the defaults nothing happens.

    Lengths in the photograph are percent of its height. What differs from image to image is drawn: where the camera
    points, the direction of the motion, the background's clutter, the noise. A draw may also say, for each image, the
    parameters in :data:`VARIED`: one tensor ``(N,)`` of each, in this order, behind what :meth:`draw` draws. They are
    then taken instead of the camera's own, which are their largest values.
    """

    print_size: float = number(60, low=10, high=500, step=5, help="Height of the printed image.", unit="mm")
    print_dpi: int = integer(0, low=0, high=1200, step=25, help="Resolution of the print; 0 is without limit.")
    dot_gain: float = number(0, low=0, high=0.4, step=0.02, help="Growth of the ink dots at half coverage.")
    ink_black: float = number(0, low=0, high=0.3, step=0.01, help="Light that black ink still reflects.")
    margin: float = number(0, low=0, high=50, step=5, help="White paper around the image.", unit="% of the print")
    distance: float = number(
        1, low=1, high=4, step=0.05, help="Distance of the camera.", unit="x that at which the print fills the picture"
    )
    yaw: float = number(0, low=-75, high=75, step=1, help="Sheet turned around the vertical.", unit="degrees")
    pitch: float = number(0, low=-75, high=75, step=1, help="Sheet turned around the horizontal.", unit="degrees")
    roll: float = number(0, low=-180, high=180, step=1, help="Sheet turned in itself.", unit="degrees")
    view: float = number(50, low=10, high=110, step=5, help="Angle of view; wide views are steep ones.", unit="degrees")
    aim: float = number(0, low=0, high=30, step=1, help="Largest error of pointing the camera, per axis.", unit="%")
    background: str = choice("black", choices=BACKGROUNDS, help="What is behind the sheet.")
    brightness: float = number(0, low=-3, high=3, step=0.1, help="Exposure.", unit="stops")
    temperature: float = number(6500, low=2000, high=12000, step=100, help="Colour temperature of the light.", unit="K")
    white_balance: float = number(0, low=0, high=1, step=0.05, help="Share of the light's colour that is corrected.")
    vignetting: float = number(0, low=0, high=1, step=0.05, help="Light that is missing in the corners.")
    defocus: float = number(0, low=0, high=8, step=0.25, help="Radius of the disc that a point becomes.", unit="%")
    motion: float = number(0, low=0, high=15, step=0.5, help="Length of the line that a point becomes.", unit="%")
    noise: float = number(0, low=0, high=60, step=1, help="Deviation of the sensor's noise at white.", unit="255ths")
    jpeg: int = integer(0, low=0, high=100, step=5, help="Quality of the JPEG file; 0 is without one.")
    framing: str = choice("picture", choices=FRAMINGS, help="What of the photograph the network sees.")
    resize: str = choice("bilinear", choices=RESIZES, help="How it is resized: ShrinkPad's way, or antialiased.")
    pixels: int = integer(128, low=32, high=256, step=32, help="Height of the photograph.", unit="pixels")

    @property
    def spec(self) -> str:
        """The parameters that are not neutral."""
        return " ".join(f"{name}={value}" for name, value in self.changed().items()) or "off"

    @property
    def label(self) -> str:
        """Name in figures."""
        return f"Photograph ({self.spec})"

    def changed(self) -> dict[str, Value]:
        """The parameters that are not neutral; enough for :meth:`from_dict`."""
        return {name: value for name, value in self.to_dict().items() if value != params_of(Camera)[name].default}

    def only(self, factor: str) -> Self:
        """The camera with one factor alone, everything else off.

        Raises:
            KeyError: If there is no such factor.
        """
        kept = {name: getattr(self, name) for name in (*FACTORS[factor], *_CONSTANT)}
        return type(self)(**kept)

    def without(self, factor: str) -> Self:
        """The camera with one factor off.

        Raises:
            KeyError: If there is no such factor.
        """
        return self.from_dict({name: value for name, value in self.changed().items() if name not in FACTORS[factor]})

    @property
    def moves(self) -> bool:
        """Whether the sheet is seen otherwise than straight and filling the picture."""
        return any(getattr(self, name) != _declared(name).default for name in _PLACEMENT)

    @property
    def is_off(self) -> bool:
        """Whether images stay as they are."""
        return all(name in _WITHOUT_EFFECT or name in ("background", "framing") for name in self.changed())

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        channels, height, width = shape
        device, rows = generator.device, self.pixels
        cols = round(rows * width / height)
        aim = 2 * torch.rand(count, 2, generator=generator, device=device) - 1
        direction = math.pi * torch.rand(count, generator=generator, device=device)
        clutter = torch.rand(count, channels, _CLUTTER, _CLUTTER, generator=generator, device=device)
        size = (count, channels, rows, cols) if self.noise else (count, 0, 0, 0)
        return aim, direction, clutter, torch.randn(size, generator=generator, device=device)

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        if self.is_off or len(images) == 0:
            return images.clone()
        return self.developed(self.photograph(images, drawn), images.shape[2:], drawn)

    def follow(self, masks: Tensor, drawn: Drawn) -> Tensor:
        if not self.moves or len(masks) == 0:
            return masks
        matrix = self._matrix(drawn, masks)
        return self.developed(
            self._seen(masks, torch.zeros_like(masks[:, :1, :1, :1]), matrix, self._size(masks), paper=0),
            masks.shape[2:],
            drawn,
        )

    def corners(self, drawn: Drawn, aspect: float = 1.0) -> Tensor:
        """Where the printed image's corners are in the photograph, in order of :data:`CORNERS`.

        Args:
            drawn: The draw of the images.
            aspect: Width of the images over their height.

        Returns:
            ``(N, 4, 2)``: x from -aspect to aspect, y from -1 to 1.

        Raises:
            ValueError: If a corner is not in front of the camera.
        """
        matrix = self._matrix(drawn, drawn[0])
        signs = torch.tensor(CORNERS, dtype=matrix.dtype, device=matrix.device)
        seen, weight = projected(matrix, signs * torch.tensor([aspect, 1.0], dtype=matrix.dtype, device=matrix.device))
        if bool((weight <= 0).any()):
            raise ValueError(f"{self.spec} is not possible: a corner of the print is behind the camera")
        return seen

    def photograph(self, images: Tensor, drawn: Drawn) -> Tensor:
        """The photographs as the camera stores them.

        Args:
            images: Floats ``(N, C, H, W)`` in [0, 1].
            drawn: Their draw.

        Returns:
            Floats ``(N, C, pixels, pixels * W / H)`` in [0, 1].
        """
        _, direction, clutter, noise = drawn[:4]
        own = self._own(drawn)
        matrix = self._matrix(drawn, images)
        light = self._seen(self._printed(images), self._behind(images, clutter), matrix, self._size(images))
        gains = (colour_of(own["temperature"], images.shape[1]) ** (1 - self.white_balance)).to(images)
        light = light * gains.reshape(-1, images.shape[1], 1, 1) * 2 ** _each(own["brightness"], light)
        if self.vignetting:
            light = light * self._falloff(light)
        if self.defocus:
            reach = math.ceil(self.defocus / 100 * light.shape[2])
            light = blurred(light, _disc(own["defocus"].to(light) / 100 * light.shape[2], reach))
        if self.motion:
            reach = max(1, math.ceil(self.motion / 100 * light.shape[2] / 2))
            light = blurred(light, _line(own["motion"].to(light) / 100 * light.shape[2], direction.to(light), reach))
        if self.noise:
            # Photons are counted: the noise grows with the root of the light, on top of what reading adds.
            deviation = _each(own["noise"], light) / 255 * (0.9 * light.clamp_min(0) + 0.1).sqrt()
            light = light + noise.to(light) * deviation
        photo = from_linear(light.clamp(0, 1))
        return through_jpeg(photo, self.jpeg) if self.jpeg else photo

    def developed(self, photos: Tensor, size: tuple[int, int] | torch.Size, drawn: Drawn) -> Tensor:
        """What the network gets of photographs.

        Args:
            photos: ``(N, C, h, w)`` in [0, 1].
            size: Rows and columns of the network's input.
            drawn: The draw of the images.
        """
        if self.framing == "picture" or not self.moves:
            return resized(photos, (size[0], size[1]), self.resize)
        return rectified(photos, self.corners(drawn, size[1] / size[0]), self.framing, (size[0], size[1]), self.resize)

    def _matrix(self, drawn: Drawn, like: Tensor) -> Tensor:
        """Homographies of the sheet to the photograph, ``(N, 3, 3)``."""
        aim = (drawn[0].double() * (2 * self.aim / 100)).to(like.device)
        own = self._own(drawn)
        matrix = pinhole(own["distance"], own["yaw"], own["pitch"], own["roll"], self.view).to(like.device)
        shifted = matrix.expand(len(aim), 3, 3).clone()
        shifted[:, :2] += aim[:, :, None] * matrix[..., 2:, :]
        return shifted

    def _own(self, drawn: Drawn) -> dict[str, Tensor]:
        """The parameters that may differ from image to image: one value, or one for each image."""
        given = drawn[4:] or [torch.tensor(getattr(self, name), dtype=torch.float64) for name in VARIED]
        return dict(zip(VARIED, given, strict=True))

    def _printed(self, images: Tensor) -> Tensor:
        """What the inked paper reflects, in linear light."""
        height = images.shape[2]
        dots = round(self.print_size / 25.4 * self.print_dpi)
        if 0 < dots < height * _TEXTURE:
            cols = max(1, round(dots * images.shape[3] / height))
            fine = F.interpolate(images, scale_factor=_TEXTURE, mode="nearest-exact")
            images = F.adaptive_avg_pool2d(fine, (max(1, dots), cols))
        light = to_linear(images)
        if self.dot_gain:
            ink = 1 - light  # Murray-Davies coverage, with the growth of a dot area modulated print
            light = 1 - (ink + 4 * self.dot_gain * ink * light).clamp(0, 1)
        return self.ink_black + (1 - self.ink_black) * light

    def _behind(self, images: Tensor, clutter: Tensor) -> Tensor:
        """What is behind the sheet, in linear light; one pixel where it is uniform."""
        if self.background == "clutter":
            smooth = F.interpolate(clutter.to(images), self._size(images), mode="bicubic", align_corners=False)
            return to_linear(smooth.clamp(0, 1))
        shade = torch.full_like(images[:, :, :1, :1], _SHADES[self.background])
        return to_linear(shade)

    def _size(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of the photographs of images; the dots of a print have another shape by rounding."""
        return self.pixels, round(self.pixels * images.shape[3] / images.shape[2])

    def _seen(self, light: Tensor, behind: Tensor, matrix: Tensor, size: tuple[int, int], paper: float = 1) -> Tensor:
        """The sheet as the lens sees it, before its background.

        Args:
            light: What the print reflects, ``(N, C, h, w)``.
            behind: What the background reflects; of the size of the photograph, or 1 x 1.
            matrix: Homographies of the sheet to the photograph.
            size: Rows and columns of the photographs.
            paper: What the paper around the print reflects.
        """
        rows, cols = size
        if not self.moves:
            return F.interpolate(light, (rows, cols), mode="nearest-exact")
        points = frame_points(rows, cols, light.device).reshape(1, -1, 2)
        on_sheet, weight = projected(torch.linalg.inv(matrix).float(), points)
        fine = F.interpolate(light, scale_factor=_TEXTURE, mode="nearest-exact") if light.shape[2] <= 64 else light
        seen = sampled(fine, on_sheet.reshape(-1, rows, cols, 2))
        beyond = torch.maximum(on_sheet[..., 0].abs() * (rows / cols), on_sheet[..., 1].abs())
        beyond = beyond.masked_fill_(weight <= 0, torch.inf).reshape(-1, 1, rows, cols)
        seen.masked_fill_(beyond > 1, paper)
        return torch.where(beyond <= 1 + 2 * self.margin / 100, seen, behind)

    def _falloff(self, light: Tensor) -> Tensor:
        """Share of the light that arrives, ``(h, w)``: less with the square of the distance from the middle."""
        points = frame_points(light.shape[2], light.shape[3], light.device)
        squared = points.square().sum(-1)
        return 1 - self.vignetting * squared / squared.max()


FACTORS: dict[str, tuple[str, ...]] = {
    "print": ("print_size", "print_dpi", "dot_gain", "ink_black"),
    "distance": ("distance",),
    "angle": ("yaw", "pitch"),
    "rotation": ("roll",),
    "aim": ("aim",),
    "background": ("background", "margin"),
    "light": ("brightness", "temperature", "white_balance"),
    "vignetting": ("vignetting",),
    "defocus": ("defocus",),
    "motion": ("motion",),
    "noise": ("noise",),
    "jpeg": ("jpeg",),
}
"""What can be switched on and off by itself, and the parameters that make it up."""

VARIED = ("distance", "yaw", "pitch", "roll", "brightness", "temperature", "defocus", "motion", "noise")
"""Parameters that a draw may say for each image."""

# How the photograph is taken apart from all factors.
_CONSTANT = ("view", "pixels", "framing", "resize")
_PLACEMENT = ("distance", "yaw", "pitch", "roll", "aim")
# What changes nothing as long as nothing else does.
_WITHOUT_EFFECT = ("view", "pixels", "resize", "print_size", "margin", "white_balance")

OFF = Camera()
"""Nothing happens."""
NEAR = Camera(
    print_dpi=150,
    dot_gain=0.1,
    ink_black=0.03,
    margin=10,
    distance=1.1,
    yaw=8,
    pitch=4,
    roll=2,
    aim=2,
    background="wall",
    brightness=-0.2,
    temperature=5000,
    white_balance=0.7,
    vignetting=0.2,
    defocus=0.5,
    motion=0.5,
    noise=6,
    jpeg=85,
)
"""A phone held close to the sheet; the print is nine tenths of the picture."""
FAR = replace(NEAR, distance=1.4, yaw=15, pitch=8, roll=4, aim=5, defocus=1.0, motion=1.0, noise=10)
"""The same from further away, and less carefully; the print is seven tenths of the picture."""
PRESETS = {"off": OFF, "near": NEAR, "far": FAR}


def _declared(name: str) -> Param:
    return params_of(Camera)[name]


def _each(values: Tensor, images: Tensor) -> Tensor:
    """A number, or one for each image ``(N,)``, to multiply images ``(N, C, H, W)`` with."""
    return values.to(images).reshape(-1, 1, 1, 1)


def _disc(radius: Tensor, reach: int) -> Tensor:
    """The image of a point out of focus, ``(N, k, k)`` or ``(1, k, k)``, sum 1 each; its rim is soft.

    Args:
        radius: ``(N,)``, or one number.
        reach: The largest radius, rounded up.
    """
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0, device=radius.device)] * 2, indexing="ij")
    disc = (radius.reshape(-1, 1, 1) + 0.5 - (x.square() + y.square()).sqrt()).clamp(0, 1)
    return disc / disc.sum((1, 2), keepdim=True)


def _line(length: Tensor, direction: Tensor, reach: int) -> Tensor:
    """The image of a point while the camera moves, ``(N, k, k)``, sum 1 each.

    Args:
        length: ``(N,)``, or one number.
        direction: In radians, ``(N,)``.
        reach: Half of the largest length, rounded up, at least 1.
    """
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0, device=direction.device)] * 2, indexing="ij")
    cos, sin = direction.cos()[:, None, None], direction.sin()[:, None, None]
    along, across = (x * cos + y * sin).abs(), (y * cos - x * sin).abs()
    lines = (length.reshape(-1, 1, 1) / 2 + 0.5 - along).clamp(0, 1) * (1 - across).clamp(0, 1)
    return lines / lines.sum((1, 2), keepdim=True)
