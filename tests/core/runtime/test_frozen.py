"""Values that all readers of a file share: equal to plain ones, and never changed."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest

from core.runtime.frozen import frozen, thawed

VALUES = {"hits": [1, [2, 3]], "record": {"norms": [0.5], "text": "x"}}
LIST = {
    "append": (1,), "clear": (), "extend": ([1],), "insert": (0, 1), "pop": (), "remove": (1,), "reverse": (),
    "sort": (),    "__setitem__": (0, 1), "__delitem__": (0,), "__iadd__": ([1],), "__imul__": (2,),
}  # fmt: skip
DICTIONARY = {
    "clear": (), "pop": ("hits",), "popitem": (), "setdefault": ("a", 1), "update": ({"a": 1},),
    "__setitem__": ("a", 1),    "__delitem__": ("hits",), "__ior__": ({"a": 1},),
}  # fmt: skip


def test_every_way_to_change_one_is_refused():
    values = frozen(VALUES)
    for name, arguments in DICTIONARY.items():
        with pytest.raises(TypeError, match="change a copy"):
            getattr(values, name)(*arguments)
    for name, arguments in LIST.items():
        with pytest.raises(TypeError, match="change a copy"):
            getattr(values["hits"], name)(*arguments)
    with pytest.raises(TypeError):
        operator.setitem(values["record"]["norms"], 0, 1)
    assert values == VALUES
    # All that a list has and a tuple has not; the same of a dictionary and its read-only view.
    assert set(LIST) == set(dir(list)) - set(dir(tuple)) - {"copy", "__reversed__"}
    assert set(DICTIONARY) == (set(dir(dict)) - set(dir(MappingProxyType)) - {"fromkeys"}) | {"__ior__"}


def test_they_are_written_and_copied_as_plain_ones():
    values = frozen(VALUES)
    assert json.loads(json.dumps(values)) == VALUES
    assert pickle.loads(pickle.dumps(values)) == copy.deepcopy(values) == VALUES
    assert values | {"a": 1} == VALUES | {"a": 1}
    assert [*values["hits"], 4] == [1, [2, 3], 4]
    plain = thawed(values)
    plain["hits"][1].append(4)
    assert values == VALUES


def test_arrays_and_dataclasses_too():
    @dataclass(frozen=True)
    class Measured:
        hits: np.ndarray
        record: dict[str, list[int]]
        name: str = "x"

    first = Measured(np.arange(3), {"a": [1]})
    made = frozen(first)
    with pytest.raises(ValueError, match="read-only"):
        made.hits[0] = 7
    with pytest.raises(TypeError, match="change a copy"):
        made.record["a"].append(2)
    first.record["a"].append(2)
    assert made.record == {"a": [1]}, "whoever made it may go on with what it was made of"
    assert frozen(made) is made
