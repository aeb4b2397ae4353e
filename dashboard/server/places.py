"""What is known of a look at every place without asking the model: stored, or measured by somebody before.

The browser gets what is stored as a file that it fetches once, through Streamlit's media files, and what is measured
here with each run of the script. Where two measurements know a place, the one on more images counts, on the page's map
as in its numbers, so that one place has one rate.
"""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st
from streamlit import runtime
from torch import Tensor

from core.data import ImageSet
from core.runtime.read_once import file_state
from core.sweeps.location import LocationMap
from core.sweeps.place_classes import RESULT, UNKNOWN, PlaceClasses
from core.sweeps.runner import foreign_map
from core.transforms import Compose
from core.trigger import Trigger
from dashboard.server.limits import LOOKS, VISITED
from dashboard.server.recent import Recent
from dashboard.server.resources import Tested
from dashboard.server.subjects import Subject

__all__ = ["Stored", "Visited", "addressed", "fits", "packed", "stored_look", "visited"]


@dataclass(frozen=True)
class Stored:
    """What is stored of a model with a trigger.

    Attributes:
        map: Counts of every place, or None.
        classes: Predicted classes at every place, or None.
        file: Both, as the browser reads them; None where there are no counts.
    """

    map: LocationMap | None
    classes: PlaceClasses | None
    file: bytes | None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory, more or less."""
        counts, said = (self.map.hits.nbytes if self.map is not None else 0), len(self.file or b"")
        return 1024 + 4 * counts + 4 * said


def packed(counts: LocationMap) -> dict[str, Any]:
    """Counts and intervals (per mille) of every place for the browser: unsigned 16-bit numbers, in base64."""

    def words(values: npt.NDArray[Any]) -> str:
        return base64.b64encode(np.rint(values).astype("<u2").tobytes()).decode("ascii")

    low, high = counts.interval
    return {
        "rows": list(counts.rows),
        "cols": list(counts.cols),
        "hits": words(counts.hits),
        "total": words(counts.total),
        "low": words(1000 * low),
        "high": words(1000 * high),
    }


def stored_look(subject: Subject, shown: Trigger, home: tuple[int, int], target: int) -> Stored:
    """What is stored of a model with the trigger that is shown, wherever that is.

    Args:
        subject: The model.
        shown: The trigger.
        home: Where it was trained, for which results are stored.
        target: The label that counts as success.
    """
    own, at_home = shown.at(*subject.trigger.location), shown.at(*home)
    names = ("location", foreign_map(at_home), RESULT)
    state = tuple(file_state(subject.checkpoint.folder / f"{name}.json") for name in names)
    key = (str(subject.checkpoint.folder), subject.identity, subject.weights, own.fingerprint, target, state)
    return _recent_looks().get_or_make(key, lambda: _read_look(subject, own, at_home, target))


@cache
def _recent_looks() -> Recent[Stored]:
    """Not a cache of Streamlit's, which takes longer to look a key up than a step of a drag can wait."""
    return Recent(LOOKS)


def _read_look(subject: Subject, own: Trigger, at_home: Trigger, target: int) -> Stored:
    results = subject.results
    counts = results.location_of(own, target) or results.location_of(at_home, target)
    classes = results.classes_of(own, target)
    if classes is not None:
        counts = classes.counts(target) if counts is None else counts.joined(classes.counts(target))
    if counts is None:
        return Stored(None, None, None)
    values = packed(counts)
    if classes is not None and (classes.rows, classes.cols) == (counts.rows, counts.cols):
        values |= {"classes": classes.to_dict()["classes"], "size": len(classes.labels)}
    return Stored(counts, classes, json.dumps(values, separators=(",", ":")).encode())


def addressed(content: bytes | None, kind: str, where: str) -> str | None:
    """Address of content that the browser fetches and keeps; the same for equal content.

    Args:
        content: What is in the file; None gives None.
        kind: Its media type.
        where: Where on the page it is used: what was there before is forgotten.
    """
    if content is None:
        return None
    if not runtime.exists():
        return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return runtime.get_instance().media_file_mgr.add(content, kind, where)


