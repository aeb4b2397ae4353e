"""GTSRB, the German Traffic Sign Recognition Benchmark, as torchvision, Kaggle or BackdoorBench lay it out."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from core.data.decoding import shuffled
from core.data.fetching import Archive, fetch_archives
from core.data.images import DataMissing, ImageSet, Split, data_folders, datasets, prefix_length
from core.data.listed import Resized, inside, read_listed
from core.params import integer

__all__ = ["CLASSES", "Gtsrb"]

CLASSES = (
    *(f"Speed limit ({speed}km/h)" for speed in (20, 30, 50, 60, 70, 80)),
    "End of speed limit (80km/h)",
    "Speed limit (100km/h)",
    "Speed limit (120km/h)",
    "No passing",
    "No passing for vehicles over 3.5 metric tons",
    "Right-of-way at the next intersection",
    "Priority road",
    "Yield",
    "Stop",
    "No vehicles",
    "Vehicles over 3.5 metric tons prohibited",
    "No entry",
    "General caution",
    "Dangerous curve to the left",
    "Dangerous curve to the right",
    "Double curve",
    "Bumpy road",
    "Slippery road",
    "Road narrows on the right",
    "Road work",
    "Traffic signals",
    "Pedestrians",
    "Children crossing",
    "Bicycles crossing",
    "Beware of ice/snow",
    "Wild animals crossing",
    "End of all speed and passing limits",
    "Turn right ahead",
    "Turn left ahead",
    "Ahead only",
    "Go straight or right",
    "Go straight or left",
    "Keep right",
    "Keep left",
    "Roundabout mandatory",
    "End of no passing",
    "End of no passing by vehicles over 3.5 metric tons",
)
# What torchvision fetches; it keeps the addresses inside a function.
HOST = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
ARCHIVES = (
    Archive(f"{HOST}GTSRB-Training_fixed.zip", "513f3c79a4c5141765e10e952eaa2478", "gtsrb", 187),
    Archive(f"{HOST}GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185", "gtsrb", 89),
    Archive(f"{HOST}GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5", "gtsrb", 0.1),
)
_BASES = ("gtsrb", "GTSRB")
_TRAIN = ("GTSRB/Training", "GTSRB/Final_Training/Images", "Final_Training/Images", "Training", "Train", "train")
# Where the list of the test images is, and where the files are that it names.
_TEST = (
    ("GT-final_test.csv", "GTSRB/Final_Test/Images"),
    ("GTSRB/Final_Test/Images/GT-final_test.csv", "GTSRB/Final_Test/Images"),
    ("GT-final_test.csv", "Final_Test/Images"),
    ("Final_Test/Images/GT-final_test.csv", "Final_Test/Images"),
    ("Test.csv", "."),
    ("Test/GT-final_test.csv", "Test"),
)
_IMAGES = frozenset({".ppm", ".png"})
_TEXT = 16 << 20  # bytes of a list of files


def _bases() -> list[Path]:
    return [folder / name for folder in data_folders() for name in _BASES if (folder / name).is_dir()]


def _classes_of(folder: Path) -> dict[int, Path]:
    """Folders of the classes by label: called ``0`` by Kaggle and ``00000`` by everybody else."""
    if not folder.is_dir():
        return {}
    named = [child for child in folder.iterdir() if child.name.isascii() and child.name.isdigit() and child.is_dir()]
    return {int(child.name): child for child in sorted(named) if int(child.name) < len(CLASSES)}


def _find_train() -> dict[int, Path]:
    candidates = (_classes_of(base / inner) for base in _bases() for inner in _TRAIN)
    return next((classes for classes in candidates if classes), {})


def _find_test() -> tuple[Path, Path] | None:
    """The list of the test images, and the folder where they are."""
    for base in _bases():
        for table, images in _TEST:
            if (base / table).is_file() and (base / images).is_dir():
                return base / table, base / images
    return None


def read_table(table: Path, folder: Path) -> list[tuple[Path, int]]:
    """Files and labels of a list: columns ``Filename`` or ``Path``, and ``ClassId``.

    Raises:
        ValueError: If a column is missing, a label is no class, or a name leads out of the folder.
    """
    if table.stat().st_size > _TEXT:
        raise ValueError(f"{table} is larger than {_TEXT >> 20} MB")
    text = table.read_text(encoding="utf-8-sig", errors="replace")
    rows = csv.DictReader(
        text.splitlines(), delimiter=";" if ";" in text.partition("\n")[0] else ",", skipinitialspace=True
    )
    names = rows.fieldnames or []
    column = next((name for name in ("Filename", "Path") if name in names), None)
    if column is None or "ClassId" not in names:
        raise ValueError(f"{table} lacks the columns Filename (or Path) and ClassId: without them images have no label")
    files = []
    for row in rows:
        label = (row["ClassId"] or "").strip()
        if not (label.isascii() and label.isdigit() and int(label) < len(CLASSES)):
            raise ValueError(f"{table} has the label {label!r} for {row[column]}: 0 to {len(CLASSES) - 1} are allowed")
        files.append((inside(folder, row[column] or "", table), int(label)))
    return files


@datasets.register("gtsrb")
@dataclass(frozen=True, kw_only=True)
class Gtsrb(Resized):
    """GTSRB (Stallkamp et al. 2012): 43 traffic signs, photographs of 15 to 250 pixels, both sides resized to 32.

    Looked for as ``gtsrb/`` or ``GTSRB/`` in ``$TRIGGER_DATA``, ``./data`` and the user's cache. In it, of PPM or PNG:
    torchvision's ``GTSRB/Training/00000/``, ``GTSRB/Final_Test/Images/`` and ``GT-final_test.csv``; Kaggle's
    ``Train/0/``, ``Test/`` and ``Test.csv``; or BackdoorBench's ``Train/00000/`` and ``Test/GT-final_test.csv``.
    Training images come in a fixed shuffled order, so that the first few are of many classes; test images as listed.
    """

    label: ClassVar[str] = "GTSRB"
    download_size: ClassVar[str] = "280 MB"
    usual: ClassVar[int] = 32

    size: int = integer(usual, low=8, high=512, help="Side that images are resized to.", unit="pixels")

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def available(self) -> bool:
        return bool(_find_train()) and _find_test() is not None

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        prefix_length(0, limit)
        files, sources = self._train() if split == "train" else self._test()
        images, labels = read_listed(f"gtsrb-{split}", files, sources, self.size, limit)
        return ImageSet(images, labels, CLASSES, self.title)

    def _train(self) -> tuple[list[tuple[Path, int]], list[Path]]:
        folders = _find_train()
        if not folders:
            raise self._missing("train", "neither GTSRB/Training/00000/ nor Train/0/ with its images")
        if lacking := [label for label in range(len(CLASSES)) if label not in folders]:
            raise ValueError(f"{next(iter(folders.values())).parent} has no folder of class {lacking[0]} of 43")
        files = [
            (path, label)
            for label, folder in sorted(folders.items())
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in _IMAGES
        ]
        return [files[place] for place in shuffled(len(files), 0)], list(folders.values())

    def _test(self) -> tuple[list[tuple[Path, int]], list[Path]]:
        place = _find_test()
        if place is None:
            raise self._missing(
                "test", "neither GTSRB/Final_Test/Images/ with GT-final_test.csv nor Test/ with Test.csv"
            )
        table, folder = place
        return read_table(table, folder), [table, folder]

    def _missing(self, split: Split, lacking: str) -> DataMissing:
        looked = ", ".join(f"{folder}/gtsrb" for folder in data_folders())
        return DataMissing(
            f"GTSRB ({split}) is not in {looked}: {lacking}; download it, or set TRIGGER_DATA to the folder that holds "
            "gtsrb/"
        )

    def download(self, progress: Callable[[float], None] | None = None) -> None:
        fetch_archives(ARCHIVES, self.label, progress)
