"""Background work: one job for everybody who wants the same result, so many at once, and a cache on disk.

Heavy steps pass a :class:`Turnstile`, which lets what a user waits for go before what merely fills a map.

Jobs belong to the server, not to the page that asked for them:

* While somebody has a job before them, it is computed. At most so many at once, for each session and in all
  (:mod:`dashboard.server.limits`); what is beyond that waits its turn, and says so.
* When the last visitor has left (another page, other settings, a reload, a closed tab), it goes on for a grace period,
  in the pauses of jobs that somebody has before them, and makes room for them where there are too many. Who asks for
  the same within that time, in whichever session, finds it as far as it has come. After that it is cancelled.
* A job that is to be ended, such as a repair, goes on to its end whoever leaves.
* Who presses Stop stops it at once, unless somebody else has it before them.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from core.data import cache_folder
from core.runtime.anytime import AnytimeResult
from core.runtime.yielding import Courtesy
from dashboard.server.job import Job, R, Snapshot, gathered, sentence
from dashboard.server.limits import GRACE
from dashboard.server.questions import Questions
from dashboard.server.scheduler import Crowd, Turns, Turnstile, waiting_file

__all__ = ["AnytimeResult", "Job", "Jobs", "Snapshot", "gathered", "sentence"]

# Part of the name of every cached result: raised whenever the same question gets another answer than before.
VERSION = 5


class Jobs:
    """All jobs of the server.

    Args:
        folder: Where complete results are kept between runs of the server; by default in the user's cache.
        keep: How many ended jobs are kept in memory.
        grace: Seconds for which a job goes on that its last visitor has left.
    """

    def __init__(self, folder: Path | None = None, keep: int = 64, grace: float = GRACE) -> None:
        self.turnstile, self.crowd, self.turns = Turnstile(Courtesy(waiting_file())), Crowd(), Turns()
        self.questions = Questions(self.turnstile.interactive)
        self._folder = folder or cache_folder() / "results"
        self._keep, self._grace = keep, grace
        self._jobs: OrderedDict[str, Job[Any]] = OrderedDict()
        self._lock = threading.RLock()
        self._closed = False
        atexit.register(self.close)

    def find(self, key: tuple[object, ...]) -> Job[Any] | None:
        """The job for ``key`` that runs or has ended not long ago, without wanting it."""
        return self._jobs.get(_name(key))

    def request(
        self,
        key: tuple[object, ...],
        kind: type[R],
        work: Callable[[], Iterator[R]],
        session: str,
        *,
        heavy: bool = True,
        cached: bool = True,
        to_end: bool = False,
        anew: bool = False,
    ) -> Job[R]:
        """The job for ``key``: one under way, a finished one, one from the disk, or a new one.

        Args:
            key: All that decides the result, each part with a stable ``repr``.
            kind: Class of the result, to read it from the disk.
            work: Makes the sweep; called in the job's thread.
            session: Who wants it.
            heavy: Whether its steps compute, and so take turns with everything else that does.
            cached: Whether a complete result is kept on the disk.
            to_end: Whether it goes on when nobody wants it any more.
            anew: Whether one that has ended is computed again.
        """
        name = _name(key)
        with self._lock:
            job = self._jobs.get(name)
            # A failed or abandoned job is tried again when it is asked for again, unless by who has seen or stopped it.
            wanted_by = set(job.wanted_by) if job is not None else set[str]()
            if job is not None:
                failed = bool(job._error) and session not in job.wanted_by
                abandoned = job._cancel.is_set() and not job.wanted_by and session not in job.stopped_by
                job = None if failed or abandoned or (anew and not job._running) else job
            if job is None:
                path = self._folder / f"{name}.json" if cached else None
                job = Job(str(key), work, path, heavy, to_end, session, wanted_by)
                self._jobs[name] = job
                stored = self._read(path, kind) if path is not None else None
                if stored is not None:
                    job._result, job._running = stored, False
                    job._ended = job._started
            if session not in job.stopped_by:
                job.wanted_by.add(session)
            if job.by not in job.wanted_by:
                job.by = session  # who started it has left: it counts as of who has it now
            self._jobs.move_to_end(name)
            self._forget()
            self._admit()
        return job

    def leave(self, session: str, keep: tuple[Job[Any], ...] = ()) -> None:
        """The session no longer has any job before it but those in ``keep``; what nobody has goes on for a while."""
        with self._lock:
            for job in self._jobs.values():
                if job not in keep:
                    job.stopped_by.discard(session)
                    self._let_go(job, session)

    def stop(self, session: str, wanted: Sequence[Job[Any]]) -> None:
        """The session wants no more of these jobs, as long as it stays with them; what others want goes on."""
        with self._lock:
            for job in wanted:
                job.stopped_by.add(session)
                self._let_go(job, session)
                if not job.wanted_by and job._running:
                    job.cancel()
            self._admit()

    @staticmethod
    def _let_go(job: Job[Any], session: str) -> None:
        if session in job.wanted_by:
            job.wanted_by.discard(session)
            job._left = time.monotonic()
            # Nothing is lost of one that has not begun; one that who stays has stopped is wanted by nobody.
            if job._running and not job.wanted_by and (job.stopped_by or (job.left and job.thread is None)):
                job.cancel()

    def _admit(self) -> None:
        """Starts the jobs whose turn it is, the oldest first."""
        with self._lock:
            waiting = [job for job in self._jobs.values() if job._running and job.thread is None]
            for job in sorted(waiting, key=lambda job: job._started):
                if not self._closed and self._has_room(job):
                    ask = partial(self._may_go_on, job)
                    job.thread = threading.Thread(
                        target=job.run,
                        args=(self.turnstile, ask, self._admit),
                        name=f"job-{job.name[:40]}",
                        daemon=True,
                    )
                    job._started = time.monotonic()
                    job.thread.start()

    def _has_room(self, job: Job[Any]) -> bool:
        """Whether a job can begin; if not, one of those that nobody has before them makes room."""
        if not job.heavy:
            return True
        alike = [one for one in self._jobs.values() if one._running and one.thread and one.heavy]
        alike = [one for one in alike if one.to_end == job.to_end]
        own = [one for one in alike if one.by == job.by]
        full = alike if len(alike) >= job.limit.everywhere else own if len(own) >= job.limit.each else []
        if not full:
            return True
        left = [one for one in full if one.left]
        if left and not any(one._cancel.is_set() for one in full):
            min(left, key=lambda one: one._left).cancel()
        return False

    def _may_go_on(self, job: Job[Any]) -> bool:
        """Whether a job takes its next step: one that nobody has before them rests while another one is computed."""
        with self._lock:
            if not job.left:
                return True
            if time.monotonic() - job._left > self._grace:
                job.cancel()
                return False
            return not any(one._running and one.thread and one.heavy and one.wanted_by for one in self._jobs.values())

    def close(self, timeout: float = 10.0) -> None:
        """Cancels everything and waits for the threads, at most so many seconds in all; called when the server ends.

        A thread that still computes when Python ends takes the whole process down with an abort.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        for job in jobs:
            if job.thread is not None:
                job.thread.join(max(0.0, deadline - time.monotonic()))
        self._closed = False

    def _forget(self) -> None:
        for name in [name for name, job in self._jobs.items() if not job._running][
            : max(0, len(self._jobs) - self._keep)
        ]:
            del self._jobs[name]

    @staticmethod
    def _read(path: Path, kind: type[R]) -> R | None:
        try:
            return kind.from_dict(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _name(key: tuple[object, ...]) -> str:
    """Name of the job and the file for a key."""
    return hashlib.sha256(repr((VERSION, key)).encode()).hexdigest()[:24]
