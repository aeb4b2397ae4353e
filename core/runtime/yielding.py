"""Background computations that rest while somebody waits for another one on the same machine.

A file's time says when somebody last waited. It is the only thing that the processes share: one that dies leaves a time
that soon is long ago.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["RECENT", "RESTS", "Courtesy"]

RECENT = 1.0
"""Seconds after which somebody who waited is taken to wait no longer."""
RESTS = 2.0
"""The longest rest, in units of what was computed before it: nobody slows a computation down to less than a third."""

LONGEST = 10.0
POLL = 0.05


class Courtesy:
    """Says that somebody waits, and rests while somebody does.

    Args:
        path: The file; its folder is made where it is missing.
        clock: Seconds since any moment.
        sleep: Waits so many seconds.

    Attributes:
        rested: Seconds that were rested so far.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = path
        self.rested = 0.0
        self._clock, self._sleep = clock, sleep
        self._noted = float("-inf")
        self._resumed = clock()

    def note(self) -> None:
        """Somebody waits now. A file that cannot be written costs nothing but the courtesy."""
        now = self._clock()
        if now - self._noted > RECENT / 4:
            self._noted = now
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch()

    def rest(self) -> None:
        """To be called between two steps: rests until nobody has waited for :data:`RECENT` seconds.

        It rests at most :data:`RESTS` times as long as was computed since the last rest, and no more than
        :data:`LONGEST` seconds.
        """
        begun = self._clock()
        end = begun + min(RESTS * (begun - self._resumed), LONGEST)
        while (left := end - self._clock()) > 0 and self._somebody_waits():
            self._sleep(min(POLL, left))
        self._resumed = self._clock()
        self.rested += self._resumed - begun

    def _somebody_waits(self) -> bool:
        try:
            return 0 <= time.time() - self.path.stat().st_mtime < RECENT
        except OSError:
            return False
