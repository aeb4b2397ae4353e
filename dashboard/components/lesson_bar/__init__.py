"""The bar of a lesson: back, progress over the steps, forward; also by arrow keys and by a presenter's remote control.

A Streamlit custom component (v2, no iframe). Forward shows the answer first where there is one to show, then the next
step. Keys are left to whatever has the focus and uses them itself: the trigger pad, a slider, a choice, a text field.

    def gone(to: Position) -> None:
        st.session_state.position = to

    lesson_bar(titles=["Stamp it", "Move it"], step=0, answered=[], taught="badnets", key="bar", on_go=gone)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.components.messages import mount, whole

__all__ = ["Position", "lesson_bar", "parse_position"]

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "lesson_bar",
    css=(_HERE / "bar.css").read_text(encoding="utf-8"),
    js="".join(path.read_text(encoding="utf-8") for path in (_HERE.parent / "wire.js", _HERE / "bar.js")),
)


@dataclass(frozen=True)
class Position:
    """Where in a lesson somebody wants to be.

    Attributes:
        step: Number of the step, from 0.
        answered: Numbers of the steps whose answers were asked for.
        seq: Number of the message.
    """

    step: int
    answered: tuple[int, ...]
    seq: int


def parse_position(payload: object, steps: int) -> Position | None:
    """Read what the browser sent: a position, or None for anything malformed.

    Args:
        payload: The decoded JSON value, of any type.
        steps: Number of steps.

    >>> parse_position({"step": 2, "answered": [1, 2], "seq": 7}, steps=3)
    Position(step=2, answered=(1, 2), seq=7)
    >>> [parse_position({"step": step, "answered": [], "seq": 7}, steps=3) for step in (3, -1, "1", True)]
    [None, None, None, None]
    """
    if not isinstance(payload, Mapping):
        return None
    step, seq, asked = whole(payload.get("step"), 0, steps - 1), whole(payload.get("seq")), payload.get("answered")
    if step is None or seq is None or not isinstance(asked, list) or len(asked) > steps:
        return None
    answered = tuple(number for one in asked if (number := whole(one, 0, steps - 1)) is not None)
    return Position(step, answered, seq) if len(answered) == len(asked) else None


def lesson_bar(
    *,
    titles: Sequence[str],
    step: int,
    answered: Collection[int],
    taught: str,
    key: str,
    on_go: Callable[[Position], None],
) -> None:
    """Draw the bar, and report where the user wants to go.

    Args:
        titles: Title of every step.
        step: Number of the current one, from 0.
        answered: Numbers of the steps whose answer is shown, or that have none: forward is then the next step.
        taught: What the answers belong to, a lesson and a model; with another one nothing is answered yet.
        key: Streamlit key, unique in the session; ``<key>:ack`` in the session state is used too.
        on_go: Called with the wanted position before the script runs; must be idempotent.

    Raises:
        ValueError: If there is no such step.
    """
    if not 0 <= step < len(titles):
        raise ValueError(f"step = {step} is not allowed: 0 to {len(titles) - 1}")
    ack_key = f"{key}:ack"

    def receive() -> None:
        state = st.session_state.get(key)
        wanted = parse_position(state.get("go"), len(titles)) if isinstance(state, Mapping) else None
        if wanted is not None:
            st.session_state[ack_key] = wanted.seq
            on_go(wanted)

    mount(
        _component,
        key=key,
        data={
            "titles": list(titles),
            "step": int(step),
            "answered": sorted(answered),
            "taught": taught,
            "ack": int(st.session_state.get(ack_key, 0)),
        },
        on_go_change=receive,
    )
