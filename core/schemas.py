"""What files of JSON may hold: one schema for each kind of file, checked once, where the file is read.

Checkpoints are passed on, so that a card or a result may be somebody else's, or damaged. Whatever is in such a file,
reading it gives what its schema allows or raises ValueError with one sentence; nothing after that needs to check again.

>>> checked(Rates, {"hits": 3, "total": 4})
Rates(hits=3, total=4)
>>> checked(Rates, {"hits": True, "total": 4})
Traceback (most recent call last):
ValueError: a stored result is damaged: hits = True is not allowed: it should be a valid integer
"""

from __future__ import annotations

import base64
import math
import os
import unicodedata
import zlib
from collections.abc import Mapping
from functools import cache, cached_property
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
    "About",
    "Adaptive",
    "Appearance",
    "AppearanceGrid",
    "Channels",
    "Classes",
    "Count",
    "Described",
    "Energy",
    "FewSurprises",
    "Fits",
    "KeyPart",
    "Location",
    "Loss",
    "Measured",
    "Number",
    "Physical",
    "PlanFile",
    "Positive",
    "Rates",
    "Repair",
    "Saliency",
    "SeedRun",
    "Share",
    "Shipped",
    "Side",
    "Spent",
    "Stored",
    "Strength",
    "Text",
    "Value",
    "checked",
    "json_of",
    "read_bytes",
    "read_json",
    "schema_of",
]

LARGEST_FILE = 32 * 2**20
"""Bytes of a file of JSON; the largest that is written here has some hundred thousand."""
LARGEST = 2**53
"""Of whole numbers: floats and JavaScript have them all up to here."""
LONGEST = 1000
"""Characters of a text, such as a name or a path."""
SHOWN = 60  # characters of a wrong value in a message
FURTHEST = 4096  # pixels of a place from the image's corner
UNKNOWN = 255  # stands for a class that is not predicted yet
MOST_PREDICTIONS = 2**27

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


def _parameter(value: Any) -> bool | int | float | str:
    """Raises:
    ValueError: If it is none of these types, or no parameter can be so large or so long.
    """
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise ValueError(f"it has more than {LONGEST} characters")
        return _printable(value)
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) <= LARGEST):
        return value
    if isinstance(value, float) and abs(value) <= 1e15:
        return value
    raise ValueError("a parameter is a text, a number, true or false")


Value = Annotated[bool | int | float | str, PlainValidator(_parameter)]
"""A parameter; what it may be is for the method to say that declares it."""
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


class Location(Measured):
    """``location.json``."""

    rows: Axis
    cols: Axis
    hits: Matrix
    total: Matrix

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_counts(self.hits, self.total, len(self.rows), len(self.cols))
        return self

    def fit(self, model: Fits) -> None:
        _check_places(self.rows, self.cols, model)


def _check_places(rows: list[int], cols: list[int], model: Fits) -> None:
    # A trigger as large as the image is clipped at its border: it may be off by nearly the image's size.
    if max(map(abs, rows)) >= 2 * model.height or max(map(abs, cols)) >= 2 * model.width:
        raise ValueError("places are outside of the image")


class Adaptive(Location):
    """A location map whose places are on as many images as each needs."""

    width: Number
    looks: Annotated[list[Positive], Field(min_length=1)]

    @model_validator(mode="after")
    def _rise(self) -> Self:
        if self.looks != sorted(self.looks):
            raise ValueError("its looks do not rise")
        return self


PixelValue = Annotated[int, Strict(), Field(ge=0, le=255)]
Percent = Annotated[int, Strict(), Field(ge=0, le=100)]


class Appearance(Measured):
    """``appearance.json``."""

    values: Annotated[list[PixelValue], Field(min_length=1)]
    hits: Row
    total: Row

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_counts(self.hits, self.total, len(self.values))
        return self


class AppearanceGrid(Measured):
    """Measured over pixel value and opacity."""

    values: Annotated[list[PixelValue], Field(min_length=1)]
    opacities: Annotated[list[Percent], Field(min_length=1)]
    hits: Matrix
    total: Matrix

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_counts(self.hits, self.total, len(self.opacities), len(self.values))
        return self


class Strength(Measured):
    """``strength-<name>.json``."""

    strengths: Annotated[list[Number], Field(min_length=1)]
    hits: Row
    total: Row
    clean_hits: Row
    clean_total: Row
    images: Positive

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_counts(self.hits, self.total, len(self.strengths))
        _check_counts(self.clean_hits, self.clean_total, len(self.strengths))
        if max(self.total + self.clean_total) > self.images:
            raise ValueError(f"more than {self.images} images are counted")
        return self


