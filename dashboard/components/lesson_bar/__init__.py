"""The bar of a lesson: back, progress over the steps, forward; also by arrow keys and by a presenter's remote control.

A Streamlit custom component (v2, no iframe). Forward shows the answer first where there is one to show, then the next
step. Keys are left to whatever has the focus and uses them itself: the trigger pad, a slider, a choice, a text field.

    def gone(to: Position) -> None:
        st.session_state.position = to

    lesson_bar(titles=["Stamp it", "Move it"], step=0, answered=False, key="bar", on_go=gone)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.components.messages import whole

__all__ = ["Position", "lesson_bar", "parse_position"]

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "lesson_bar",
    css=(_HERE / "bar.css").read_text(encoding="utf-8"),
    js=(_HERE / "bar.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Position:
    """Where in a lesson somebody wants to be.

    Attributes:
        step: Number of the step, from 0.
        answered: Whether its answer is shown.
    """

    step: int
    answered: bool


def parse_position(payload: object, steps: int) -> Position | None:
    """Read what the browser sent: a position, or None for anything malformed.

    Args:
        payload: The decoded JSON value, of any type.
        steps: Number of steps.

    >>> parse_position({"step": 2, "answered": True}, steps=3)
    Position(step=2, answered=True)
    >>> [parse_position({"step": step, "answered": False}, steps=3) for step in (3, -1, "1", True)]
    [None, None, None, None]
    """
    if not isinstance(payload, Mapping):
        return None
    step, answered = whole(payload.get("step"), 0, steps - 1), payload.get("answered")
    return Position(step, answered) if step is not None and type(answered) is bool else None


def lesson_bar(
    *, titles: Sequence[str], step: int, answered: bool, key: str, on_go: Callable[[Position], None]
) -> None:
    """Draw the bar, and report where the user wants to go.

    Args:
        titles: Title of every step.
        step: Number of the current one, from 0.
        answered: Whether its answer is shown, or there is none: forward is then the next step.
        key: Streamlit key, unique in the session.
        on_go: Called with the wanted position before the script runs; must be idempotent.

    Raises:
        ValueError: If there is no such step.
    """
    if not 0 <= step < len(titles):
        raise ValueError(f"step = {step} is not allowed: 0 to {len(titles) - 1}")

    def receive() -> None:
        state = st.session_state.get(key)
        wanted = parse_position(state.get("go"), len(titles)) if isinstance(state, Mapping) else None
        if wanted is not None:
            on_go(wanted)

    _component(
        key=key,
        data={"titles": list(titles), "step": int(step), "answered": bool(answered)},
        on_go_change=receive,
    )
