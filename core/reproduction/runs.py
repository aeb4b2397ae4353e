"""Files of a study: its runs in their order, one line each; of those of one plan, the last one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.runtime.atomic_files import write_atomically
from core.schemas.base import checked, read_json

__all__ = ["read_runs", "write_runs"]


def read_runs(path: Path, schema: type[Any]) -> list[Any]:
    """The runs in a file, in their order; none where there is no file.

    Args:
        path: The file.
        schema: A dataclass with ``runs``, a tuple of dataclasses that have ``plan`` and ``order``.

    Raises:
        ValueError: If the file cannot be read.
    """
    try:
        return sorted(checked(schema, read_json(path), "").runs, key=lambda run: run.order)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.parent.name}/{path.name} is damaged; delete it to begin anew: {error}") from error


def write_runs(path: Path, runs: Iterable[Any]) -> None:
    """Stores runs in a file; of runs of one plan, the last one.

    Raises:
        OSError: If the file cannot be written.
    """
    kept = sorted({run.plan: run for run in runs}.values(), key=lambda run: run.order)
    lines = ",\n".join("  " + json.dumps(asdict(run)) for run in kept)
    write_atomically(path, f'{{"runs": [\n{lines}\n]}}\n'.encode())
