"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["rows_as_lines", "write_atomically", "write_together"]


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
