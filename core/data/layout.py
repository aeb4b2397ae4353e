"""What the folders of a user's images mean: the two splits, classes, or neither.

Folders of data sets come as ``train`` and ``test``, ``Training`` and ``Testing``, ``train`` and ``valid``,
``seg_train`` and ``seg_test``, with ``val`` or ``Meta`` beside them, or with one folder per class and no splits. Splits
are told by their names, in any case, and by having folders inside. What looks like splits is used as splits or refused
in one sentence, but is never taken for classes.

>>> role_of("Training"), role_of("seg_test"), role_of("valid"), role_of("test_tube"), role_of("deer")
(('train', ''), ('test', 'seg'), ('val', ''), ('test', 'tube'), None)
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.data.reader import is_image

__all__ = ["Files", "Layout", "layout_of", "natural", "role_of"]

# Left behind by archivers, editors and network drives.
_IGNORED = frozenset({"__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information", "lost+found"})
_WORDS = {
    "train": ("train", "training", "trainval"),
    "test": ("test", "testing", "eval", "evaluation"),
    "val": ("val", "valid", "validation", "dev"),
}
# Words that say nothing about what a folder is a split of.
_FILLERS = ("set", "data", "dataset", "image", "images", "img", "imgs", "split", "folder", "dir")
_ROLES = {f"{word}{filler}": role for role, words in _WORDS.items() for word in words for filler in ("", *_FILLERS)}
_SPLITS = {"train": "a training set", "test": "a test set", "val": "a validation set"}
# Folders that hold what belongs to all classes, not one class.
_CONTAINERS = frozenset({"images", "image", "imgs", "img", "jpegimages", "data", "dataset"})
_MARKINGS = frozenset({"labels", "label", "masks", "mask", "annotations", "annotation", "groundtruth", "gt"})


@dataclass(frozen=True)
class Layout:
    """The classes of a folder of images, and where each split has theirs.

    Attributes:
        train: Name of a class to its folders in the training set, in label order; of all images where there is no test
            set. Two folders are one class where their names are two spellings of one in Unicode.
        test: The same for the test set; None where the folder is not divided.
        notes: What was left out, a sentence each.
    """

    train: dict[str, list[Path]]
    test: dict[str, list[Path]] | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Files:
    """The files of one class.

    Attributes:
        images: In an order that is the same on every machine.
        others: What is no image; hidden files are not among them.
    """

    images: list[Path]
    others: list[Path]

    @classmethod
    def of(cls, folders: list[Path]) -> Files:
        """The files in some folders and in those inside them."""
        images: list[Path] = []
        others: list[Path] = []
        for folder in folders:
            for path in sorted(_walk(folder), key=lambda path: path.relative_to(folder).as_posix()):
                (images if is_image(path) else others).append(path)
        return cls(images, others)


def natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """A key that sorts numbers in names by their value: 1, 2, 10, not 1, 10, 2.

    >>> sorted(["b", "10", "2", "a10", "a9", "a"], key=natural)
    ['2', '10', 'a', 'a9', 'a10', 'b']
    """
    parts = re.split(r"([0-9]+)", name)
    return [("", int(part)) if place % 2 else (part, 0) for place, part in enumerate(parts)], name


def role_of(name: str) -> tuple[str, str] | None:
    """Which split a folder's name tells, and the rest of the name; None where it tells none."""
    whole = re.sub(r"[\W\d_]+", "", name).casefold()
    if whole in _ROLES:
        return _ROLES[whole], ""
    words = [word.casefold() for word in re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])", name)]
    roles = {_ROLES[word] for word in words if word in _ROLES}
    rest = " ".join(word for word in words if word not in _ROLES and word not in _FILLERS)
    if len(roles) == 2:
        roles -= {"val"}  # train_val is what is trained on
    return (roles.pop(), rest) if len(roles) == 1 else None


def layout_of(root: Path) -> Layout:
    """Reads what the folders in ``root`` mean.

    Raises:
        ValueError: If it cannot be told, or there are fewer than two classes; one sentence.
    """
    folders = [folder for folder in _subfolders(root) if _has_images(folder)]
    pair = _pair(root, folders)
    if pair is None:
        _refuse_half(root, folders)
        classes, notes = _classes_in(root)
        _refuse_inner(classes)
        return Layout(classes, None, notes)
    train, test = pair
    notes = tuple(
        f"{folder.name} is left out: {train.name} is the training set and {test.name} is the test set"
        for folder in folders
        if folder not in pair
    )
    (train_classes, in_train), (test_classes, in_test) = (
        _classes_in(_inner(folder), least) for folder, least in zip(pair, (2, 1), strict=True)
    )
    if unknown := [name for name in test_classes if name not in train_classes]:
        raise ValueError(f"{test} has a class that {train} lacks: {', '.join(unknown)}")
    if lacking := [name for name in train_classes if name not in test_classes]:
        raise ValueError(f"class {lacking[0]} of {train} has no images in {test}")
    return Layout(train_classes, test_classes, (*notes, *in_train, *in_test))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _IGNORED


def _subfolders(folder: Path) -> list[Path]:
    visible = [entry for entry in folder.iterdir() if entry.is_dir() and not _hidden(entry.name)]
    return sorted(visible, key=lambda entry: natural(unicodedata.normalize("NFC", entry.name)))


def _walk(folder: Path) -> Iterator[Path]:
    """All files in a folder and in those inside it, but for hidden ones."""
    inner = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _hidden(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    inner.append(Path(entry.path))
                elif entry.is_file() or (
                    entry.is_symlink() and not entry.is_dir()
                ):  # a link to nothing is a broken file
                    yield Path(entry.path)
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror}") from error
    for inside in inner:
        yield from _walk(inside)


