"""Whose computation comes first: one at a time, and what users wait for before what fills a map."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.data import cache_folder
from core.runtime.yielding import Courtesy

__all__ = ["Crowd", "Turns", "Turnstile", "waiting_file"]
# Seconds after a step of its drag for which a session counts as dragging.
DRAGGING = 3.0
# Seconds for which background work waits after what a user waited for: a step of a drag asks several models in turn.
LINGER = 0.05


def waiting_file() -> Path:
    """Its time says when a user last waited for a computation; trainings started here rest then."""
    return cache_folder() / "waiting"


class Turnstile:
    """One computation at a time; what users wait for passes first, in the order in which they came.

    Args:
        courtesy: Told when a user waits, for the computations of other processes.
        linger: Seconds for which background work waits after a user's computation, for the next one.
    """

    def __init__(self, courtesy: Courtesy | None = None, linger: float = LINGER) -> None:
        self._courtesy, self._linger = courtesy, linger
        self._quiet = 0.0
        self._condition = threading.Condition()
        self._waiting = deque[object]()
        self._busy = False

    @contextmanager
    def interactive(self) -> Iterator[None]:
        """For what a user waits for: waits for the step under way and for those who came before."""
        if self._courtesy is not None:
            self._courtesy.note()
        ticket = object()
        with self._condition:
            self._waiting.append(ticket)
            try:
                self._condition.wait_for(lambda: not self._busy and self._waiting[0] is ticket)
            finally:
                self._waiting.remove(ticket)
            self._busy = True
        try:
            yield
        finally:
            self._quiet = time.monotonic() + self._linger
            self._release()

    @contextmanager
    def background(self) -> Iterator[None]:
        """For one short step of a job: waits until nobody interactive is waiting, or has just been there."""
        with self._condition:
            while True:
                self._condition.wait_for(lambda: not self._busy and not self._waiting)
                rest = self._quiet - time.monotonic()
                if rest <= 0:
                    break
                self._condition.wait(rest)
            self._busy = True
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        with self._condition:
            self._busy = False
            self._condition.notify_all()


class Turns:
    """So many threads at once draw what follows a drag, in the order in which they came.

    Python runs one thread at a time: those of thirty users, all at once, would hold up each other and the thread that
    sends their pages. Who waits for a computation lets the next one draw meanwhile.

    Args:
        at_once: How many.
    """

    def __init__(self, at_once: int = 2) -> None:
        self._free = at_once
        self._waiting = deque[threading.Lock]()
        self._lock = threading.Lock()
        self._held = threading.local()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """For what a thread draws; within another turn of the same thread it costs nothing."""
        if getattr(self._held, "turn", False):
            yield
            return
        self._take()
        try:
            yield
        finally:
            self._give()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Gives the thread's turn to others meanwhile, if it has one, and waits for another one afterwards."""
        if not getattr(self._held, "turn", False):
            yield
            return
        self._give()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        with self._lock:
            gate = None if self._free else threading.Lock()
            if gate is None:
                self._free -= 1
            else:
                gate.acquire()
                self._waiting.append(gate)
        if gate is not None:
            gate.acquire()  # until whoever has a turn hands it over
        self._held.turn = True

    def _give(self) -> None:
        self._held.turn = False
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class Crowd:
    """Who drags a trigger now, so that each takes the less computation the more there are."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def dragging_with(self, session: str) -> int:
        """Notes that a session drags, and counts those that have within the last :data:`DRAGGING` seconds, it too."""
        now = time.monotonic()
        with self._lock:
            self._seen = {name: at for name, at in self._seen.items() if now - at < DRAGGING} | {session: now}
            return len(self._seen)
