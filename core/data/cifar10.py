"""CIFAR-10, from torchvision's archive or from Hugging Face's parquet files."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.batches import read_batch
from core.data.decoded import DecodedFile
from core.data.fetching import Archive, fetch_archives
from core.data.images import DataMissing, Dataset, ImageSet, Split, data_folders, datasets, prefix_length

__all__ = ["CLASSES", "Cifar10"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
SHAPE = (3, 32, 32)

Decoded = tuple[Tensor, Tensor, str]
"""Images, labels, encoding."""


def published_batches(split: Split) -> list[tuple[str, str]]:
    """Names and MD5s of a split's batches, as torchvision publishes them."""
    # A second to import, and needed for the archive only.
    from torchvision.datasets import CIFAR10  # type: ignore[import-untyped, unused-ignore]

    listed = CIFAR10.train_list if split == "train" else CIFAR10.test_list
    return [(name, md5) for name, md5 in listed]


def _from_batches(read: Callable[[str], bytes], split: Split, limit: int | None) -> Decoded:
    pixels: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for name, md5 in published_batches(split):
        batch_pixels, batch_labels = read_batch(read(name), md5, name)
        pixels.append(batch_pixels)
        labels += batch_labels
        if limit is not None and len(labels) >= limit:
            break
    count = prefix_length(len(labels), limit)
    images = np.concatenate(pixels)[:count].reshape(-1, *SHAPE)
    return torch.from_numpy(images.copy()), torch.tensor(labels[:count], dtype=torch.int64), "original"


def _from_folder(folder: Path, split: Split, limit: int | None) -> Decoded:
    return _from_batches(lambda name: (folder / name).read_bytes(), split, limit)


def _from_archive(archive: Path, split: Split) -> Decoded:
    try:
        with tarfile.open(archive) as tar:

            def read(name: str) -> bytes:
                member = tar.extractfile(f"{BATCHES}/{name}")
                if member is None:
                    raise KeyError(name)
                return member.read()

            return _from_batches(read, split, None)
    except (tarfile.TarError, EOFError, KeyError, OSError) as error:
        raise ValueError(f"{archive} cannot be read: {error}") from error


def _decode(encoded: bytes, where: str) -> NDArray[np.uint8]:
    from core.data.reader import decoded  # what is read from the batches needs no Pillow

    try:
        pixels = np.asarray(decoded(encoded))
    except ValueError as error:
        raise ValueError(f"{where} cannot be decoded: {error}") from error
    if pixels.shape != (32, 32, 3):
        raise ValueError(f"{where} is {pixels.shape[1]} x {pixels.shape[0]} pixels, not 32 x 32")
    return pixels


def _from_parquet(files: list[Path], limit: int | None) -> Decoded:
    import pyarrow  # type: ignore[import-untyped, unused-ignore]
    from pyarrow import parquet  # type: ignore[import-untyped, unused-ignore]

    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    jpeg = False

    def rows() -> Iterator[tuple[bytes, int, str]]:
        for path in files:
            with parquet.ParquetFile(path) as file:
                column = next((name for name in ("img", "image") if name in file.schema_arrow.names), "img")
                for batch in file.iter_batches(batch_size=1000, columns=[column, "label"]):
                    encoded = batch.column(column).field("bytes").to_pylist()
                    for number, label in zip(encoded, batch.column("label").to_pylist(), strict=True):
                        yield number, label, f"image {len(labels)} of {path}"

    try:
        if limit != 0:
            for encoded, label, where in rows():
                images.append(_decode(encoded, where))
                labels.append(label)
                jpeg |= encoded[:3] == b"\xff\xd8\xff"
                if len(labels) == limit:
                    break
    except (pyarrow.ArrowException, KeyError, AttributeError, OSError) as error:
        names = ", ".join(str(path) for path in files)
        raise ValueError(f"{names} cannot be read as CIFAR-10 parquet: {error}") from error
    stacked = np.stack(images) if images else np.empty((0, 32, 32, 3), np.uint8)
    pixels = torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)))
    return pixels, torch.tensor(labels, dtype=torch.int64), "JPEG-re-encoded" if jpeg else "original"


def _parquet_files(folder: Path, split: Split) -> list[Path]:
    for inner in ("cifar10/plain_text", "plain_text"):
        if files := sorted((folder / inner).glob(f"{split}-*.parquet")):
            return files
    return []


def find_source(split: Split) -> list[Path]:
    """Where a split is: the folder of batches, the archive, or parquet files; empty if nowhere."""
    for folder in data_folders():
        if (folder / BATCHES / ("data_batch_1" if split == "train" else "test_batch")).is_file():
            return [folder / BATCHES]
        if (folder / ARCHIVE).is_file():
            return [folder / ARCHIVE]
        if files := _parquet_files(folder, split):
            return files
    return []


@datasets.register("cifar10")
@dataclass(frozen=True, kw_only=True)
class Cifar10(Dataset):
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 photographs, 32 x 32 RGB, ten classes.

    Its encoding says whether the pixels are the published ones or went through JPEG on their way here.
    """

    label: ClassVar[str] = "CIFAR-10"
    download_size: ClassVar[str] = "170 MB"

    @property
    def shape(self) -> tuple[int, int, int]:
        return SHAPE

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def available(self) -> bool:
        return bool(find_source("train") and find_source("test"))

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        images, labels, encoding = self._read(split, limit)
        return ImageSet(images, labels, CLASSES, self.title, encoding)

    def _read(self, split: Split, limit: int | None) -> Decoded:
        prefix_length(0, limit)  # refuses a negative limit before anything is read
        source = find_source(split)
        if not source:
            looked = ", ".join(str(folder) for folder in data_folders())
            raise DataMissing(
                f"CIFAR-10 ({split}) is not in {looked}: neither {BATCHES}/, {ARCHIVE} nor "
                "cifar10/plain_text/*.parquet; download it, or set TRIGGER_DATA to the folder that holds one of them"
            )
        if source[0].is_dir():
            return _from_folder(source[0], split, limit)
        decoded = DecodedFile(f"cifar10-{split}", source)
        if (stored := decoded.read(limit)) is not None:
            return stored
        if source[0].name == ARCHIVE:
            # A compressed archive is read from its start, whatever is wanted of it: read it once, whole.
            images, labels, encoding = whole = _from_archive(source[0], split)
            decoded.write(*whole)
            count = prefix_length(len(labels), limit)
            return images[:count], labels[:count], encoding
        fresh = _from_parquet(source, limit)
        if limit is None:
            decoded.write(*fresh)
        return fresh

    def download(self, progress: Callable[[float], None] | None = None) -> None:
        from torchvision.datasets import CIFAR10

        archive = Archive(CIFAR10.url, CIFAR10.tgz_md5)
        fetch_archives([archive], self.label, progress)
