"""The printable sheet: images with registration marks, and where they are in a photograph of it.

The marks are ArUco markers (Garrido-Jurado et al. 2014), four around each print; each carries a number, so that a
photograph of any part of the sheet says which prints are in it and how they lie.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from core.params import Parametrised, choice, integer, number

__all__ = ["MOST_PRINTS", "Print", "Sheet", "found_in"]

PAPERS = {"A4": (210.0, 297.0), "Letter": (215.9, 279.4)}
MOST_PRINTS = 62
"""Prints that the markers can tell apart."""
# Side of a marker, its distance from the print, and the white rim that it needs, as shares of the print's height.
_MARK, _GAP, _RIM = 0.2, 0.06, 0.05
# What a page keeps free on all sides, in mm.
_BORDER = 6.0
# Longest side of a picture in which markers are looked for.
_LONGEST = 1600
_ENOUGH = 2


@dataclass(frozen=True)
class Print:
    """A print in a photograph.

    Attributes:
        number: Its number on the sheet, from 0.
        corners: Its corners, ``(4, 2)``, in the order top left, top right, bottom right, bottom left, as
            :func:`core.physical.rectified` takes them.
        marks: How many of its four markers were seen.
    """

    number: int
    corners: Tensor
    marks: int


@dataclass(frozen=True, kw_only=True)
class Sheet(Parametrised):
    """One page with as many prints as fit."""

    paper: str = choice("A4", choices=tuple(PAPERS), help="Paper.")
    print_size: float = number(40, low=15, high=120, step=5, help="Height of a printed image.", unit="mm")
    print_dpi: int = integer(300, low=72, high=600, step=25, help="Resolution of the page.", unit="dots per inch")

    def grid(self, aspect: float = 1.0) -> tuple[int, int]:
        """Rows and columns of prints of an aspect (width over height); at least one each."""
        width, height = PAPERS[self.paper]
        around = 2 * (_MARK + _GAP + _RIM) * self.print_size
        cols = int((width - 2 * _BORDER) // (self.print_size * aspect + around))
        rows = int((height - 2 * _BORDER) // (self.print_size + around))
        return max(rows, 1), max(cols, 1)

    def capacity(self, aspect: float = 1.0) -> int:
        """How many prints fit."""
        rows, cols = self.grid(aspect)
        return min(rows * cols, MOST_PRINTS)

    def page(self, images: Tensor, captions: Sequence[str]) -> Image.Image:
        """Draws the page.

        Args:
            images: Floats ``(N, C, H, W)`` in [0, 1]; pixels are printed as squares.
            captions: One short text for each.

        Raises:
            ValueError: If there are more than fit, or not one caption for each.
        """
        count, _, height, width = images.shape
        aspect = width / height
        cols = self.grid(aspect)[1]
        if not 1 <= count <= self.capacity(aspect):
            raise ValueError(f"{count} prints are not possible: 1 to {self.capacity(aspect)} fit on the page")
        if len(captions) != count:
            raise ValueError(f"{len(captions)} captions for {count} prints")
        dots = self.print_dpi / 25.4
        across, down = PAPERS[self.paper]
        page = Image.new("RGB", (round(across * dots), round(down * dots)), "white")
        pen = ImageDraw.Draw(page)
        font = ImageFont.load_default(size=0.4 * _MARK * self.print_size * dots)
        around = (_MARK + _GAP + _RIM) * self.print_size
        tile = (self.print_size * aspect + 2 * around, self.print_size + 2 * around)
        left = (across - cols * tile[0]) / 2
        for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
            row, col = divmod(index, cols)
            x, y = left + col * tile[0] + around, _BORDER + row * tile[1] + around
            box = [round(v * dots) for v in (x, y, x + self.print_size * aspect, y + self.print_size)]
            pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).convert("RGB")
            page.paste(picture.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.NEAREST), (box[0], box[1]))
            side, gap = round(_MARK * self.print_size * dots), round(_GAP * self.print_size * dots)
            for corner in range(4):
                mark = Image.fromarray(_marker(4 * index + corner, side))
                mark_x = box[0] - gap - side if corner in (0, 3) else box[2] + gap
                mark_y = box[1] - gap - side if corner in (0, 1) else box[3] + gap
                page.paste(mark, (mark_x, mark_y))
            pen.text(((box[0] + box[2]) / 2, box[3] + gap + side / 2), caption, "black", font, anchor="mm")
        return page

    def file(self, page: Image.Image, kind: str) -> bytes:
        """The page as a file that prints at its true size.

        Args:
            page: As :meth:`page` draws it.
            kind: ``PDF`` or ``PNG``.
        """
        stream = io.BytesIO()
        if kind == "PDF":
            page.save(stream, "PDF", resolution=self.print_dpi, quality=95, subsampling=0)
        else:
            page.save(stream, kind, dpi=(self.print_dpi, self.print_dpi))
        return stream.getvalue()


def found_in(photo: npt.NDArray[np.uint8], aspect: float = 1.0) -> list[Print]:
    """The prints of a sheet that a photograph shows, by their numbers; those with at least two markers in sight.

    Args:
        photo: ``(h, w, 3)`` or ``(h, w)``.
        aspect: Width of a printed image over its height.
    """
    import cv2  # large, and only the printed sheet needs it

    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if photo.ndim == 3 else photo
    height, width = gray.shape
    scale = min(1.0, _LONGEST / max(height, width))
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    marks, ids, _ = cv2.aruco.ArucoDetector(_markers(), parameters).detectMarkers(gray)
    seen: dict[int, list[tuple[int, npt.NDArray[np.float32]]]] = {}
    for corners, index in zip(marks, [] if ids is None else [int(each) for each in np.ravel(ids)], strict=True):
        if index < 4 * MOST_PRINTS:
            seen.setdefault(index // 4, []).append((index % 4, np.asarray(corners, dtype=np.float32).reshape(4, 2)))
    prints = []
    for index, detected in sorted(seen.items()):
        if len({corner for corner, _ in detected}) < _ENOUGH:
            continue
        on_sheet = np.concatenate([_mark_corners(corner, aspect) for corner, _ in detected])
        in_photo = np.concatenate([points for _, points in detected]) / scale
        matrix, _ = cv2.findHomography(on_sheet, in_photo, cv2.RANSAC, 4.0 / scale)
        if matrix is None:
            continue
        box = np.array([[-aspect, -1], [aspect, -1], [aspect, 1], [-aspect, 1]], dtype=np.float64)
        pixels = cv2.perspectiveTransform(box[None], matrix)[0]
        if not np.isfinite(pixels).all():
            continue
        plane = torch.from_numpy((2 * pixels + 1 - [width, height]) / height)
        prints.append(Print(index, plane, len(detected)))
    return prints


def _markers() -> Any:
    """The set of markers: 250 of 4 x 4 cells."""
    import cv2

    return cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_250)


def _marker(index: int, side: int) -> npt.NDArray[np.uint8]:
    """One marker as a picture, ``(side, side)``."""
    import cv2

    return np.asarray(cv2.aruco.generateImageMarker(_markers(), index, side), dtype=np.uint8)


def _mark_corners(corner: int, aspect: float) -> npt.NDArray[np.float64]:
    """A marker's corners in the plane of its print, which spans ``[-aspect, aspect] x [-1, 1]``."""
    near, far = 2 * _GAP, 2 * (_GAP + _MARK)
    x = (-aspect - far, -aspect - near) if corner in (0, 3) else (aspect + near, aspect + far)
    y = (-1 - far, -1 - near) if corner in (0, 1) else (1 + near, 1 + far)
    return np.array([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])])
