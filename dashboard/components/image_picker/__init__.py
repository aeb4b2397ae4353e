"""Thumbnails of the test images, ten at a time, of which one is picked with a click, the arrow keys or buttons.

A Streamlit custom component (v2, in the page itself).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dashboard.components.channel import Component
from dashboard.components.live_strip import STEP, parse_image

__all__ = ["image_thumbnails"]

_component = Component("image_picker", ("wire.js", "picker.js"), "picker.css")


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
    _component.converse(
        key,
        {
            "label": label,
            "sprite": sprite,
            "names": list(names),
            "start": start,
            "step": STEP,
            "selected": selected,
            "last": last,
        },
        name="image",
        parse=lambda payload: parse_image(payload, last),
        act=lambda parsed: on_pick(parsed[0]),
    )
