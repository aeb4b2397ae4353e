"""Data sets whose files and labels are listed: decoded once into squares, and kept decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.decoded import DecodedFile
from core.data.decoding import decode_images
from core.data.images import Dataset, prefix_length
from core.data.reader import decoded, squared

__all__ = ["Resized", "inside", "read_listed"]


class Resized(Dataset):
    """A data set whose images are resized to a square; another side than the usual one is part of its name.

    Attributes:
        usual: The usual side, in pixels.
        size: The side that is wanted.
    """

    usual: ClassVar[int]
    size: int

    @property
    def title(self) -> str:
        return self.name if self.size == self.usual else f"{self.name}-{self.size}"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)


def inside(folder: Path, name: str, where: Path) -> Path:
    """A file that a list names, which must lie in a folder.

    Args:
        folder: The folder.
        name: Its path in the folder, with ``/``.
        where: The list, for the message.

    Raises:
        ValueError: If the name leads out of the folder.
    """
    if name.startswith(("/", "\\")) or ".." in Path(name).parts or "\0" in name:
        raise ValueError(f"{where} names {name!r}, which is not in {folder}")
    return folder / name


def read_listed(
    name: str, files: Sequence[tuple[Path, int]], sources: Sequence[Path], size: int, limit: int | None
) -> tuple[Tensor, Tensor]:
    """The first images of a list of files, both sides resized to ``size``.

    Args:
        name: Of the data set and split, for the file that keeps them decoded.
        files: Each with its label.
        sources: Lists and folders: what is kept is read anew when one of them has changed.
        size: Side in pixels.
        limit: Only the first so many.

    Returns:
        Images uint8 ``(n, 3, size, size)`` and labels int64 ``(n,)``.

    Raises:
        UnreadableImage: If one cannot be read; names the file.
    """
    kept = DecodedFile(f"{name}-{size}", sources)
    if (stored := kept.read(limit)) is not None:
        return stored[:2]

    def read(path: Path) -> NDArray[np.uint8]:
        try:
            return squared(decoded(path), size, crop=False)
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as an image: {error}") from error

    count = prefix_length(len(files), limit)
    images, _, _ = decode_images([path for path, _ in files[:count]], read, size, count)
    labels = torch.tensor([label for _, label in files[:count]], dtype=torch.int64)
    if limit is None:
        kept.write(images, labels, "original")
    return images, labels
