"""The location map: attack success rate at every place of the trigger (Fig. 4), drawn on a canvas, pickable.

A Streamlit custom component (v2, no iframe). New numbers are painted into the same canvas, so a sweep that runs from
coarse to fine fills the map in without a flicker; places that are not measured yet are gray and
hatched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.schemas.base import LARGEST
from dashboard.components.channel import Component
from dashboard.components.messages import whole

__all__ = ["Pick", "location_map", "parse_pick"]

_component = Component("location_map", ("wire.js", "shared.js", "map.js"), "map.css")

Counts = npt.NDArray[np.integer[Any]]
Shares = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pick:
    """A place picked on the map.

    Attributes:
        row: Row of the trigger's bottom-right pixel, one of the map's rows.
        col: Column of that pixel, one of the map's columns.
    """

    row: int
    col: int


def parse_pick(payload: object, rows: Sequence[int], cols: Sequence[int]) -> tuple[Pick, int] | None:
    """Read what the browser sent: a place of the map and the message's number, or None for anything malformed.

    Args:
        payload: The decoded JSON value, of any type.
        rows: The map's rows.
        cols: The map's columns.

    >>> parse_pick({"row": 28, "col": 31, "seq": 1}, rows=range(2, 32), cols=range(2, 32))
    (Pick(row=28, col=31), 1)
    >>> parse_pick({"row": 1, "col": 31, "seq": 1}, rows=range(2, 32), cols=range(2, 32)) is None
    True
    """
    if not isinstance(payload, Mapping):
        return None
    row, col = (whole(payload.get(name), -LARGEST) for name in ("row", "col"))
    seq = whole(payload.get("seq"))
    if row is None or col is None or seq is None:
        return None
    return (Pick(row=row, col=col), seq) if row in rows and col in cols else None


def location_map(
    *,
    rows: Sequence[int],
    cols: Sequence[int],
    hits: Counts,
    total: Counts,
    low: Shares,
    high: Shares,
    row: int,
    col: int,
    trained: tuple[int, int] | None,
    key: str,
    on_pick: Callable[[Pick], None],
    title: str,
    filename: str = "location-map",
) -> None:
    """Draw attack success rates over the places of the trigger, and report the place that is picked.

    Rows and columns are those of the bottom-right pixel of the trigger's box, counted from 0 at the image's top left.

    Args:
        rows: Rows that the map covers, ascending.
        cols: Columns that the map covers, ascending.
        hits: Images predicted as the target, integer ``(len(rows), len(cols))``.
        total: Images counted, same shape; 0 where nothing is measured yet.
        low: Lower end of the rate's 95 % interval in [0, 1], same shape; not read where ``total`` is 0.
        high: Upper end of it.
        row: Row of the current place, marked on the map.
        col: Column of the current place.
        trained: ``(row, col)`` the trigger had in training, marked with a dashed square, or None.
        key: Streamlit key, unique in the session; ``<key>:ack`` in the session state is used too.
        on_pick: Called with the picked place before the script runs; must be idempotent. It is called many times
            while the pointer is dragged over the map.
        title: Title of the map, on the page and in the downloaded picture.
        filename: Name of that picture, without the ending.

    Raises:
        ValueError: If there are no rows or columns, or an array has another shape.
    """
    shape = (len(rows), len(cols))
    if 0 in shape:
        raise ValueError(f"a map of {shape[0]} rows and {shape[1]} columns is not allowed: at least one of each")
    for name, array in (("hits", hits), ("total", total), ("low", low), ("high", high)):
        if array.shape != shape:
            raise ValueError(f"{name} of shape {array.shape} is not allowed: {shape}, one number for each place")
    _component.converse(
        key,
        {
            "rows": [int(value) for value in rows],
            "cols": [int(value) for value in cols],
            "hits": hits.ravel().tolist(),
            "total": total.ravel().tolist(),
            "low": _per_mille(low),
            "high": _per_mille(high),
            "row": int(row),
            "col": int(col),
            "trained": None if trained is None else [int(trained[0]), int(trained[1])],
            "title": title,
            "filename": filename,
        },
        name="pick",
        parse=lambda payload: parse_pick(payload, rows, cols),
        act=lambda parsed: on_pick(parsed[0]),
    )


def _per_mille(shares: Shares) -> list[int]:
    """Shares as whole per mille, which is what the tooltip shows; ``nan`` (not measured) becomes 0."""
    per_mille: list[int] = np.rint(1000 * np.nan_to_num(shares.ravel())).astype(int).tolist()
    return per_mille