class Visited:
    """What was measured of one model with one trigger, place by place, by all who looked at it."""

    def __init__(self, rows: range, cols: range, target: int) -> None:
        self._rows, self._cols, self._target = rows, cols, target
        self._hits = np.zeros((len(rows), len(cols)), dtype=np.int64)
        self._total = np.zeros_like(self._hits)
        # Of every place what was said about the first images, in the smallest type that has all classes.
        self._said: npt.NDArray[np.unsignedinteger[Any]] = np.zeros((*self._hits.shape, 0), dtype=np.uint8)
        self._lock = threading.Lock()

    def note(self, row: int, col: int, predicted: Tensor) -> None:
        """Keeps predictions of the first test images at a place, unless as many are known already."""
        if row not in self._rows or col not in self._cols:
            return  # between the places of a map of large images; the latest predictions are kept elsewhere
        at, said = (self._rows.index(row), self._cols.index(col)), predicted.numpy()
        with self._lock:
            if self._total[at] < len(said):
                self._make_room(len(said), np.min_scalar_type(int(said.max())))
                self._said[at][: len(said)] = said
                self._hits[at], self._total[at] = int((said == self._target).sum()), len(said)

    def _make_room(self, count: int, kind: np.dtype[Any]) -> None:
        count, kind = max(count, self._said.shape[2]), np.promote_types(kind, self._said.dtype)
        if (count, kind) != (self._said.shape[2], self._said.dtype):
            grown = np.zeros((*self._hits.shape, count), dtype=kind)
            grown[..., : self._said.shape[2]] = self._said
            self._said = grown

    @property
    def nbytes(self) -> int:
        """Bytes of the predictions that are kept, with the room for those of the other places."""
        return self._said.nbytes

    def counts(self) -> LocationMap:
        """Counts of every place, 0 where nobody was."""
        with self._lock:
            return LocationMap(self._hits.copy(), self._total.copy(), tuple(self._rows), tuple(self._cols))

    def classes(self, start: int, count: int) -> npt.NDArray[np.uint8]:
        """Predicted classes of some images at every place, uint8 ``(rows, cols, count)``, UNKNOWN where nobody was."""
        found = np.full((*self._hits.shape, count), UNKNOWN, dtype=np.uint8)
        with self._lock:
            part = self._said[..., start : start + count]
            known = start + np.arange(part.shape[2]) < self._total[..., None]
            # Of more classes than fit into a byte, those that do not are asked for again.
            found[..., : part.shape[2]] = np.where(known, np.minimum(part, UNKNOWN), UNKNOWN)
        return found


@cache
def _visited() -> Recent[Visited]:
    return Recent(VISITED)


def visited(subject: Subject, trigger: Trigger, data: Tested, target: int, before: Compose) -> Visited:
    """What has been measured of a look since the server started; one for all sessions."""
    first, last = (span[0] for span in trigger.places(*subject.card.shape[1:]))
    look = trigger.at(first, last).fingerprint
    rows, cols = trigger.at(*subject.trigger.location).mapped(*subject.card.shape[1:])
    key = (subject.weights, look, data.name, target, before.spec)
    return _visited().get_or_make(key, lambda: Visited(rows, cols, target))


@st.cache_resource(show_spinner=False, max_entries=12)
def _fingerprint(name: str, count: int, classes: tuple[str, ...], _data: Tested) -> str:
    pixels = (_data.images[:count] * 255).round().byte()
    return ImageSet(pixels, _data.labels[:count], classes, name).fingerprint


def fits(classes: PlaceClasses, data: Tested, names: tuple[str, ...]) -> bool:
    """Whether stored predictions are of these test images, pixel by pixel."""
    count = len(classes.labels)
    return len(data) >= count and _fingerprint(data.name, count, names, data) == classes.images
