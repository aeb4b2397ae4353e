"""Photographs that users give: only real images, within limits, without their metadata, never written to disk."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from core.data.reader import Limits, decoded

__all__ = ["LARGEST_FILE", "MOST_PIXELS", "decoded_photo"]

LARGEST_FILE = 25 * 2**20
"""Bytes that are looked at."""
MOST_PIXELS = 64_000_000
"""Pixels of a photograph; phones make up to 50 million by default."""
MOST_DECODED = 36_000_000
"""Pixels that are decoded: a JPEG of more is decoded at half of its size, other formats cannot be."""
_SMALLEST = 16
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# Longest side that is kept: a network's input has 32 pixels, and marks are found in less.
_LONGEST = 3000


def decoded_photo(file: bytes) -> npt.NDArray[np.uint8]:
    """Decodes a photograph, upright as its camera meant it.

    Args:
        file: The contents of a JPEG, PNG, WebP or BMP file.

    Returns:
        ``(h, w, 3)`` of at most 3000 pixels a side; nothing of the file's metadata is kept.

    Raises:
        ValueError: If the file is no such image, is damaged, or is larger than the limits; one sentence.
    """
    limits = Limits(formats=_FORMATS, bytes=LARGEST_FILE, pixels=MOST_PIXELS, decoded=MOST_DECODED, shortest=_SMALLEST)
    image = decoded(file, limits, longest=_LONGEST)
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(image).copy()
