"""Random damage to files of JSON, from a seed: what somebody else's card, result or training state may look like."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

# Numbers and nesting that Python's own writer does not make; each stands in the text for the place where it goes.
_RAW = {
    "@huge@": "1" + "0" * 400,
    "@digits@": "7" * 5000,
    "@1e400@": "1e400",
    "@nan@": "NaN",
    "@infinity@": "Infinity",
    "@minus@": "-Infinity",
    "@nested@": "[" * 100_000 + "]" * 100_000,
    "@objects@": '{"a":' * 100_000 + "1" + "}" * 100_000,
}
HOSTILE_VALUES: tuple[Any, ...] = (
    *_RAW,
    None,
    True,
    False,
    0,
    -1,
    1,
    7,
    255,
    2**31,
    2**63,
    0.5,
    -0.25,
    1e308,
    "",
    "0",
    "Infinity",
    "\0",
    "a\0b",
    "\ud800",
    "~nouser/x",
    "../../x",
    "x" * 100_000,
    "<script>alert(1)</script>",
    [],
    {},
    [[]],
    [None],
    [True, False],
    {"name": "badnets", "params": {}},
    {"hits": 1, "total": 0},
)


def mutated(text: str, rng: random.Random) -> bytes:
    """The text of a file of JSON with one to three random changes."""
    if rng.random() < 0.05:
        return _torn(text.encode(), rng)
    values = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        values = _changed(values, rng)
    return written(values)


def written(values: Any) -> bytes:
    """JSON with the placeholders of numbers and nesting replaced."""
    text = json.dumps(values)
    for placeholder, raw in _RAW.items():
        text = text.replace(json.dumps(placeholder), raw)
    return text.encode()


def paths(values: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values; of a list of many, the first and the last entry."""
    found = [at]
    if isinstance(values, dict):
        for key, value in values.items():
            found += paths(value, (*at, key))
    elif isinstance(values, list) and values:
        for index in sorted({0, len(values) - 1}):
            found += paths(values[index], (*at, index))
    return found


def replaced(values: Any, at: tuple[Any, ...], value: Any) -> Any:
    """A copy with one value replaced."""
    if not at:
        return value
    result = copy.deepcopy(values)
    inner = result
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return result


def removed(values: Any, at: tuple[Any, ...]) -> Any:
    """A copy without one value."""
    result = copy.deepcopy(values)
    inner = result
    for key in at[:-1]:
        inner = inner[key]
    del inner[at[-1]]
    return result


def value_at(values: Any, at: tuple[Any, ...]) -> Any:
    """The value at a place."""
    for key in at:
        values = values[key]
    return values


def _changed(values: Any, rng: random.Random) -> Any:
    places = paths(values)
    at = rng.choice(places)
    old, kind = value_at(values, at), rng.random()
    if kind < 0.15 and at:
        return removed(values, at)
    if kind < 0.25:
        return replaced(values, at, copy.deepcopy(value_at(values, rng.choice(places))))
    if kind < 0.4 and isinstance(old, list) and old:
        shorter = old[: rng.randrange(len(old))]
        return replaced(values, at, rng.choice((shorter, old + old[-1:], old[::-1], [old[0]] * len(old))))
    if kind < 0.5 and isinstance(old, dict):
        return replaced(values, at, {**old, rng.choice(("x", "", "\0", "__class__", "name")): 1})
    if kind < 0.65 and isinstance(old, int | float) and not isinstance(old, bool):
        return replaced(values, at, rng.choice((-old, old + 1, old - 1, 1000 * old, float(old), str(old), old + 0.5)))
    return replaced(values, at, copy.deepcopy(rng.choice(HOSTILE_VALUES)))


def _torn(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return rng.choice((content[:place], content[:place] + b"\xff\xfe" + content[place + 2 :], content[place:], b""))
