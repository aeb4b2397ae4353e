"""The predicted class of each of some test images with the trigger at each place: what answers a drag without a model.

A location map holds counts; this table also says which images are taken for what. It is small (256 images at 900 places
are 9 to 25 kB compressed), is stored beside the map, and a browser that has it needs nobody to predict.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from core.data import ImageSet
from core.inference.incremental import Located
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.base import PASSES_PER_STEP, at_once
from core.sweeps.coarse_to_fine import coarse_to_fine
from core.sweeps.location import LocationMap
from core.trigger import Trigger

__all__ = ["RESULT", "UNKNOWN", "PlaceClasses", "attacked_set", "classes_sweep"]

RESULT = "location-classes"
"""Name of the stored result."""

UNKNOWN = 255
"""Stands for a class that is not predicted yet; no model here has as many classes."""


def attacked_set(data: ImageSet, target: int, limit: int) -> ImageSet:
    """The first ``limit`` images whose true class is not the target, those of :func:`core.sweeps.base.attacked`."""
    return data.subset((data.labels != target).nonzero().squeeze(1)[:limit])


@dataclass(frozen=True)
class PlaceClasses:
    """Predicted classes over trigger locations; the keys of ``location-classes.json``.

    Attributes:
        classes: Predicted class, uint8 ``(len(rows), len(cols), N)``; :data:`UNKNOWN` where it is not known yet.
        labels: True class of each image, uint8 ``(N,)``.
        rows: Row of the box's bottom-right pixel.
        cols: Column of the box's bottom-right pixel.
        images: Fingerprint of the images, :attr:`core.data.ImageSet.fingerprint`.
    """

    classes: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    images: str

    @property
    def done(self) -> float:
        """Share of the places that are known, 0 to 1."""
        return float((self.classes[:, :, 0] != UNKNOWN).mean())

    def at(self, row: int, col: int) -> npt.NDArray[np.uint8]:
        """Predicted classes, uint8 ``(N,)``, with the trigger at a location.

        Raises:
            ValueError: If the location is not in the table.
        """
        if row not in self.rows or col not in self.cols:
            raise ValueError(f"location ({row}, {col}) is not in the table")
        at_place: npt.NDArray[np.uint8] = self.classes[self.rows.index(row), self.cols.index(col)]
        return at_place

    def counts(self, target: int) -> LocationMap:
        """How many images are taken for the target at each place."""
        known = self.classes[:, :, 0] != UNKNOWN
        hits = np.where(known, (self.classes == target).sum(2), 0)
        return LocationMap(hits, np.where(known, self.classes.shape[2], 0), self.rows, self.cols)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; the classes are bytes, one place after the other, deflated, in base64."""
        return {
            "rows": list(self.rows),
            "cols": list(self.cols),
            "images": self.images,
            "labels": self.labels.tolist(),
            "classes": base64.b64encode(zlib.compress(self.classes.tobytes(), 9)).decode("ascii"),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        stored = checked(schemas.Classes, values)
        shape = (len(stored.rows), len(stored.cols), len(stored.labels))
        classes = np.frombuffer(stored.unpacked, np.uint8).reshape(shape)
        return cls(classes, np.asarray(stored.labels, np.uint8), tuple(stored.rows), tuple(stored.cols), stored.images)


def classes_sweep(
    located: Located, data: ImageSet, trigger: Trigger, *, passes_per_step: int = PASSES_PER_STEP
) -> Iterator[PlaceClasses]:
    """Predicts the class of each image with the trigger at every location at which it fits.

    Args:
        located: Predictions at any place, such as ``Predictor.located``.
        data: Images whose true class is not the target; see :func:`attacked_set`.
        trigger: The trigger; the table starts at its location.
        passes_per_step: Forward passes between two results.

    Yields:
        The table so far, coarse to fine; the last one is complete.

    Raises:
        ValueError: If there are no images or too many classes, or the trigger does not fit on them.
    """
    if len(data) == 0:
        raise ValueError("a sweep needs at least one image")
    if len(data.classes) > UNKNOWN:
        raise ValueError(f"{len(data.classes)} classes are not allowed in a table of predictions: at most {UNKNOWN}")
    height, width = data.shape[1:]
    trigger.check_fits(height, width)
    rows, cols = trigger.mapped(height, width)
    classes = np.full((len(rows), len(cols), len(data)), UNKNOWN, dtype=np.uint8)
    labels = data.labels.numpy().astype(np.uint8)
    order = coarse_to_fine(rows, cols, trigger.location)
    per_step = at_once(passes_per_step, data.images)
    at = located(data.floats(), trigger)
    for start in range(0, len(order), per_step):
        places = order[start : start + per_step]
        for (row, col), predicted in zip(places, at(places).numpy(), strict=True):
            classes[rows.index(row), cols.index(col)] = predicted
        yield PlaceClasses(classes.copy(), labels, tuple(rows), tuple(cols), data.fingerprint)