def _has_images(folder: Path) -> bool:
    return any(is_image(path) for path in _walk(folder))


def _loose(folder: Path) -> int:
    """How many images lie in a folder itself."""
    return sum(not _hidden(path.name) and path.is_file() and is_image(path) for path in folder.iterdir())


def _is_divided(folder: Path) -> bool:
    """Whether the images are in folders inside, as those of a split are."""
    return any(_has_images(inner) for inner in _subfolders(folder))


def _inner(split: Path) -> Path:
    """Where a split has its classes: archives often have a folder of the same name in it, or one called images."""
    inside = [folder for folder in _subfolders(split) if _has_images(folder)]
    if len(inside) != 1 or not _is_divided(inside[0]):
        return split
    name = inside[0].name.casefold()
    return _inner(inside[0]) if name == split.name.casefold() or name in _CONTAINERS else split


def _pair(root: Path, folders: list[Path]) -> tuple[Path, Path] | None:
    """The folders of the two splits; None where nothing looks like a pair of them.

    Raises:
        ValueError: If something does, but cannot be used.
    """
    by_rest: dict[str, dict[str, list[Path]]] = {}
    for folder in folders:
        if (role := role_of(folder.name)) is not None:
            by_rest.setdefault(role[1], {}).setdefault(role[0], []).append(folder)
    pairs = [roles for roles in by_rest.values() if len(roles) > 1]
    if not pairs:
        return None
    names = " and ".join(folder.name for roles in pairs for alike in roles.values() for folder in alike)
    splits = f"the folders {names} in {root} look like splits"
    if len(pairs) > 1:
        raise ValueError(f"{splits} of several data sets; put the two that are wanted into a folder of their own")
    for kind, alike in pairs[0].items():
        if len(alike) > 1:
            both = " and ".join(folder.name for folder in alike)
            raise ValueError(f"{both} in {root} each look like {_SPLITS[kind]}; leave one of them there")
    train, test, val = (pairs[0].get(kind, [None])[0] for kind in ("train", "test", "val"))
    if train is None:
        raise ValueError(f"{splits}, but there is no training set beside them; rename them if they are classes")
    held_out = next((folder for folder in (test, val) if folder is not None and _is_divided(folder)), None)
    if not _is_divided(train):
        raise ValueError(f"{splits}, but {train.name} has no folder per class; rename them if they are classes")
    if held_out is None:
        raise ValueError(
            f"{splits}, but {(test or val or train).name} has no folder per class; "
            f"name {train} to have a fifth of it held out instead"
        )
    return train, held_out


def _refuse_half(root: Path, folders: list[Path]) -> None:
    """Raises:
    ValueError: If one folder looks like a split, by its whole name and by what is in it, and none like the other.
    """
    for folder in folders:
        role = role_of(folder.name)
        # Where it holds images itself it is a class: a railway train.
        if role is None or role[1] or not _is_divided(folder) or _loose(folder):
            continue
        other = _SPLITS["test" if role[0] == "train" else "train"]
        hint = f"name {folder} to have a fifth of it held out, or " if role[0] == "train" else ""
        raise ValueError(
            f"{folder.name} in {root} looks like {_SPLITS[role[0]]}, but {other} is not there; "
            f"{hint}rename it if it is a class"
        )


def _refuse_inner(classes: dict[str, list[Path]]) -> None:
    """Raises:
    ValueError: If the splits are inside the classes.
    """
    for folder in [folder for folders in classes.values() for folder in folders]:
        roles: dict[str, str] = {}
        for inside in _subfolders(folder):
            if (role := role_of(inside.name)) is not None and not role[1]:
                roles[role[0]] = inside.name
        if len(roles) > 1:
            raise ValueError(
                f"{folder} holds {' and '.join(roles.values())}: "
                "splits are needed above the classes, with a folder per class in each"
            )


def _classes_in(folder: Path, least: int = 2) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Class names, each with its folders, in label order, and what was left out.

    Raises:
        ValueError: If there are fewer than ``least``, or they do not look like classes.
    """
    classes: dict[str, list[Path]] = {}
    empty = []
    for inside in _subfolders(folder):
        if _has_images(inside):
            if any(unicodedata.category(character) in ("Cc", "Cs") for character in inside.name):
                raise ValueError(f"{folder} has a class whose name has control characters: {inside.name!r}; rename it")
            classes.setdefault(unicodedata.normalize("NFC", inside.name), []).append(inside)
        else:
            empty.append(inside.name)
    without = f" (no images are in {', '.join(empty)})" if empty else ""
    if not classes:
        raise ValueError(f"{folder} has no folders{' with images' * bool(empty)}; it needs one per class{without}")
    if len(classes) < least:
        ((name, (only, *_)),) = classes.items()
        hint = f"; if the classes are in it, name {only}" if _is_divided(only) else ""
        raise ValueError(f"{folder} has one class, {name}; it needs at least 2{without}{hint}")
    if least > 1 and all(name.casefold() in _CONTAINERS | _MARKINGS for name in classes):
        raise ValueError(f"{', '.join(classes)} in {folder} do not look like classes; it needs one folder per class")
    for name, (first, *_) in classes.items():
        if name.casefold() in _CONTAINERS and _is_divided(first) and not _loose(first):
            raise ValueError(
                f"{first} does not look like a class: its images are in folders; name it if they are classes"
            )
    notes = [f"folders of {folder.name} without images, which are no classes: {', '.join(empty)}"] if empty else []
    if loose := _loose(folder):
        notes.append(f"images left out because they lie in {folder.name}, beside the folders of its classes: {loose}")
    return classes, tuple(notes)
