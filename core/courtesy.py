"""Background computations that rest while somebody waits for another one on the same machine.

A file's time says when somebody last waited. It is the only thing that the processes share: one that dies leaves a time
that soon is long ago.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

__all__ = ["RECENT", "Courtesy"]

RECENT = 1.0
"""Seconds after which somebody who waited is taken to wait no longer."""

LONGEST = 10.0
POLL = 0.05


class Courtesy:
    """Says that somebody waits, and rests while somebody does.

    Args:
        path: The file; its folder is made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._noted = float("-inf")

    def note(self) -> None:
        """Somebody waits now. A file that cannot be written costs nothing but the courtesy."""
        now = time.monotonic()
        if now - self._noted > RECENT / 4:
            self._noted = now
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch()

    def rest(self, longest: float = LONGEST) -> None:
        """Returns when nobody has waited for :data:`RECENT` seconds, or after ``longest`` seconds."""
        end = time.monotonic() + longest
        while time.monotonic() < end:
            try:
                age = time.time() - self.path.stat().st_mtime
            except OSError:
                return
            if not 0 <= age < RECENT:
                return
            time.sleep(POLL)
