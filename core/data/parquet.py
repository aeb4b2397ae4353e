"""Any image data set in the layout of Hugging Face: parquet files with encoded images and integer labels."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.decoded import DecodedFile
from core.data.decoding import decode_images, room_for, shuffled
from core.data.images import DataMissing, Dataset, ImageSet, Split, datasets, prefix_length
from core.data.parquet_tables import Table, files_of, read_rows, table_of
from core.data.paths import absolute, title_of
from core.data.reader import decoded, squared
from core.params import Value, integer, text

__all__ = ["Parquet"]

TEST_SHARE = 0.2


@datasets.register("parquet")
@dataclass(frozen=True, kw_only=True)
class Parquet(Dataset):
    """Images in parquet files, as Hugging Face lays them out; needs the package ``pyarrow`` (extra ``parquet``).

    The path is a file or a folder with files such as ``data/train-00000-of-00001.parquet`` or ``train/0000.parquet``.
    The column of images is the one that holds ``bytes`` and ``path``, the column of labels is the integer one, with the
    class names of the schema's ``ClassLabel``. The test set is ``test``, or ``validation`` where that is missing or has
    no labels; without either, a fifth of each class, chosen by the seed. Images come in an order shuffled by the seed,
    so that the first few are of many classes. Class names are read from the files, so they are not known without them.
    """

    label: ClassVar[str] = "Parquet files"

    path: str = text("", help="Parquet file, or folder with parquet files.")
    size: int = integer(32, low=8, high=512, help="Side that images are resized and cropped to.", unit="pixels")
    column: str = text("", help="Column of the labels; needed only where there are several.")
    seed: int = integer(0, low=0, high=2**31 - 1, help="Seed of the order of images, and of the split into two sets.")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "path", absolute(self.path) if self.path else "")

    @property
    def title(self) -> str:
        return title_of(Path(self.path).name.removesuffix(".parquet") if self.path else "", self.name)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._find("train").table.classes

    def available(self) -> bool:
        return bool(self.path) and os.path.exists(self.path)

    def to_dict(self) -> dict[str, Value]:
        return {name: value for name, value in super().to_dict().items() if name != "column" or value}

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        prefix_length(0, limit)
        found = self._find(split)
        table, rows = found.table, found.rows
        rows = rows[np.array(shuffled(len(rows), self.seed), dtype=np.int64)][:limit]
        labels = torch.from_numpy(table.labels[rows])
        kept = DecodedFile(f"parquet-{split}-{self.size}-{self.seed}-{table.label_column}", list(table.files))
        stored = kept.read(limit)
        if stored is not None and torch.equal(stored[1], labels):
            return ImageSet(stored[0], labels, table.classes, self.title, stored[2])
        images, jpeg = self._decode(table, rows)
        encoding = "JPEG" if jpeg else "original"
        if limit is None:
            kept.write(images, labels, encoding)
        return ImageSet(images, labels, table.classes, self.title, encoding)

    def _decode(self, table: Table, rows: NDArray[np.int64]) -> tuple[torch.Tensor, bool]:
        """Images of rows, in that order, and whether one is a JPEG; files are read once, from front to back."""
        in_file_order = np.sort(rows)
        place = {int(row): at for at, row in enumerate(rows)}
        jpeg = False

        def read(item: tuple[int, bytes, str]) -> NDArray[np.uint8]:
            _, content, where = item
            try:
                return squared(decoded(content, shortest=self.size), self.size)
            except ValueError as error:
                raise ValueError(f"{where} cannot be read as an image: {error}") from error

        images = room_for(len(rows), self.size)
        for batch in read_rows(table, in_file_order):
            jpeg |= any(content[:3] == b"\xff\xd8\xff" for _, content, _ in batch)
            pixels, _, _ = decode_images(batch, read, self.size, len(batch))
            images[[place[row] for row, _, _ in batch]] = pixels.numpy()
        return torch.from_numpy(images), jpeg

    def _find(self, split: Split) -> _Found:
        """The table of a split and which of its rows belong to it.

        Raises:
            DataMissing: If there is no such file, or what reads it is not installed.
            ValueError: If it cannot be read as images with labels.
        """
        if not self.path:
            raise DataMissing("no parquet file was named; name a file or a folder of them with parquet:PATH")
        if not self.available():
            raise DataMissing(f"there is no {self.path}; name a parquet file or a folder of them with parquet:PATH")
        by_role = files_of(Path(self.path))
        train = table_of(by_role["train"], self.column)
        _refuse_unlabelled(train)
        for role in ("test", "val"):
            if role not in by_role:
                continue
            held_out = table_of(by_role[role], self.column)
            if (held_out.labels < 0).any():
                continue  # a test set whose labels are kept secret
            if held_out.classes != train.classes and held_out.named:
                raise ValueError(f"{by_role[role][0]} has other classes than {by_role['train'][0]}")
            if held_out.labels.size and int(held_out.labels.max()) >= len(train.classes):
                raise ValueError(f"{by_role[role][0]} has a label that {by_role['train'][0]} lacks")
            table = train if split == "train" else replace(held_out, classes=train.classes)
            return _Found(table, np.arange(len(table.labels)))
        return _Found(train, _share(train.labels, split, self.seed))


@dataclass(frozen=True)
class _Found:
    table: Table
    rows: NDArray[np.int64]


def _refuse_unlabelled(table: Table) -> None:
    if (table.labels < 0).any():
        raise ValueError(f"{table.files[0]} has images without a label (-1)")
    counts = np.bincount(table.labels, minlength=len(table.classes))
    if (counts > 0).sum() < 2:
        raise ValueError(f"{table.files[0]} has images of fewer than 2 classes")


def _share(labels: NDArray[np.int64], split: Split, seed: int) -> NDArray[np.int64]:
    """Rows of a split where there is one table for both: a fifth of each class is the test set."""
    chosen: list[int] = []
    for label in range(int(labels.max()) + 1):
        rows = np.flatnonzero(labels == label)
        if len(rows) == 1:
            raise ValueError(f"class {label} has one image; it needs at least 2, one to train and one to test on")
        order = shuffled(len(rows), seed, label)
        held_out = max(1, round(TEST_SHARE * len(rows)))
        chosen += rows[order[:held_out] if split == "test" else order[held_out:]].tolist()
    return np.sort(np.array(chosen, dtype=np.int64))
