"""One piece of background work: its steps, its progress, who wants it, and what is said where it fails.

It consumes an anytime sweep (an iterator of ever more complete results) in a thread that touches no ``st.*``. When that
thread runs, and for whom, is for :mod:`dashboard.server.jobs` to say.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from core.runtime.anytime import AnytimeResult
from core.runtime.atomic_files import write_atomically
from dashboard.server.limits import MAPS, REPAIRS, AtOnce
from dashboard.server.scheduler import Turnstile

__all__ = ["Job", "R", "Snapshot", "gathered", "sentence"]

log = logging.getLogger(__name__)


R = TypeVar("R", bound=AnytimeResult)

# Seconds after which a job that nobody has before them looks whether it may go on.
RESTING = 0.1


def sentence(error: Exception) -> str:
    """What the browser is told of an error: bad input whole, files by their name, the unexpected not at all.

    The rest names files and code of this machine, and belongs into the log.
    """
    if isinstance(error, OSError) and error.strerror:
        name = f"{Path(str(error.filename)).name}: " if error.filename is not None else ""
        return f"{name}{error.strerror}"
    if isinstance(error, ValueError | OSError):
        return str(error)
    return "an unexpected error, written to the log of the server"


@dataclass(frozen=True)
class Snapshot(Generic[R]):
    """A job as it was at one moment.

    Attributes:
        result: The latest result, or None before the first.
        running: Whether more will come.
        error: One sentence if it failed, else empty.
        cancelled: Whether it was cancelled before it was complete.
        seconds: Seconds since it started, or that it took.
        waiting: One sentence if it waits its turn and has not begun, else empty.
    """

    result: R | None
    running: bool
    error: str
    cancelled: bool
    seconds: float
    waiting: str = ""

    @property
    def done(self) -> float:
        """Share that is measured, 0 to 1."""
        return self.result.done if self.result is not None else 0.0

    @property
    def reason(self) -> str:
        """The error without the name of its class, as pages say it."""
        return self.error.partition(": ")[2] or self.error


@dataclass(eq=False)
class Job(Generic[R]):
    """One piece of work, who wants it, and who has stopped it for themselves.

    It waits its turn until it has a thread.
    """

    name: str
    work: Callable[[], Iterator[R]]
    path: Path | None
    heavy: bool = True
    to_end: bool = False
    by: str = ""
    wanted_by: set[str] = field(default_factory=set)
    stopped_by: set[str] = field(default_factory=set)
    _result: R | None = None
    _running: bool = True
    _error: str = ""
    _cancel: threading.Event = field(default_factory=threading.Event)
    _started: float = field(default_factory=time.monotonic)
    _ended: float = 0.0
    _left: float = 0.0
    thread: threading.Thread | None = None

    def snapshot(self) -> Snapshot[R]:
        """The state now. Whether it runs is read before the result, so that an ended job shows its last result."""
        running, error = self._running, self._error
        end = time.monotonic() if running else self._ended
        waiting = self.turn if running and self.thread is None else ""
        return Snapshot(self._result, running, error, self._cancel.is_set(), end - self._started, waiting)

    @property
    def limit(self) -> AtOnce:
        """How many of its kind are computed at once."""
        return REPAIRS if self.to_end else MAPS

    @property
    def turn(self) -> str:
        """What is said while it waits."""
        what, limit = "repairs" if self.to_end else "maps and curves", self.limit
        return (
            f"Waits its turn: at most {limit.everywhere} {what} are computed here at once, {limit.each} of one visitor."
        )

    @property
    def left(self) -> bool:
        """Whether nobody has it before them, and it is not to be ended all the same."""
        return not self.wanted_by and not self.to_end

    def cancel(self) -> None:
        """Stops it after the step under way; its result so far stays."""
        self._cancel.set()
        if self.thread is None and self._running:
            self._ended, self._running = time.monotonic(), False

    def run(self, turnstile: Turnstile, may_go_on: Callable[[], bool], ended: Callable[[], None]) -> None:
        """The thread's body: step by step until complete, cancelled or failed.

        Args:
            turnstile: Passed with every heavy step.
            may_go_on: Asked before every step; where it says no, the job rests.
            ended: Called in the end.
        """
        steps: Iterator[R] = iter(())
        try:
            steps = self.work()
            while not self._cancel.is_set():
                if not may_go_on():
                    self._cancel.wait(RESTING)
                    continue
                with turnstile.background() if self.heavy else nullcontext():
                    result = next(steps, None)
                if result is None:
                    break
                self._result = result
            if self.path is not None and self._result is not None and self._result.done == 1:
                try:
                    write_atomically(self.path, json.dumps(self._result.to_dict()).encode())
                except OSError as error:
                    log.warning("a result could not be cached: %s", error)
        except Exception as error:
            log.exception("job %s failed", self.name)
            self._error = f"{type(error).__name__}: {sentence(error)}"
        finally:
            if isinstance(steps, Generator):
                steps.close()  # what it has started elsewhere ends now
            self._ended = time.monotonic()
            self._running = False
            ended()


def gathered(requests: Sequence[R | Job[R] | None]) -> tuple[list[R | None], list[str], list[float]]:
    """What there is of several results, stored or being computed.

    Returns:
        The latest result of each or None; what went wrong with any; and how complete each is that still runs.
    """
    results: list[R | None] = []
    errors, shares = [], []
    for request in requests:
        if isinstance(request, Job):
            snapshot = request.snapshot()
            results.append(snapshot.result)
            errors += [snapshot.error] if snapshot.error else []
            shares += [snapshot.done] if snapshot.running else []
        else:
            results.append(request)
    return results, errors, shares
