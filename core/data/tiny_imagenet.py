"""Tiny-ImageNet, as its archive lays it out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from core.data.decoding import shuffled
from core.data.images import DataMissing, ImageSet, Split, data_folders, datasets, prefix_length
from core.data.listed import Resized, inside, read_listed
from core.params import integer

__all__ = ["TinyImageNet"]

_BASES = ("tiny-imagenet-200", "tiny-imagenet", "TinyImageNet")
_TEXT = 16 << 20  # bytes of a list
_IMAGES = frozenset({".jpeg", ".jpg", ".png"})
_NUMBER = re.compile(r"n[0-9]{8}")


def _find() -> Path | None:
    places = (folder / name for folder in data_folders() for name in _BASES)
    return next((place for place in places if (place / "train").is_dir() and (place / "val").is_dir()), None)


def _lines(path: Path) -> list[list[str]]:
    """Lines of a list, each in its parts; none where there is no such file."""
    if not path.is_file():
        return []
    if path.stat().st_size > _TEXT:
        raise ValueError(f"{path} is larger than {_TEXT >> 20} MB")
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line.split("\t") for line in text.splitlines() if line.strip()]


def _numbers(base: Path) -> list[str]:
    """WordNet numbers of the classes in label order, which is alphabetical, as in torchvision's ImageFolder."""
    return sorted(
        folder.name for folder in (base / "train").iterdir() if _NUMBER.fullmatch(folder.name) and folder.is_dir()
    )


@lru_cache(maxsize=4)
def _class_names(base: Path, changed: int) -> tuple[str, ...]:
    numbers = _numbers(base)
    words = {parts[0]: parts[1].split(",")[0].strip() for parts in _lines(base / "words.txt") if len(parts) > 1}
    names = [words.get(number) or number for number in numbers]
    repeated = Counter(names)
    return tuple(
        f"{name} ({number})" if repeated[name] > 1 else name for name, number in zip(names, numbers, strict=True)
    )


@datasets.register("tiny-imagenet")
@dataclass(frozen=True, kw_only=True)
class TinyImageNet(Resized):
    """Tiny-ImageNet (Le and Yang 2015): 100,000 + 10,000 photographs of 200 classes, 64 x 64 RGB.

    Looked for as ``tiny-imagenet-200/`` or ``tiny-imagenet/`` in ``$TRIGGER_DATA``, ``./data`` and the user's cache. In
    it: ``train/<number>/images/``, ``val/images/`` with ``val/val_annotations.txt``, and ``words.txt``, which has the
    classes' names. The test set is ``val``, because ``test`` has no labels. Labels are in the order of the WordNet
    numbers. It is not fetched: images of ImageNet come under terms that each user accepts. Training images come in a
    fixed shuffled order, so that the first few are of many classes; test images as listed.
    """

    label: ClassVar[str] = "Tiny-ImageNet"

    usual: ClassVar[int] = 64

    size: int = integer(usual, low=8, high=512, help="Side that images are resized to.", unit="pixels")

    @property
    def classes(self) -> tuple[str, ...]:
        base = self._base()
        if len(names := _class_names(base, (base / "train").stat().st_mtime_ns)) < 2:
            raise ValueError(f"{base / 'train'} has fewer than two folders that are called like n01443537")
        return names

    def available(self) -> bool:
        return _find() is not None

    def _base(self) -> Path:
        base = _find()
        if base is None:
            looked = ", ".join(str(folder) for folder in data_folders())
            raise DataMissing(
                f"Tiny-ImageNet is not in {looked}: there is no tiny-imagenet-200/ with train/ and val/; unpack "
                "tiny-imagenet-200.zip (its terms are ImageNet's) there, or set TRIGGER_DATA to its folder"
            )
        return base

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        prefix_length(0, limit)
        base, classes = self._base(), self.classes
        files, sources = (self._train if split == "train" else self._val)(base)
        images, labels = read_listed(f"tiny-imagenet-{split}", files, sources, self.size, limit)
        return ImageSet(images, labels, classes, self.title)

    def _train(self, base: Path) -> tuple[list[tuple[Path, int]], list[Path]]:
        files: list[tuple[Path, int]] = []
        folders = []
        for label, number in enumerate(_numbers(base)):
            folder = base / "train" / number / "images"
            if not folder.is_dir():
                raise ValueError(f"there is no {folder}")
            folders.append(folder)
            files += [(path, label) for path in sorted(folder.iterdir()) if path.suffix.lower() in _IMAGES]
        return [files[place] for place in shuffled(len(files), 0)], folders

    def _val(self, base: Path) -> tuple[list[tuple[Path, int]], list[Path]]:
        table, folder = base / "val" / "val_annotations.txt", base / "val" / "images"
        labels = {number: label for label, number in enumerate(_numbers(base))}
        files = []
        for name, number, *_ in (parts for parts in _lines(table) if len(parts) > 1):
            if number not in labels:
                raise ValueError(
                    f"{table} has the class {number!r} for {name}, which has no folder in {base / 'train'}"
                )
            files.append((inside(folder, name, table), labels[number]))
        if not files:
            raise ValueError(f"{table} lists no image: without it the images of val have no labels")
        return files, [table, folder]
