"""Parameters that a method declares once and that every front end reads.

A method (an attack, a transform, a recipe, a data set) is a frozen, keyword-only dataclass derived from
:class:`Parametrised` whose fields are made by :func:`number`, :func:`integer`, :func:`class_label`, :func:`choice`,
:func:`flag` or :func:`text`. The declaration is the single source of its validation, of its command-line flags
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
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Self, TypeVar

__all__ = [
    "Param",
    "Parametrised",
    "Value",
    "add_arguments",
    "arguments_of",
    "choice",
    "class_label",
    "flag",
    "flags_of",
    "given_in",
    "integer",
    "label_of",
    "number",
    "params_of",
    "text",
]

Value = float | int | str | bool
Classes = Sequence[str] | Callable[[], Sequence[str]]
# Class names that a message lists.
MOST_NAMED = 20


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
        is_label: Whether the integer is the index of a class, which users may name as well (:func:`label_of`).
        title: Its name for people, where the one in the code says too little.
    """

    kind: type
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    is_label: bool = False
    title: str = ""

    def allowed(self) -> str:
        """What this parameter accepts, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "a text"
        if self.is_label:
            return "the index of a class, an integer from 0 up"
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
        quoted = repr(value) if not isinstance(value, str) or len(value) <= 100 else repr(value[:97] + "...")
        wrong = ValueError(f"{name} = {quoted} is not allowed: {self.allowed()}")
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
    title: str = "",
) -> Any:
    """Declares a real parameter with inclusive bounds."""
    return _declare(
        Param(kind=float, default=float(default), help=help, low=low, high=high, step=step, unit=unit, title=title)
    )


def integer(
    default: int,
    *,
    help: str,
    low: int | None = None,
    high: int | None = None,
    step: int = 1,
    unit: str = "",
    title: str = "",
) -> Any:
    """Declares an integer parameter with inclusive bounds."""
    return _declare(Param(kind=int, default=default, help=help, low=low, high=high, step=step, unit=unit, title=title))


def class_label(default: int, *, help: str) -> Any:
    """Declares a class: an integer, its index, that front ends also take as its name."""
    return _declare(Param(kind=int, default=default, help=help, low=0, step=1, is_label=True))


def choice(default: str, *, choices: Iterable[str], help: str) -> Any:
    """Declares a parameter that takes one of several names."""
    return _declare(Param(kind=str, default=default, help=help, choices=tuple(choices)))


def flag(default: bool, *, help: str, title: str = "") -> Any:
    """Declares a yes-or-no parameter."""
    return _declare(Param(kind=bool, default=default, help=help, title=title))


def text(default: str, *, help: str, title: str = "") -> Any:
    """Declares a free text parameter, such as the path of a folder."""
    return _declare(Param(kind=str, default=default, help=help, title=title))


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
        allowed = "a class, by its name or its index from 0 up" if param.is_label else param.allowed()
        help_text = f"{param.help} ({allowed}; default {param.default})".replace("%", "%%")
        if param.kind is bool:
            parser.add_argument(
                option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help_text
            )
        else:
            parser.add_argument(
                option,
                type=str if param.is_label else param.kind,
                default=argparse.SUPPRESS,
                help=help_text,
                metavar="CLASS" if param.is_label else param.kind.__name__.upper(),
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


def given_in(cls: type[Parametrised], namespace: argparse.Namespace, classes: Classes = ()) -> dict[str, Any]:
    """The parameters of a method that were given as flags.

    Args:
        cls: The method.
        namespace: Parsed flags.
        classes: Class names of the data set, or what finds them; asked only if a class was given.

    Raises:
        ValueError: If there is no such class.
    """
    given = vars(namespace)
    declared = {name: given[name] for name in params_of(cls) if name in given}
    for name, value in declared.items():
        if params_of(cls)[name].is_label and isinstance(value, str):
            declared[name] = label_of(name, value, classes() if callable(classes) else classes)
    return declared


def arguments_of(cls: type[Method], namespace: argparse.Namespace, classes: Classes = ()) -> Method:
    """Builds a method from parsed flags; arguments as of :func:`given_in`.

    Raises:
        ValueError: If a value is not allowed.
    """
    return cls(**given_in(cls, namespace, classes))


def label_of(name: str, text: str, classes: Sequence[str]) -> int:
    """The index of a class that is given by its name, in any case, or by its index.

    A name goes before an index: of the classes 1, 2 and 10, ``"2"`` is the one called 2, which has index 1.

    Args:
        name: Name of the parameter, for the message.
        text: What was given.
        classes: Class names in label order.

    Returns:
        An index; one that was given as such is not checked against the number of classes.

    Raises:
        ValueError: If it is neither; names what is near.

    >>> label_of("target", "Deer", ["cat", "deer"]), label_of("target", "0", ["cat", "deer"])
    (1, 0)
    >>> label_of("target", "der", ["cat", "deer"])
    Traceback (most recent call last):
    ValueError: target = 'der' is not allowed: there is no such class (did you mean deer?); there are 2: cat, deer
    """
    wanted = unicodedata.normalize("NFC", text.strip())
    names = [unicodedata.normalize("NFC", name) for name in classes]
    if wanted in names:
        return names.index(wanted)
    folded = [name.casefold() for name in names]
    if folded.count(wanted.casefold()) == 1:
        return folded.index(wanted.casefold())
    if re.fullmatch(r"[+-]?[0-9]{1,4000}", wanted):
        return int(wanted)
    near = get_close_matches(wanted.casefold(), folded, n=3)
    near += [name for name in folded if wanted and wanted.casefold() in name][: 3 - len(near)]
    close = [name for name, key in zip(classes, folded, strict=True) if key in near]
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    shown = ", ".join(classes[:MOST_NAMED]) + ", ..." * (len(classes) > MOST_NAMED)
    listed = f"; there are {len(classes)}: {shown}" if classes else ""
    raise ValueError(f"{name} = {text!r} is not allowed: there is no such class{hint}{listed}")
