"""Reads the batches of CIFAR's archives, which are pickles, without running what is in them.

A pickle can run anything when it is read. A batch is read only if its bytes are the published ones (MD5), and even then
by a reader that can build NumPy arrays and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_batch"]


class _ArrayUnpickler(pickle.Unpickler):
    """Reads pickled lists, dictionaries and NumPy arrays; refuses every other object."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise ValueError(f"a batch of CIFAR asks for {module}.{name}, which is not an array: refused")
        # NumPy 2 moved this module and warns about the old place.
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_batch(
    content: bytes, md5: str, name: str, what: str = "CIFAR-10", key: bytes = b"labels"
) -> tuple[NDArray[np.uint8], list[int]]:
    """Reads one batch of CIFAR-10's or CIFAR-100's archive.

    Args:
        content: The batch's bytes.
        md5: Its published MD5.
        name: What to call it in messages.
        what: Name of the data set, for messages.
        key: Under which the labels are.

    Returns:
        Pixels ``(n, 3072)`` and labels.

    Raises:
        ValueError: If the bytes are not the published ones, ask for anything but arrays, or hold something else.
    """
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if checksum != md5:
        raise ValueError(f"{name} is damaged or not {what}: its MD5 is {checksum}, the published one is {md5}")
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"], [int(label) for label in batch[key]]
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{name} is not a batch of {what}: {error}") from error
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3072):
        raise ValueError(f"{name} is not a batch of {what}: its pixels are not uint8 ({len(labels)}, 3072)")
    return pixels, labels
