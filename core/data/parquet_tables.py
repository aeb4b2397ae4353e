"""Reads what parquet files in the layout of Hugging Face hold: which column is what, class names, rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.images import DataMissing
from core.data.layout import role_of

__all__ = ["Table", "files_of", "read_rows", "table_of"]

BATCH = 256  # rows whose encoded images are in memory at once
MOST_FILES = 10_000
MOST_CLASSES = 100_000
# A data set with coarse and fine labels means the fine ones.
_PREFERRED = ("label", "labels", "fine_label", "target", "class")


@dataclass(frozen=True)
class Table:
    """The files of one split.

    Attributes:
        files: In order.
        image_column: Name of the column with the images.
        label_column: Name of the column with the labels.
        classes: Class names; the numbers themselves where the files name none.
        named: Whether the files name the classes.
        labels: Of every row of all files, int64.
    """

    files: tuple[Path, ...]
    image_column: str
    label_column: str
    classes: tuple[str, ...]
    named: bool
    labels: NDArray[np.int64]


def reader() -> ModuleType:
    """The package that reads parquet files.

    Raises:
        DataMissing: If it is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataMissing(
            "parquet files are read by the package pyarrow, which is not installed: "
            "pip install trigger-sensitivity[parquet]"
        ) from None
    module: ModuleType = parquet
    return module


def files_of(path: Path) -> dict[str, list[Path]]:
    """The parquet files of each split, ``train``, ``test`` and ``val``; what names no split is ``train``.

    Raises:
        ValueError: If there is none, or there are those of several data sets.
    """
    if path.is_file():
        return {"train": [path]}
    found = sorted(one for one in path.rglob("*.parquet") if not one.name.startswith("."))
    if not found:
        raise ValueError(f"{path} holds no parquet file")
    if len(found) > MOST_FILES:
        raise ValueError(f"{path} holds {len(found)} parquet files: at most {MOST_FILES} are read")
    splits: dict[tuple[Path, str], dict[str, list[Path]]] = {}
    for one in found:
        stem = re.sub(r"-[0-9]+-of-[0-9]+.*$|[-_.]?[0-9]+$", "", one.stem)
        role, place = role_of(stem), one.parent
        if role is None and one.parent != path:
            role = role_of(one.parent.name)
            place = one.parent.parent if role is not None else one.parent
        kind, rest = role or ("train", "")
        splits.setdefault((place, rest), {}).setdefault(kind, []).append(one)
    if len(splits) > 1:
        places = ", ".join(sorted({str(place) for place, _ in splits})[:3])
        raise ValueError(f"{path} holds the parquet files of several data sets ({places}); name one of them")
    ((_, by_role),) = splits.items()
    if "train" not in by_role:
        raise ValueError(f"{path} holds no parquet file of a training set, such as train-00000-of-00001.parquet")
    return by_role


def table_of(files: list[Path], column: str = "") -> Table:
    """Finds the columns by their types and reads the labels.

    Args:
        files: Of one split.
        column: Column of the labels; empty to find it.

    Raises:
        DataMissing: If the package that reads them is not installed.
        ValueError: If the files cannot be read, or it cannot be told which column is what.
    """
    parquet = reader()
    import pyarrow

    try:
        schema = parquet.read_schema(files[0])
        image_column = _image_column(schema, files[0])
        label_column = _label_column(schema, files[0], column)
        parts = []
        for path in files:
            read = parquet.read_table(path, columns=[label_column]).column(label_column)
            parts.append(np.asarray(read.cast(pyarrow.int64()).fill_null(-1).to_numpy(), dtype=np.int64))
    except (pyarrow.ArrowException, KeyError, OSError) as error:
        raise ValueError(f"{files[0].parent} cannot be read as parquet files of images: {error}") from error
    labels = np.concatenate(parts)
    names = _features(schema).get(label_column, {}).get("names")
    named = isinstance(names, list) and len(names) > 0 and all(isinstance(name, str) for name in names)
    highest = int(labels.max()) if len(labels) else -1
    if highest >= MOST_CLASSES:
        raise ValueError(f"column {label_column} of {files[0]} goes up to {highest}: these are no classes")
    classes = tuple(names) if named and names is not None else tuple(str(label) for label in range(highest + 1))
    if highest >= len(classes):
        raise ValueError(
            f"column {label_column} of {files[0]} goes up to {highest}, and {len(classes)} classes are named"
        )
    return Table(tuple(files), image_column, label_column, classes, named, labels)


