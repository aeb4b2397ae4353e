"""What several test modules share: one thread, a tiny data set, and a folder of tiny images."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image
from squares import coloured_squares

from core.data import Dataset, ImageSet, datasets
from core.params import integer
from core.store.local import Store

# How long an example takes depends on what else the machine does.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Bit-for-bit comparisons need one number of threads, and tests share the machine with others; so do the processes that
# tests begin, which would wait for each other's threads.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# What tests wait for does not step back before other tests.
os.environ["TRIGGER_NICE"] = "0"


@pytest.fixture(autouse=True)
def _main_stays(monkeypatch):
    """A page that is run as a script takes the place of the main module, which new processes would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@dataclass(frozen=True, kw_only=True)
class Tiny(Dataset):
    """Three colours, 16 x 16, made in no time."""

    seed: int = integer(0, low=0, help="Seed of the noise.")
    count: int = integer(96, low=1, help="Training images.")

    name = "tiny"

    @property
    def classes(self):
        return ("red", "green", "blue")

    def available(self):
        return True

    def load(self, split, limit=None):
        images, labels = coloured_squares(
            self.count if split == "train" else 48, 2 * self.seed + (split == "test"), side=16
        )
        return ImageSet(images[:limit], labels[:limit], self.classes, self.title)


@pytest.fixture
def tiny(monkeypatch):
    """The tiny data set, registered for this test only, so that contract tests do not see it."""
    datasets.names()  # plugins are found first
    monkeypatch.setitem(datasets._classes, "tiny", Tiny)
    return Tiny()


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path / "checkpoints")


@pytest.fixture
def folder_of_images(tmp_path):
    """A folder data set of three colours, 12 images of 16 x 16 each; its path."""
    images, labels = coloured_squares(36, seed=5, side=16)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "colours" / ("red", "green", "blue")[int(label)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(folder / f"{number:03}.png")
    return tmp_path / "colours"
