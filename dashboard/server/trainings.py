"""Trainings that were started here, or anywhere else in the same store: what they are, how far, and whether they run.

Each is a process of its own. What it is and how far it has come is read from the files beside its checkpoint, so that
another session, or this server after a restart, sees the same, and a process that dies leaves its last epoch there.

One is trained at a time, whoever started it: what is started meanwhile waits in a queue, whatever its page does, which
the next server goes on with when this one ends (:mod:`dashboard.server.queued`). Only the owner starts trainings
(:mod:`dashboard.server.owner`); only the owner and who started one pause, discard or delete it. No process is sent a
signal but a child of this one: others are asked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from core.data import cache_folder
from core.store.local import Checkpoint, Store
from core.store.shipped import shipped
from core.training.state import Epoch, ask_to_pause, discard, read_unfinished
from core.training.trainer import Plan
from core.workers.train import train_in_background
from dashboard.server.jobs import sentence
from dashboard.server.owner import NotAllowed, is_owner, require_owner
from dashboard.server.queued import MOST, Queue, Waiting
from dashboard.server.scheduler import waiting_file

__all__ = ["Training", "Trainings", "trainings"]

log = logging.getLogger(__name__)

PATIENCE = 5.0
POLL = 1.0
"""Seconds after which the queue is looked at again."""


@dataclass(frozen=True)
class Training:
    """A training that has not ended.

    Attributes:
        key: Where the checkpoint will be.
        plan: What is trained; None if that cannot be read any more.
        history: The epochs that are finished.
        running: Whether a process is at it.
        error: What ended its process, in one sentence; empty if nothing did or nothing is known.
        place: Its place in the queue, from 1 on; 0 if it is not in it.
    """

    key: str
    plan: Plan | None
    history: tuple[Epoch, ...]
    running: bool
    error: str = ""
    place: int = 0

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
        self._queue = Queue(self._folder, store.root)
        self._failed: dict[str, str] = {}
        # Who started what: the session, and whether it was the owner's.
        self._by: dict[str, tuple[str, bool]] = {}
        self._lock = threading.RLock()
        self._watcher: threading.Thread | None = None
        if self._queue.waiting():
            self._watch()  # of the server before

    def unfinished(self) -> list[Training]:
        """Every training that has not ended: the running ones first, then the queue."""
        folders = {path.parent for name in ("training.safetensors", ".training.json") for path in self._files(name)}
        found = {one.key: one for folder in sorted(folders) if (one := self._training(folder)) is not None}
        for key in list(self._started):
            if key not in found and (one := self._without_files(key)) is not None:
                found[key] = one
        with self._lock:
            for place, waiting in enumerate(self._queue.waiting(), 1):
                key = waiting.plan.key
                known = found.get(key, Training(key, waiting.plan, (), False))
                found[key] = replace(known, error="", place=place)
            for key, error in self._failed.items():
                found.setdefault(key, Training(key, None, (), False))
                found[key] = replace(found[key], error=found[key].error or error)
        return sorted(found.values(), key=lambda one: (not one.running, one.place or len(found) + 1))

    def start(self, plan: Plan, by: str, device: str = "auto") -> int:
        """Starts a training, or continues it after its last epoch; while another one runs, it waits its turn.

        Args:
            plan: What to train.
            by: The session that asks for it.
            device: Where to train.

        Returns:
            Its place in the queue; 0 if it has begun.

        Raises:
            NotAllowed: If the session is not the owner's.
            ValueError: If it runs or waits already, would replace a model that came with the repository, or too many
                wait.
            OSError: If its files cannot be written.
        """
        require_owner(by, "starting a training")
        with self._lock, self._queue.changed() as waiting:
            if any(one.plan.key == plan.key for one in waiting):
                raise ValueError(f"{plan.key} waits to be trained already")
            self._check(plan)
            if len(waiting) == MOST:
                raise ValueError(f"{MOST} trainings wait already; take one out of the queue first")
            self._failed.pop(plan.key, None)
            if waiting or self._is_busy():
                waiting.append(Waiting(plan, device))
                self._watch()
            else:
                self._begin(plan, device)
            self._by[plan.key] = by, is_owner(by)
            return len(waiting)

    def _check(self, plan: Plan) -> None:
        if self.store.is_shipped(plan.key):
            raise ValueError(f"{plan.key} came with the repository: only train.py --replace replaces it")
        if self._is_running(self.store.checkpoint(plan.key)):
            raise ValueError(f"{plan.key} is being trained already")

    def _begin(self, plan: Plan, device: str) -> None:
        folder = self._folder / plan.key.replace("/", " ")
        process = train_in_background(plan, self.store.root, device, folder, waiting_file())
        self._started[plan.key] = _Started(plan, process)

    def _is_busy(self) -> bool:
        """Whether anything is trained in this store."""
        if any(one.process.poll() is None for one in self._started.values()):
            return True
        found = (read_unfinished(path.parent) for path in self._files(".training.json"))
        return any(one is not None and one.running for one in found)

    def _watch(self) -> None:
        """Sees to it that the queue goes on."""
        if self._watcher is None or not self._watcher.is_alive():
            self._watcher = threading.Thread(target=self._go_on, name="trainings", daemon=True)
            self._watcher.start()

    def _go_on(self) -> None:
        while True:
            with self._lock:
                try:
                    if not self._queue.waiting():
                        self._watcher = None
                        return
                    if not self._is_busy():
                        self._begin_next()
                except OSError as error:  # the queue cannot be written now: nothing is lost of it
                    log.warning("the queue of trainings does not go on", exc_info=error)
            time.sleep(POLL)

    def _begin_next(self) -> None:
        """Begins the first training of the queue, or says why it cannot; only then it is out of the queue."""
        with self._queue.changed() as waiting:
            if not waiting:
                return
            one = waiting[0]
            try:
                self._check(one.plan)
                self._begin(one.plan, one.device)
            except (ValueError, OSError) as error:
                log.warning("a training that waited cannot begin", exc_info=error)
                self._failed[one.plan.key] = sentence(error)
            del waiting[0]

    def starter(self, key: str, session: str) -> str:
        """Who started a training, as it is said to a session."""
        by, was_owner = self._by.get(key, ("", False))
        if not by:
            return "the command line, or before this server started"
        return "you" if by == session else "the owner" if was_owner else "another visitor"

    def may(self, key: str, session: str) -> bool:
        """Whether a session may pause, discard or delete a training: its starter's and the owner's."""
        return is_owner(session) or self._by.get(key, ("", False))[0] == session

    def _require(self, key: str, by: str, what: str) -> None:
        if not self.may(key, by):
            raise NotAllowed(f"{what} needs the owner of this server, or who started the training.")

    def take_out(self, key: str, by: str) -> None:
        """Takes a training out of the queue; what it had before it waited stays.

        Raises:
            NotAllowed: If the session ``by`` is neither its starter's nor the owner's.
            OSError: If the queue cannot be written.
        """
        self._require(key, by, "Taking a training out of the queue")
        with self._lock, self._queue.changed() as waiting:
            waiting[:] = [one for one in waiting if one.plan.key != key]

    def pause(self, key: str, by: str) -> None:
        """Stops the process; the training can go on after its last finished epoch.

        A process that was not started here is asked to stop after its step, and may still run when this returns.

        Raises:
            NotAllowed: If the session ``by`` is neither its starter's nor the owner's.
            OSError: If the request cannot be written.
        """
        self._require(key, by, "Pausing a training")
        started = self._started.pop(key, None)
        checkpoint = self.store.checkpoint(key)
        if started is not None:
            started.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.process.wait(PATIENCE)
        else:
            ask_to_pause(checkpoint.folder)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._is_running(checkpoint):
            time.sleep(0.05)

    def forget(self, key: str, by: str) -> None:
        """Stops a training and removes what it has made; a checkpoint that was there before stays.

        Raises:
            NotAllowed: If the session ``by`` is neither its starter's nor the owner's.
            ValueError: If its process does not end.
        """
        self._require(key, by, "Discarding a training")
        self.take_out(key, by)
        self._failed.pop(key, None)
        self.pause(key, by)
        discard(self.store.checkpoint(key).folder)

    def was_trained_here(self, key: str) -> bool:
        """Whether the stored model is one that this application has trained, by the plan that it has kept."""
        try:
            plan = Plan.from_dict(json.loads((self._folder / key.replace("/", " ") / "plan.json").read_text()))
            card = self.store.checkpoint(key).card()
        except (OSError, ValueError):
            return False
        return key not in shipped(self.store.root) and plan.trains_like(card.plan)

    def delete(self, key: str, by: str) -> None:
        """Deletes a model that was trained by this application, with everything that was measured on it.

        Raises:
            NotAllowed: If the session ``by`` is neither its starter's nor the owner's.
            ValueError: If it came with the repository, was not trained here, or is being trained.
            OSError: If it cannot be deleted.
        """
        self._require(key, by, "Deleting a model")
        with self._lock:
            checkpoint = self.store.checkpoint(key)
            if key in shipped(self.store.root):
                raise ValueError(f"{key} came with the repository and is not deleted")
            if not self.was_trained_here(key):
                raise ValueError(f"{key} was not trained by this application; it is deleted by hand")
            if read_unfinished(checkpoint.folder) is not None:
                raise ValueError(f"{key} is being trained anew; discard that training first")
            shutil.rmtree(checkpoint.folder)

    def _files(self, name: str) -> list[Path]:
        return list(self.store.root.glob(f"*/*/*/{name}"))

    def _is_running(self, checkpoint: Checkpoint) -> bool:
        started = self._started.get(checkpoint.key)
        if started is not None and started.process.poll() is None:
            return True
        found = read_unfinished(checkpoint.folder)
        return found is not None and found.running

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


@cache
def _trainings(root: Path, folder: Path) -> Trainings:
    return Trainings(Store(root), folder)


def trainings(root: str) -> Trainings:
    """The trainings of the store in a folder; not in a cache of Streamlit's, which any visitor's browser can clear."""
    return _trainings(Path(root), cache_folder() / "trainings")
