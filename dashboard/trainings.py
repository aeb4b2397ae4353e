"""Trainings that were started here, or anywhere else in the same store: what they are, how far, and whether they run.

Each is a process of its own. What it is and how far it has come is read from the files beside its checkpoint, so that
another session, or this server after a restart, sees the same, and a process that dies leaves its last epoch there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from core.data import cache_folder
from core.store import Checkpoint, Store
from core.train_process import train_in_background
from core.training import Plan
from core.unfinished import Epoch, discard, read_unfinished
from dashboard.jobs import waiting_file

__all__ = ["Training", "Trainings", "trainings"]

PATIENCE = 5.0


@dataclass(frozen=True)
class Training:
    """A training that has not ended.

    Attributes:
        key: Where the checkpoint will be.
        plan: What is trained; None if that cannot be read any more.
        history: The epochs that are finished.
        running: Whether a process is at it.
        error: What ended its process, in one sentence; empty if nothing did or nothing is known.
    """

    key: str
    plan: Plan | None
    history: tuple[Epoch, ...]
    running: bool
    error: str = ""

    @property
    def done(self) -> float:
        """Share of the epochs, 0 to 1."""
        return len(self.history) / self.plan.effective_recipe.epochs if self.plan is not None else 0.0


@dataclass(frozen=True)
class _Started:
    """A process that was started here, and for what."""

    plan: Plan
    process: subprocess.Popen[bytes]


class Trainings:
    """All trainings of a store.

    Args:
        store: The store.
        folder: Where plans and logs of the processes are kept; by default in the user's cache.
    """

    def __init__(self, store: Store, folder: Path | None = None) -> None:
        self.store = store
        self._folder = folder or cache_folder() / "trainings"
        self._started: dict[str, _Started] = {}
        self._lock = threading.Lock()

    def unfinished(self) -> list[Training]:
        """Every training that has not ended, the running ones first."""
        folders = {path.parent for name in ("training.safetensors", ".training.json") for path in self._files(name)}
        found = {one.key: one for folder in sorted(folders) if (one := self._training(folder)) is not None}
        for key in list(self._started):
            if key not in found and (one := self._without_files(key)) is not None:
                found[key] = one
        return sorted(found.values(), key=lambda one: not one.running)

    def start(self, plan: Plan, device: str = "auto") -> None:
        """Starts a training, or continues it after its last epoch.

        Raises:
            ValueError: If it runs already, or would replace a model that came with the repository.
            OSError: If its files cannot be written.
        """
        with self._lock:
            checkpoint = self.store.checkpoint(plan.key)
            if self.store.is_shipped(plan.key):
                raise ValueError(f"{plan.key} came with the repository: only train.py --replace replaces it")
            if self._is_running(checkpoint):
                raise ValueError(f"{plan.key} is being trained already")
            folder = self._folder / plan.key.replace("/", " ")
            process = train_in_background(plan, self.store.root, device, folder, waiting_file())
            self._started[plan.key] = _Started(plan, process)

    def pause(self, key: str) -> None:
        """Stops the process; the training can go on after its last finished epoch."""
        started = self._started.pop(key, None)
        found = read_unfinished(self.store.checkpoint(key).folder)
        number = found.process if found is not None else None
        if started is not None:
            started.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.process.wait(PATIENCE)
        elif number is not None:
            # Started by another server, or by hand; only a process that holds the training's lock is asked to end.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._is_running(self.store.checkpoint(key)):
            time.sleep(0.05)

    def forget(self, key: str) -> None:
        """Stops a training and removes what it has made; a checkpoint that was there before stays.

        Raises:
            ValueError: If its process does not end.
        """
        self.pause(key)
        discard(self.store.checkpoint(key).folder)

    def _files(self, name: str) -> list[Path]:
        return list(self.store.root.glob(f"*/*/*/{name}"))

    def _is_running(self, checkpoint: Checkpoint) -> bool:
        started = self._started.get(checkpoint.key)
        if started is not None and started.process.poll() is None:
            return True
        found = read_unfinished(checkpoint.folder)
        return found is not None and found.process is not None

    def _training(self, folder: Path) -> Training | None:
        key = folder.relative_to(self.store.root).as_posix()
        found = read_unfinished(folder)
        if found is None:
            return None
        try:
            plan = Plan.from_dict(found.plan)
            # Wherever it has begun, it goes on.
            plan = plan if plan.key == key else replace(plan, name=folder.name)
        except ValueError:
            plan = None
        running = self._is_running(self.store.checkpoint(key))
        return Training(key, plan, found.history, running, "" if running else self._error(key))

    def _without_files(self, key: str) -> Training | None:
        """A training that was started here and has written nothing yet, or ended before it could."""
        started = self._started.get(key)
        if started is None:
            return None
        running, error = started.process.poll() is None, self._error(key)
        return Training(key, started.plan, (), running, error) if running or error else None

    def _error(self, key: str) -> str:
        """What ended the process that was started here."""
        started = self._started.get(key)
        if started is None or started.process.poll() in (None, 0):
            return ""
        process = started.process
        try:
            said = (self._folder / key.replace("/", " ") / "log.txt").read_text().strip().splitlines()
        except OSError:
            said = []
        if process.returncode < 0:
            return f"Its process was ended from outside (signal {-process.returncode}); it can go on."
        return said[-1] if said else f"Its process ended with status {process.returncode}."


@st.cache_resource(show_spinner=False)
def trainings(root: str) -> Trainings:
    """The trainings of the store in a folder."""
    return Trainings(Store(root))
