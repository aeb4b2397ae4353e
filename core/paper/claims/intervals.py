"""Comparisons of measured rates that their 95% intervals decide: True, False, or None for what they leave open.

Every bound is compared with the end of the interval that is less favourable: a rate is below a bound if all of its
interval is, and not below it if none of it is.

>>> below(Rate(10, 100), 0.2), below(Rate(15, 100), 0.2), below(Rate(50, 100), 0.2)
(True, None, False)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.metrics import Rate, wilson

__all__ = [
    "Decided",
    "above",
    "all_below",
    "at_least",
    "below",
    "difference",
    "drops_at_most",
    "drops_by_more",
    "every",
    "share_left",
]

Decided = bool | None


def below(rate: Rate, bound: float) -> Decided:
    """Whether a rate is below a bound in [0, 1]."""
    low, high = rate.interval
    return _between(low, high, bound)


def at_least(rate: Rate, bound: float) -> Decided:
    """Whether a rate reaches a bound in [0, 1]."""
    low, high = rate.interval
    return True if low >= bound else False if high < bound else None


def above(interval: tuple[float, float], other: tuple[float, float]) -> Decided:
    """Whether one estimate is above another, both given by their intervals."""
    return True if interval[0] > other[1] else False if interval[1] <= other[0] else None


def all_below(rates: Sequence[Rate], bound: float) -> Decided:
    """Whether each of several rates is below a bound.

    That each is needs no correction (an intersection-union test, Berger 1982); that one of k is not, which the highest
    of them would show by chance, is said with intervals of confidence 1 - 0.05 / k (Bonferroni).

    >>> all_below([Rate(1, 100)] * 9 + [Rate(62, 100)], 0.5), all_below([Rate(62, 100)], 0.5)
    (None, False)
    """
    if all(below(rate, bound) for rate in rates):
        return True
    lowest_ends = (float(wilson(rate.hits, rate.total, 1 - 0.05 / len(rates))[0]) for rate in rates)
    return False if any(low >= bound for low in lowest_ends) else None


def share_left(after: Rate, before: Rate, share: float) -> Decided:
    """Whether less than a share of a rate is left: ``after < share * before``."""
    (low, high), (before_low, before_high) = after.interval, before.interval
    return True if high < share * before_low else False if low >= share * before_high else None


def difference(before: Rate, after: Rate, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of ``before - after``, from the two Wilson intervals (method 10 of Newcombe 1998).

    It takes the two for independent. Where they are of the same images it is too wide, and decides less.

    Returns:
        Lower and upper end, each in [-1, 1].

    >>> low, high = difference(Rate(56, 70), Rate(48, 80))
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    if not before.total or not after.total:
        return -1.0, 1.0
    (b_low, b_high), (a_low, a_high) = (
        tuple(float(end) for end in wilson(rate.hits, rate.total, confidence)) for rate in (before, after)
    )
    drop, b, a = before.value - after.value, before.value, after.value
    down = ((b - b_low) ** 2 + (a_high - a) ** 2) ** 0.5
    up = ((b_high - b) ** 2 + (a - a_low) ** 2) ** 0.5
    return drop - down, drop + up


def drops_at_most(before: Rate, after: Rate, most: float, of: int = 1) -> Decided:
    """Whether a rate is lower than another by no more than ``most`` (0 to 1).

    Args:
        before: The rate without what is judged.
        after: The rate with it.
        most: The largest drop.
        of: Where ``after`` is the lowest of several, how many: to say no, see :func:`all_below`.
    """
    if difference(before, after)[1] <= most:
        return True
    return False if difference(before, after, 1 - 0.05 / of)[0] > most else None


def drops_by_more(before: Rate, after: Rate, least: float) -> Decided:
    """Whether a rate is lower than another by more than ``least`` (0 to 1)."""
    low, high = difference(before, after)
    return True if low > least else False if high <= least else None


def every(decided: Iterable[Decided]) -> Decided:
    """Whether all of several statements hold: no if one does not, open if one is and none fails."""
    parts = list(decided)
    return False if any(part is False for part in parts) else None if any(part is None for part in parts) else True


def _between(low: float, high: float, bound: float) -> Decided:
    return True if high < bound else False if low >= bound else None
