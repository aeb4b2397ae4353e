# ruff: noqa: SIM905
"""CIFAR-100, from torchvision's archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from core.data.batches import read_batch
from core.data.fetching import Archive, fetch_archives
from core.data.images import DataMissing, Dataset, ImageSet, Split, data_folders, datasets, prefix_length

__all__ = ["CLASSES", "Cifar100"]

CLASSES = tuple(
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm".split()
)
FOLDER = "cifar-100-python"


def published(split: Split) -> tuple[str, str]:
    """Name and MD5 of a split's batch, as torchvision publishes them."""
    from torchvision.datasets import CIFAR100  # a second to import

    ((name, md5),) = CIFAR100.train_list if split == "train" else CIFAR100.test_list
    return name, md5


def _find(split: Split) -> Path | None:
    places = (folder / FOLDER / split for folder in data_folders())
    return next((place for place in places if place.is_file()), None)


@datasets.register("cifar100")
@dataclass(frozen=True, kw_only=True)
class Cifar100(Dataset):
    """CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 photographs, 32 x 32 RGB, a hundred classes (the fine labels).

    Looked for as ``cifar-100-python/`` (torchvision's: ``train`` and ``test`` in it) in ``$TRIGGER_DATA``, ``./data``
    and the user's cache. The files are pickles: they are read only if their bytes are the published ones. Parquet files
    of the same images are read by ``parquet:PATH``.
    """

    label: ClassVar[str] = "CIFAR-100"
    download_size: ClassVar[str] = "170 MB"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, 32, 32)

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def available(self) -> bool:
        return _find("train") is not None and _find("test") is not None

    def load(self, split: Split, limit: int | None = None) -> ImageSet:
        prefix_length(0, limit)
        path = _find(split)
        if path is None:
            looked = ", ".join(str(folder) for folder in data_folders())
            raise DataMissing(
                f"CIFAR-100 ({split}) is not in {looked}: there is no {FOLDER}/{split}; download it, or set "
                "TRIGGER_DATA to the folder that holds it"
            )
        name, md5 = published(split)
        pixels, labels = read_batch(path.read_bytes(), md5, name, self.label, b"fine_labels")
        count = prefix_length(len(labels), limit)
        images = torch.from_numpy(pixels[:count].reshape(-1, 3, 32, 32).copy())
        return ImageSet(images, torch.tensor(labels[:count], dtype=torch.int64), CLASSES, self.title)

    def download(self, progress: Callable[[float], None] | None = None) -> None:
        from torchvision.datasets import CIFAR100

        fetch_archives([Archive(CIFAR100.url, CIFAR100.tgz_md5)], self.label, progress)
