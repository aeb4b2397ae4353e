"""How a component is mounted and what it sends is received: one message in flight, each acknowledged by its number.

The browser (``wire.js``) numbers its messages (``seq``) and sends the next one when the last one's number has come back
(``ack``) with a run of the script, so that a slow script sees fewer messages, never a queue of old ones. The number is
kept here, in the session state under ``<key>:ack``; callers only get what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from dashboard.components.messages import outgoing, whole

__all__ = ["Component"]

M = TypeVar("M")
_FOLDER = Path(__file__).parent


class Component:
    """A component with a part in the browser, registered under the name of its folder.

    Args:
        folder: Name of its folder beside this file.
        scripts: Names of its JavaScript files, in this folder or in its own, which are put together in this order.
        style: Name of its CSS file in its own folder, or None.
        isolate_styles: Whether the page's styles stay out.
    """

    def __init__(self, folder: str, scripts: Sequence[str], style: str | None = None, isolate_styles: bool = True):
        places = [_FOLDER / script for script in scripts[:-1]] + [_FOLDER / folder / script for script in scripts[-1:]]
        self._mount = st.components.v2.component(
            folder,
            css=None if style is None else (_FOLDER / folder / style).read_text(encoding="utf-8"),
            js="".join(place.read_text(encoding="utf-8") for place in places),
            isolate_styles=isolate_styles,
        )

    def draw(self, key: str, data: Mapping[str, Any]) -> None:
        """Mounts a component that sends nothing.

        Args:
            key: Streamlit key, unique in the session.
            data: What the browser gets, ready for JSON.
        """
        self._mount(key=key, data=outgoing(data))

    def converse(
        self,
        key: str,
        data: Mapping[str, Any],
        name: str,
        parse: Callable[[object], M | None],
        act: Callable[[M], None],
    ) -> None:
        """Mounts a component and receives what it sends.

        Args:
            key: Streamlit key, unique in the session; ``<key>:ack`` in the session state is used too.
            data: What the browser gets, ready for JSON; ``ack`` is added.
            name: What the browser calls its messages.
            parse: Reads a message: None for anything malformed, which is then neither acted on nor acknowledged.
            act: Called with every message before the script runs. Those that arrive together call it once each with
                the last one, so it must be idempotent.
        """
        ack_key = f"{key}:ack"

        def receive() -> None:
            state = st.session_state.get(key)
            payload = state.get(name) if isinstance(state, Mapping) else None
            seq = whole(payload.get("seq")) if isinstance(payload, Mapping) else None
            message = parse(payload) if seq is not None else None
            if message is not None:
                st.session_state[ack_key] = seq
                act(message)

        callbacks: dict[str, Any] = {f"on_{name}_change": receive}
        self._mount(key=key, data=outgoing({**data, "ack": int(st.session_state.get(ack_key, 0))}), **callbacks)
