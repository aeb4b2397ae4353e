"""Models that came with the repository, put back as they came.

What is put back is the copy that was kept when the model was replaced, or what git has of it. The model that is there
instead is not lost: it moves, with what was measured on it, to a name of its own.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from core.naming import automatic_name, numbered
from core.runtime.atomic_files import write_together
from core.schemas.base import read_json
from core.store.card import Card, Damaged, Missing
from core.store.local import CARD, WEIGHTS, Checkpoint, Store
from core.store.shipped import kept_folder, shipped
from core.training.state import is_held

__all__ = ["is_as_it_came", "restore"]


def is_as_it_came(store: Store, key: str) -> bool:
    """Whether a model that came with the repository is there, whole, and not replaced.

    Raises:
        ValueError: If the list of these models cannot be read.
    """
    checkpoint, weights = store.checkpoint(key), shipped(store.root).get(key)
    try:
        if checkpoint.card().weights != weights:
            return False
        # Of some models, only what was measured came along.
        if checkpoint.has_weights:
            checkpoint.model()
        return checkpoint.has_weights or not _git(store.root, "cat-file", "-e", f"HEAD:./{key}/{WEIGHTS}")
    except (Damaged, Missing):
        return False


def restore(store: Store, key: str) -> str:
    """Puts a model back as it came.

    Args:
        store: The store, in a folder.
        key: ``dataset/model/name`` of a model that came with the repository.

    Returns:
        The key under which the model that was there instead is stored now; nothing if there was none.

    Raises:
        ValueError: If it did not come with the repository, is being trained, or there is nothing to put back.
        OSError: If files cannot be written.
    """
    weights = shipped(store.root).get(key)
    if weights is None:
        raise ValueError(f"checkpoint = {key!r} is not allowed: it is none of those that came with the repository")
    checkpoint, kept = store.checkpoint(key), kept_folder(store.root, key)
    if is_held(checkpoint.folder):
        raise ValueError(f"{key} is being trained; it can be put back when that has ended")
    in_git = _git(store.root, "cat-file", "-e", f"HEAD:./{key}/{CARD}")
    if not kept.is_dir() and not in_git:
        raise ValueError(f"{key} cannot be put back: no copy of it was kept, and this is no git checkout that has it")
    moved = _move(store, checkpoint, weights)
    if kept.is_dir():
        write_together({checkpoint.folder / path.name: path.read_bytes() for path in sorted(kept.iterdir())})
        shutil.rmtree(kept)
    elif not _git(store.root, "checkout", "HEAD", "--", key):
        raise ValueError(f"{key} cannot be put back: git checkout HEAD -- {key} fails in {store.root}")
    if checkpoint.card().weights != weights:
        raise ValueError(f"{key} as git has it is not the model that came with the repository")
    if not is_as_it_came(store, key) and checkpoint.has_weights:
        (checkpoint.folder / WEIGHTS).unlink()  # what is neither in the copy nor in git, and does not fit the card
    return moved


def _is_of(path: Path, weights: str) -> bool:
    """Whether a result was measured of a model with these weights; one that cannot be read is nobody else's either."""
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return True
    return not isinstance(values, dict) or values.get("weights") == weights


def _move(store: Store, checkpoint: Checkpoint, weights: str) -> str:
    """Moves another model than the one that came along, with its results, to a free name; its new key."""
    try:
        card = checkpoint.card()
    except (Damaged, Missing):
        return ""
    if card.weights == weights:
        return ""
    new = _elsewhere(store, card)
    files = {WEIGHTS: checkpoint.folder / WEIGHTS} if checkpoint.has_weights else {}
    for path in checkpoint.folder.glob("[!.]*.json"):
        if path.name != CARD and _is_of(path, card.weights):
            files[path.name] = path
            tensors = path.with_suffix(".safetensors")
            files |= {tensors.name: tensors} if tensors.exists() else {}
    target = store.checkpoint(new.key).folder
    content = {target / name: path.read_bytes() for name, path in files.items()}
    write_together(content | {target / CARD: new.to_json().encode()})
    for path in [*files.values(), checkpoint.folder / CARD]:
        path.unlink()
    return new.key


def _elsewhere(store: Store, card: Card) -> Card:
    """The card under its automatic name, or that with a number."""
    name = automatic_name(card.attack_object, card.model, card.dataset_object, card.seed)
    for one in itertools.chain([name], (numbered(name, n) for n in itertools.count(2))):
        new = replace(card, name=one)
        if not store.checkpoint(new.key).folder.exists():
            break
    return new


def _git(root: Path, *arguments: str) -> bool:
    """Whether git does something in the store's folder; not where there is no git, or no checkout."""
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True).returncode == 0
    except OSError:
        return False
