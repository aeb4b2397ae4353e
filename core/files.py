"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_atomically", "write_together"]


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: a temporary name beside it, flushed to disk, then renamed.

    Raises:
        OSError: If it cannot be written, e.g. on a full disk; nothing is left behind, and what was there stays.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """As :func:`write_atomically`, for files that belong together: none is renamed before all are on disk."""
    written: dict[Path, str] = {}
    path = next(iter(files))
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, written[path] = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(written[path], 0o644)
        for path, name in written.items():
            os.replace(name, path)
    except BaseException as error:
        for name in written.values():
            with contextlib.suppress(OSError):
                os.unlink(name)
        if not isinstance(error, OSError):
            raise
        raise OSError(error.errno, f"{path.name} could not be saved in {path.parent}: {error.strerror}") from error
