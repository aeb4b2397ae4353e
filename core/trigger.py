"""The trigger of a backdoor attack, and the one place in the project that blends pixels.

Vocabulary of Li et al. 2020 ("Rethinking the Trigger of Backdoor Attack"): the *minimum covering box* (Definition 1)
is the smallest box around all non-zero entries of alpha; the *location* (Definition 2) of a trigger is the row and
column of that box's bottom-right pixel; its *appearance* is the pixels inside.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["PAPER_SIDE", "Box", "Trigger", "corner_pattern", "covering_box", "size_factor", "stamp", "stamp_each"]

PAPER_SIDE = 32
"""Side of the paper's images, for which its sizes in pixels are meant."""


def size_factor(height: int, width: int) -> int:
    """How many times the paper's sizes in pixels are taken by default on images of a size.

    >>> size_factor(28, 28), size_factor(32, 32), size_factor(64, 64), size_factor(224, 224)
    (1, 1, 2, 7)
    """
    return max(1, min(height, width) // PAPER_SIDE)


@dataclass(frozen=True)
class Box:
    """A box of pixels; all four borders belong to it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top + 1

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left + 1


def covering_box(alpha: Tensor) -> Box:
    """Minimum covering box of a blending matrix (Definition 1).

    Args:
        alpha: Blending weights ``(C, H, W)``; an entry belongs to the trigger if it is not zero.

    Raises:
        ValueError: If every entry is zero.

    >>> alpha = torch.zeros(3, 32, 32)
    >>> alpha[:, 29:, 29:] = 1
    >>> covering_box(alpha)
    Box(top=29, left=29, bottom=31, right=31)
    """
    rows, cols = alpha.ne(0).any(0).nonzero(as_tuple=True)
    if len(rows) == 0:
        raise ValueError("alpha is zero everywhere: there is no trigger and no covering box")
    return Box(int(rows.min()), int(cols.min()), int(rows.max()), int(cols.max()))


@dataclass(frozen=True, eq=False)
class Trigger:
    """A trigger: appearance, blending weights, and the location it was trained at.

    Attributes:
        pattern: Pixel values ``(C, h, w)`` in [0, 1].
        alpha: Blending weights ``(C, h, w)`` in [0, 1]; a mask when all are 0 or 1, as in BadNets.
        row: Row of the bottom-right pixel of the box, from 0 at the top.
        col: Column of the bottom-right pixel of the box, from 0 at the left.

    Raises:
        ValueError: If shapes differ, a value lies outside [0, 1], or the location is negative.
    """

    pattern: Tensor
    alpha: Tensor
    row: int
    col: int

    def __post_init__(self) -> None:
        if self.pattern.ndim != 3 or self.pattern.shape != self.alpha.shape:
            raise ValueError(
                f"pattern and alpha are both (C, h, w), not {tuple(self.pattern.shape)} and {tuple(self.alpha.shape)}"
            )
        for name, values in (("pattern", self.pattern), ("alpha", self.alpha)):
            if not bool(((values >= 0) & (values <= 1)).all()):
                raise ValueError(
                    f"{name} goes from {float(values.min()):g} to {float(values.max()):g}: allowed are 0 to 1"
                )
        if self.row < 0 or self.col < 0:
            raise ValueError(f"location ({self.row}, {self.col}) is not allowed: row and column are 0 or more")

    @classmethod
    def from_image(cls, pattern: Tensor, alpha: Tensor) -> Trigger:
        """Cuts a trigger out of a pattern and a blending matrix of the size of an image, both ``(C, H, W)``.

        Raises:
            ValueError: If ``alpha`` is zero everywhere, or shapes or values do not fit.
        """
        box = covering_box(alpha)
        rows, cols = slice(box.top, box.bottom + 1), slice(box.left, box.right + 1)
        return cls(pattern[:, rows, cols].clone(), alpha[:, rows, cols].clone(), box.bottom, box.right)

    @property
    def height(self) -> int:
        """Rows of the box."""
        return self.pattern.shape[1]

    @property
    def width(self) -> int:
        """Columns of the box."""
        return self.pattern.shape[2]

    @property
    def location(self) -> tuple[int, int]:
        """Row and column of the box's bottom-right pixel (Definition 2)."""
        return self.row, self.col

    @property
    def box(self) -> Box:
        """The box at the trigger's location."""
        return Box(self.row - self.height + 1, self.col - self.width + 1, self.row, self.col)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify appearance, weights and location (values rounded to 1/65535)."""
        digest = hashlib.sha256(repr((tuple(self.pattern.shape), self.location)).encode())
        for values in (self.pattern, self.alpha):
            digest.update((values.double() * 65535).round().to(torch.int32).cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def at(self, row: int, col: int) -> Trigger:
        """The same appearance at another location."""
        return replace(self, row=row, col=col)

    def with_value(self, value: float) -> Trigger:
        """Every non-zero pixel value replaced by ``value`` in [0, 1]; black pixels stay (Sec. 3.2, Fig. 5).

        Raises:
            ValueError: If ``value`` lies outside [0, 1].
        """
        if not 0 <= value <= 1:
            raise ValueError(f"pixel value {value * 255:g} is not allowed: 0 to 255")
        return replace(self, pattern=torch.where(self.pattern > 0, torch.full_like(self.pattern, value), self.pattern))

    def with_opacity(self, opacity: float) -> Trigger:
        """Every non-zero blending weight replaced by ``opacity`` in [0, 1].

        Raises:
            ValueError: If ``opacity`` lies outside [0, 1].
        """
        if not 0 <= opacity <= 1:
            raise ValueError(f"opacity {opacity:g} is not allowed: 0 to 1")
        return replace(self, alpha=torch.where(self.alpha > 0, torch.full_like(self.alpha, opacity), self.alpha))

    @property
    def value(self) -> int:
        """Largest pixel value of the pattern, 0 to 255: that of all its lit pixels in the paper's triggers."""
        return round(float((self.pattern * (self.alpha > 0)).max()) * 255)

    @property
    def opacity(self) -> int:
        """Largest blending weight in percent, 0 to 100: that of all its pixels in the paper's triggers."""
        return round(float(self.alpha.max()) * 100)

    @property
    def layout(self) -> str:
        """Which pixels are what, row by row: ``1`` lit, ``0`` black, ``.`` not part of the trigger."""
        lit, part = self.pattern.gt(0).any(0).flatten(), self.alpha.gt(0).any(0).flatten()
        return "".join("." if not p else "1" if v else "0" for v, p in zip(lit.tolist(), part.tolist(), strict=True))

    def painted(self, layout: str, value: int, opacity: int) -> Trigger:
        """Another appearance in the same box at the same location.

        Args:
            layout: As in :attr:`layout`, ``height * width`` characters.
            value: Pixel value of the lit pixels, 0 to 255.
            opacity: Blending weight of lit and black pixels in percent, 0 to 100.

        Raises:
            ValueError: If the layout has another length or other characters, or a number is out of range.
        """
        if len(layout) != self.height * self.width or set(layout) - set("01."):
            raise ValueError(f"layout = {layout!r} is not allowed: {self.height * self.width} characters of 0, 1 and .")
        for name, number, most in (("pixel value", value, 255), ("opacity", opacity, 100)):
            if not 0 <= number <= most:
                raise ValueError(f"{name} {number:g} is not allowed: 0 to {most}")
        lit = torch.tensor([c == "1" for c in layout]).view(self.height, self.width).expand_as(self.pattern)
        part = torch.tensor([c != "." for c in layout]).view(self.height, self.width).expand_as(self.pattern)
        return replace(self, pattern=lit * (value / 255), alpha=part * (opacity / 100))

    def to(self, device: torch.device | str) -> Trigger:
        """The same trigger with its tensors on ``device``."""
        return replace(self, pattern=self.pattern.to(device), alpha=self.alpha.to(device))

    def check_fits(self, height: int, width: int) -> None:
        """Raises:
        ValueError: If the trigger is larger than an image of this size, or lies outside it.
        """
        if self.height > height or self.width > width:
            raise ValueError(f"a {self.height} x {self.width} trigger does not fit on a {height} x {width} image")
        rows, cols = self.places(height, width)
        if self.row not in rows or self.col not in cols:
            raise ValueError(
                f"location ({self.row}, {self.col}) lies outside a {height} x {width} image: "
                f"rows {rows[0]} to {rows[-1]}, columns {cols[0]} to {cols[-1]}"
            )

    def places(self, height: int, width: int) -> tuple[range, range]:
        """Rows and columns of every location at which the box fits: 30 x 30 for a 3 x 3 trigger on 32 x 32.

        A trigger whose box is as high (wide) as the image has one place to fit; it is swept by offset instead, every
        row (column) from half the image up to half the image down, and what crosses the border is cut off.
        """
        rows = range(self.height - 1, height) if self.height < height else range(height // 2, height + height // 2)
        cols = range(self.width - 1, width) if self.width < width else range(width // 2, width + width // 2)
        return rows, cols

    def mapped(self, height: int, width: int) -> tuple[range, range]:
        """Rows and columns of the places of a location map: all of :meth:`places` on images of less than 64 pixels.

        On larger ones every so many, so that a map has no more places than the paper's. The steps between them are odd:
        a network with strides answers alike at places that are a power of two apart. The trigger's own place is one.

        >>> trigger = Trigger(torch.ones(3, 21, 21), torch.ones(3, 21, 21), 223, 223)
        >>> trigger.mapped(224, 224)[0]
        range(20, 224, 7)
        """
        step = size_factor(height, width) | 1
        spans = zip(self.places(height, width), self.location, strict=True)
        rows, cols = (span[max(at - span[0], 0) % step :: step] for span, at in spans)
        return rows, cols


def corner_pattern(value: float, channels: int = 3, scale: int = 1) -> Tensor:
    """The paper's 3 x 3 trigger, black but for four pixels (Fig. 3).

    Args:
        value: Of the four pixels, in [0, 1].
        channels: Number of channels.
        scale: Pixels a side that each of the nine takes.

    Returns:
        ``(channels, 3 * scale, 3 * scale)``.
    """
    lit = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    large = lit.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    return (large * value).expand(channels, *large.shape).clone()


def stamp(images: Tensor, trigger: Trigger) -> Tensor:
    """Stamps a trigger at its location: ``(1 - alpha) * x + alpha * pattern`` (Eq. 1).

    A box as large as the image may cross its border, and is cut off there.

    Args:
        images: Floats ``(..., C, H, W)`` in [0, 1].
        trigger: What to stamp and where.

    Returns:
        New images of the same shape and type.

    Raises:
        ValueError: If the trigger does not fit on the images.
    """
    height, width = images.shape[-2:]
    trigger.check_fits(height, width)
    return _blend(images.clone(), trigger, trigger.row, trigger.col)


def stamp_each(images: Tensor, trigger: Trigger, locations: Tensor) -> Tensor:
    """Stamps all images at each of several locations; the batched form of :func:`stamp` that sweeps use.

    Args:
        images: Floats ``(N, C, H, W)`` in [0, 1].
        trigger: What to stamp; its own location is not used.
        locations: Rows and columns of the box's bottom-right pixel, int64 ``(L, 2)``. A box as large as the image may
            cross its border, and is cut off there.

    Returns:
        Stamped images ``(L, N, C, H, W)``.

    Raises:
        ValueError: If a location is not one of ``trigger.places``.
    """
    height, width = images.shape[-2:]
    rows, cols = trigger.places(height, width)
    places = locations.tolist()
    for row, col in places:
        if row not in rows or col not in cols:
            raise ValueError(
                f"location ({row}, {col}) is not allowed: rows {rows[0]} to {rows[-1]}, columns {cols[0]} to {cols[-1]}"
            )
    stamped = images.expand(len(places), *images.shape).clone()
    for target, (row, col) in zip(stamped, places, strict=True):
        _blend(target, trigger, row, col)
    return stamped


def _blend(images: Tensor, trigger: Trigger, row: int, col: int) -> Tensor:
    """Eq. 1 in place, with the box's bottom-right pixel at (row, col), cut off at the border."""
    height, width = images.shape[-2:]
    top, left = row - trigger.height + 1, col - trigger.width + 1
    rows = slice(max(top, 0), min(row + 1, height))
    cols = slice(max(left, 0), min(col + 1, width))
    inside = (..., slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left))
    region = images[..., rows, cols]
    alpha = trigger.alpha[inside].to(images)
    region.copy_((1 - alpha) * region + alpha * trigger.pattern[inside].to(images))
    return images
