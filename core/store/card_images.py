"""The images that a stored model was trained and measured on: found, checked against its card, and read.

Everything that measures a stored model reads its data here. A folder that was moved can be named anew; its new place is
remembered in ``moved.json`` in the user's cache, for the models of those images only, and no card is written again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from core.data import DataMissing, Dataset, ImageSet, Split, cache_folder
from core.params import params_of
from core.runtime.atomic_files import write_atomically
from core.schemas.base import read_json
from core.store.card import BEGINNING, Card

__all__ = ["OtherData", "at", "data_set_of", "images_of", "is_folder", "name_anew", "other_images", "same_kind"]

SHOWN = 12  # class names in a message


class OtherData(ValueError):
    """Data that are not of the kind a model was trained on; the text names what both are."""


def data_set_of(card: Card) -> Dataset:
    """The data set of a model, where it is now: a folder named anew if it is there, else as the card says."""
    dataset = card.dataset_object
    new = _moved().get(_name(card, dataset)) if is_folder(dataset) else None
    if new is None:
        return dataset
    try:
        return at(dataset, new)
    except (DataMissing, ValueError):  # moved once more, or the memory is damaged
        return dataset


def at(dataset: Dataset, path: Path | str) -> Dataset:
    """A data set that is a folder, at another place.

    Raises:
        DataMissing: If there is no such folder.
        ValueError: If the data set is no folder, or the path is not allowed.
    """
    if not is_folder(dataset):
        raise ValueError(f"data = {str(path)!r} is not allowed: {dataset.spec} is no folder that could be elsewhere")
    moved = type(dataset).from_dict({**dataset.to_dict(), "path": str(path)})
    if not moved.available():
        raise DataMissing(f"there is no folder {moved.to_dict()['path'] or repr(str(path))}")
    return moved


def images_of(card: Card, split: Split, limit: int | None = None) -> ImageSet:
    """Reads images of a model's data set.

    Args:
        card: The model's card.
        split: ``"train"`` or ``"test"``.
        limit: Only the first ``limit`` images.

    Raises:
        DataMissing: If the data are not on this machine.
        OtherData: If they have other classes, or another shape, than the model was trained on.
        ValueError: If they cannot be read.
    """
    dataset = data_set_of(card)
    if is_folder(dataset) and not dataset.available():
        place = dataset.to_dict()["path"]
        raise DataMissing(
            f"there is no folder {place}, whose images {card.key} was trained on; if it was moved, --data PATH (or a "
            "page that measures the model) takes its new place"
        )
    # Before anything is decoded: thousands of larger images would take minutes and gigabytes.
    _check_shape(card, dataset, dataset.shape)
    _check_classes(card, dataset)
    images = dataset.load(split, limit)
    if images.classes != card.classes:  # changed while it was read
        _check_classes(card, dataset)
    _check_shape(card, dataset, images.shape)
    return images


def name_anew(card: Card, path: Path | str) -> Dataset:
    """Says where the folder of a model's images is now, and remembers it.

    Args:
        card: The model's card.
        path: The folder; the one that the card names takes the memory back.

    Raises:
        DataMissing: If there is no such folder.
        OtherData: If it has other classes than the model was trained on.
        ValueError: If the data set is no folder, or the path is not allowed.
        OSError: If it cannot be remembered.
    """
    dataset = card.dataset_object
    moved = at(dataset, path)
    _check_classes(card, moved)
    remembered = {name: place for name, place in _moved().items() if name != _name(card, dataset)}
    if moved != dataset:
        remembered[_name(card, dataset)] = str(moved.to_dict()["path"])
    write_atomically(_memory(), json.dumps(remembered, indent=1).encode())
    return moved


def other_images(card: Card, test: ImageSet) -> str:
    """What is to be said if test images are not those that a card's rates were measured on; nothing if they are.

    Args:
        card: The model's card.
        test: The whole test set of a model, or at least its first :data:`core.store.card.BEGINNING` images.
    """
    if len(test) == card.clean_accuracy.total:
        same = test.fingerprint == card.test
    elif card.beginning and len(test) == BEGINNING:
        same = test.fingerprint == card.beginning
    else:
        # Where the card knows nothing of the first images, their number may tell, or how they were stored.
        same = test.encoding == card.encoding and BEGINNING <= len(test) < card.clean_accuracy.total
    if same:
        return ""
    encodings = f" ({test.encoding}, not {card.encoding})" if test.encoding != card.encoding else ""
    return f"the test images here are not those that {card.key} was measured on{encodings}: rates are of other images"


def same_kind(first: Card, second: Card) -> bool:
    """Whether two models can be measured on the same images: equal classes in equal order, equal shape."""
    return (first.classes, first.shape) == (second.classes, second.shape)


def _check_shape(card: Card, dataset: Dataset, shape: tuple[int, int, int] | None) -> None:
    if shape is not None and shape != card.shape:
        now, then = (" x ".join(map(str, sides)) for sides in (shape, card.shape))
        raise OtherData(
            f"images of {_described(dataset)} are {now} (channels, rows, columns), but {card.key} was trained on {then}"
        )


def _check_classes(card: Card, dataset: Dataset) -> None:
    now = dataset.classes
    if now != card.classes:
        raise OtherData(
            f"{_described(dataset)} has the classes {_listed(now, card.classes)}, but {card.key} was trained on "
            f"{_listed(card.classes, now)}"
        )


def _listed(classes: Sequence[str], others: Sequence[str]) -> str:
    """Class names; of many, those that the other list lacks come first."""
    if len(classes) <= SHOWN:
        return ", ".join(classes)
    first = sorted(classes, key=lambda name: name in others)[:SHOWN]
    return f"{', '.join(first)} and {len(classes) - SHOWN} more"


def _described(dataset: Dataset) -> str:
    return f"the folder {dataset.to_dict()['path']}" if is_folder(dataset) else dataset.spec


def is_folder(dataset: Dataset) -> bool:
    """Whether a data set is a folder that can be elsewhere."""
    return "path" in params_of(type(dataset))


def _name(card: Card, dataset: Dataset) -> str:
    # With the images' fingerprint: a model that is trained on other images at the old place finds them there.
    return f"{card.test} {dataset.to_dict()['path']}"


def _memory() -> Path:
    return cache_folder() / "moved.json"


def _moved() -> dict[str, str]:
    """New places by the name of what was moved; nothing where the memory is damaged."""
    try:
        values = read_json(_memory())
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in values.items() if isinstance(v, str)} if isinstance(values, dict) else {}
