"""The pattern painter: the trigger's pattern, cell by cell black, lit or clear, painted by mouse, finger or keys.

A Streamlit custom component (v2, no iframe). The browser paints on its own and reports the whole pattern, one message
at a time, as the trigger pad does. The pattern belongs to the caller, who keeps it in the session state:

    def painted(new: Painted) -> None:
        st.session_state.pattern = new.pattern

    pattern_painter(pattern=st.session_state.pattern, height=3, width=3, value=255, key="painter", on_paint=painted)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dashboard.components.channel import Component
from dashboard.components.messages import whole

__all__ = ["BLACK", "CLEAR", "LIT", "MAX_SIDE", "Painted", "parse_painted", "pattern_painter"]

BLACK, LIT, CLEAR = "0", "1", "."
MAX_SIDE = 32  # cells; with more, a cell would be too small to be hit

_component = Component("pattern_painter", ("wire.js", "painter.js"), "painter.css")


@dataclass(frozen=True)
class Painted:
    """A pattern that was painted.

    Attributes:
        pattern: Its cells, row by row: ``0`` black, ``1`` lit, ``.`` clear (not part of the trigger).
        seq: Number of the message.
    """

    pattern: str
    seq: int


def _objection(pattern: str, height: int, width: int) -> str | None:
    """What is wrong with a pattern, or None."""
    if len(pattern) != height * width:
        return f"{height} x {width} cells"
    if not set(pattern) <= {BLACK, LIT, CLEAR}:
        return f"only {BLACK!r} black, {LIT!r} lit, {CLEAR!r} clear"
    if set(pattern) <= {CLEAR}:
        return "at least one cell that is not clear"
    return None


def parse_painted(payload: object, height: int, width: int) -> Painted | None:
    """Read what the browser sent: a pattern of the right size, or None for anything malformed or all clear.

    Args:
        payload: The decoded JSON value, of any type.
        height: Height of the pattern in cells.
        width: Width of the pattern in cells.

    >>> parse_painted({"pattern": "0.11", "seq": 3}, height=2, width=2)
    Painted(pattern='0.11', seq=3)
    >>> [parse_painted({"pattern": text, "seq": 3}, height=2, width=2) for text in ("0.1", "0.12", "....")]
    [None, None, None]
    >>> parse_painted({"pattern": "0.11", "seq": True}, height=2, width=2) is None
    True
    """
    if not isinstance(payload, Mapping):
        return None
    pattern, seq = payload.get("pattern"), whole(payload.get("seq"))
    if type(pattern) is not str or seq is None:
        return None
    return None if _objection(pattern, height, width) else Painted(pattern=pattern, seq=seq)


def pattern_painter(
    *,
    pattern: str,
    height: int,
    width: int,
    value: int,
    key: str,
    on_paint: Callable[[Painted], None],
    label: str = "Pattern of the trigger",
) -> None:
    """Draw the cells of a trigger's pattern, and report the pattern when cells are painted.

    A click takes a cell from black to lit to clear and to black again; dragging gives what the first cell became to
    all cells passed over. The last cell that is not clear cannot be cleared: a click skips that state.

    Args:
        pattern: Cells of the pattern, row by row, ``height * width`` characters: ``0`` black, ``1`` lit, ``.`` clear.
        height: Height of the pattern in cells, 1 to 32.
        width: Width of the pattern in cells, 1 to 32.
        value: Gray value of the lit cells, 0 to 255.
        key: Streamlit key, unique in the session; ``<key>:ack`` in the session state is used too.
        on_paint: Called with the whole pattern before the script runs, many times while cells are painted by dragging;
            must be idempotent. The pattern has the size of the *last* run: if another widget changed the size in the
            same rerun, the pattern is still of the old one.
        label: What is shown, for screen readers.

    Raises:
        ValueError: If the size or the value is out of range, or the pattern is not one of that size.
    """
    for name, side in (("height", height), ("width", width)):
        if not 1 <= side <= MAX_SIDE:
            raise ValueError(f"{name} = {side} is not allowed: 1 to {MAX_SIDE} cells")
    if not 0 <= value <= 255:
        raise ValueError(f"value = {value} is not allowed: 0 to 255")
    objection = _objection(pattern, height, width)
    if objection:
        raise ValueError(f"pattern {pattern!r} is not allowed: {objection}")
    _component.converse(
        key,
        {
            "pattern": pattern,
            "height": int(height),
            "width": int(width),
            "value": int(value),
            "label": label,
        },
        name="paint",
        parse=lambda payload: parse_painted(payload, height, width),
        act=on_paint,
    )
