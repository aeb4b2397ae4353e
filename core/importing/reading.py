"""Reads files of models that somebody else made, without running what is in them.

A file of ``torch.save`` is a pickle, which can run anything when it is read. Here only ``torch.load`` with
``weights_only=True`` reads it: a reader that builds tensors, numbers, texts and containers, and the few NumPy classes
that plain arrays need. What is known and not needed (a PIL image, parsed command-line options) is replaced by a
:class:`StandIn` that keeps what it is given and does nothing; anything else is refused by its name. Safetensors files
hold tensors only.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from core.schemas.base import json_of, read_bytes

__all__ = ["LARGEST", "Contents", "StandIn", "read_model", "readable"]

LARGEST = 4 * 2**30
"""Bytes of a file, also once it is unpacked."""
MOST_NUMBERS = 2**30
"""Numbers in all tensors of a file."""
MOST_STAND_INS = 100

# What is not needed of a file, so that its name may stand for it. Nothing of these modules is imported or called.
REPLACED = re.compile(
    r"PIL\.\w+(\.\w+)?|argparse\.Namespace|easydict\.EasyDict|pathlib\.\w+|yacs\.config\.CfgNode|"
    r"omegaconf\.[\w.]+|addict\.addict\.Dict|numpy\.random\.[\w.]+"
)
_UNSUPPORTED = re.compile(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL|Blocked module|unsafe global) ([\w.]+)")


def readable(name: str) -> str:
    """A name out of a file, short and in one line.

    >>> readable("fc\\n.weight"), len(readable("x" * 5000))
    ('fc?.weight', 60)
    """
    return "".join(letter if letter.isprintable() else "?" for letter in name[:60])


class StandIn:
    """In the place of an object that is not needed: keeps what it is given, does nothing."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *arguments: Any, **_: Any) -> StandIn:
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        values: Tensors, numbers, texts, containers, stand-ins.
        file: Its name.
        folder: The folder it lies in.
        sha256: Of its bytes, 64 hex digits.
        kind: How it is written: ``torch.save``, ``torch.save (legacy)`` or ``safetensors``.
        configuration: Of a Hugging Face folder: its ``config.json``.
    """

    values: Any
    file: str
    folder: Path
    sha256: str
    kind: str
    configuration: Mapping[str, Any] | None = None


def read_model(path: Path, largest: int = LARGEST) -> Contents:
    """Reads a file, or a folder with ``config.json`` and ``model.safetensors`` as Hugging Face has it.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is too large, damaged, or asks for objects that are not data; one sentence.
    """
    if path.is_dir():
        return _read_folder(path, largest)
    size = path.stat().st_size
    if size > largest:
        raise ValueError(f"{path.name} has {size / 2**20:.0f} MiB: at most {largest // 2**20} are read")
    if size == 0:
        raise ValueError(f"{path.name} is empty")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if path.suffix == ".safetensors":
        return Contents(_safetensors(path), path.name, path.parent, digest, "safetensors")
    zipped = zipfile.is_zipfile(path)
    if zipped:
        _check_zip(path, largest)
    kind = "torch.save" if zipped else "torch.save (legacy)"
    return Contents(_torch(path), path.name, path.parent, digest, kind)


def _read_folder(path: Path, largest: int) -> Contents:
    weights = path / "model.safetensors"
    if not weights.is_file():
        raise ValueError(
            f"{path.name} is a folder without model.safetensors: give the file of the weights, or a "
            "Hugging Face folder (config.json and model.safetensors)"
        )
    found = read_model(weights, largest)
    configuration = None
    if (path / "config.json").is_file():
        configuration = json_of(read_bytes(path / "config.json"))
        if not isinstance(configuration, dict):
            raise ValueError(f"{path.name}/config.json is not a dictionary")
    return Contents(found.values, path.resolve().name, path, found.sha256, "Hugging Face folder", configuration)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError, MemoryError) as error:
        raise ValueError(f"{path.name} is damaged or no safetensors file: {_first_line(error)}") from None


def _check_zip(path: Path, largest: int) -> None:
    """Raises:
    ValueError: If what is in it would be larger than its limit once it is unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged: {_first_line(error)}") from None
    if size > largest:
        raise ValueError(f"{path.name} unpacks to {size / 2**20:.0f} MiB: at most {largest // 2**20} are read")


def _plain_arrays() -> list[Any]:
    """The classes that a pickled NumPy array or number needs, by the places of NumPy 1 and 2."""
    from _codecs import encode

    from numpy._core import multiarray

    kinds = (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint64, np.bool_)
    found: list[Any] = [np.ndarray, np.dtype, encode, *{type(np.dtype(kind)) for kind in kinds}]
    for place in ("numpy.core.multiarray", "numpy._core.multiarray"):
        found += [(getattr(multiarray, name), f"{place}.{name}") for name in ("_reconstruct", "scalar")]
    return found


def _torch(path: Path) -> Any:
    """Raises:
    ValueError: If it cannot be read as data.
    """
    allowed = _plain_arrays()
    for _ in range(MOST_STAND_INS):
        try:
            # The list stands for this call alone, so that nobody else's reading becomes any freer.
            with safe_globals(allowed):
                return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            asked = _UNSUPPORTED.search(str(error))
            if asked is None:
                why = _first_line(error)
                raise ValueError(
                    f"{path.name} is damaged, or not a file of torch.save that can be read as data: {why}"
                ) from None
            name = asked[1].rstrip(".")
            if not REPLACED.fullmatch(name):
                raise ValueError(
                    f"{path.name} asks for {name}, which is not data, and is refused: nothing of it was run; save the "
                    "model's state_dict() alone, or as safetensors"
                ) from None
            allowed.append((type("StandIn", (StandIn,), {}), name))
    raise ValueError(f"{path.name} asks for more than {MOST_STAND_INS} kinds of objects that are not data")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    with suppress(IndexError):
        text = re.split(r"(?<=[a-z])\. |Please file|In PyTorch 2\.6", text)[0]
    return text[:200]
