"""What all schemas are made of, and how a file is read by one.

Checkpoints are passed on, so that a card or a result may be somebody else's, or damaged. Whatever is in such a file,
reading it gives what its schema allows or raises ValueError with one sentence; nothing after that needs to check again.

>>> checked(Rates, {"hits": 3, "total": 4})
Rates(hits=3, total=4)
>>> checked(Rates, {"hits": True, "total": 4})
Traceback (most recent call last):
ValueError: a stored result is damaged: hits = True is not allowed: it should be a valid integer
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

__all__ = [
    "Channels",
    "Count",
    "Described",
    "FewSurprises",
    "Fits",
    "KeyPart",
    "Loss",
    "Measured",
    "Number",
    "Positive",
    "Rates",
    "Share",
    "Side",
    "Spent",
    "Stored",
    "Text",
    "Value",
    "checked",
    "damaged",
    "json_of",
    "read_bytes",
    "read_json",
]

LARGEST_FILE = 32 * 2**20
"""Bytes of a file of JSON; the largest that is written here has some hundred thousand."""
LARGEST = 2**53
"""Of whole numbers: floats and JavaScript have them all up to here."""
LONGEST = 1000
"""Characters of a text, such as a name or a path."""
LONGEST_PARAMETER = 4 * 2**20
"""Characters of a parameter of an attack, which may be a whole trigger."""
_BRANCH = re.compile(r"[a-z]+-[a-z-]+\[.*\]", re.DOTALL)
SHOWN = 60  # characters of a wrong value in a message
FURTHEST = 4096  # pixels of a place from the image's corner

T = TypeVar("T")


def _printable(text: str) -> str:
    """Raises:
    ValueError: If there are characters that no name and no path can have.
    """
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("control characters are in it")
    return text


def _rising(values: list[int]) -> list[int]:
    """Raises:
    ValueError: If the numbers do not rise.
    """
    if any(low >= high for low, high in pairwise(values)):
        raise ValueError("it does not rise")
    return values


Text = Annotated[str, Strict(), StringConstraints(max_length=LONGEST), AfterValidator(_printable)]
KeyPart = Annotated[Text, StringConstraints(pattern=r"^[\w.+-]+$", min_length=1, max_length=250)]
Count = Annotated[int, Strict(), Field(ge=0, le=LARGEST)]
Positive = Annotated[int, Strict(), Field(ge=1, le=LARGEST)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
Spent = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=1e12)]
Share = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=1)]


def _parameter(value: Any, longest: int = LONGEST) -> bool | int | float | str:
    """Raises:
    ValueError: If it is none of these types, or no parameter can be so large or so long.
    """
    if isinstance(value, str):
        if len(value) > longest:
            raise ValueError(f"it has more than {longest} characters")
        return _printable(value)
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) <= LARGEST):
        return value
    if isinstance(value, float) and abs(value) <= 1e15:
        return value
    raise ValueError("a parameter is a text, a number, true or false")


Value = Annotated[bool | int | float | str, PlainValidator(_parameter)]
"""A parameter; what it may be is for the method to say that declares it."""
LongValue = Annotated[bool | int | float | str, PlainValidator(lambda value: _parameter(value, LONGEST_PARAMETER))]
Axis = Annotated[
    list[Annotated[int, Strict(), Field(ge=-FURTHEST, le=FURTHEST)]],
    Field(min_length=1, max_length=2 * FURTHEST),
    AfterValidator(_rising),
]
Loss = Annotated[float, Strict()]
"""Of a training; one that diverged has one that is no number, or infinite."""
Side = Annotated[int, Strict(), Field(ge=1, le=FURTHEST)]
Channels = Annotated[int, Strict(), Field(ge=1, le=16)]
Row = list[Count]
Matrix = list[Row]
# JSON has no infinity; it is written as this text.
Index = Annotated[
    float,
    BeforeValidator(lambda value: math.inf if value == "Infinity" else value),
    Strict(),
    Field(ge=0),
    AfterValidator(lambda value: value if value == math.inf or value <= 1e15 else _refuse("it is too large")),
]


def _refuse(why: str) -> Any:
    raise ValueError(why)


class FewSurprises(BaseModel):
    """Base of all schemas; further keys are left aside, since later versions may write more."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Method(FewSurprises):
    """A method with its parameters, as stored results have it."""

    name: Text
    params: dict[Text, Value]


class _Enhanced(Method):
    """The same of an attack, with its enhancement."""

    params: dict[Text, LongValue]
    enhanced: dict[Text, Value] = {}


def _method(values: dict[str, Any]) -> dict[str, Any]:
    _Enhanced.model_validate(values)
    return values


Described = Annotated[dict[str, Any], AfterValidator(_method)]
"""A method with its parameters as a dictionary, which it stays."""


