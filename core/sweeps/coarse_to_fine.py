"""The order in which a map is measured, so that it is readable long before it is complete."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["coarse_to_fine"]

# 1.3247..., the real root of x^3 = x + 1; the sequence's steps along rows and columns are its inverse and that squared.
_PLASTIC = 1.3247179572447460
# Points per cell after which the sequence has left out none, or next to none.
_POINTS = 16


def coarse_to_fine(rows: Sequence[int], cols: Sequence[int], first: tuple[int, int]) -> list[tuple[int, int]]:
    """All locations, ``first`` ahead, in an order of which every beginning is spread over the whole map.

    The order is that of the low-discrepancy sequence R2 (Roberts 2018, "The Unreasonable Effectiveness of Quasirandom
    Sequences"). A network with strides answers alike at places that are a power of two apart, so a regular grid of such
    a step through the training location would show one answer as if it were everywhere; this sequence has no period,
    and hits such a grid about as often as the grid's share of all places.

    Args:
        rows: Rows of the map, at least one.
        cols: Columns of the map, at least one.
        first: Row and column to begin with, where they are on the map.

    >>> coarse_to_fine(range(2, 32), range(2, 32), (31, 31))[:4]
    [(31, 31), (24, 18), (16, 5), (9, 22)]
    """
    height, width, known = len(rows), len(cols), first[0] in rows and first[1] in cols
    top, left = (rows.index(first[0]), cols.index(first[1])) if known else (height // 2, width // 2)
    ordered: dict[tuple[int, int], None] = {}
    for point in range(_POINTS * height * width):
        i = int(height * (((top + 0.5) / height + point / _PLASTIC) % 1))
        j = int(width * (((left + 0.5) / width + point / _PLASTIC**2) % 1))
        ordered[rows[i], cols[j]] = None
        if len(ordered) == height * width:
            break
    return list(ordered | {(row, col): None for row in rows for col in cols})
