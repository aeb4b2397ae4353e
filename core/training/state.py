"""A training that has not ended: its state, its history, and whether a process is at it.

Beside the checkpoint lie, until it is finished, ``training.safetensors`` with weights, momentum and history after the
last epoch, a hidden file that says what is trained and by which process, and a lock which that process holds: when it
dies, however it dies, the lock is free. Who wants a training to stop leaves a file there, which the training looks for
after every step: no process is ever sent a signal because a file names it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import AfterValidator, TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from core.metrics import Rate
from core.models import Classifier
from core.runtime.atomic_files import write_atomically
from core.schemas.base import Loss, Positive, Spent, checked, json_of, read_json
from core.schemas.plans import About, PlanFile
from core.training.optimizer import Optimizer

__all__ = [
    "STATE",
    "Epoch",
    "Paused",
    "State",
    "Unfinished",
    "ask_to_pause",
    "check_elsewhere",
    "discard",
    "held",
    "is_held",
    "obey_pause",
    "read_unfinished",
]

STATE = "training.safetensors"
ABOUT, LOCK, PAUSE = ".training.json", ".training.lock", ".training.pause"
# Seconds that a process whose parent has just been killed may still hold its lock.
DYING = 2.0


class Paused(ValueError):
    """A training ended because somebody asked it to; it can go on after its last finished epoch."""


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: numbers on the first :data:`WATCHED` test images.

    Attributes:
        epoch: Epochs finished, 1 to ``epochs``.
        epochs: Epochs planned.
        loss: Mean training loss of the epoch.
        clean_accuracy: On untouched test images.
        attack_success_rate: On stamped test images (Eq. 3).
        seconds: Training seconds so far, measuring included, interruptions not.
        images_per_second: Training speed of this epoch, measuring not included.
    """

    epoch: Positive
    epochs: Positive
    loss: Loss
    clean_accuracy: Rate
    attack_success_rate: Rate
    seconds: Spent
    images_per_second: Spent


@dataclass(frozen=True)
class Unfinished:
    """A training that has not ended.

    Attributes:
        plan: What is trained, as :meth:`core.training.trainer.Plan.to_dict` says it.
        history: The epochs that are finished.
        running: Whether a process is at it: it holds the lock.
        process: What that process says its id is, to be shown; None if it is interrupted, or the file has no such id.
    """

    plan: dict[str, Any]
    history: tuple[Epoch, ...]
    running: bool
    process: int | None


@contextlib.contextmanager
def held(folder: Path, plan: dict[str, Any]) -> Iterator[None]:
    """Holds a checkpoint's folder while it is trained.

    Raises:
        ValueError: If another process trains it.
        OSError: If nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"nothing can be saved in {folder}: {error.strerror}") from error
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=DYING)
    except Timeout:
        raise ValueError(f"{'/'.join(folder.parts[-3:])} is being trained by another process") from None
    try:
        (folder / PAUSE).unlink(missing_ok=True)  # of a training before
        write_atomically(folder / ABOUT, json.dumps({"process": os.getpid(), "plan": plan}).encode())
        yield
    finally:
        lock.release()


def read_unfinished(folder: Path) -> Unfinished | None:
    """The training of a checkpoint that has not ended, or None."""
    plan: dict[str, Any] | None = None
    process, history = None, tuple[Epoch, ...]()
    with contextlib.suppress(OSError, ValueError):
        about = read_json(folder / ABOUT)
        process, plan = checked(About, about).process, about["plan"]
    with contextlib.suppress(OSError, SafetensorError, KeyError, TypeError, ValueError):
        with safe_open(folder / STATE, "pt") as file:
            metadata = file.metadata()
        described = json_of(metadata["plan"])
        checked(PlanFile, described)
        described.pop("data", None)
        # A state of another plan is what a new training begins without; a name decides nothing.
        if plan is None or described == {key: value for key, value in plan.items() if key != "name"}:
            plan = plan or described
            found = tuple(_epochs(metadata["history"]))
            history = found if len(found) <= plan["recipe"]["params"].get("epochs", 0) else ()
    if plan is None:
        return None
    running = is_held(folder)
    known = process if running and type(process) is int and 1 < process < 2**31 else None
    return Unfinished(plan, history, running, known)


def ask_to_pause(folder: Path) -> bool:
    """Asks whichever process trains a checkpoint to stop; it does so after the step that it is at.

    Returns:
        Whether a process is at it; where none is, nothing is asked.

    Raises:
        OSError: If the request cannot be written.
    """
    if not is_held(folder):
        return False
    (folder / PAUSE).touch()
    return True


def obey_pause(folder: Path) -> None:
    """Called by a training after every step: ends it where somebody has asked for that.

    Raises:
        Paused: If so.
    """
    if (folder / PAUSE).exists():
        (folder / PAUSE).unlink(missing_ok=True)
        raise Paused(f"{'/'.join(folder.parts[-3:])} was asked to pause; it goes on after its last finished epoch")


def discard(folder: Path) -> None:
    """Forgets an interrupted training; a checkpoint that is there stays.

    Raises:
        ValueError: If a process is at it.
    """
    if is_held(folder):
        raise ValueError(f"{'/'.join(folder.parts[-3:])} is being trained")
    for name in (STATE, ABOUT, PAUSE, LOCK):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def is_held(folder: Path) -> bool:
    """Whether a process trains in a folder now, whatever its files say."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _numbered(history: list[Epoch]) -> list[Epoch]:
    if any(one.epoch != number or one.epochs < number for number, one in enumerate(history, 1)):
        raise ValueError("its epochs are not numbered 1, 2, 3 ...")
    return history


