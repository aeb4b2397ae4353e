"""A user's own images: one folder per class."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.images import DataMissing, Dataset, ImageSet, Split, datasets, prefix_length
from core.params import integer, text

__all__ = ["Folder", "read_image"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
TEST_SHARE = 0.2


def read_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Reads an image upright in RGB, its shorter side resized (bilinear, antialiased), its centre cropped.

    Args:
        path: Any format that Pillow reads; of an animation, the first frame.
        size: Side of the result in pixels.

    Returns:
        uint8 ``(size, size, 3)``.

    Raises:
        ValueError: If it cannot be read; names the file.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def _absolute(path: str) -> str:
    """The absolute path of a folder; as it is where it begins with a user who is not known on this machine.

    Raises:
        ValueError: If no folder can have such a name.
    """
    try:
        return str(Path(path).expanduser().resolve())
    except RuntimeError:  # the card may be from a machine that knows the user, and its stored results show all the same
        return path
    except (ValueError, OSError):
        raise ValueError(f"path = {path!r} is not allowed: no folder can have this name") from None


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _image_files(folder: Path) -> list[Path]:
    """A class's images, also those in folders inside it, in an order that is the same on every machine."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    visible = (path for path in found if not path.name.startswith("."))
    return sorted(visible, key=lambda path: path.relative_to(folder).as_posix())


def _order(stream: np.random.Generator, count: int) -> list[int]:
    return [int(index) for index in np.argsort(stream.random(count), kind="stable")]


@datasets.register("folder")
@dataclass(frozen=True, kw_only=True)
class Folder(Dataset):
    """Images in one folder per class.

    With ``train/`` and ``test/`` (or ``val/``) these are the splits; else a fifth of each class, chosen by the seed, is
    the test set. Images come in an order shuffled by the seed, so that the first few are of many classes. Class names
    are read from the folder, so they are not known without it.
    """

    label: ClassVar[str] = "Folder"

    path: str = text("", help="Folder with one folder per class, or with train/ and test/ that have them.")
    size: int = integer(32, low=8, high=512, help="Side that images are resized and cropped to.", unit="pixels")
    seed: int = integer(0, low=0, high=2**31 - 1, help="Seed of the order of images, and of the split into two sets.")

    def __post_init__(self) -> None:
        super().__post_init__()
        # So that a card names a folder that is found from wherever the card is read.
        object.__setattr__(self, "path", _absolute(self.path) if self.path else "")

    @property
    def root(self) -> Path:
        """The folder, absolute."""
        return Path(self.path)

    @property
    def title(self) -> str:
        safe = re.sub(r"[^\w.-]+", "-", self.root.name).strip("-.") if self.path else ""
        # A folder called cifar10 is not CIFAR-10: its checkpoints go elsewhere.
        return f"{safe}-folder" if safe in datasets and safe != self.name else safe or self.name

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._classes_in(self._splits().get("train", self.root)))

    def available(self) -> bool:
        return bool(self.path) and os.path.isdir(self.path)

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        classes = self.classes
        files = self._files(split, classes)
        stream = np.random.Generator(np.random.PCG64([self.seed, len(files)]))
        order = _order(stream, len(files))[: prefix_length(len(files), limit)]
        images = np.empty((len(order), self.size, self.size, 3), np.uint8)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for number, image in enumerate(pool.map(lambda index: read_image(files[index][0], self.size), order)):
                images[number] = image
        labels = torch.tensor([files[index][1] for index in order], dtype=torch.int64)
        planes = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        return ImageSet(planes, labels, classes, self.title)

    def _splits(self) -> dict[str, Path]:
        """Folders of the two splits; empty where the folder is not divided.

        Raises:
            DataMissing: If there is no such folder.
        """
        if not self.path:
            raise DataMissing("no folder of images was named; name one with folder:PATH")
        if not self.available():
            raise DataMissing(f"there is no folder {self.root}; name a folder of images with folder:PATH")
        names = _subfolders(self.root)
        test = next((name for name in ("test", "val") if name in names), None)
        # Where train/ holds images rather than folders it is a class: a railway train.
        if test is None or "train" not in names or not _subfolders(self.root / "train"):
            return {}
        return {"train": self.root / "train", "test": self.root / test}

    @staticmethod
    def _classes_in(folder: Path) -> list[str]:
        names = _subfolders(folder)
        if not names:
            raise ValueError(f"{folder} has no folders; it needs one per class")
        if len(names) < 2:
            raise ValueError(f"{folder} has one class, {names[0]}; it needs at least 2")
        return names

    def _files(self, split: Split, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
        """Files of a split and their labels, class after class."""
        splits = self._splits()
        folder = splits.get(split, self.root)
        if unknown := set(_subfolders(folder)) - set(classes):
            raise ValueError(f"{folder} has a class that {splits['train']} lacks: {', '.join(sorted(unknown))}")
        files: list[tuple[Path, int]] = []
        for label, name in enumerate(classes):
            found = _image_files(folder / name)
            if not found:
                raise ValueError(f"class {name} has no images in {folder / name}")
            if not splits:
                found = self._share(found, split, label)
            files += [(path, label) for path in found]
        return files

    def _share(self, files: list[Path], split: Split, label: int) -> list[Path]:
        """The part of one class's files that belongs to a split; each split gets at least one."""
        if len(files) < 2:
            raise ValueError(f"{files[0].parent} has one image; it needs at least 2, one to train and one to test on")
        order = _order(np.random.Generator(np.random.PCG64([self.seed, label, len(files)])), len(files))
        held_out = max(1, round(TEST_SHARE * len(files)))
        chosen = order[:held_out] if split == "test" else order[held_out:]
        return [files[index] for index in sorted(chosen)]
