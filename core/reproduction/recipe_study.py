"""A study of how long a network must be trained, on images held out of the training set.

A recipe that was chosen on the test set would make the test set part of the training; here the last images of the
training set are kept apart, the benign model is trained on the others, and the test set is never read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from core.data import Dataset
from core.data.images import ImageSet, Split
from core.metrics import Rate
from core.reproduction.runs import read_runs, write_runs
from core.schemas.base import Count, Number, Spent, Text

__all__ = ["FILE", "HeldOut", "RecipeRun", "fewest_epochs", "read_recipe_study", "write_recipe_study"]

FILE = "recipe-study.json"


@dataclass(frozen=True, kw_only=True)
class HeldOut(Dataset):
    """A data set of which only the training set is used: its last images take the place of the test set.

    Attributes:
        whole: The data set.
        count: Images held out.
    """

    label: ClassVar[str] = "held-out part of a training set"

    whole: Dataset
    count: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.whole.name)

    @property
    def title(self) -> str:
        return self.whole.title

    @property
    def classes(self) -> tuple[str, ...]:
        return self.whole.classes

    def available(self) -> bool:
        return self.whole.available()

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        """As :meth:`Dataset.load`.

        Raises:
            ValueError: If fewer than two images would be left to train on, or a class is in only one of both parts: the
                images are in the order of their classes.
        """
        data = self.whole.load("train")
        first = len(data) - self.count
        if first < 2:
            raise ValueError(f"{self.count} images cannot be held out of {len(data)}")
        if set(data.labels[:first].tolist()) != set(data.labels[first:].tolist()):
            raise ValueError(f"the last {self.count} images cannot be held out: they have other classes than the rest")
        part = slice(None, first) if split == "train" else slice(first, None)
        return data.subset(part).subset(slice(limit))

    def to_dict(self) -> dict[str, Any]:
        return self.whole.to_dict()


@dataclass(frozen=True, kw_only=True)
class RecipeRun:
    """One training of the study.

    Attributes:
        epochs: Epochs of training.
        held_out: Images held out, the last ones of the training set.
        seed: Seed of the training.
        plan: Fingerprint of everything that decided the training; equal plans are one run.
        accuracy: On the images held out, of the weights as they would be stored.
        seconds: Seconds of training.
        images_per_second: Median over its epochs.
    """

    epochs: Count
    held_out: Count
    seed: Count
    plan: Text
    accuracy: Rate
    seconds: Spent
    images_per_second: Number

    @property
    def order(self) -> tuple[int, int, int, str]:
        """Place in the list of runs."""
        return self.epochs, self.held_out, self.seed, self.plan


@dataclass(frozen=True)
class _File:
    runs: tuple[RecipeRun, ...]


def read_recipe_study(folder: Path) -> list[RecipeRun]:
    """The runs stored in a network's folder, by rising length; none where there is no file.

    Raises:
        ValueError: If the file cannot be read.
    """
    return read_runs(folder / FILE, _File)


def write_recipe_study(folder: Path, runs: Iterable[RecipeRun]) -> None:
    """Stores runs in a network's folder; of runs of one plan, the last one.

    Raises:
        OSError: If the file cannot be written.
    """
    write_runs(folder / FILE, runs)


def fewest_epochs(runs: Iterable[RecipeRun], accuracy: float) -> int | None:
    """The shortest training whose accuracy on the images held out reaches a value in [0, 1], or None."""
    return min((run.epochs for run in runs if run.accuracy.value >= accuracy), default=None)