_HISTORY = TypeAdapter(Annotated[list[Epoch], AfterValidator(_numbered)])


def _epochs(text: str) -> list[Epoch]:
    return checked(_HISTORY, json_of(text))


def check_elsewhere(path: Path, plan: dict[str, Any]) -> None:
    """Refuses a file that is there and is not the state of a training, before anything of another one is changed.

    Raises:
        ValueError: If so.
    """
    if not path.exists():
        return
    described: dict[str, Any] = {}
    unreadable = contextlib.suppress(OSError, SafetensorError, KeyError, TypeError, ValueError)
    with unreadable, safe_open(path, "pt") as file:
        described = json_of(file.metadata()["plan"])
    described.pop("data", None)
    if described != {key: value for key, value in plan.items() if key != "name"}:
        raise ValueError(f"{path} is not a state of this training")


class State:
    """The state of an unfinished training: one safetensors file with weights, momentum and history.

    Args:
        path: The file.
        plan: What is trained, and on which images; a state of anything else does not count.
        elsewhere: A second file, kept the same, with which the training can go on on another machine.
    """

    def __init__(self, path: Path, plan: str, elsewhere: Path | None = None) -> None:
        self.path, self.plan, self.elsewhere = path, plan, elsewhere

    def save(self, model: Classifier, optimizer: Optimizer, history: list[Epoch]) -> None:
        """Saves the state after an epoch, each file whole or not at all.

        Raises:
            OSError: If a file cannot be written.
        """
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"momentum.{name}": tensor for name, tensor in optimizer.momentum().items()}
        metadata = {"plan": self.plan, "history": json.dumps([asdict(epoch) for epoch in history])}
        content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
        for path in filter(None, (self.path, self.elsewhere)):
            write_atomically(path, content)

    def restore(self, model: Classifier, optimizer: Optimizer) -> list[Epoch]:
        """Puts a saved state back, of two the later one; an absent or unreadable one in the folder is a new beginning.

        Raises:
            ValueError: If there is a second file, and it is not the state of this training.
        """
        here = self._read(self.path)
        there = self._read(self.elsewhere) if self.elsewhere is not None else None
        if self.elsewhere is not None and there is None and self.elsewhere.exists():
            raise ValueError(f"{self.elsewhere} is a state of this training on other images")
        found = sorted(filter(None, (here, there)), key=lambda state: len(state[0]), reverse=True)
        for history, tensors in found:
            if _put_back(tensors, model, optimizer):
                return history
        return []

    def forget(self) -> None:
        """Removes the files, once the model is stored."""
        for path in filter(None, (self.path, self.elsewhere)):
            path.unlink(missing_ok=True)

    def _read(self, path: Path) -> tuple[list[Epoch], dict[str, Tensor]] | None:
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
                if metadata["plan"] != self.plan:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
            return _epochs(metadata["history"]), tensors
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None


def _put_back(tensors: dict[str, Tensor], model: Classifier, optimizer: Optimizer) -> bool:
    """Whether the tensors of a state were those of a model and its optimizer; if not, nothing is changed."""
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    momentum = {name[9:]: tensor for name, tensor in tensors.items() if name.startswith("momentum.")}
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if {name: tensor.shape for name, tensor in weights.items()} != expected:
        return False  # load_state_dict would raise only after it has copied what fits
    try:
        optimizer.restore(momentum)
        model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError):
        return False
    return True
