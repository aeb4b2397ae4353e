"""Schemas of stored results: maps, curves, predictions at places, photographs, saliency."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    Strict,
    model_validator,
)

from core.schemas.base import (
    Axis,
    Count,
    FewSurprises,
    Fits,
    Matrix,
    Measured,
    Number,
    Positive,
    Row,
    Share,
    Text,
    Value,
    _check_counts,
)
from core.schemas.repairs import Repair

__all__ = [
    "Adaptive",
    "Appearance",
    "AppearanceGrid",
    "Classes",
    "Energy",
    "Location",
    "MethodScores",
    "Physical",
    "Saliency",
    "SaliencyMethods",
    "Strength",
    "schema_of",
]
UNKNOWN = 255  # stands for a class that is not predicted yet
MOST_PREDICTIONS = 2**27


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
    benign_hits: Row | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_counts(self.hits, self.total, len(self.strengths))
        _check_counts(self.clean_hits, self.clean_total, len(self.strengths))
        if self.benign_hits is not None:
            _check_counts(self.benign_hits, self.total, len(self.strengths))
        if max(self.total + self.clean_total) > self.images:
            raise ValueError(f"more than {self.images} images are counted")
        return self


def _unpacked(what: str, text: str, size: int) -> bytes:
    """Deflated bytes in base64, at most one more than there may be: that shows that there is more.

    Raises:
        ValueError: If they cannot be unpacked.
    """
    try:
        return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"{what} cannot be unpacked: {error}") from None


class Classes(Measured):
    """``location-classes.json``; the predictions are packed, see :class:`core.sweeps.place_classes.PlaceClasses`."""

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
        return _unpacked("predictions", self.classes, len(self.rows) * len(self.cols) * len(self.labels))

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
    start: dict[Text, Value] | None = None


class Physical(Measured):
    """``physical.json``, ``out-of-sample.json`` and ``out-of-sample-natural.json``."""

    conditions: Annotated[list[Condition], Field(min_length=1)]
    hits: Row
    total: Row
    clean_hits: Row
    clean_total: Row
    images: Positive
    tried: Count
    kept: Row | None = None
    outcomes: Annotated[dict[Text, Annotated[str, Strict()]], Field(default_factory=dict, max_length=100)]
    pictures: Text = ""
    cut_from: Count = 0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        count = len(self.conditions)
        _check_counts(self.hits, self.total, count)
        _check_counts(self.clean_hits, self.clean_total, count)
        if self.kept is not None:
            _check_counts(self.kept, self.total, count)
        if max(self.total + self.clean_total) > self.images or self.tried > count * self.images:
            raise ValueError(f"more than {self.images} images are counted")
        for name in self.outcomes:
            self._check_outcomes(name)
        return self

    def _check_outcomes(self, name: str) -> None:
        """Raises:
        ValueError: If what became of the images of a range is not what was counted.
        """
        of_range = [n for n, one in enumerate(self.conditions) if one.start is not None and one.name == name]
        if len(of_range) != 1:
            raise ValueError(f"outcomes are of {name}, which is no range of it")
        flags, at = self.flags[name], of_range[0]
        if len(flags) != self.images or max(flags) >= 16:
            raise ValueError(f"outcomes of {name} are not those of {self.images} images")
        counts = [sum(flag >> bit & 1 for flag in flags) for bit in range(3)]
        kept = self.kept[at] if self.kept is not None else 0
        if counts != [self.total[at], self.hits[at], kept] or any(flag & 7 in (2, 4, 6, 7) for flag in flags):
            raise ValueError(f"outcomes of {name} are not those that are counted")

    @cached_property
    def flags(self) -> dict[str, bytes]:
        """What became of every image of a range, a byte each: see :meth:`core.sweeps.outcomes.Outcomes.packed`."""
        return {name: _unpacked(f"outcomes of {name}", text, self.images) for name, text in self.outcomes.items()}


class Mean(FewSurprises):
    """A mean of values in [0, 1] over images; of no images, it is no number."""

    count: Count
    mean: Annotated[float, Strict()]
    std: Annotated[float, Strict()]

    @model_validator(mode="after")
    def _between(self) -> Self:
        if self.count and not (0 <= self.mean <= 1 and 0 <= self.std <= 1):
            raise ValueError(f"a share of {self.mean:g} +- {self.std:g} is not possible")
        return self


class Hits(FewSurprises):
    """A rate."""

    hits: Count
    total: Count

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.hits > self.total:
            raise ValueError(f"{self.hits} hits of {self.total} images are not possible")
        return self


class Localisation(FewSurprises):
    """Further measures of how well the maps find the trigger."""

    rank: Mean
    overlap: Mean
    difference: Mean
    recovered: Hits
    deleted: Hits


class Energy(Mean):
    """Saliency on the trigger."""

    area: Share
    peaks: Count
    more: Localisation | None = None

    @property
    def images(self) -> int:
        """The most images that anything is counted on."""
        if self.more is None:
            return self.count
        means, rates = (
            (self.more.rank, self.more.overlap, self.more.difference),
            (self.more.recovered, self.more.deleted),
        )
        return max(self.count, *(mean.count for mean in means), *(rate.total for rate in rates))

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.peaks > self.count:
            raise ValueError(f"{self.peaks} peaks of {self.count} images are not possible")
        return self


class Saliency(Measured):
    """``saliency.json``."""

    attacked: Energy
    transformed: Energy
    seen: Count
    images: Positive

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.seen > self.images or max(self.attacked.images, self.transformed.images) > self.seen:
            raise ValueError(f"more than {min(self.seen, self.images)} images are counted")
        return self


class MethodScores(Saliency):
    """One entry of ``saliency-methods.json``."""

    method: Text
    params: dict[Text, Value]
    explain: Literal["target", "predicted", "true"]
    network: Literal["trained", "randomised", "clean"]


class SaliencyMethods(Measured):
    """``saliency-methods.json``."""

    scores: Annotated[list[MethodScores], Field(min_length=1, max_length=1000)]


class SaliencyExamples(Measured):
    """``saliency-examples.json``; the maps are packed, see :class:`core.sweeps.saliency_examples.SaliencyExamples`."""

    indices: Annotated[list[Count], Field(min_length=1, max_length=1000)]
    predicted: Annotated[list[list[Count]], Field(min_length=2, max_length=2)]
    size: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    maps: Annotated[str, Strict()]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if any(len(classes) != len(self.indices) for classes in self.predicted):
            raise ValueError(f"predictions for {len(self.indices)} images are lacking")
        size = 2 * len(self.indices) * self.size[0] * self.size[1]
        if size > MOST_PREDICTIONS:
            raise ValueError("there are too many maps")
        if len(self.unpacked) != size:
            raise ValueError(f"the maps are not of {len(self.indices)} images")
        return self

    @cached_property
    def unpacked(self) -> bytes:
        """The maps, a byte a pixel, one after the other."""
        return _unpacked("maps", self.maps, 2 * len(self.indices) * self.size[0] * self.size[1])

    def fit(self, model: Fits) -> None:
        if self.size != [model.height, model.width]:
            raise ValueError(f"maps of {self.size[0]} x {self.size[1]} pixels")
        if (highest := max(max(classes) for classes in self.predicted)) >= model.classes:
            raise ValueError(f"class {highest} of {model.classes}")


_KINDS: Mapping[str, type[Measured]] = {
    "location": Location,
    "location-classes": Classes,
    "appearance": Appearance,
    "saliency": Saliency,
    "saliency-methods": SaliencyMethods,
    "saliency-examples": SaliencyExamples,
    "physical": Physical,
    "out-of-sample": Physical,
    "out-of-sample-natural": Physical,
}
_PREFIXES: Mapping[str, type[Measured]] = {"strength-": Strength, "location-": Location, "repair-": Repair}


def schema_of(name: str) -> type[Measured] | None:
    """The schema of a stored result by its name; None of what is no kind of its own."""
    schema = _KINDS.get(name)
    return schema or next((kind for prefix, kind in _PREFIXES.items() if name.startswith(prefix)), None)