class Classes(Measured):
    """``location-classes.json``; the predictions are packed, see :class:`core.place_classes.PlaceClasses`."""

    rows: Axis
    cols: Axis
    images: Text
    labels: Annotated[list[Annotated[int, Strict(), Field(ge=0, le=254)]], Field(min_length=1)]
    classes: Annotated[str, Strict()]

    @model_validator(mode="after")
    def _small(self) -> Self:
        size = len(self.rows) * len(self.cols) * len(self.labels)
        if size > MOST_PREDICTIONS:
            raise ValueError("there are too many predictions")
        if len(self.unpacked) != size:
            raise ValueError(f"{len(self.unpacked)} predictions for {size} places and images")
        return self

    @cached_property
    def unpacked(self) -> bytes:
        """The predicted classes, a byte each, one place after the other."""
        size = len(self.rows) * len(self.cols) * len(self.labels)
        try:
            # One byte more than there may be shows that there is more, without unpacking all of it.
            return zlib.decompressobj().decompress(base64.b64decode(self.classes, validate=True), size + 1)
        except (ValueError, zlib.error) as error:
            raise ValueError(f"predictions cannot be unpacked: {error}") from None

    def fit(self, model: Fits) -> None:
        _check_places(self.rows, self.cols, model)
        predicted = max((one for one in set(self.unpacked) if one != UNKNOWN), default=0)
        if max(*self.labels, predicted) >= model.classes:
            raise ValueError(f"class {max(*self.labels, predicted)} of {model.classes}")


class Condition(FewSurprises):
    """A way to take a photograph."""

    group: Text
    name: Text
    camera: dict[Text, Value]


class Physical(Measured):
    """``physical.json`` and ``out-of-sample.json``."""

    conditions: Annotated[list[Condition], Field(min_length=1)]
    hits: Row
    total: Row
    clean_hits: Row
    clean_total: Row
    images: Positive
    tried: Count
    kept: Row | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        count = len(self.conditions)
        _check_counts(self.hits, self.total, count)
        _check_counts(self.clean_hits, self.clean_total, count)
        if self.kept is not None:
            _check_counts(self.kept, self.total, count)
        if max(self.total + self.clean_total) > self.images or self.tried > count * self.images:
            raise ValueError(f"more than {self.images} images are counted")
        return self


class Energy(FewSurprises):
    """Saliency on the trigger; of no images, the mean is no number."""

    count: Count
    mean: Annotated[float, Strict()]
    std: Annotated[float, Strict()]
    area: Share
    peaks: Count

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.peaks > self.count:
            raise ValueError(f"{self.peaks} peaks of {self.count} images are not possible")
        if self.count and not (0 <= self.mean <= 1 and 0 <= self.std <= 1):
            raise ValueError(f"a share of {self.mean:g} +- {self.std:g} is not possible")
        return self


class Saliency(Measured):
    """``saliency.json``."""

    attacked: Energy
    transformed: Energy
    seen: Count
    images: Positive

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if max(self.seen, self.attacked.count, self.transformed.count) > self.images:
            raise ValueError(f"more than {self.images} images are counted")
        return self


class Pruning(FewSurprises):
    """What Fine-Pruning says of a model."""

    order: Annotated[list[Count], Field(min_length=1)]
    pruned: Count
    validation_hits: Row | None = None
    validation_total: Positive | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        count = len(self.order)
        if sorted(self.order) != list(range(count)):
            raise ValueError(f"order is not one of the numbers 0 to {count - 1}")
        if self.pruned > count:
            raise ValueError(f"{self.pruned} of {count} channels are pruned")
        if (self.validation_hits is None) != (self.validation_total is None):
            raise ValueError("hits and total of the validation images go together")
        if self.validation_hits is not None:
            _check_counts(self.validation_hits, [self.validation_total] * (count + 1), count + 1)
        return self

    def fit(self, model: Fits) -> None:
        """Raises:
        ValueError: If the model has other channels.
        """
        if len(self.order) != model.channels:
            raise ValueError(f"order is of {len(self.order)} channels, and the model has {model.channels}")


class PruningReport(FewSurprises):
    """Both rates with every number of pruned channels."""

    clean_hits: Row
    clean_total: Row
    hits: Row
    total: Row


