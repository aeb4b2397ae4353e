"""Parameters that a method declares once and that every front end reads.

A method (an attack, a transform, a recipe, a data set) is a frozen, keyword-only dataclass derived from
:class:`Parametrised` whose fields are made by :func:`number`, :func:`integer`, :func:`choice`, :func:`flag` or
:func:`text`. The declaration is the single source of its validation, of its command-line flags
(:func:`add_arguments`), of its dashboard control, and of what a card stores (:meth:`Parametrised.to_dict`).

>>> @dataclass(frozen=True, kw_only=True)
... class Blur(Parametrised):
...     radius: int = integer(2, low=0, high=8, help="Radius of the blur.", unit="pixels")
>>> Blur(radius=3)
Blur(radius=3)
>>> Blur(radius=9)
Traceback (most recent call last):
ValueError: radius = 9 is not allowed: an integer from 0 to 8 (pixels)
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

__all__ = [
    "Param",
    "Parametrised",
    "Value",
    "add_arguments",
    "arguments_of",
    "choice",
    "flag",
    "flags_of",
    "integer",
    "number",
    "params_of",
    "text",
]

Value = float | int | str | bool


@dataclass(frozen=True, kw_only=True)
class Param:
    """One declared parameter: its kind, default, bounds and help text.

    Attributes:
        kind: Python type of the value: ``float``, ``int``, ``str`` or ``bool``.
        default: Value used when none is given.
        help: One sentence for the command line and the dashboard.
        low: Smallest allowed number, or None.
        high: Largest allowed number, or None.
        step: Step of the dashboard's control, or None.
        choices: Allowed values of a choice; empty for any value.
        unit: Unit shown beside the value.
    """

    kind: type
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""

    def allowed(self) -> str:
        """What this parameter accepts, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "a text"
        noun = "an integer" if self.kind is int else "a number"
        unit = f" ({self.unit})" if self.unit else ""
        if self.low is not None and self.high is not None:
            return f"{noun} from {self.low:g} to {self.high:g}{unit}"
        if self.low is not None:
            return f"{noun} from {self.low:g} up{unit}"
        if self.high is not None:
            return f"{noun} up to {self.high:g}{unit}"
        return noun + unit

    def check(self, name: str, value: object) -> Value:
        """Returns ``value`` as :attr:`kind`.

        Raises:
            ValueError: If the value has another type or lies outside the bounds; names the parameter, the value and
                what is allowed.
        """
        wrong = ValueError(f"{name} = {value!r} is not allowed: {self.allowed()}")
        if self.kind is bool or self.kind is str:
            if not isinstance(value, self.kind) or (self.choices and value not in self.choices):
                raise wrong
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
            raise wrong
        if self.kind is int and value != int(value):
            raise wrong
        if self.kind is float and abs(value) > sys.float_info.max:
            raise wrong
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise wrong
        return int(value) if self.kind is int else float(value)


def _declare(param: Param) -> Any:
    return field(default=param.default, metadata={"param": param})


def number(
    default: float,
    *,
    help: str,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    unit: str = "",
) -> Any:
    """Declares a real parameter with inclusive bounds."""
    return _declare(Param(kind=float, default=float(default), help=help, low=low, high=high, step=step, unit=unit))


def integer(
    default: int, *, help: str, low: int | None = None, high: int | None = None, step: int = 1, unit: str = ""
) -> Any:
    """Declares an integer parameter with inclusive bounds."""
    return _declare(Param(kind=int, default=default, help=help, low=low, high=high, step=step, unit=unit))


def choice(default: str, *, choices: Iterable[str], help: str) -> Any:
    """Declares a parameter that takes one of several names."""
    return _declare(Param(kind=str, default=default, help=help, choices=tuple(choices)))


def flag(default: bool, *, help: str) -> Any:
    """Declares a yes-or-no parameter."""
    return _declare(Param(kind=bool, default=default, help=help))


def text(default: str, *, help: str) -> Any:
    """Declares a free text parameter, such as the path of a folder."""
    return _declare(Param(kind=str, default=default, help=help))


@dataclass(frozen=True, kw_only=True)
class Parametrised:
    """Base of every method: values are checked when it is made, and it can be written to and read from JSON."""

    def __post_init__(self) -> None:
        for name, param in params_of(type(self)).items():
            object.__setattr__(self, name, param.check(name, getattr(self, name)))

    def to_dict(self) -> dict[str, Value]:
        """Declared parameters and their values, ready for JSON."""
        return {name: getattr(self, name) for name in params_of(type(self))}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If a name is not declared or a value is not allowed.
        """
        declared = params_of(cls)
        for name in values:
            if name not in declared:
                raise ValueError(f"{cls.__name__} has no parameter {name!r}; it has {', '.join(declared) or 'none'}")
        return cls(**values)


Method = TypeVar("Method", bound=Parametrised)


def params_of(cls: type[Parametrised]) -> dict[str, Param]:
    """The parameters that a method class declares, in order of declaration."""
    return {f.name: f.metadata["param"] for f in fields(cls) if "param" in f.metadata}


def add_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup, cls: type[Parametrised]) -> None:
    """Adds one command-line flag per declared parameter; flags that were not given stay out of the result."""
    for name, param in params_of(cls).items():
        option = "--" + name.replace("_", "-")
        help_text = f"{param.help} ({param.allowed()}; default {param.default})".replace("%", "%%")
        if param.kind is bool:
            parser.add_argument(
                option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help_text
            )
        else:
            parser.add_argument(
                option,
                type=param.kind,
                default=argparse.SUPPRESS,
                help=help_text,
                metavar=param.kind.__name__.upper(),
            )


def flags_of(method: Parametrised, defaults: Mapping[str, Value] | None = None) -> list[str]:
    """The command-line flags that make a method: those of its parameters that are not at their default.

    Args:
        method: The method.
        defaults: Defaults that take the place of the declared ones.
    """
    flags = []
    for name, param in params_of(type(method)).items():
        value, option = getattr(method, name), name.replace("_", "-")
        default = (defaults or {}).get(name, param.default)
        if value != default and param.kind is bool:
            flags.append(f"--{option}" if value else f"--no-{option}")
        elif value != default:
            # A value that begins with a dash would be taken for a flag.
            flags += [f"--{option}={value}"] if str(value).startswith("-") else [f"--{option}", str(value)]
    return flags


def arguments_of(cls: type[Method], namespace: argparse.Namespace) -> Method:
    """Builds a method from parsed flags.

    Raises:
        ValueError: If a value is not allowed.
    """
    given = vars(namespace)
    return cls(**{name: given[name] for name in params_of(cls) if name in given})
