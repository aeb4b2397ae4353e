"""Thumbnails of the test images, ten at a time, of which one is picked with a click, the arrow keys or buttons.

A Streamlit custom component (v2, in the page itself).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import streamlit as st

from dashboard.components.live_strip import STEP, parse_image
from dashboard.components.messages import mount

__all__ = ["image_thumbnails"]

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "image_picker",
    css=(_HERE / "picker.css").read_text(encoding="utf-8"),
    js="".join(path.read_text(encoding="utf-8") for path in (_HERE.parent / "wire.js", _HERE / "picker.js")),
)


def image_thumbnails(
    *,
    label: str,
    sprite: str,
    names: Sequence[str],
    start: int,
    selected: int,
    last: int,
    key: str,
    on_pick: Callable[[int], None],
) -> None:
    """Draw the thumbnails.

    Args:
        label: What is picked.
        sprite: Address or data URL of a PNG of the images side by side, all of one width.
        names: True class of each.
        start: Number of the first of them.
        selected: Number of the picked image, among all.
        last: How many images there are.
        key: Streamlit key, unique in the session; ``<key>:ack`` in the session state is used too.
        on_pick: Called with the number of the picked image.
    """
    ack_key = f"{key}:ack"

    def receive() -> None:
        state = st.session_state.get(key)
        parsed = parse_image(state.get("image"), last) if isinstance(state, Mapping) else None
        if parsed is not None:
            index, st.session_state[ack_key] = parsed
            on_pick(index)

    mount(
        _component,
        key=key,
        data={
            "label": label,
            "sprite": sprite,
            "names": list(names),
            "start": start,
            "step": STEP,
            "selected": selected,
            "last": last,
            "ack": int(st.session_state.get(ack_key, 0)),
        },
        on_image_change=receive,
    )
