"""Decoded images kept on disk, so that a data set's thousands of small files are decoded once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.data.images import cache_folder, prefix_length

__all__ = ["DecodedFile"]

VERSION = 1


class DecodedFile:
    """One split as tensors in ``cache_folder()/decoded``, valid as long as its sources keep their size and time.

    Args:
        name: Start of the file's name, e.g. ``"cifar10-test"``.
        sources: Files the images were decoded from.
    """

    def __init__(self, name: str, sources: Sequence[Path]) -> None:
        digest = hashlib.sha256(repr(VERSION).encode())
        for source in sources:
            stat = source.stat()
            digest.update(repr((str(source.resolve()), stat.st_size, stat.st_mtime_ns)).encode())
        self.path = cache_folder() / "decoded" / f"{name}-{digest.hexdigest()[:16]}.safetensors"

    def read(self, limit: int | None = None) -> tuple[Tensor, Tensor, str] | None:
        """Images, labels and encoding of the first ``limit`` images; None if absent or damaged."""
        try:
            with safe_open(self.path, framework="pt") as file:
                images, labels = file.get_slice("images"), file.get_slice("labels")
                count = prefix_length(images.get_shape()[0], limit)
                return images[:count], labels[:count], file.metadata()["encoding"]
        except (OSError, SafetensorError, KeyError, TypeError):
            return None

    def write(self, images: Tensor, labels: Tensor, encoding: str) -> None:
        """Stores a whole split; a folder that cannot be written, or a full disk, is no error."""
        temporary = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, suffix=".part")
            os.close(handle)
            tensors = {"images": images.contiguous(), "labels": labels.contiguous()}
            save_file(tensors, temporary, metadata={"encoding": encoding})
            os.replace(temporary, self.path)
        except (OSError, SafetensorError):
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
