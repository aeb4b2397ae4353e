"""Declared parameters: one declaration decides validation, JSON and command-line flags."""

from __future__ import annotations

import argparse
import json
import math
import unicodedata
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.params import (
    Parametrised,
    add_arguments,
    arguments_of,
    choice,
    class_label,
    flag,
    flags_of,
    given_in,
    integer,
    label_of,
    number,
    params_of,
    text,
)


@dataclass(frozen=True, kw_only=True)
class Everything(Parametrised):
    share: float = number(0.5, low=0, high=1, step=0.1, help="A share, 100% at most.")
    weight: float = number(1, help="Any weight.")
    count: int = integer(3, low=-2, high=9, help="A count.", unit="pixels")
    kind: str = choice("a", choices=("a", "b"), help="A kind.")
    fast: bool = flag(True, help="Whether.")
    some_path: str = text("", help="A path.")


VALUES = st.fixed_dictionaries(
    {
        "share": st.floats(0, 1),
        "weight": st.floats(allow_nan=False, allow_infinity=False),
        "count": st.integers(-2, 9),
        "kind": st.sampled_from("ab"),
        "fast": st.booleans(),
        # argparse of Python 3.11 drops a value "--", also of --some-path=--.
        "some_path": st.text().filter(lambda text: text != "--"),
    }
)


@given(VALUES)
def test_a_method_survives_json(values):
    method = Everything(**values)
    assert method.to_dict() == values
    assert Everything.from_dict(json.loads(json.dumps(method.to_dict()))) == method


@given(VALUES)
def test_the_flags_of_a_method_make_it_again(values):
    method, parser = Everything(**values), argparse.ArgumentParser()
    add_arguments(parser, Everything)
    assert arguments_of(Everything, parser.parse_args(flags_of(method))) == method
    assert flags_of(Everything()) == []


@given(VALUES, VALUES)
def test_flags_are_those_that_differ_from_other_defaults(values, defaults):
    method = Everything(**values)
    parser = argparse.ArgumentParser()
    add_arguments(parser, Everything)
    given = vars(parser.parse_args(flags_of(method, defaults)))
    assert Everything(**{**defaults, **given}) == method
    assert set(given) == {name for name, value in values.items() if value != defaults[name]}


@given(VALUES)
def test_flags_say_the_same_as_keywords(values):
    parser = argparse.ArgumentParser()
    add_arguments(parser, Everything)
    given_flags = []
    for name, value in values.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            given_flags.append(option if value else option.replace("--", "--no-"))
        else:
            given_flags.append(f"{option}={value}")
    assert arguments_of(Everything, parser.parse_args(given_flags)) == Everything(**values)


def test_flags_not_given_leave_the_defaults():
    parser = argparse.ArgumentParser()
    add_arguments(parser, Everything)
    assert vars(parser.parse_args([])) == {}
    assert arguments_of(Everything, parser.parse_args(["--count", "7"])) == Everything(count=7)
    shown = " ".join(parser.format_help().split())
    for said in ("a number from 0 to 1; default 0.5", "100% at most", "-2 to 9 (pixels)", "one of a, b", "--no-fast"):
        assert said in shown


def test_values_take_the_declared_type():
    method = Everything(share=1, count=4.0)
    assert type(method.share) is float
    assert type(method.count) is int


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.0001}, "share = 1.0001 is not allowed: a number from 0 to 1"),
        ({"share": -0.1}, "share = -0.1 is not allowed"),
        ({"share": math.nan}, "share = nan is not allowed"),
        ({"weight": math.inf}, "weight = inf is not allowed: a number"),
        ({"weight": 10**400}, "weight = 1000.* is not allowed: a number"),
        ({"share": "0.5"}, "share = '0.5' is not allowed"),
        ({"share": True}, "share = True is not allowed"),
        ({"share": None}, "share = None is not allowed"),
        ({"count": 10}, r"count = 10 is not allowed: an integer from -2 to 9 \(pixels\)"),
        ({"count": 2.5}, "count = 2.5 is not allowed"),
        ({"count": 10**400}, "count = 1000.* is not allowed"),
        ({"kind": "c"}, "kind = 'c' is not allowed: one of a, b"),
        ({"kind": 1}, "kind = 1 is not allowed"),
        ({"fast": 1}, "fast = 1 is not allowed: true or false"),
        ({"some_path": 3}, "some_path = 3 is not allowed: a text"),
        ({"some_path": ["x"]}, "some_path = .* is not allowed: a text"),
    ],
)
def test_a_value_that_is_not_allowed_names_parameter_value_and_bounds(values, message):
    with pytest.raises(ValueError, match=message):
        Everything(**values)
    with pytest.raises(ValueError, match=message):
        Everything.from_dict(values)


