"""What was parsed of a file is kept until the file changes, whoever asks and however many at a time."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.runtime.read_once import SETTLED, ReadOnce


class Reads:
    """Reads texts through a cache, and counts how often a file is opened."""

    def __init__(self, most: int = 2**20) -> None:
        self.cache: ReadOnce[str] = ReadOnce(most)
        self.opened: list[str] = []

    def text(self, path: Path) -> str:
        def read() -> str:
            self.opened.append(path.name)
            return path.read_text()

        return self.cache.get(path, (path,), read)


def old(path: Path, text: str, seconds: int = 60) -> Path:
    """A file that was changed some time ago."""
    path.write_text(text)
    changed = time.time_ns() - seconds * 10**9
    os.utime(path, ns=(changed, changed))
    return path


def test_a_file_is_read_once(tmp_path):
    reads, path = Reads(), old(tmp_path / "a", "one")
    assert [reads.text(path) for _ in range(3)] == ["one"] * 3
    assert reads.opened == ["a"]


def test_a_replaced_file_is_seen_at_once(tmp_path):
    """Also one of the same size with the time of the one before, as a copy that keeps times has it."""
    reads, path = Reads(), old(tmp_path / "a", "one")
    assert reads.text(path) == "one"
    other = tmp_path / "b"
    other.write_text("two")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert reads.text(path) == "two"


def test_a_file_that_was_just_changed_is_not_trusted(tmp_path):
    """Two changes between two ticks of the clock leave the same time, size and place on the disk."""
    reads, path = Reads(), tmp_path / "a"
    path.write_text("one")
    ticked = path.stat().st_mtime_ns
    assert reads.text(path) == "one"
    path.write_text("two")
    os.utime(path, ns=(ticked, ticked))
    assert reads.text(path) == "two"
    old(path, "two")
    assert reads.text(path) == reads.text(path) == "two"
    assert len(reads.opened) == 3
    assert SETTLED >= 10_000_000, "the clock of many file systems ticks every 10 ms"


def test_many_who_ask_at_once_read_it_once(tmp_path):
    path, opened, all_ask = old(tmp_path / "a", "one"), [], threading.Barrier(8)
    cache: ReadOnce[list[str]] = ReadOnce(2**20)

    def read() -> list[str]:
        opened.append(path.name)
        time.sleep(0.05)
        return [path.read_text()]

    def ask(_: int) -> list[str]:
        all_ask.wait()
        return cache.get("a", (path,), read)

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(ask, range(8)))
    assert opened == ["a"]
    assert all(one is given[0] for one in given)


def test_of_too_much_the_least_used_is_forgotten(tmp_path):
    reads = Reads(most=3 * 1024)
    paths = [old(tmp_path / name, name) for name in "abcd"]
    for path in (*paths[:3], paths[0], paths[3]):
        reads.text(path)
    assert len(reads.cache) == 3
    assert [reads.text(path) for path in (paths[0], paths[2], paths[3])] == ["a", "c", "d"]
    assert reads.opened == list("abcd")
    reads.text(paths[1])
    assert reads.opened == list("abcdb")


def test_a_file_that_is_larger_than_all_room_is_read_all_the_same(tmp_path):
    reads, path = Reads(most=1024), old(tmp_path / "a", "x" * 5000)
    assert reads.text(path) == reads.text(path) == "x" * 5000
    reads.text(old(tmp_path / "b", "y"))
    assert len(reads.cache) == 1


def test_what_raises_is_not_kept(tmp_path):
    reads, path = Reads(), old(tmp_path / "a", "one")
    with pytest.raises(ZeroDivisionError):
        reads.cache.get(path, (path,), lambda: str(1 // 0))
    assert reads.text(path) == "one"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        reads.text(path)
