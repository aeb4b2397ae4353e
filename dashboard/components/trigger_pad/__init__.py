"""The draggable trigger: an enlarged image on which the trigger is moved by mouse, finger or arrow keys.

A Streamlit custom component (v2, no iframe). The browser draws the drag at pointer rate on its own and reports
positions to Python, one message at a time (:mod:`dashboard.components.channel`).

The position belongs to the caller, who keeps it in the session state:

    def moved(move: Move) -> None:
        st.session_state.place = (move.row, move.col)

    trigger_pad(..., row=place[0], col=place[1], key="pad", on_move=moved)
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.schemas.base import LARGEST
from dashboard.components.channel import Component
from dashboard.components.messages import whole

__all__ = ["Move", "parse_move", "trigger_pad"]

_component = Component("trigger_pad", ("wire.js", "shared.js", "pad.js"), "pad.css")


@dataclass(frozen=True)
class Move:
    """A place the trigger was moved to.

    Attributes:
        row: Row of the bottom-right pixel of the trigger's box (its *location*, Def. 2).
        col: Column of that pixel.
        seq: Number of the message.
        final: True when the trigger was let go, False on the way there.
    """

    row: int
    col: int
    seq: int
    final: bool


def parse_move(payload: object, rows: tuple[int, int], cols: tuple[int, int]) -> Move | None:
    """Read what the browser sent: a move inside the allowed range, or None for anything malformed.

    Args:
        payload: The decoded JSON value, of any type.
        rows: Smallest and largest allowed row, inclusive; a row outside is moved to the nearer end.
        cols: The same for the column.

    >>> parse_move({"row": 40, "col": 7, "seq": 3, "final": True}, rows=(2, 31), cols=(2, 31))
    Move(row=31, col=7, seq=3, final=True)
    >>> parse_move({"row": "40", "col": 7, "seq": 3, "final": True}, rows=(2, 31), cols=(2, 31)) is None
    True
    """
    if not isinstance(payload, Mapping):
        return None
    row, col = (whole(payload.get(name), -LARGEST) for name in ("row", "col"))
    seq, final = whole(payload.get("seq")), payload.get("final")
    if row is None or col is None or seq is None or type(final) is not bool:
        return None
    return Move(row=min(max(row, rows[0]), rows[1]), col=min(max(col, cols[0]), cols[1]), seq=seq, final=final)


def trigger_pad(
    *,
    image: str | None,
    height: int,
    width: int,
    pattern: npt.NDArray[np.uint8],
    row: int,
    col: int,
    rows: tuple[int, int],
    cols: tuple[int, int],
    trained: tuple[int, int] | None,
    key: str,
    on_move: Callable[[Move], None],
    label: str = "Trigger on the image",
) -> None:
    """Draw the image with the trigger on it, and report where the trigger is moved.

    Rows and columns are those of the bottom-right pixel of the trigger's box, counted from 0 at the image's top left.

    Args:
        image: The image as a data URL (PNG), or None for a neutral placeholder.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        pattern: The trigger's box as RGBA, uint8 ``(h, w, 4)``; alpha 0..255 is the opacity of Eq. 1, and the browser
            shows ``(1 - alpha) * image + alpha * pattern``. Parts outside the image are cut off.
        row: Row of the trigger, in ``rows``.
        col: Column of the trigger, in ``cols``.
        rows: Smallest and largest row it can be moved to, inclusive: ``(h - 1, height - 1)`` keeps it inside.
        cols: Smallest and largest column, inclusive.
        trained: ``(row, col)`` the trigger had in training, marked with a dashed outline, or None.
        key: Streamlit key, unique in the session; ``<key>:ack`` in the session state is used too.
        on_move: Called with every move before the script runs. Moves that arrive together call it once each with the
            last one, so it must be idempotent: set the position, do not add to it.
        label: What is shown, for screen readers.

    Raises:
        ValueError: If the pattern is not uint8 RGBA, or a range is empty.
    """
    if pattern.ndim != 3 or pattern.shape[2] != 4 or pattern.dtype != np.uint8:
        raise ValueError(f"pattern {pattern.dtype} {pattern.shape} is not allowed: uint8 (h, w, 4)")
    for name, (low, high) in (("rows", rows), ("cols", cols)):
        if low > high:
            raise ValueError(f"{name} = {(low, high)} is not allowed: the smallest, then the largest")

    _component.converse(
        key,
        {
            "image": image,
            "height": height,
            "width": width,
            "pattern": base64.b64encode(np.ascontiguousarray(pattern).tobytes()).decode("ascii"),
            "boxHeight": pattern.shape[0],
            "boxWidth": pattern.shape[1],
            "row": int(row),
            "col": int(col),
            "rows": [int(rows[0]), int(rows[1])],
            "cols": [int(cols[0]), int(cols[1])],
            "trained": None if trained is None else [int(trained[0]), int(trained[1])],
            "label": label,
        },
        name="move",
        parse=lambda payload: parse_move(payload, rows, cols),
        act=on_move,
    )
