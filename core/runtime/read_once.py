"""What was parsed of files is kept until they change, so that a page that is shown again parses nothing twice."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["FileState", "ReadOnce", "file_state"]

T = TypeVar("T")
FileState = tuple[int, int, int]
"""Time of the last change in nanoseconds, size in bytes, and number of the file on its disk."""

SETTLED = 100_000_000
"""Nanoseconds after its last change from which a file's state is trusted: a file that is changed twice between two
ticks of the clock, to the same size, looks as if it was changed once."""
SMALLEST = 1024  # bytes that a file counts for at least


def file_state(path: Path) -> FileState | None:
    """What tells whether a file was replaced or changed; None where there is none that can be looked at."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class _Kept(Generic[T]):
    """One value, and the state of the files that it was made of; None where it must be made anew."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.state: tuple[FileState, ...] | None = None
        self.value: T
        self.size = 0


class ReadOnce(Generic[T]):
    """Values made of files, those that were used last; several threads may ask at the same time.

    All who ask are given the same value, so it must not be possible to change it: see :mod:`core.runtime.frozen`.

    Args:
        most: Bytes of all the files that values are kept of; a file counts for at least 1024.
    """

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[Hashable, _Kept[T]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: Hashable, files: Sequence[Path], read: Callable[[], T]) -> T:
        """The value of that name, made anew where one of its files has changed.

        Whoever asks while it is being made waits for it. Where a file is missing, nothing is kept.

        Args:
            name: Tells it from other values of the same files.
            files: What it is made of.
            read: Makes it; what this raises is passed on, and nothing is kept.
        """
        # Looked at before reading: what is read may be newer than that, and then is read again, but never older.
        state = tuple(state for path in files if (state := file_state(path)) is not None)
        if len(state) < len(files):
            return read()
        with self._lock:
            kept = self._kept.setdefault(name, _Kept())
            self._kept.move_to_end(name)
        with kept.lock:
            if kept.state == state:
                return kept.value
            kept.state = None
            kept.value = value = read()
            now = time.time_ns()
            if all(abs(now - changed) > SETTLED for changed, _, _ in state):
                kept.state = state
            self._count(name, kept, sum(max(size, SMALLEST) for _, size, _ in state))
            return value

    def _count(self, name: Hashable, kept: _Kept[T], size: int) -> None:
        """Notes the size of a value, and forgets those that were not used for longest."""
        with self._lock:
            if self._kept.get(name) is not kept:
                return  # forgotten while it was made
            self._size += size - kept.size
            kept.size = size
            while self._size > self._most and len(self._kept) > 1:
                _, forgotten = self._kept.popitem(last=False)
                self._size -= forgotten.size
                forgotten.size = 0
