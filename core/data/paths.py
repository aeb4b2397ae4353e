"""The place of a user's own images: its absolute path, and the name that models trained on them have."""

from __future__ import annotations

import re
from pathlib import Path

from core.data.images import datasets

__all__ = ["absolute", "title_of"]


def absolute(path: str) -> str:
    """The absolute path of a folder; as it is where it begins with a user who is not known on this machine.

    Raises:
        ValueError: If no folder can have such a name.
    """
    try:
        return str(Path(path).expanduser().resolve())
    except RuntimeError:  # the card may be from a machine that knows the user, and its stored results show all the same
        return path
    except (ValueError, OSError):
        raise ValueError(f"path = {path!r} is not allowed: no folder can have this name") from None


def title_of(name: str, kind: str) -> str:
    """Name of a data set in a checkpoint's path, from the name of its folder.

    Args:
        name: Name of the folder; may be empty.
        kind: Registered name of the data set's class.

    >>> title_of("My signs!", "folder"), title_of("cifar10", "folder"), title_of("", "folder")
    ('My-signs', 'cifar10-folder', 'folder')
    """
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    # A folder called cifar10 is not CIFAR-10: its checkpoints go elsewhere.
    return f"{safe}-{kind}" if safe in datasets and safe != kind else safe or kind
