"""MNIST and Fashion-MNIST, from the IDX files that torchvision keeps.

Their images have one channel. They come as three equal ones here, because everything behind a data set is about RGB:
triggers have colours, strips and pads are RGB pictures, the networks have three input channels, and a model can be
measured behind any defense. Nothing is lost by it: any of the three channels is the image, and a network with one input
channel takes the first.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.fetching import Archive, fetch_archives
from core.data.images import DataMissing, Dataset, ImageSet, Split, data_folders, datasets, prefix_length

__all__ = ["FashionMnist", "Mnist", "read_idx"]

SIDE = 28
MOST = 1_000_000  # images in one file
_PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}


def read_idx(path: Path, dimensions: int, limit: int | None = None) -> NDArray[np.uint8]:
    """Reads a file of bytes in the IDX format, packed by gzip or not.

    The file begins with 0, 0, 8 (unsigned bytes), the number of dimensions, and the length of each as four bytes with
    the highest first.

    Args:
        path: The file.
        dimensions: How many dimensions are expected.
        limit: How many entries of the first dimension are read; None for all.

    Raises:
        ValueError: If it is no such file, or shorter than it says; names the file.
    """
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) != 4 + 4 * dimensions or head[:4] != bytes((0, 0, 8, dimensions)):
                raise ValueError(f"{path} is no IDX file of bytes with {dimensions} dimensions")
            lengths = [int.from_bytes(head[4 + 4 * at : 8 + 4 * at], "big") for at in range(dimensions)]
            if lengths[0] > MOST or any(length != SIDE for length in lengths[1:]):
                raise ValueError(f"{path} has {' x '.join(map(str, lengths))} values, not at most {MOST} x 28 x 28")
            lengths[0] = prefix_length(lengths[0], limit)
            wanted = math.prod(lengths)
            content = file.read(wanted)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if len(content) != wanted:
        raise ValueError(f"{path} is damaged: it says {wanted} values and has {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(lengths)


@datasets.register("mnist")
@dataclass(frozen=True, kw_only=True)
class Mnist(Dataset):
    """MNIST (LeCun et al. 1998): 60,000 + 10,000 handwritten digits, 28 x 28, gray as three equal channels.

    Looked for as ``MNIST/raw/`` (torchvision's: ``train-images-idx3-ubyte`` and its like, with or without ``.gz``) in
    ``$TRIGGER_DATA``, ``./data`` and the user's cache.
    """

    label: ClassVar[str] = "MNIST"
    download_size: ClassVar[str] = "12 MB"
    folder: ClassVar[str] = "MNIST"
    names: ClassVar[tuple[str, ...]] = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, SIDE, SIDE)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.names

    def available(self) -> bool:
        return all(self._find(split) is not None for split in _PREFIXES)

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        prefix_length(0, limit)
        found = self._find(split)
        if found is None:
            looked = ", ".join(str(folder) for folder in data_folders())
            raise DataMissing(
                f"{self.label} ({split}) is not in {looked}: there is no {self.folder}/raw/{_PREFIXES[split]}-images-"
                "idx3-ubyte, with or without .gz, and its labels; download it, or set TRIGGER_DATA to the folder that "
                "holds it"
            )
        gray, labels = read_idx(found[0], 3, limit), read_idx(found[1], 1, limit)
        if len(gray) != len(labels):
            raise ValueError(f"{found[0]} has {len(gray)} images and {found[1]} has {len(labels)} labels")
        images = torch.from_numpy(gray.copy())[:, None].repeat(1, 3, 1, 1)
        return ImageSet(images, torch.from_numpy(labels.astype(np.int64)), self.names, self.title)

    def _find(self, split: Split) -> tuple[Path, Path] | None:
        """Files of the images and of the labels."""
        for folder in data_folders():
            for suffix in ("", ".gz"):
                names = (f"{_PREFIXES[split]}-{kind}-ubyte{suffix}" for kind in ("images-idx3", "labels-idx1"))
                images, labels = (folder / self.folder / "raw" / name for name in names)
                if images.is_file() and labels.is_file():
                    return images, labels
        return None

    def download(self, progress: Callable[[float], None] | None = None) -> None:
        fetch_archives(self._archives(), self.label, progress)

    def _archives(self) -> list[Archive]:
        import torchvision

        published = getattr(torchvision.datasets, self.folder)
        sizes = [
            1.0 if "labels" in name else 60.0 if name.startswith("train") else 10.0 for name, _ in published.resources
        ]
        return [
            Archive(published.mirrors[0] + name, md5, f"{self.folder}/raw", size)
            for (name, md5), size in zip(published.resources, sizes, strict=True)
        ]


@datasets.register("fashion-mnist")
@dataclass(frozen=True, kw_only=True)
class FashionMnist(Mnist):
    """Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 articles of clothing, 28 x 28, gray as three equal channels.

    Looked for as ``FashionMNIST/raw/`` (torchvision's: ``train-images-idx3-ubyte`` and its like, with or without
    ``.gz``) in ``$TRIGGER_DATA``, ``./data`` and the user's cache.
    """

    label: ClassVar[str] = "Fashion-MNIST"
    download_size: ClassVar[str] = "31 MB"
    folder: ClassVar[str] = "FashionMNIST"
    names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
