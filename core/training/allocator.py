"""Keeps memory between the steps of a training, where the system would map and clear it anew at each."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import threading
from collections.abc import Iterator, Mapping

__all__ = ["kept_memory", "with_huge_pages"]

TUNABLES, HUGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"

# Parameters of glibc's mallopt(3), and where its own adjusting of them ends once large blocks have been freed.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST_TRIM, LARGEST_MMAP = 64 << 20, 32 << 20


def with_huge_pages(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for a process that trains: its large blocks lie in huge pages, where there are any.

    glibc reads them when a process begins; others do not know them. What a user has set stays.

    >>> with_huge_pages({"GLIBC_TUNABLES": "glibc.malloc.perturb=1"})
    {'GLIBC_TUNABLES': 'glibc.malloc.perturb=1:glibc.malloc.hugetlb=1'}
    """
    given = variables.get(TUNABLES, "")
    if "glibc.malloc.hugetlb" in given:
        return dict(variables)
    return {**variables, TUNABLES: f"{given}:{HUGE}" if given else HUGE}


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Meanwhile the C library keeps freed memory for the next step instead of giving it back to the system.

    Otherwise glibc gives back what it was asked for in large blocks, step by step, and every step waits for it to be
    mapped again. Other C libraries stay as they are; in threads other than the main one, only blocks of less than
    64 MiB are kept.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    with _keeping.lock:
        _keeping.count += 1
        libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        # Older versions refuse more than they would choose themselves.
        libc.mallopt(MMAP_THRESHOLD, 2**31 - 1) or libc.mallopt(MMAP_THRESHOLD, LARGEST_MMAP)
    try:
        yield
    finally:
        with _keeping.lock:
            _keeping.count -= 1
            if _keeping.count == 0:
                libc.mallopt(TRIM_THRESHOLD, LARGEST_TRIM)
                libc.mallopt(MMAP_THRESHOLD, LARGEST_MMAP)
                libc.malloc_trim(0)


class _Keeping:
    """How many keep memory at the moment; it is one setting for the whole process."""

    def __init__(self) -> None:
        self.lock, self.count = threading.Lock(), 0


_keeping = _Keeping()
