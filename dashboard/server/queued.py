"""The queue of trainings that wait, in a file: it outlives the server, and is one for all servers of a store.

The file says for each training what is trained, where, and where its images are now. It is replaced whole; every change
is made under a lock, from what the file says then. What is damaged in it is left out, and said in the log.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import Field

from core.runtime.atomic_files import write_atomically
from core.runtime.read_once import FileState, file_state
from core.schemas.base import FewSurprises, Text, checked, read_json
from core.schemas.plans import PlanFile
from core.store.card_images import at
from core.training.trainer import Plan

__all__ = ["MOST", "Queue", "Waiting"]

log = logging.getLogger(__name__)

MOST = 100
"""Trainings that wait: more take weeks on any machine, and would only fill the page."""
PATIENCE = 10.0
"""Seconds for which the lock may be held elsewhere: its holder reads and writes a small file."""


class _WaitingFile(FewSurprises):
    """One training in the file."""

    plan: PlanFile
    device: Text = "auto"
    at: Text = ""


class _QueueFile(FewSurprises):
    """The file."""

    waiting: Annotated[list[_WaitingFile], Field(max_length=MOST)]


@dataclass(frozen=True)
class Waiting:
    """A training in the queue.

    Attributes:
        plan: What is trained.
        device: Where.
    """

    plan: Plan
    device: str

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        moved = str(self.plan.at.to_dict()["path"]) if self.plan.at is not None else ""
        return {"plan": self.plan.to_dict(), "device": self.device, "at": moved}


class Queue:
    """The trainings of a store that wait.

    Args:
        folder: Where the file is kept; its folder is made where it is missing.
        store: Root of the store, which is a part of the file's name.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        name = hashlib.sha256(str(store.resolve()).encode()).hexdigest()[:12]
        self.path = folder / f"queue-{name}.json"
        self._lock = FileLock(folder / f"queue-{name}.lock", timeout=PATIENCE)
        self._read: tuple[FileState | None, tuple[Waiting, ...]] = None, ()

    def waiting(self) -> tuple[Waiting, ...]:
        """The trainings, the next one first; the file is read again when it was replaced."""
        state = file_state(self.path)
        if self._read[0] != state:
            self._read = state, tuple(self._load())
        return self._read[1]

    @contextmanager
    def changed(self) -> Iterator[list[Waiting]]:
        """A list to be changed, which then is the queue.

        Raises:
            OSError: If it cannot be written; it is as before then.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            waiting = list(self.waiting())
            before = list(waiting)
            yield waiting
            if waiting != before:
                said = {"waiting": [one.to_dict() for one in waiting]}
                write_atomically(self.path, json.dumps(said).encode())

    def _load(self) -> Iterator[Waiting]:
        try:
            file = checked(_QueueFile, read_json(self.path), "the queue of trainings")
            said = read_json(self.path)["waiting"]
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("%s", error)
            return
        keys = set[str]()
        for one, values in zip(file.waiting, said, strict=True):
            try:
                plan = Plan.from_dict(values["plan"])
                plan = replace(plan, at=at(plan.dataset, one.at)) if one.at else plan
                key = plan.key
            except (OSError, ValueError) as error:
                log.warning("a training that waited is left out: %s", error)
                continue
            if key not in keys:
                keys.add(key)
                yield Waiting(plan, one.device)
