"""What was asked not long ago, within a limit of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

__all__ = ["Recent", "Sized"]


class Sized(Protocol):
    """What knows how much memory it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


V = TypeVar("V", bound=Sized)


class Recent(Generic[V]):
    """Values by key, of at most so many bytes together: what was asked longest ago goes first.

    The value that was asked last stays, whatever its size. Values may grow: they are measured whenever one comes.

    Args:
        limit: Bytes of all values together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values = OrderedDict[Hashable, V]()
        self._lock = threading.Lock()
        self._making = dict[Hashable, threading.Lock]()

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        with self._lock:
            return sum(value.nbytes for value in self._values.values())

    def get(self, key: Hashable) -> V | None:
        """The value of a key, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        """Keeps a value."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            self._forget()

    def get_or_make(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key; made, one for all who ask, where there is none. Nobody else waits meanwhile."""
        with self._lock:
            if key in self._values:
                return self._used(key)
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:
                    return self._used(key)
            try:
                value = make()
                self.put(key, value)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def _used(self, key: Hashable) -> V:
        self._values.move_to_end(key)
        self._forget()
        return self._values[key]

    def _forget(self) -> None:
        held = sum(value.nbytes for value in self._values.values())
        while held > self.limit and len(self._values) > 1:
            held -= self._values.popitem(last=False)[1].nbytes
