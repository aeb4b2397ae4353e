"""An import that reports while it goes on, with arguments that can be handed to another process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from core.data import dataset_from
from core.importing.model import Import, Imported, import_model
from core.importing.triggers import Mark, mark_beside, place_from, read_trigger
from core.params import Value, label_of
from core.runtime.device import select_device
from core.store.remote import open_store
from core.trigger import Trigger

__all__ = ["UNKNOWN", "Asked", "ImportStep", "import_elsewhere", "wanted_import"]

UNKNOWN = "unknown"
"""In the place of a trigger's file: it is searched for by Neural Cleanse."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody asks to import, as texts and numbers; the fields are those of ``scripts/import.py``.

    Attributes:
        path: The model, a file or a folder.
        dataset: The data set, as :func:`core.data.dataset_from` reads it.
        parameters: What else is said of the data set, such as path and size of one's own images.
        model: Registered name of the network; empty: it is recognised.
        preprocess: How images are prepared; ``auto`` measures.
        trigger: A picture or array; :data:`UNKNOWN`; or empty: what the file itself tells, or a mark of TrojanZoo
            beside it.
        mask: A file that holds alpha, or ``nonzero``.
        alpha: What alpha is multiplied with.
        place: Row and column of the trigger's bottom-right pixel, ``ROW,COL``.
        size: Rows that the trigger is resized to; 0 leaves it.
        target: Target label, a class or its index; empty: what the name of TrojanZoo's mark says, or else what the
            model answers.
        classes: Names of the model's outputs in their order, with commas.
        name: Name in the store; empty: that of the file.
        trained_by: Who trained it.
        replace: Whether an imported model of that name may be replaced.
    """

    path: str
    dataset: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    model: str = ""
    preprocess: str = "auto"
    trigger: str = ""
    mask: str = ""
    alpha: float = 1.0
    place: str = ""
    size: int = 0
    target: str = ""
    classes: str = ""
    name: str = ""
    trained_by: str = ""
    replace: bool = False


def wanted_import(asked: Asked) -> Import:
    """What :func:`core.importing.import_model` takes.

    Raises:
        ValueError: If something is not allowed; one sentence.
        OSError: If the model is not there.
    """
    path = Path(asked.path).expanduser()
    if not path.exists():
        raise FileNotFoundError(2, "there is no such file or folder", str(path))
    dataset = dataset_from(asked.dataset)
    if asked.parameters:
        dataset = type(dataset).from_dict({**dataset.to_dict(), **asked.parameters})
    beside = None if asked.trigger else mark_beside(path)
    picture = beside or (Path(asked.trigger) if asked.trigger not in ("", UNKNOWN) else None)
    target = None
    mark = Mark.of(picture) if picture else None
    if asked.target or mark is not None:
        target = mark.target if mark and not asked.target else label_of("target", asked.target, dataset.classes)
        if not 0 <= target < len(dataset.classes):
            raise ValueError(f"target = {target} is not allowed: there are {len(dataset.classes)} classes")
    place = place_from(asked.place) if asked.place else None

    def trigger(shape: tuple[int, int, int]) -> Trigger:
        assert picture is not None
        return read_trigger(picture, shape, place=place, mask=asked.mask, opacity=asked.alpha, size=asked.size or None)

    return Import(
        path=path,
        dataset=dataset,
        network=asked.model,
        preprocess=asked.preprocess,
        trigger=trigger if picture is not None else None,
        audit=asked.trigger == UNKNOWN,
        target=target,
        classes=tuple(part for part in asked.classes.split(",") if part.strip()),
        name=asked.name,
        trained_by=asked.trained_by,
        replace=asked.replace,
    )


@dataclass(frozen=True)
class ImportStep:
    """How far an import is.

    Attributes:
        done: Share of the work, 0 to 1; how much there is to do is not known before, so that it only begins and ends.
        note: What is being done.
        key: The stored model, when all is done.
        notes: What was found, a sentence each.
    """

    done: float
    note: str = ""
    key: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        notes = tuple(str(note) for note in values["notes"])
        return cls(float(values["done"]), str(values["note"]), str(values["key"]), notes)


def import_elsewhere(store: str, asked: Mapping[str, Any], device: str = "auto") -> Iterator[ImportStep]:
    """Imports a model.

    Args:
        store: Folder or address of the store.
        asked: The fields of :class:`Asked`.
        device: Where to compute.

    Yields:
        What is being done; with the last one the model is stored.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If it is no model that can be shown on these data; one sentence.
    """
    wanted = wanted_import(Asked(**asked))
    notes: queue.Queue[str | None] = queue.Queue()
    ended: list[Imported | Exception] = []

    def work() -> None:
        try:
            ended.append(import_model(wanted, open_store(store), select_device(device), notes.put))
        except Exception as error:
            ended.append(error)
        finally:
            notes.put(None)

    threading.Thread(target=work, daemon=True).start()
    yield ImportStep(0, "reading the file")
    while (note := notes.get()) is not None:
        yield ImportStep(0, note)
    if isinstance(ended[0], Exception):
        raise ended[0]
    yield ImportStep(1, "stored", ended[0].card.key, tuple(ended[0].notes))
