"""Declared parameters: one declaration decides validation, JSON and command-line flags."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.params import (
    Parametrised,
    add_arguments,
    arguments_of,
    choice,
    flag,
    flags_of,
    integer,
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
        "some_path": st.text(),
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
