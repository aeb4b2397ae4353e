"""What goes to browsers, and what they send: read as if anybody could have written it.

>>> whole(3), whole(True), whole(3.0), whole("3"), whole(-1), whole(10**5000)
(3, None, None, None, None, None)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.schemas.base import LARGEST

__all__ = ["outgoing", "whole"]


def outgoing(values: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a component, with tuples for lists, which the browser reads as the same.

    Streamlit asks of every list whether it is a table, and loads pandas and pyarrow for that: half a second of the
    first screen.

    >>> outgoing({"place": [3, 4], "image": None})
    {'place': (3, 4), 'image': None}
    """
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def whole(value: object, low: int = 0, high: int = LARGEST) -> int | None:
    """A whole number from ``low`` to ``high``, or None for anything else.

    By default up to 2**53, as far as browsers count: a longer one could not be sent back, since Python does not write
    numbers of more than 4,300 digits.
    """
    # type(), not isinstance(): True is an int, and would pass for 1.
    return value if type(value) is int and low <= value <= high else None
