"""A labelled set of images held as one tensor, and the base class of data sets."""

from __future__ import annotations

import hashlib
import math
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from core.params import Parametrised, params_of
from core.registry import Registry

__all__ = [
    "DataMissing",
    "Dataset",
    "ImageSet",
    "Split",
    "UnreadableImage",
    "cache_folder",
    "data_folders",
    "dataset_from",
    "datasets",
    "fitting",
    "prefix_length",
]

Split = Literal["train", "test"]
AS_FLOATS = 64 * 2**20
"""Bytes of images that are floats at once, where nothing needs more of them."""


def fitting(shape: tuple[int, int, int], most: int, room: int = AS_FLOATS) -> int:
    """Images that are computed with at once.

    Args:
        shape: Channels, rows and columns of an image.
        most: At most so many.
        room: Bytes that they may take as float32.

    >>> fitting((3, 32, 32), 1024), fitting((3, 224, 224), 1024)
    (1024, 111)
    """
    return max(1, min(most, room // (4 * math.prod(shape))))


class DataMissing(FileNotFoundError):
    """A data set's files are not on this machine; the text says what is missing and how to get it."""


class UnreadableImage(ValueError):
    """A file among the images of a data set cannot be read as one."""


@dataclass(frozen=True)
class ImageSet:
    """Images and labels, 8 bit at rest.

    Attributes:
        images: uint8 ``(N, C, H, W)``; :meth:`floats` gives values in [0, 1] to compute with.
        labels: int64 ``(N,)``, indices into :attr:`classes`.
        classes: Class names.
        name: Name of the data set, as in a checkpoint's path.
        encoding: How the pixels were stored before they came here, e.g. ``"JPEG-re-encoded"``.
        notes: What was left out when they were read, a sentence each.

    Raises:
        ValueError: If shapes or types do not fit, or a label has no class.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str
    encoding: str = "original"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images are uint8 (N, C, H, W), not {self.images.dtype} {tuple(self.images.shape)}",
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels are int64 ({len(self.images)},), not {self.labels.dtype} {tuple(self.labels.shape)}",
            )
        if len(self.labels) and (int(self.labels.min()) < 0 or int(self.labels.max()) >= len(self.classes)):
            raise ValueError(
                f"labels go from {int(self.labels.min())} to {int(self.labels.max())}, "
                f"but there are {len(self.classes)} classes",
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def floats(self, index: Tensor | slice | None = None) -> Tensor:
        """Images as float32 in [0, 1], ``(n, C, H, W)``, all of them or those at ``index``."""
        images = self.images if index is None else self.images[index]
        return images.float().div_(255)

    def parts(self, most: int = 1024) -> Iterator[ImageSet]:
        """The images in their order, at most ``most`` at once, and of large ones as many as fit :data:`AS_FLOATS`."""
        for start in range(0, len(self), step := fitting(self.shape, most)):
            yield self.subset(slice(start, start + step))

    def subset(self, index: Tensor | slice) -> ImageSet:
        """The images at ``index``, in that order."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def to(self, device: torch.device | str) -> ImageSet:
        """The same set with its tensors on ``device``."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of shape, pixels and labels: the same for equal data, on any machine."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for values in (self.images, self.labels):
            digest.update(values.cpu().contiguous().numpy().data)  # not copied: the pixels may be many gigabytes
        return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Dataset(Parametrised):
    """Where images come from; one file in ``core/data`` per data set.

    Class names are known without the data, so that stored results can be shown on a machine that lacks them.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    """Name in figures and tables."""
    download_size: ClassVar[str] = ""
    """How much :meth:`download` fetches, about; empty where there is no download."""

    @property
    def title(self) -> str:
        """Name used in a checkpoint's path; the registered name unless the data set says otherwise."""
        return self.name

    @property
    def spec(self) -> str:
        """What a user types to name this data set; :func:`dataset_from` is the inverse but for further parameters."""
        first = next(iter(params_of(type(self)).items()), None)
        if first is None or getattr(self, first[0]) == first[1].default:
            return self.name
        return f"{self.name}:{getattr(self, first[0])}"

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of its images; None where that is known only when they are read."""
        return None

    @abstractmethod
    def available(self) -> bool:
        """Whether :meth:`load` will find its files; cheap, reads no image."""

    @abstractmethod
    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        """Reads one split.

        Args:
            split: ``"train"`` or ``"test"``.
            limit: Only the first ``limit`` images; they are the same images as without a limit.

        Raises:
            DataMissing: If the files are not there.
            ValueError: If they are there but cannot be read.
        """

    def labels(self, split: Split) -> Tensor:
        """The labels of one split, int64 ``(N,)``; quicker than :meth:`load` where images are drawn."""
        return self.load(split).labels

    def download(self, progress: Callable[[float], None] | None = None) -> None:
        """Fetches the data into the user's data folder.

        Args:
            progress: Called with the share done, 0 to 1.

        Raises:
            OSError: If it could not be fetched; the text says why.
        """
        raise OSError(f"{self.title} cannot be downloaded")


datasets: Registry[Dataset] = Registry("data set", "core.data", "trigger_sensitivity.datasets")


def dataset_from(spec: str) -> Dataset:
    """A data set from what a user types: ``"cifar10"``, ``"shapes10"``, ``"folder:PATH"``.

    What follows the first colon is the value of the data set's first parameter.

    Raises:
        UnknownName: If no data set has that name.
        ValueError: If the value is not allowed, or the data set has no parameter.

    >>> dataset_from("shapes10:7")
    Shapes10(seed=7)
    """
    name, colon, value = spec.partition(":")
    cls = datasets[name]
    if not colon:
        return cls()
    declared = next(iter(params_of(cls).items()), None)
    if declared is None:
        raise ValueError(f"{name} takes nothing after a colon, not {value!r}")
    parameter, param = declared
    try:
        converted = param.kind(value)
    except ValueError:
        converted = value  # the check below says what is allowed
    return cls(**{parameter: converted})


def prefix_length(total: int, limit: int | None) -> int:
    """How many of ``total`` images a limit leaves.

    Raises:
        ValueError: If the limit is negative.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit = {limit} is not allowed: an integer from 0 up, or none")
    return total if limit is None else min(limit, total)


def cache_folder() -> Path:
    """The user's cache of this project: ``$XDG_CACHE_HOME/trigger-sensitivity``, by default in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trigger-sensitivity"


def data_folders() -> list[Path]:
    """Folders in which data are looked for: ``$TRIGGER_DATA``, ``./data``, the user's cache, in this order."""
    named = os.environ.get("TRIGGER_DATA")
    return [*([Path(named)] if named else []), Path("data"), cache_folder() / "data"]
