"""Photographs that users give: only real images, within limits, without their metadata, never written to disk."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

__all__ = ["LARGEST_FILE", "MOST_PIXELS", "decoded_photo"]

LARGEST_FILE = 25 * 2**20
"""Bytes that are looked at."""
MOST_PIXELS = 64_000_000
"""Pixels that are decoded; phones make up to 50 million by default."""
_SMALLEST = 16
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# Passes of a progressive JPEG, each over all its pixels; libjpeg's own files have ten.
_MOST_SCANS = 100
# How a camera was held, by the tag that says so (EXIF 2.3, 4.6.4).
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
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
    if len(file) > LARGEST_FILE:
        raise ValueError(f"the file has {len(file) / 2**20:.0f} MiB: at most {LARGEST_FILE // 2**20} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(file), formats=_FORMATS)
        if opened.format == "JPEG" and file.count(b"\xff\xda") > _MOST_SCANS:
            raise ValueError(f"the image is drawn in more than {_MOST_SCANS} passes, which no camera does")
        width, height = opened.size  # nothing is decoded yet
        if width * height > MOST_PIXELS:
            raise ValueError(
                f"the image has {width} x {height} pixels: at most {MOST_PIXELS // 10**6} million are allowed"
            )
        if min(width, height) < _SMALLEST:
            raise ValueError(f"the image has {width} x {height} pixels: at least {_SMALLEST} a side are needed")
        if max(width, height) > _LONGEST:
            opened.draft("RGB", (_LONGEST, _LONGEST))  # a JPEG is decoded at half or quarter size, if that suffices
        image: Image.Image = opened
        turn = _TURNS.get(opened.getexif().get(_ORIENTATION, 1))
        if image.mode.startswith("I"):  # 16 bits, which would be cut off at 255
            image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).clip(0, 255).astype(np.uint8))
        if turn is not None:
            image = image.transpose(turn)
        image = image.convert("RGBA") if "transparency" in image.info or image.mode in ("RGBA", "LA") else image
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB")
        image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.BOX, reducing_gap=2)
        return np.asarray(image).copy()
    except UnidentifiedImageError:
        raise ValueError("the file is no image that is read here: JPEG, PNG, WebP or BMP") from None
    except Image.DecompressionBombError:
        raise ValueError(f"the image is too large: at most {MOST_PIXELS // 10**6} million pixels are allowed") from None
    except (OSError, SyntaxError, EOFError, TypeError, KeyError, IndexError, OverflowError, struct.error) as error:
        raise ValueError(f"the image is damaged: {' '.join(str(error).split()) or type(error).__name__}") from None
