"""How fast this machine trains: measured by trainings and by :mod:`core.training.throughput`, kept in a cache."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from core.attacks import Attack, Enhanced
from core.data import cache_folder
from core.recipe import Recipe
from core.runtime.atomic_files import write_atomically
from core.store.card import environment
from core.training.state import Epoch

__all__ = ["Speed", "keep_speed", "known_speed", "seconds_left"]

LATEST = 5
"""Epochs from which the remaining time is told."""


@dataclass(frozen=True)
class Speed:
    """How fast a network was trained on this machine.

    Attributes:
        images_per_second: Images of the training set a second, rests not included.
        day: When that was measured, such as ``2025-03-01``.
    """

    images_per_second: float
    day: str


def known_speed(
    model: str, attack: Attack, recipe: Recipe, shape: Sequence[int], device: torch.device, *, compiled: bool
) -> Speed | None:
    """What was measured last of such a training on this machine; None if nothing was, or it cannot be read.

    Args:
        model: Registered name of the network.
        attack: What is done to the images of a step.
        recipe: Its optimizer and batch count.
        shape: Channels, height and width of an image.
        device: Where it is trained.
        compiled: Whether the steps are compiled.
    """
    try:
        values = json.loads(_path(model, attack, recipe, shape, device, compiled).read_text())
        found = Speed(float(values["images_per_second"]), str(values["day"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.images_per_second > 0 else None


def keep_speed(
    images_per_second: float,
    model: str,
    attack: Attack,
    recipe: Recipe,
    shape: Sequence[int],
    device: torch.device,
    *,
    compiled: bool,
) -> None:
    """Keeps what was measured for :func:`known_speed`; a cache that cannot be written only costs the time again."""
    content = json.dumps(asdict(Speed(images_per_second, datetime.date.today().isoformat())))
    with contextlib.suppress(OSError):
        write_atomically(_path(model, attack, recipe, shape, device, compiled), content.encode())


def _path(
    model: str, attack: Attack, recipe: Recipe, shape: Sequence[int], device: torch.device, compiled: bool
) -> Path:
    base = attack.base if isinstance(attack, Enhanced) else attack
    # Most attacks change pixels, which costs next to nothing; some take further passes, as many as they are told.
    passes = sorted(base.to_dict().items()) if type(base).harden is not Attack.harden else None
    what = (model, base.name, isinstance(attack, Enhanced), passes, recipe.optimizer, recipe.batch, tuple(shape))
    # Trainings are processes of their own: how many threads the asking process has says nothing about them.
    machine = sorted((name, value) for name, value in environment(device).items() if name != "threads")
    where = (machine, device.type, compiled)
    return cache_folder() / "speeds" / f"{hashlib.sha256(repr((what, where)).encode()).hexdigest()[:24]}.json"


def seconds_left(history: Sequence[Epoch]) -> float | None:
    """How long a training will take from its last finished epoch on, as long as its latest ones took each.

    The first epoch counts only where there is no other: it begins with compiling.

    >>> from core.metrics import Rate
    >>> of = lambda epoch, seconds: Epoch(epoch, 10, 0.1, Rate(1, 2), Rate(1, 2), seconds, 100.0)
    >>> seconds_left([of(1, 60.0)]), seconds_left([of(1, 60.0), of(2, 64.0), of(3, 68.0)])
    (540.0, 28.0)
    """
    if not history:
        return None
    ends = [0.0, *(epoch.seconds for epoch in history)]
    taken = [after - before for before, after in itertools.pairwise(ends)]
    return statistics.median(taken[1:][-LATEST:] or taken) * (history[-1].epochs - history[-1].epoch)
