"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["rows_as_lines", "sweep_up", "temporary_prefix", "write_atomically", "write_together"]

OLD = 3600.0
"""Seconds after which a temporary file is one that its writer has left behind: it is there for seconds."""
_WRITER = re.compile(r"\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-\w{8}(\.tmp)?$")
_OLDER = re.compile(r"^\..+\.\w{8}\.tmp$")  # names of before, which do not say who writes


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
            handle, written[path] = tempfile.mkstemp(dir=path.parent, prefix=temporary_prefix(path.name), suffix=".tmp")
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


def temporary_prefix(name: str) -> str:
    """How the name of a temporary file or folder begins: hidden, and with the machine and process that write it."""
    return f".{name}.{_machine()}-{os.getpid()}-"


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def sweep_up(folder: Path) -> None:
    """Removes what writers that were killed have left in a folder: their process is gone, or the file is old.

    Files that others are writing now stay, and so does everything that was not made here.
    """
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if path.name.startswith(".") and _is_left_behind(path):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        path.unlink()


def _is_left_behind(path: Path) -> bool:
    writer = _WRITER.search(path.name)
    if writer is not None and writer["machine"] == _machine() and not _is_alive(int(writer["process"])):
        return True
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return age > OLD and (writer is not None or _OLDER.match(path.name) is not None)


def _is_alive(process: int) -> bool:
    """Whether a process of this machine runs; True where that cannot be told."""
    if os.name != "posix":  # elsewhere, signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def rows_as_lines(values: Mapping[str, Any]) -> str:
    """JSON of a result for a file: one line per key, and one per row of a matrix.

    >>> print(rows_as_lines({"seen": 3, "hits": [[1, 2], [3, 4]]}), end="")
    {
     "seen": 3,
     "hits": [
      [1,2],
      [3,4]
     ]
    }
    """

    def written(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], list):
            return "[\n" + ",\n".join("  " + json.dumps(row, separators=(",", ":")) for row in value) + "\n ]"
        return json.dumps(value)

    lines = ",\n".join(f" {json.dumps(key)}: {written(value)}" for key, value in values.items())
    return f"{{\n{lines}\n}}\n"