def read_rows(table: Table, rows: NDArray[np.int64]) -> Iterator[list[tuple[int, bytes, str]]]:
    """Encoded images of some rows, a batch at a time: number of the row, bytes, and where they are from.

    Args:
        table: The files.
        rows: Numbers of rows over all files, ascending.

    Raises:
        ValueError: If the files cannot be read, or an image is kept in another file.
    """
    parquet = reader()
    import pyarrow

    start = 0
    try:
        for path in table.files:
            with parquet.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    end = start + file.metadata.row_group(group).num_rows
                    if np.searchsorted(rows, start) == np.searchsorted(rows, end):
                        start = end  # none of it is wanted
                        continue
                    for batch in file.iter_batches(BATCH, row_groups=[group], columns=[table.image_column]):
                        after = start + batch.num_rows
                        wanted = rows[np.searchsorted(rows, start) : np.searchsorted(rows, after)]
                        if len(wanted):
                            yield _contents(batch.column(0), wanted, start, path, table.image_column)
                        start = after
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{table.files[0].parent} cannot be read as parquet files of images: {error}") from error


def _contents(
    column: Any, wanted: NDArray[np.int64], start: int, path: Path, name: str
) -> list[tuple[int, bytes, str]]:
    import pyarrow

    chosen = column.take(pyarrow.array(wanted - start))
    encoded = chosen.field("bytes") if pyarrow.types.is_struct(chosen.type) else chosen
    contents = []
    for row, content in zip(wanted.tolist(), encoded.to_pylist(), strict=True):
        where = f"image {row} of {path}"
        if not content:
            raise ValueError(f"{where} is not in column {name}: images kept in other files are not read")
        contents.append((row, content, where))
    return contents


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """What the schema says of its columns in Hugging Face's words; nothing where it is damaged or missing."""
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return (
        {name: feature for name, feature in described.items() if isinstance(feature, dict)}
        if isinstance(described, dict)
        else {}
    )


def _image_column(schema: Any, path: Path) -> str:
    import pyarrow

    def is_binary(kind: Any) -> bool:
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    features = _features(schema)
    found = []
    for field in schema:
        inner = {one.name: one.type for one in field.type} if pyarrow.types.is_struct(field.type) else {}
        declared = features.get(field.name, {}).get("_type") == "Image"
        if is_binary(inner.get("bytes")) if inner else declared and is_binary(field.type):
            found.append(field.name)
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise ValueError(f"{path} has no column of images, which is a struct with bytes and path: {_shown(schema)}")
    preferred = [name for name in ("image", "img") if name in found]
    if preferred:
        return preferred[0]
    raise ValueError(f"{path} has several columns of images: {', '.join(found)}")


def _label_column(schema: Any, path: Path, column: str) -> str:
    import pyarrow

    features = _features(schema)
    integers = [field.name for field in schema if pyarrow.types.is_integer(field.type)]
    if column:
        if column not in integers:
            raise ValueError(
                f"column = {column!r} is not allowed: the integers in {path} are {', '.join(integers) or 'none'}"
            )
        return column
    declared = [name for name in integers if features.get(name, {}).get("_type") == "ClassLabel"]
    candidates = declared or integers
    if len(candidates) == 1:
        return str(candidates[0])
    for name in _PREFERRED:
        if name in candidates:
            return name
    if candidates:
        raise ValueError(f"{path} has several columns of labels, {', '.join(candidates)}; name one with column")
    raise ValueError(f"{path} has no column of labels, which is of integers: {_shown(schema)}")


def _shown(schema: Any) -> str:
    return "it has " + ", ".join(f"{field.name} ({str(field.type)[:40]})" for field in list(schema)[:12])
