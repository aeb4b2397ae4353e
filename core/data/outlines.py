"""Signed distance functions of the ten shapes of shapes10.

``d(x, y)`` is negative inside, zero on the outline and positive outside, exact everywhere, in units of the shape's
radius. Every shape is symmetric about its vertical axis.

>>> x = np.array([0.0, 0.86, 2.0])
>>> signed_distance("circle", x, np.zeros(3)).round(2).tolist()
[-0.86, 0.0, 1.14]
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "TILT", "Array", "polygon_distance", "signed_distance"]

Array = NDArray[np.float64]


def polygon_distance(x: Array, y: Array, corners: Array) -> Array:
    """Exact signed distance to a simple polygon, of the shape of ``x`` and ``y``.

    The size is the smallest distance to an edge; the sign comes from how many edges a ray to the right crosses.

    Args:
        x: Abscissae.
        y: Ordinates, upwards.
        corners: ``(n, 2)`` in order around the polygon.
    """
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        ex, ey = bx - ax, by - ay
        px, py = x - ax, y - ay
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0.0, 1.0)
        nearest = np.minimum(nearest, (px - along * ex) ** 2 + (py - along * ey) ** 2)
        if ey != 0.0:
            inside ^= ((y >= ay) != (y >= by)) & (px < py * (ex / ey))
    distance: Array = np.where(inside, -1.0, 1.0) * np.sqrt(nearest)
    return distance


def _regular(n: int, *radii: float) -> Array:
    """Corners at equal angles, the first one upwards; radii are taken in turn."""
    angle = np.pi / 2 + 2 * np.pi * np.arange(n) / n
    radius = np.resize(np.array(radii), n)
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)


def _mirrored(*right: tuple[float, float]) -> Array:
    """Corners of a polygon symmetric about the vertical axis from those on its right, from top to bottom."""
    return np.array([*right, *((-x, y) for x, y in reversed(right) if x != 0.0)])


ROUNDING = 0.06
"""Radius of a polygon's corners: its distance is that to a slightly smaller polygon, less this."""

POLYGONS = {
    "square": _mirrored((0.70, 0.70), (0.70, -0.70)),
    "triangle": _regular(3, 1.02) - (0.0, 0.12),
    "star": _regular(10, 1.04, 0.44),
    "cross": _mirrored((0.24, 0.90), (0.24, 0.24), (0.90, 0.24), (0.90, -0.24), (0.24, -0.24), (0.24, -0.90)),
    "arrow": _mirrored((0.0, 0.94), (0.82, 0.08), (0.24, 0.08), (0.24, -0.90)),
    "hourglass": _mirrored((0.72, 0.86), (0.06, 0.0), (0.72, -0.86)),
}


def _circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.86


def _ring(x: Array, y: Array) -> Array:
    distance: Array = np.abs(np.hypot(x, y) - 0.72) - 0.2
    return distance


def _heart(x: Array, y: Array) -> Array:
    """A unit square on its corner with a half disk on each upper side: two segments and an arc by symmetry."""
    scale = 1.62
    x, y = np.abs(x) / scale, (y + 0.92) / scale
    arc = np.hypot(x - 0.25, y - 0.75) - np.sqrt(0.125)
    along = 0.5 * np.maximum(x + y, 0.0)
    edge = np.sqrt(np.minimum(x * x + (y - 1.0) ** 2, (x - along) ** 2 + (y - along) ** 2))
    distance: Array = scale * np.where(x + y > 1.0, arc, np.where(x > y, edge, -edge))
    return distance


def _crescent(x: Array, y: Array) -> Array:
    """The disk of radius ``a`` less a disk of radius ``b`` whose centre is ``c`` above: two arcs, two tips."""
    a, b, c = 0.96, 0.74, 0.46
    x = np.abs(x)
    tip_y = (a * a - b * b + c * c) / (2 * c)
    tip_x = np.sqrt(a * a - tip_y * tip_y)
    outer, inner = np.hypot(x, y), np.hypot(x, y - c)
    tip = np.hypot(x - tip_x, y - tip_y)
    # An arc counts where the ray from its centre through the point meets it below the tip.
    to_outer = np.where(y * tip_x <= x * tip_y, np.abs(outer - a), np.inf)
    to_inner = np.where((y - c) * tip_x <= x * (tip_y - c), np.abs(inner - b), np.inf)
    within = (outer < a) & (inner > b)
    distance: Array = np.where(within, -1.0, 1.0) * np.minimum(tip, np.minimum(to_outer, to_inner))
    return distance


ROUND: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "ring": _ring,
    "heart": _heart,
    "crescent": _crescent,
}

TILT = {
    "circle": 0,
    "ring": 0,
    "square": 45,
    "triangle": 40,
    "star": 36,
    "cross": 45,
    "heart": 40,
    "crescent": 180,
    "arrow": 180,
    "hourglass": 40,
}
"""Classes in label order, and the largest rotation of each to either side, in degrees."""

CLASSES = tuple(TILT)


def signed_distance(shape: str, x: Array, y: Array) -> Array:
    """Signed distance to a class's outline, in units of its radius: negative inside.

    Args:
        shape: Class name.
        x: Abscissae in the shape's frame, any array shape.
        y: Ordinates, upwards.

    Raises:
        KeyError: If there is no such class.
    """
    if shape in POLYGONS:
        return polygon_distance(x, y, POLYGONS[shape]) - ROUNDING
    return ROUND[shape](x, y)
