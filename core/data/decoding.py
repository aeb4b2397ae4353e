"""Decodes many images into one array of 8-bit pixels, a batch at a time, within a stated memory.

Only one batch is ever decoded beside the result. A result of more than :data:`MOST_IN_MEMORY` bytes lies in a temporary
file that the operating system pages in and out; one of more than :data:`MOST_BYTES` is refused before it is begun.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.images import UnreadableImage, cache_folder

__all__ = ["BATCH", "MOST_BYTES", "MOST_IN_MEMORY", "decode_images", "room_for", "shuffled"]

# Files that are decoded before the next ones are: what is in memory, and what is waited for when one is broken.
BATCH = 512
MOST_IN_MEMORY = 1 << 30
"""Bytes of decoded pixels that are kept in memory; more of them lie in a temporary file."""
MOST_BYTES = 16 << 30
"""Most bytes of decoded pixels of one split: 100,000 images of 224 x 224 pixels, 1.3 million of 64 x 64."""

Source = TypeVar("Source")


def room_for(count: int, size: int) -> NDArray[np.uint8]:
    """An array ``(count, 3, size, size)`` for pixels, in memory or in a temporary file.

    Raises:
        ValueError: If that would be more than :data:`MOST_BYTES`.
        OSError: If the temporary file cannot be made.
    """
    shape = (count, 3, size, size)
    needed = count * 3 * size * size
    if needed > MOST_BYTES:
        raise ValueError(
            f"{count:,} images of {size} x {size} pixels take {needed / 2**30:.0f} GiB, and at most "
            f"{MOST_BYTES // 2**30} GiB are allowed; choose a smaller size, or fewer images"
        )
    if needed <= MOST_IN_MEMORY:
        return np.empty(shape, np.uint8)
    folder = cache_folder() / "decoded"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:  # has no name: gone when the array is
        return np.memmap(file, np.uint8, "w+", shape=shape)


def decode_images(
    sources: Sequence[Source],
    read: Callable[[Source], NDArray[np.uint8]],
    size: int,
    count: int,
    *,
    skip_broken: bool = False,
) -> tuple[Tensor, list[int], list[Source]]:
    """The first ``count`` images that can be read.

    Args:
        sources: Files, or whatever ``read`` takes.
        read: Gives one image, uint8 ``(size, size, 3)``; a ValueError says that it cannot be read.
        size: Side of the images in pixels.
        count: How many are wanted, at most as many as there are sources.
        skip_broken: Whether to leave out what cannot be read.

    Returns:
        Images, uint8 ``(n, 3, size, size)``; their places in ``sources``; the sources that cannot be read.

    Raises:
        UnreadableImage: If one cannot be read and is not to be skipped.
        ValueError: If the images take more than is allowed.
    """

    def attempt(source: Source) -> NDArray[np.uint8] | ValueError:
        try:
            return read(source)
        except ValueError as error:
            return error

    images = room_for(count, size)
    kept: list[int] = []
    broken: list[Source] = []
    start = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while start < len(sources) and len(kept) < count:
            batch = sources[start : start + min(BATCH, count - len(kept))]
            for place, decoded in enumerate(pool.map(attempt, batch), start):
                if isinstance(decoded, ValueError):
                    if not skip_broken:
                        raise UnreadableImage(str(decoded))
                    broken.append(sources[place])
                else:
                    images[len(kept)] = decoded.transpose(2, 0, 1)
                    kept.append(place)
            start += len(batch)
    return torch.from_numpy(images[: len(kept)]), kept, broken


def shuffled(count: int, *seed: int) -> list[int]:
    """The numbers 0 to ``count - 1`` in an order that is the same on every machine.

    >>> shuffled(5, 0)
    [4, 3, 0, 2, 1]
    """
    stream = np.random.Generator(np.random.PCG64([*seed, count]))
    return [int(index) for index in np.argsort(stream.random(count), kind="stable")]
