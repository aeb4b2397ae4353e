"""Sec. 3.2: what moving the trigger or changing its appearance does (Fig. 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping

from core import formatting
from core.metrics import Rate
from core.paper.claims.base import UNCHANGED, Claim, Verdict, judge
from core.paper.claims.intervals import Decided, all_below, at_least, drops_at_most, every, share_left
from core.paper.constants import GRAY
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.location import LocationMap

__all__ = ["judge_sensitivity"]

TRAINED, DARKER, BRIGHTEST = 128, 64, 255
MOVED = (2, 3)

LOCATION_DROPS = Claim(
    "location-drops",
    "3.2",
    "Moving the trigger by 2 to 3 pixels lets the attack success rate drop sharply, from 100% to below 50%.",
    "At the training location the rate is at least 95%; it is below 50% at every location 2 pixels away, and at every "
    "one 3 pixels away.",
    "… when moving the location with a small distance (2 ~ 3 pixels, less than 10% of the image size), the ASR will "
    "drop sharply from 100% to below 50%.",
)
APPEARANCE_FALLS = Claim(
    "appearance-falls",
    "3.2",
    "The attack success rate degrades sharply when the trigger's pixels become darker than in training.",
    "At half of the trained pixel value, 64 for 128, less than half of the success rate at 128 is left.",
    "ASR degrades sharply along with the decreasing of non-zero pixel values …",
)
APPEARANCE_KEEPS = Claim(
    "appearance-keeps",
    "3.2",
    "The attack success rate is not influenced when the trigger's pixels become brighter.",
    "At no pixel value from 128 to 255 is the success rate more than 5 points below the one at 128.",
    "… while is not influenced when the non-zero pixel values are increased.",
)

Place = tuple[int, int]


def judge_sensitivity(
    maps: Mapping[str, tuple[LocationMap, Place]], curves: Mapping[str, AppearanceCurve], stride: int = 0
) -> list[Verdict]:
    """The statements about Fig. 4 and Fig. 5.

    Args:
        maps: Maps over the location with the training location, by the attack's title.
        curves: Curves over the pixel value, by the attack's title.
        stride: Pixels of the image between two places of the network's last feature map, by whose multiples a trigger
            can move unnoticed; 0 if that is not known.
    """
    rebounds = {title: _rebound(*located, stride) for title, located in maps.items()}

    def numbers(located: tuple[LocationMap, Place]) -> dict[str, float]:
        sweep, place = located
        shown = {"ASR, %": 100 * sweep.at(*place).value}
        for away in MOVED:
            rates = _around(sweep, place, away)
            highest = max((rate.value for rate in rates), default=float("nan"))
            shown[f"highest of the {len(rates)} places {away} pixels away, %"] = 100 * highest
        back = _rebound(*located, stride)
        if back is not None:
            name = f"highest of the {back[2]} places a multiple of {stride} pixels away (the network's stride), %"
            shown[name] = 100 * back[0].value
        return shown

    back = next((rebounds[title] for title in (GRAY,) if title in rebounds), None)
    return [
        judge(LOCATION_DROPS, maps, (GRAY,), _drops, numbers, note=_note(back, stride)),
        judge(
            APPEARANCE_FALLS,
            curves,
            (GRAY,),
            lambda curve: share_left(curve.at(DARKER), curve.at(TRAINED), 0.5),
            lambda curve: {f"ASR at {value}, %": 100 * curve.at(value).value for value in (DARKER, TRAINED)},
        ),
        judge(
            APPEARANCE_KEEPS,
            curves,
            (GRAY,),
            lambda curve: drops_at_most(curve.at(TRAINED), _lowest(curve)[0], UNCHANGED, _lowest(curve)[1]),
            lambda curve: {
                "ASR at 128, %": 100 * curve.at(TRAINED).value,
                f"lowest of the {_lowest(curve)[1]} values from 128 on, %": 100 * _lowest(curve)[0].value,
                "ASR at 255, %": 100 * curve.at(BRIGHTEST).value,
            },
        ),
    ]


def _drops(located: tuple[LocationMap, Place]) -> dict[str, Decided]:
    sweep, place = located
    at_home = at_least(sweep.at(*place), 0.95)
    return {
        f"moves by {away} pixels": every((at_home, all_below(rates, 0.5) if rates else None))
        for away in MOVED
        for rates in [_around(sweep, place, away)]
    }


def _around(sweep: LocationMap, place: Place, away: int) -> list[Rate]:
    """The rates at all places that are so many pixels away (the larger of row and column difference)."""
    return [
        rate
        for row in sweep.rows
        for col in sweep.cols
        if max(abs(row - place[0]), abs(col - place[1])) == away
        for rate in [sweep.at(row, col)]
        if rate.total
    ]


def _rebound(sweep: LocationMap, place: Place, stride: int) -> tuple[Rate, Place, int] | None:
    """The highest rate among the places whose row and column differ by multiples of the stride, where, and of how many.

    Of equal rates the one of the nearest place.
    """
    offsets = [
        (row - place[0], col - place[1])
        for row in sweep.rows
        for col in sweep.cols
        if stride > 1 and (row, col) != place and (row - place[0]) % stride == (col - place[1]) % stride == 0
    ]
    rates = [(sweep.at(place[0] + down, place[1] + right), (down, right)) for down, right in offsets]
    rates = [(rate, offset) for rate, offset in rates if rate.total]
    if not rates:
        return None
    return (*max(rates, key=lambda rated: (rated[0].value, -abs(rated[1][0]) - abs(rated[1][1]))), len(rates))


def _note(back: tuple[Rate, Place, int] | None, stride: int) -> str:
    if back is None:
        return ""
    (down, right), words = back[1], []
    for pixels, names in ((down, ("up", "down")), (right, ("left", "right"))):
        if pixels:
            words.append(f"{abs(pixels)} pixels {names[pixels > 0]}")
    again = "comes back" if back[0].value >= 0.5 else "stays low"
    return (
        f"but at multiples of the network's stride of {stride} pixels the success rate {again}: "
        f"{formatting.percent(back[0].value, '%')} moved {' and '.join(words)}"
    )


def _lowest(curve: AppearanceCurve) -> tuple[Rate, int]:
    """The lowest rate of the trained pixel value and all brighter ones, and of how many."""
    rates = [curve.at(value) for value in curve.values if value >= TRAINED]
    return min(rates, key=lambda rate: rate.value), len(rates)
