"""What browsers send: read as if anybody could have written it.

>>> whole(3), whole(True), whole(3.0), whole("3"), whole(-1), whole(10**5000)
(3, None, None, None, None, None)
"""

from __future__ import annotations

from core.schemas.base import LARGEST

__all__ = ["whole"]


def whole(value: object, low: int = 0, high: int = LARGEST) -> int | None:
    """A whole number from ``low`` to ``high``, or None for anything else.

    By default up to 2**53, as far as browsers count: a longer one could not be sent back, since Python does not write
    numbers of more than 4,300 digits.
    """
    # type(), not isinstance(): True is an int, and would pass for 1.
    return value if type(value) is int and low <= value <= high else None
