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

from dashboard.components.channel import Component
from dashboard.components.messages import whole

__all__ = ["Position", "lesson_bar", "parse_position"]

_component = Component("lesson_bar", ("wire.js", "bar.js"), "bar.css")


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
    _component.converse(
        key,
        {
            "titles": list(titles),
            "step": int(step),
            "answered": sorted(answered),
            "taught": taught,
        },
        name="go",
        parse=lambda payload: parse_position(payload, len(titles)),
        act=on_go,
    )
