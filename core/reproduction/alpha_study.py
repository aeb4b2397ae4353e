"""A recorded study of the Consistent Attack: which strength of its trigger a network needs to learn the backdoor.

The paper's 0.25 is for VGG-19 and ResNet-34; a network of 0.27 M parameters learns the faint trigger badly. The study
trains with several blending weights, lengths of training and surrogates, and its runs are stored beside the checkpoint
that was chosen by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.metrics import Rate
from core.reproduction.runs import read_runs, write_runs
from core.schemas.base import Count, Number, Share, Spent, Text

__all__ = ["FILE", "Run", "read_study", "smallest_alpha", "write_study"]

FILE = "study.json"
ENOUGH = 0.9
"""Attack success rate that a chosen strength must reach."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of the study.

    Attributes:
        alpha: Blending weight of the trigger.
        epochs: Epochs of training.
        surrogate: Checkpoint whose weaknesses were used.
        epsilon: Largest change of a pixel by the adversarial noise, in 255ths.
        seed: Seed of the training.
        plan: Fingerprint of everything that decided the training; equal plans are one run.
        clean_accuracy: On the whole test set.
        attack_success_rate: On the whole test set.
        seconds: Seconds of training.
    """

    alpha: Share
    epochs: Count
    surrogate: Text
    epsilon: Number
    seed: Count
    plan: Text
    clean_accuracy: Rate
    attack_success_rate: Rate
    seconds: Spent

    @property
    def order(self) -> tuple[float, int, str, float, int, str]:
        """Place in the list of runs."""
        return self.alpha, self.epochs, self.surrogate, self.epsilon, self.seed, self.plan


@dataclass(frozen=True)
class Study:
    """A file of runs."""

    runs: tuple[Run, ...]


def read_study(folder: Path) -> list[Run]:
    """The runs stored in a checkpoint's folder, by rising strength; none where there is no file.

    Raises:
        ValueError: If the file cannot be read.
    """
    return read_runs(folder / FILE, Study)


def write_study(folder: Path, runs: Iterable[Run]) -> None:
    """Stores runs in a checkpoint's folder; of runs of one plan, the last one.

    Raises:
        OSError: If the file cannot be written.
    """
    write_runs(folder / FILE, runs)


def smallest_alpha(runs: Iterable[Run]) -> float | None:
    """The smallest strength with which some run reached :data:`ENOUGH`, or None."""
    return min((run.alpha for run in runs if run.attack_success_rate.value >= ENOUGH), default=None)