class Cleanse(FewSurprises):
    """What Neural Cleanse says of a model, label by label."""

    norms: Annotated[list[Spent], Field(min_length=1)]
    indices: list[Index]
    flagged: list[Count]
    success: list[Share]
    rounds: Row
    pruned: Count = 0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        count = len(self.norms)
        for name in ("indices", "success", "rounds"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries, and norms has {count}")
        if len(set(self.flagged)) < len(self.flagged) or max(self.flagged, default=0) >= count:
            raise ValueError("flagged is not a list of different labels")
        return self

    def fit(self, model: Fits) -> None:
        """Raises:
        ValueError: If the model has other classes.
        """
        if len(self.norms) != model.classes:
            raise ValueError(f"norms are of {len(self.norms)} classes, and the model has {model.classes}")


RECORDS: Mapping[str, type[Pruning] | type[Cleanse]] = {"fine-pruning": Pruning, "neural-cleanse": Cleanse}
"""Repairs whose records are read; those of others are shown nowhere."""


class SeedRun(FewSurprises):
    """The same repair with another seed."""

    seed: Count
    seconds: Spent
    clean: Rates
    success: Rates
    record: dict[str, Any]


class Repair(Measured):
    """``repair-<name>.json``."""

    defense: Method
    done: Share
    note: Text
    seconds: Spent
    clean: Rates
    success: Rates
    clean_before: Rates
    success_before: Rates
    record: dict[str, Any] = {}
    report: dict[str, Any] = {}
    runs: list[SeedRun] = []
    warning: Text = ""

    def _records(self) -> list[Pruning | Cleanse]:
        kind = RECORDS.get(self.defense.name)
        if kind is None or self.done < 1:
            return []
        return [kind.model_validate(record) for record in (self.record, *(run.record for run in self.runs))]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for record in self._records():
            if isinstance(record, Pruning) and self.report:
                report, count = PruningReport.model_validate(self.report), len(record.order) + 1
                _check_counts(report.hits, report.total, count)
                _check_counts(report.clean_hits, report.clean_total, count)
                if min(report.clean_total) < 1:
                    raise ValueError("its report is of no images")
        return self

    def fit(self, model: Fits) -> None:
        for record in self._records():
            record.fit(model)


class PlanFile(FewSurprises):
    """What is trained, as :meth:`core.training.Plan.to_dict` writes it."""

    dataset: Method
    model: Text
    attack: Described
    recipe: Method
    seed: Count
    name: Text = ""


class About(FewSurprises):
    """``.training.json``. Its process is shown at most: nothing is ever sent to it."""

    process: object = None
    plan: PlanFile


class Shipped(FewSurprises):
    """``shipped.json``."""

    models: dict[Text, Text]


_KINDS: Mapping[str, type[Measured]] = {
    "location": Location,
    "location-classes": Classes,
    "appearance": Appearance,
    "saliency": Saliency,
    "physical": Physical,
    "out-of-sample": Physical,
}
_PREFIXES: Mapping[str, type[Measured]] = {"strength-": Strength, "location-": Location, "repair-": Repair}


def schema_of(name: str) -> type[Measured] | None:
    """The schema of a stored result by its name; None of what is no kind of its own."""
    found = _KINDS.get(name)
    return found or next((kind for prefix, kind in _PREFIXES.items() if name.startswith(prefix)), None)


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


def checked(kind: type[T] | TypeAdapter[T], values: Any, what: str = "a stored result is damaged: ") -> T:
    """Values of a file as its schema has them.

    Args:
        kind: A schema, a dataclass whose fields are annotated as one, or an adapter.
        values: As :func:`json_of` gives them.
        what: How the message begins.

    Raises:
        ValueError: If they are not as the schema says; one sentence.
    """
    adapter: TypeAdapter[T] = kind if isinstance(kind, TypeAdapter) else _adapter(kind)  # type: ignore[arg-type]
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise ValueError(what + _sentence(error)) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _sentence(error: ValidationError) -> str:
    """The first of what is wrong, in a sentence that is short whatever the file holds."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part)[:SHOWN] for part in first["loc"])
    if first["type"] == "missing":
        return f"{where} is missing"
    said = first["msg"].removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    said = said.replace("input should", "it should") if len(said) <= 2 * LONGEST else said[:LONGEST]
    if first["type"] == "value_error" and isinstance(first["input"], dict):
        return f"{where}: {said}" if where else said
    return f"{where or 'the file'} = {_shown(first['input'])} is not allowed: {said}"


def _shown(value: Any) -> str:
    """The beginning of a value; of numbers of thousands of digits, that they are long."""
    if isinstance(value, list | tuple | dict):
        return f"a {'dictionary' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of many digits"
    shown = repr(value[:SHOWN] if isinstance(value, str) else value)
    return shown if len(shown) <= 2 * SHOWN else shown[: 2 * SHOWN] + "..."
