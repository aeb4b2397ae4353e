"""What browsers send and what links say, as anybody could have written it: read as it is meant, or ignored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from core.attacks import attacks
from core.defenses import defenses
from core.params import params_of
from core.transforms import transforms
from dashboard.components.lesson_bar import parse_position
from dashboard.components.live_strip import parse_image
from dashboard.components.location_map import parse_pick
from dashboard.components.pattern_painter import parse_painted
from dashboard.components.trigger_pad import parse_move
from dashboard.state.session import Choice, integer_in, one_of, yes_no
from dashboard.widgets.parameters import parameter_choice
from dashboard.widgets.transforms import parse_spec

HUGE = 10**5000
"""A number that Python reads from no text and writes into none."""
NUMBERS = some.one_of(
    some.integers(),
    some.sampled_from([2**53, 2**53 + 1, 2**63, True, False, 0, -1]),
    some.floats(),
    some.sampled_from([float("inf"), float("nan"), 1e308, 3.0]),
)
ANYTHING = some.recursive(
    some.one_of(some.none(), NUMBERS, some.text(max_size=20), some.just("x" * 100_000)),
    lambda inner: some.one_of(some.lists(inner, max_size=4), some.dictionaries(some.text(max_size=5), inner)),
    max_leaves=8,
)
READERS: Mapping[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "trigger_pad": (lambda sent: parse_move(sent, (2, 31), (2, 31)), ("row", "col", "seq", "final")),
    "location_map": (lambda sent: parse_pick(sent, range(2, 32), range(2, 32)), ("row", "col", "seq")),
    "image_picker": (lambda sent: parse_image(sent, 100), ("index", "seq")),
    "pattern_painter": (lambda sent: parse_painted(sent, 3, 3), ("pattern", "seq")),
    "lesson_bar": (lambda sent: parse_position(sent, 9), ("step", "answered", "seq")),
}
WHOLE: Mapping[str, dict[str, Any]] = {
    "trigger_pad": {"row": 5, "col": 7, "seq": 3, "final": False},
    "location_map": {"row": 5, "col": 7, "seq": 3},
    "image_picker": {"index": 5, "seq": 3},
    "pattern_painter": {"pattern": "0.11.0011", "seq": 3},
    "lesson_bar": {"step": 2, "answered": [1, 2], "seq": 3},
}


def numbers_of(value: Any) -> list[Any]:
    found = value if isinstance(value, tuple) else vars(value).values() if hasattr(value, "__dict__") else None
    return [value] if found is None else [number for one in found for number in numbers_of(one)]


@pytest.mark.parametrize("name", READERS)
@given(data=some.data())
def test_a_message_is_what_it_can_be_or_ignored(name: str, data: some.DataObject) -> None:
    read, fields = READERS[name]
    sent = data.draw(
        some.one_of(
            ANYTHING, some.fixed_dictionaries({}, optional=dict.fromkeys(fields, some.one_of(NUMBERS, ANYTHING)))
        )
    )
    found = read(sent)
    if found is not None:
        assert {type(one) for one in numbers_of(found) if not hasattr(one, "__dict__")} <= {int, bool, str}
        json.dumps([one for one in numbers_of(found) if not hasattr(one, "__dict__")])  # it is sent back


@pytest.mark.parametrize(
    "wrong", [HUGE, -1, True, 3.0, float("inf"), float("nan"), "3", None, [[3]], 2**53 + 1], ids=range(10)
)
@pytest.mark.parametrize("name", READERS)
def test_one_wrong_field_is_enough_for_a_message_to_be_ignored(name: str, wrong: object) -> None:
    read, fields = READERS[name]
    assert read(WHOLE[name]) is not None
    for field in fields:
        kept = (field in ("row", "col") and wrong == -1) or (field == "final" and wrong is True)
        if not kept:
            assert read(WHOLE[name] | {field: wrong}) is None, field
        assert read({key: value for key, value in WHOLE[name].items() if key != field}) is None


CHOICES: dict[str, Choice[Any]] = {
    "integer": Choice("integer", 3, integer_in(0, 9)),
    "one of": Choice("one of", "a", one_of(["a", "b+"])),
    "yes or no": yes_no("switch"),
    "transformations": Choice("then", "", parse_spec),
} | {
    f"{cls.name} {name}": parameter_choice(cls.name, name, param, ("cat", "dog", "3"))
    for registry in (attacks, defenses, transforms)
    for cls in map(registry.__getitem__, registry)  # type: ignore[attr-defined]
    for name, param in params_of(cls).items()
}
TEXTS = some.one_of(
    some.text(max_size=30),
    some.sampled_from(["1e400", "-1e400", "nan", "inf", "9" * 5000, "1e9", "\0", "٣", "1_0", "+1", " 1", "True", "-0"]),
    some.from_regex(r"[a-z]{1,12}(:-?[0-9.e]{1,6})?(,[a-z]{1,9})?", fullmatch=True),
    some.floats().map(str),
    some.integers().map(str),
)


@pytest.mark.parametrize("name", CHOICES)
@given(text=TEXTS)
@example("9" * 5000)
@example("shrinkpad:" + "9" * 5000)
@example("1e400")
def test_a_link_says_what_is_allowed_or_is_refused(name: str, text: str) -> None:
    choice = CHOICES[name]
    try:
        value = choice.parse(text)
    except ValueError as error:
        said = choice.refused(text, error)
    else:
        assert choice.parse(choice.write(value)) == value
        return
    assert "\n" not in said
    assert len(said) < 1200


def _selecting() -> None:
    """A page whose selections hold what no widget sends."""
    import streamlit as st

    from dashboard.state.session import Session

    session = Session()
    for name, choice in st.session_state["choices"].items():
        for value in st.session_state["forged"]:
            st.session_state.selected[choice.name] = value
            found = session.get(choice)
            assert choice.parse(choice.write(found)) == found, (name, value)
    session.write_link()


def test_what_no_widget_sends_is_the_default() -> None:
    test = AppTest.from_function(_selecting, default_timeout=60)
    test.session_state["choices"] = {name: one for name, one in CHOICES.items() if "pattern" not in name}
    test.session_state["forged"] = [None, HUGE, -1, float("nan"), float("inf"), (1, 2), [], {}, "x" * 9999, True, b"x"]
    test.run()
    assert not test.exception
