"""A user's own images: one folder per class."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch

from core.data.decoding import decode_images, shuffled
from core.data.images import DataMissing, Dataset, ImageSet, Split, datasets, prefix_length
from core.data.layout import Files, Layout, layout_of
from core.data.paths import absolute, title_of
from core.data.reader import read_square
from core.params import Value, flag, integer, text

__all__ = ["Folder"]

TEST_SHARE = 0.2

log = logging.getLogger(__name__)


@lru_cache(maxsize=1024)
def _say(note: str) -> None:
    """Says a note once, however often the same data are read."""
    log.warning(note)


@datasets.register("folder")
@dataclass(frozen=True, kw_only=True)
class Folder(Dataset):
    """Images in one folder per class.

    With ``train/`` and ``test/`` (or ``val/``, and their like: :mod:`core.data.layout`) these are the splits; else a
    fifth of each class, chosen by the seed, is the test set. Images come in an order shuffled by the seed, so that the
    first few are of many classes. Class names are read from the folder, so they are not known without it. Labels are in
    the natural order of the names: of the folders 1 to 12, the class 2 has label 1 and the class 10 has label 9.
    """

    label: ClassVar[str] = "Folder"

    path: str = text("", help="Folder with one folder per class, or with train/ and test/ that have them.")
    size: int = integer(32, low=8, high=512, help="Side that images are resized and cropped to.", unit="pixels")
    seed: int = integer(0, low=0, high=2**31 - 1, help="Seed of the order of images, and of the split into two sets.")
    skip_broken: bool = flag(False, help="Leave out images that cannot be read, and say how many, instead of ending.")

    def __post_init__(self) -> None:
        super().__post_init__()
        # So that a card names a folder that is found from wherever the card is read.
        object.__setattr__(self, "path", absolute(self.path) if self.path else "")

    @property
    def root(self) -> Path:
        """The folder, absolute."""
        return Path(self.path)

    @property
    def title(self) -> str:
        return title_of(self.root.name if self.path else "", self.name)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._layout().train)

    def available(self) -> bool:
        return bool(self.path) and os.path.isdir(self.path)

    def to_dict(self) -> dict[str, Value]:
        # What was trained and measured before there was this parameter is still the same.
        return {name: value for name, value in super().to_dict().items() if name != "skip_broken" or value}

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        files, classes, notes = self._files(split)
        order = shuffled(len(files), self.seed)
        paths, count = [files[index][0] for index in order], prefix_length(len(files), limit)
        images, kept, broken = decode_images(
            paths, lambda path: read_square(path, self.size), self.size, count, skip_broken=self.skip_broken
        )
        labels = torch.tensor([files[order[place]][1] for place in kept], dtype=torch.int64)
        if broken:
            shown = self._listed(broken)
            notes.append(f"images of the {split} set left out because they cannot be read: {len(broken)} ({shown})")
            if limit is None and (lost := sorted(set(range(len(classes))) - set(labels.tolist()))):
                raise ValueError(f"class {classes[lost[0]]} has no image in the {split} set that can be read")
        for note in notes:
            _say(f"{self.root}: {note}")
        return ImageSet(images, labels, classes, self.title, notes=tuple(notes))

    def _layout(self) -> Layout:
        """What the folders mean.

        Raises:
            DataMissing: If there is no such folder.
            ValueError: If it cannot be told.
        """
        if not self.path:
            raise DataMissing("no folder of images was named; name one with folder:PATH")
        if not self.available():
            raise DataMissing(f"there is no folder {self.root}; name a folder of images with folder:PATH")
        return layout_of(self.root)

    def _files(self, split: Split) -> tuple[list[tuple[Path, int]], tuple[str, ...], list[str]]:
        """Files of a split and their labels, class after class; class names; and what was left out, a sentence each."""
        layout = self._layout()
        folders = layout.train if split == "train" or layout.test is None else layout.test
        files: list[tuple[Path, int]] = []
        others: list[Path] = []
        for label, name in enumerate(layout.train):
            in_class = Files.of(folders[name])
            others += in_class.others
            images = in_class.images if layout.test is not None else self._share(in_class.images, split, label)
            files += [(path, label) for path in images]
        notes = list(layout.notes)
        if others:
            where = f" of the {split} set" if layout.test is not None else ""
            notes.append(f"files{where} left out because they are no images: {len(others)} ({self._listed(others)})")
        return files, tuple(layout.train), notes

    def _listed(self, paths: list[Path]) -> str:
        return ", ".join(path.relative_to(self.root).as_posix() for path in paths[:3]) + ", ..." * (len(paths) > 3)

    def _share(self, files: list[Path], split: Split, label: int) -> list[Path]:
        """The part of one class's files that belongs to a split; each split gets at least one."""
        if len(files) < 2:
            raise ValueError(f"{files[0].parent} has one image; it needs at least 2, one to train and one to test on")
        order = shuffled(len(files), self.seed, label)
        held_out = max(1, round(TEST_SHARE * len(files)))
        chosen = order[:held_out] if split == "test" else order[held_out:]
        return [files[index] for index in sorted(chosen)]
