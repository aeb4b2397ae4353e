"""How numbers and lists are written for people, everywhere alike: so many decimals, always, and no zero with a sign."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["interval", "listed", "number", "percent", "progress", "seconds", "signed", "with_interval"]


def number(value: float | None, decimals: int = 1) -> str:
    """A number with a fixed number of decimals; nothing for one that there is not (None or nan).

    >>> number(82), number(82.34), number(-0.04), number(None)
    ('82.0', '82.3', '0.0', '')
    """
    if value is None or math.isnan(value):
        return ""
    return f"{value:z.{decimals}f}"


def signed(value: float | None, decimals: int = 1) -> str:
    """A difference with its sign; one that rounds to nothing has none.

    >>> signed(3), signed(-0.06), signed(-0.04), signed(0.04), signed(None)
    ('+3.0', '-0.1', '0.0', '0.0', '')
    """
    text = number(value, decimals)
    return f"+{text}" if text and float(text) > 0 else text


def percent(share: float | None, unit: str = "", decimals: int = 1) -> str:
    """A share in [0, 1] in percent, with the unit behind it, such as ``%`` or `` %``; nothing for None and nan.

    >>> percent(0.823), percent(1, "%"), percent(float("nan"), "%")
    ('82.3', '100.0%', '')
    """
    text = number(None if share is None else 100 * share, decimals)
    return text + unit if text else ""


def interval(ends: tuple[float, float], between: str = " to ") -> str:
    """The two ends of an interval of shares in [0, 1], in percent.

    >>> interval((0.0556, 0.5))
    '5.6 to 50.0'
    """
    low, high = ends
    return f"{percent(low)}{between}{percent(high)}"


def with_interval(value: float, ends: tuple[float, float]) -> str:
    """A share in [0, 1] in percent, with its interval.

    >>> with_interval(0.25, (0.0556, 0.5))
    '25.0 (5.6 to 50.0)'
    """
    return f"{percent(value)} ({interval(ends)})"


def seconds(value: float | None) -> str:
    """A duration in seconds, without its unit.

    >>> seconds(4.6), seconds(133), seconds(None)
    ('4.6', '133.0', '')
    """
    return number(value)


def listed(words: Iterable[str]) -> str:
    """Words with commas and a last "and".

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def progress(share: float) -> str:
    """How much of a computation is done, in whole percent; 100% only when all of it is.

    >>> progress(0), progress(0.996), progress(1)
    ('0%', '99%', '100%')
    """
    return f"{math.floor(100 * share + 1e-9)}%"