class Rates(FewSurprises):
    """Hits of a total."""

    hits: Count
    total: Count

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.hits > self.total:
            raise ValueError(f"{self.hits} hits of {self.total} are not possible")
        return self


class Fits(FewSurprises):
    """What a result must fit: the model that it was measured on.

    Attributes:
        classes: Number of classes.
        height: Rows of an image.
        width: Columns of an image.
        channels: Channels of the network's last component.
    """

    classes: int
    height: int
    width: int
    channels: int


class Stored(FewSurprises):
    """What every stored result says beside its numbers."""

    form: Literal[1] = Field(alias="schema")
    weights: Text
    target: Count | None = None
    trigger: Text | None = None
    test: Text | None = None
    tensors: Text | None = None
    dataset: Text = ""
    encoding: Text = ""
    path: Text = ""
    environment: dict[Text, Value] = {}


class Measured(FewSurprises):
    """The numbers of a stored result; one subclass for each kind."""

    def fit(self, model: Fits) -> None:
        """Raises:
        ValueError: If it cannot be a result of such a model.
        """


def _check_counts(hits: Any, total: Any, *sizes: int) -> None:
    """Raises:
    ValueError: If two lists, or lists of lists, of counts have another shape, or there are more hits than trials.
    """
    if len(hits) != sizes[0] or len(total) != sizes[0]:
        raise ValueError(f"{len(hits)} hits of {len(total)} totals for {sizes[0]} places")
    for some, of in zip(hits, total, strict=True):
        if len(sizes) > 1:
            _check_counts(some, of, *sizes[1:])
        elif some > of:
            raise ValueError(f"{some} hits of {of} are not possible")


def json_of(content: bytes | str) -> Any:
    """What a text of JSON says.

    Raises:
        ValueError: If it is no JSON, is nested deeply, or has numbers of thousands of digits; one sentence.
    """
    try:
        return from_json(content)
    except ValueError as error:
        raise ValueError(f"it is no JSON that can be read: {' '.join(str(error).split())}") from None


def read_json(path: Path) -> Any:
    """What a file of JSON says.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it cannot be read.
        ValueError: As of :func:`json_of`, and if it is larger than :data:`LARGEST_FILE`.
    """
    return json_of(read_bytes(path))


def read_bytes(path: Path, most: int = LARGEST_FILE) -> bytes:
    """The content of a file of a checkpoint.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it cannot be read.
        ValueError: If it has more than ``most`` bytes.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"it has more than {most // 2**20} MiB")
        return file.read()


def damaged(why: str | Exception, what: str = "a stored result") -> ValueError:
    """The error that says that a file does not hold what it should: one sentence, whatever is wrong.

    Args:
        why: What is wrong, or what was raised when the file's values were used.
        what: What the file is.

    >>> damaged(KeyError("norms"))
    ValueError('a stored result is damaged: norms is missing')
    """
    if isinstance(why, KeyError) and why.args:
        why = f"{str(why.args[0])[:SHOWN]} is missing"
    return ValueError(f"{what} is damaged: {why}")


def checked(kind: type[T] | TypeAdapter[T], values: Any, what: str = "a stored result") -> T:
    """Values of a file as its schema has them.

    Args:
        kind: A schema, a dataclass whose fields are annotated as one, or an adapter.
        values: As :func:`json_of` gives them.
        what: What the message says is damaged; with nothing, it says only what is wrong.

    Raises:
        ValueError: If they are not as the schema says; one sentence.
    """
    adapter: TypeAdapter[T] = kind if isinstance(kind, TypeAdapter) else _adapter(kind)  # type: ignore[arg-type]
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise (damaged(_sentence(error), what) if what else ValueError(_sentence(error))) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _sentence(error: ValidationError) -> str:
    """The first of what is wrong, in a sentence that is short whatever the file holds."""
    first = error.errors(include_url=False, include_context=False)[0]
    # What pydantic calls the branches of a union are no names of the file's: "function-plain[...]".
    where = ".".join(str(part)[:SHOWN] for part in first["loc"] if not _BRANCH.match(str(part)))
    if first["type"] == "missing":
        return f"{where} is missing"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    message = message.replace("input should", "it should") if len(message) <= 2 * LONGEST else message[:LONGEST]
    if first["type"] == "value_error" and isinstance(first["input"], dict):
        return f"{where}: {message}" if where else message
    return f"{where or 'the file'} = {_shown(first['input'])} is not allowed: {message}"


def _shown(value: Any) -> str:
    """The beginning of a value; of numbers of thousands of digits, that they are long."""
    if isinstance(value, list | tuple | dict):
        return f"a {'dictionary' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of many digits"
    shown = repr(value[:SHOWN] if isinstance(value, str) else value)
    return shown if len(shown) <= 2 * SHOWN else shown[: 2 * SHOWN] + "..."
