"""Models that come with the repository: which they are, and a copy of one that was replaced.

``<root>/shipped.json`` lists them with the fingerprints of their weights. ``scripts/train.py --replace`` alone replaces
one of them; the files that were there are kept under ``<root>/.replaced`` until ``scripts/restore.py`` puts them back.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from core.runtime.atomic_files import write_atomically
from core.runtime.read_once import ReadOnce
from core.schemas.base import checked, damaged, read_json
from core.schemas.plans import Shipped

__all__ = ["LIST", "keep_replaced", "kept_folder", "shipped", "write_shipped"]

LIST, KEPT = "shipped.json", ".replaced"
_LISTS: ReadOnce[dict[str, str]] = ReadOnce(2**20)  # a page asks once for every model


def shipped(root: Path) -> dict[str, str]:
    """Fingerprints of the weights of the models that came with a store, by key; none where there is no list.

    Raises:
        ValueError: If the list cannot be read.
    """
    path = root / LIST
    try:
        return dict(_LISTS.get(path, [path], lambda: checked(Shipped, read_json(path), "").models))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise damaged(error, f"{LIST}, which lists the models that came with the repository,") from None


def write_shipped(root: Path, models: dict[str, str]) -> None:
    """Writes the list.

    Raises:
        OSError: If it cannot be written.
    """
    write_atomically(root / LIST, (json.dumps({"models": dict(sorted(models.items()))}, indent=1) + "\n").encode())


def kept_folder(root: Path, key: str) -> Path:
    """Where the files of a model that was replaced are kept."""
    return root / KEPT / key


def keep_replaced(root: Path, key: str) -> None:
    """Copies the files of a model that came along, before another one takes its place; a model of others is not kept.

    Raises:
        OSError: If they cannot be copied.
    """
    try:
        stored = read_json(root / key / "card.json")
    except (OSError, ValueError):
        return
    if not isinstance(stored, dict) or stored.get("weights") != shipped(root).get(key):
        return
    target = kept_folder(root, key)
    partial = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    # Not the state of the training that replaces it.
    shutil.copytree(root / key, partial, ignore=shutil.ignore_patterns(".*", "training.safetensors"))
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)
