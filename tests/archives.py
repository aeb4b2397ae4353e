"""Small data sets in the layouts that the real ones have, with a few images of each class."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

KINDS = ("gtsrb", "cifar100", "mnist", "fashion-mnist", "tiny-imagenet")
NUMBERS = ("n01443537", "n01629819", "n02124075")


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def gtsrb_torchvision(folder: Path) -> None:
    """``gtsrb/GTSRB/Training/00000/*.ppm`` with a list in each, ``Final_Test/Images`` and ``GT-final_test.csv``."""
    base = folder / "gtsrb"
    for label in range(43):
        for number in range(2):
            name = f"00000_{number:05d}.ppm"
            save(base / f"GTSRB/Training/{label:05d}" / name, pixels(label * 2 + number, 20 + label, 25, 3))
        (base / f"GTSRB/Training/{label:05d}/GT-{label:05d}.csv").write_text("Filename;Width;Height\n")
    lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number in range(12):
        save(base / f"GTSRB/Final_Test/Images/{number:05d}.ppm", pixels(100 + number, 31, 40 + number, 3))
        lines.append(f"{number:05d}.ppm;{40 + number};31;5;5;30;25;{number * 7 % 43}")
    (base / "GT-final_test.csv").write_text("\r\n".join(lines) + "\r\n")


def gtsrb_kaggle(folder: Path) -> None:
    """``gtsrb/Train/0/*.png``, ``Test/*.png``, ``Train.csv``, ``Test.csv``, ``Meta/`` and ``Meta.csv``."""
    base = folder / "gtsrb"
    for label in range(43):
        for number in range(2):
            name = f"{label:05d}_00000_{number:05d}.png"
            save(base / f"Train/{label}" / name, pixels(label * 2 + number, 20 + label, 25, 3))
    with (base / "Test.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId", "Path"])
        for number in range(12):
            save(base / f"Test/{number:05d}.png", pixels(100 + number, 31, 40 + number, 3))
            writer.writerow([40 + number, 31, 5, 5, 30, 25, number * 7 % 43, f"Test/{number:05d}.png"])
    save(base / "Meta/0.png", pixels(1, 9, 9, 3))


class _Python2(pickle._Pickler):
    """Writes byte strings as Python 2 did, which wrote the published files."""

    def _bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: _bytes}


def pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    _Python2(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def cifar100(folder: Path) -> dict[str, str]:
    """``cifar-100-python/train``, ``test`` and ``meta``; returns the MD5 of each file."""
    base, sums = folder / "cifar-100-python", {}
    base.mkdir(parents=True)
    names = [f"fine{number:02d}" for number in range(100)]
    for seed, split in enumerate(("train", "test")):
        fine = [int(label) for label in np.random.default_rng(seed).integers(0, 100, 30)]
        batch = {
            b"filenames": [b"a.png"] * 30,
            b"batch_label": b"training batch 1 of 1",
            b"fine_labels": fine,
            b"coarse_labels": [label // 5 for label in fine],
            b"data": pixels(seed, 30, 3072),
        }
        (base / split).write_bytes(pickled(batch))
    (base / "meta").write_bytes(pickled({b"fine_label_names": [name.encode() for name in names]}))
    for name in ("train", "test", "meta"):
        sums[name] = hashlib.md5((base / name).read_bytes(), usedforsecurity=False).hexdigest()
    return sums


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist(folder: Path, name: str = "MNIST", packed: bool = False) -> None:
    """``MNIST/raw/train-images-idx3-ubyte`` and its like."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for seed, prefix in enumerate(("train", "t10k")):
        labels = np.arange(20, dtype=np.uint8) % 10
        for kind, content in (("images-idx3", idx(pixels(seed, 20, 28, 28))), ("labels-idx1", idx(labels))):
            path = raw / f"{prefix}-{kind}-ubyte{'.gz' * packed}"
            path.write_bytes(gzip.compress(content) if packed else content)


def tiny_imagenet(folder: Path) -> None:
    """``tiny-imagenet-200/``: ``train/<number>/images``, ``val/images``, ``val_annotations.txt``, two word lists."""
    base = folder / "tiny-imagenet-200"
    for label, number in enumerate(NUMBERS):
        for at in range(4):
            save(base / f"train/{number}/images/{number}_{at}.JPEG", pixels(label * 9 + at, 64, 64, 3))
        (base / f"train/{number}/{number}_boxes.txt").write_text(f"{number}_0.JPEG\t0\t10\t63\t58\n")
    lines = []
    for at in range(9):  # the last one is gray, as some are
        shape = (64, 64) if at == 8 else (64, 64, 3)
        save(base / f"val/images/val_{at}.JPEG", pixels(90 + at, *shape))
        lines.append(f"val_{at}.JPEG\t{NUMBERS[at * 2 % 3]}\t0\t32\t44\t62")
    (base / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
    (base / "wnids.txt").write_text("\n".join(reversed(NUMBERS)) + "\n")
    words = ("goldfish, Carassius auratus", "salamander", "salamander, European fire salamander")
    rows = zip((*NUMBERS, "n99999999"), (*words, "not one of them"), strict=True)
    (base / "words.txt").write_text("".join(f"{number}\t{word}\n" for number, word in rows))


def make(kind: str, folder: Path, monkeypatch) -> None:
    """Makes one of :data:`KINDS` in a folder; the sums of CIFAR-100 become the published ones."""
    if kind == "gtsrb":
        gtsrb_torchvision(folder)
    elif kind == "cifar100":
        sums = cifar100(folder)
        monkeypatch.setattr("core.data.cifar100.published", lambda split: (split, sums[split]))
    elif kind == "tiny-imagenet":
        tiny_imagenet(folder)
    else:
        mnist(folder, {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[kind])


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(
    path: Path,
    labels: list[int],
    names: list[str] | None,
    *,
    seed: int = 0,
    side: int = 24,
    kind: str = "PNG",
    column: str = "label",
    image: str = "image",
    more: dict[str, list] | None = None,
    group: int | None = None,
) -> np.ndarray:
    """One file as Hugging Face writes them; returns its images ``(n, side, side, 3)``."""
    images = pixels(seed, len(labels), side, side, 3)
    cells = [{"bytes": encoded(one, kind), "path": f"{at}.png"} for at, one in enumerate(images)]
    table = pyarrow.table({image: cells, column: pyarrow.array(labels, pyarrow.int64()), **(more or {})})
    features = {image: {"_type": "Image"}}
    features |= {column: {"names": names, "_type": "ClassLabel"} if names else {"dtype": "int64", "_type": "Value"}}
    described = json.dumps({"info": {"features": features}})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.replace_schema_metadata({"huggingface": described}), path, row_group_size=group)
    return images