def test_bounds_are_inclusive():
    assert (Everything(share=0).share, Everything(share=1).share) == (0, 1)
    assert (Everything(count=-2).count, Everything(count=9).count) == (-2, 9)


def test_an_undeclared_name_is_refused():
    with pytest.raises(ValueError, match=r"Everything has no parameter 'size'; it has share, weight, count"):
        Everything.from_dict({"size": 3})


def test_params_are_inherited_in_order_and_a_default_can_be_replaced():
    @dataclass(frozen=True, kw_only=True)
    class More(Everything):
        share: float = number(0.1, low=0, high=0.2, help="Less.")
        last: int = integer(0, help="Last.")

    assert list(params_of(More)) == [*params_of(Everything), "last"]
    assert More().share == 0.1
    with pytest.raises(ValueError, match=r"share = 0.5 is not allowed: a number from 0 to 0.2"):
        More(share=0.5)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(None, None, "an integer"), (1, None, "an integer from 1 up"), (None, 5, "an integer up to 5")],
)
def test_open_bounds_in_words(low, high, said):
    @dataclass(frozen=True, kw_only=True)
    class Open(Parametrised):
        n: int = integer(2, low=low, high=high, help="N.")

    assert params_of(Open)["n"].allowed() == said


@dataclass(frozen=True, kw_only=True)
class Aimed(Parametrised):
    target: int = class_label(4, help="A class.")


def aimed(*flags, classes=("cat", "deer", "dog", "horse", "Fawn")):
    parser = argparse.ArgumentParser()
    add_arguments(parser, Aimed)
    return arguments_of(Aimed, parser.parse_args(flags), classes).target


def test_a_class_is_given_by_its_name_or_its_index():
    assert aimed("--target", "deer") == 1
    assert aimed("--target", "fawn") == 4
    assert aimed("--target", "DOG") == 2
    assert aimed("--target", "3") == 3
    assert aimed() == 4
    assert Aimed(target=2).target == 2


def test_a_name_that_is_a_number_goes_before_an_index():
    classes = tuple(str(number) for number in range(1, 13))
    assert [label_of("target", text, classes) for text in ("1", "3", "12")] == [0, 2, 11]
    assert label_of("target", "0", classes) == 0  # no class is called so
    assert label_of("target", "7", ("07", "7", "a")) == 1
    assert label_of("target", "07", ("7", "07", "a")) == 1


def test_a_name_in_another_spelling_of_unicode_is_that_name():
    composed, taken_apart = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    assert composed != taken_apart
    assert label_of("target", taken_apart, ("Wal", composed)) == 1
    assert label_of("target", composed, (taken_apart, "Wal")) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("der", "target = 'der' is not allowed: there is no such class (did you mean deer or Deer?); there are 4: "),
        ("", "there is no such class; there are 4: cat, deer, Deer, dog"),
        ("DEER", "did you mean deer or Deer?"),  # either could be meant
        ("1.0", "target = '1.0' is not allowed"),
        ("zzz", "there is no such class; there are 4"),
    ],
)
def test_an_unknown_class_is_refused_with_what_is_near(text, said):
    with pytest.raises(ValueError, match="there is no such class") as caught:
        label_of("target", text, ("cat", "deer", "Deer", "dog"))
    assert said in str(caught.value)


def test_many_classes_are_not_all_listed():
    with pytest.raises(ValueError, match=r"there are 43: 0, 1, .*, 19, \.\.\.$"):
        label_of("target", "stop", [str(number) for number in range(43)])


def test_an_index_keeps_its_bounds():
    with pytest.raises(ValueError, match="target = -1 is not allowed: the index of a class"):
        aimed("--target", "-1")


def test_class_names_are_asked_for_only_if_a_class_was_given():
    parser = argparse.ArgumentParser()
    add_arguments(parser, Aimed)

    def fail():
        raise AssertionError("nobody asked")

    assert given_in(Aimed, parser.parse_args([]), fail) == {}
    assert given_in(Aimed, parser.parse_args(["--target", "dog"]), lambda: ["cat", "dog"]) == {"target": 1}
