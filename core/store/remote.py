"""A checkpoint store at any address that fsspec knows, such as ``s3://bucket/checkpoints``.

What is read is fetched into the user's cache once, and what is written there goes to the address at once: weights
first, the card last, each file under a temporary name and then renamed, so that whoever reads meanwhile never sees a
card without its weights or half of a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
from filelock import FileLock

from core.data import cache_folder
from core.models import Classifier
from core.naming import is_key
from core.store.card import Card
from core.store.local import CARD, Checkpoint, Store

__all__ = ["RemoteCheckpoint", "RemoteStore", "open_store"]

# What tells, in the listings of one file system or another, that a file was written again.
CHANGES = ("size", "mtime", "created", "LastModified", "ETag")


def open_store(address: Path | str | None = None) -> Store:
    """The store in a folder, or at an address with ``://`` in it; None is the store of this project.

    Raises:
        ValueError: If the address cannot be read.
    """
    return RemoteStore(str(address)) if "://" in str(address) else Store(address)


@dataclass(frozen=True)
class RemoteCheckpoint(Checkpoint):
    """A checkpoint whose folder is a copy of one at an address."""

    store: RemoteStore = field(compare=False)

    def _write(self, files: Mapping[Path, bytes]) -> None:
        with self.store.alone(self.key):
            super()._write(files)
            self.store.publish(self.key)


class RemoteStore(Store):
    """All checkpoints at an address.

    Args:
        address: As fsspec takes it; what it needs to log in comes from where it looks for that, such as the
            environment.

    Raises:
        ValueError: If there is no such protocol, its package is not installed, or the address does not answer.
    """

    def __init__(self, address: str) -> None:
        try:
            self.files, self.base = fsspec.core.url_to_fs(address)
        except (ValueError, ImportError) as error:
            raise ValueError(f"store = {address!r} cannot be opened: {error}") from None
        self.address = address
        super().__init__(cache_folder() / "stores" / hashlib.sha256(address.encode()).hexdigest()[:16])
        self._known: dict[Path, tuple[Any, Any]] = {}
        self._fetched: set[str] = set()
        self._locks: dict[str, FileLock] = {}

    def alone(self, key: str) -> FileLock:
        """A lock on the copy of a checkpoint on this machine, which all its processes share."""
        if key not in self._locks:
            folder = self.root / ".locks"
            folder.mkdir(parents=True, exist_ok=True)
            self._locks[key] = FileLock(folder / f"{key.replace('/', ' ')}.lock")
        return self._locks[key]

    def keys(self) -> list[str]:
        there = self._remote("")
        cards = (posixpath.dirname(path) for path in there if posixpath.basename(path) == CARD)
        return sorted(key for key in cards if is_key(key))

    def checkpoint(self, key: str) -> Checkpoint:
        """The checkpoint at ``dataset/model/attack``, fetched when it is asked for the first time.

        Raises:
            ValueError: If the key is not three plain names, or the address does not answer.
        """
        folder = super().checkpoint(key).folder
        if key not in self._fetched:
            self.fetch(key)
        return RemoteCheckpoint(folder, key, self)

    def save(self, model: Classifier, card: Card) -> Checkpoint:
        with self.alone(card.key):
            saved = super().save(model, card)
            self.publish(card.key)
        return saved

    def fetch(self, key: str) -> None:
        """Copies what is new of a checkpoint, and removes what is no longer at the address.

        Raises:
            ValueError: If the address does not answer.
        """
        with self.alone(key):
            self._fetch(key)

    def _fetch(self, key: str) -> None:
        folder, remote = self.root / key, self._remote(key)
        for name, mark in remote.items():
            target = folder / posixpath.basename(name)
            if target.exists() and self._known.get(target, (None, None))[0] == mark:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.fetched.tmp")
            with self._answering():
                self.files.get_file(posixpath.join(self.base, name), str(partial))
            partial.replace(target)
            self._known[target] = (mark, _mark(target))
        names = {posixpath.basename(name) for name in remote}
        for left in folder.glob("[!.]*"):
            if left.name not in names:
                left.unlink()
                self._known.pop(left, None)
        self._fetched.add(key)

    def publish(self, key: str) -> None:
        """Copies what has changed here of a checkpoint to the address, and removes what is no longer here.

        Raises:
            ValueError: If the address does not answer.
        """
        with self.alone(key):
            self._publish(key)

    def _publish(self, key: str) -> None:
        folder = self.root / key
        files = sorted(folder.glob("[!.]*"), key=lambda path: (path.suffix == ".json", path.name == CARD, path.name))
        with self._answering():
            for path in files:
                if self._known.get(path, (None, None))[1] == _mark(path):
                    continue
                target = posixpath.join(self.base, key, path.name)
                partial = posixpath.join(self.base, key, f".{path.name}.tmp")
                self.files.makedirs(posixpath.dirname(target), exist_ok=True)
                self.files.put_file(str(path), partial)
                if self.files.exists(target):
                    self.files.rm_file(target)
                self.files.mv(partial, target)
                self._known[path] = (None, _mark(path))
            for path in set(self._known) - set(files):
                if path.parent == folder:
                    with contextlib.suppress(FileNotFoundError):
                        self.files.rm_file(posixpath.join(self.base, key, path.name))
                    del self._known[path]
        for name, mark in self._remote(key).items():
            path = folder / posixpath.basename(name)
            if path in self._known:
                self._known[path] = (mark, self._known[path][1])

    def _remote(self, under: str) -> dict[str, Any]:
        """Every file below a key, by its path from the address, with what tells that it has changed."""
        with self._answering():
            self.files.invalidate_cache()
            where = posixpath.join(self.base, under) if under else self.base
            details = self.files.find(where, detail=True)
        base = self.files._strip_protocol(self.base).rstrip("/")
        marks = {}
        for path, about in details.items():
            name = path[len(base) :].lstrip("/")
            if not posixpath.basename(name).startswith("."):
                marks[name] = tuple(str(about.get(part)) for part in CHANGES)
        return marks

    @contextlib.contextmanager
    def _answering(self) -> Any:
        """Says in one sentence that the address does not answer."""
        try:
            yield
        except Exception as error:
            raise ValueError(f"the store {self.address} does not answer: {error}") from error


def _mark(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
