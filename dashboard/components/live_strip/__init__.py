"""Ten test images with the trigger on them and what the model says about each, following the trigger in the browser.

A Streamlit custom component (v2, in the page itself). One of the images can be picked, to be shown large.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dashboard.components.channel import Component
from dashboard.components.messages import whole

__all__ = ["STEP", "live_strip", "parse_image"]

STEP = 10
"""How many images are shown at once."""

_component = Component("live_strip", ("wire.js", "shared.js", "strip.js"), "strip.css", isolate_styles=False)


def parse_image(payload: object, count: int) -> tuple[int, int] | None:
    """Read what the browser sent: an image's number and the message's, or None for anything malformed.

    >>> parse_image({"index": 3, "seq": 1}, 10)
    (3, 1)
    >>> parse_image({"index": 10, "seq": 1}, 10) is None
    True
    """
    if not isinstance(payload, Mapping):
        return None
    index, seq = whole(payload.get("index"), 0, count - 1), whole(payload.get("seq"))
    return (index, seq) if index is not None and seq is not None else None


def live_strip(
    *,
    sprite: str | None,
    height: int,
    width: int,
    pattern: npt.NDArray[np.uint8],
    place: tuple[int, int],
    rows: Sequence[int],
    cols: Sequence[int],
    said: Sequence[int] | None,
    file: str | None,
    recent: npt.NDArray[np.uint8] | None,
    truths: Sequence[int],
    classes: Sequence[str],
    target: int,
    start: int,
    selected: int,
    last: int,
    fixed: bool,
    measurable: bool,
    lacks: str,
    key: str,
    on_pick: Callable[[int], None],
    at: tuple[int, int] | None = None,
) -> None:
    """Draw the images and follow the trigger.

    Args:
        sprite: Address or data URL of a PNG of the images side by side, or None where they are not on this machine.
        height: Height of an image in pixels.
        width: Width of an image in pixels.
        pattern: The trigger's box as RGBA, uint8 ``(h, w, 4)``.
        place: Row and column that ``said`` belongs to.
        rows: Rows the trigger can be at.
        cols: Columns the trigger can be at.
        said: Predicted class of each image there, or None where nothing can predict.
        file: Address of the stored predictions at every place, or None.
        recent: Predictions at places of this server's, uint8 ``(len(rows), len(cols), n)``, 255 where there is none.
        truths: True class of each image.
        classes: Class names.
        target: The target label.
        start: Number of the first image.
        selected: Which of the images is shown large.
        last: How many images there are.
        fixed: Whether the images are shown as they are, without the trigger being stamped in the browser.
        measurable: Whether the server can predict what is known nowhere.
        lacks: What is missing on this machine, in one sentence, or nothing.
        key: Streamlit key, unique in the session; ``<key>:ack`` in the session state is used too.
        on_pick: Called with the number of an image that is to be shown.
        at: Where the trigger stands, if ``place`` is its opacity in percent and its pixel value instead; ``pattern`` is
            then the trigger in full.
    """
    _component.converse(
        key,
        {
            "sprite": sprite,
            "height": height,
            "width": width,
            "pattern": base64.b64encode(np.ascontiguousarray(pattern).tobytes()).decode("ascii"),
            "boxHeight": pattern.shape[0],
            "boxWidth": pattern.shape[1],
            "place": list(place),
            "rows": list(rows),
            "cols": list(cols),
            "said": None if said is None else list(said),
            "file": file,
            "recent": None if recent is None else base64.b64encode(recent.tobytes()).decode("ascii"),
            "truths": list(truths),
            "classes": list(classes),
            "target": target,
            "targetName": classes[target],
            "start": start,
            "step": STEP,
            "selected": selected,
            "last": last,
            "fixed": fixed,
            "measurable": measurable,
            "lacks": lacks,
            "at": None if at is None else list(at),
        },
        name="image",
        parse=lambda payload: parse_image(payload, last),
        act=lambda parsed: on_pick(parsed[0]),
    )
