"""The one reader of image files: any format that Pillow decodes, upright, in RGB of 8 bits, with its meaning kept.

What a pixel means is decided here, once, for folders of images, for photographs and for encoded data sets:

* Depths other than 8 bits are scaled to their full range (16 bits by 1/257), never cut off. Numbers whose white is not
  stated are refused: integers of 32 bits or with a sign, and floating-point numbers outside [0, 1].
* Transparent pixels are laid on white; the colours that they hide are never seen.
* CMYK, YCbCr, HSV, L*a*b* and palettes become RGB.
* The camera's orientation is honoured. Of an animation or a file of several pages, the first is read.
"""

from __future__ import annotations

import io
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

__all__ = ["Limits", "decoded", "formats", "is_image", "read_square", "squared", "suffixes"]

# Their decoders run another program (EPS), exist on one system only (WMF), or are not part of Pillow.
_NOT_READ = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
# Told by their first bytes without doubt; looked for in files whose names do not say what they are.
_BY_CONTENT = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF")
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
# TIFF 6.0: BitsPerSample, PhotometricInterpretation, SampleFormat.
_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2
# Formats whose gray of more than 8 bits Pillow gives in the full range of 16.
_FULL_RANGE = frozenset({None, "PNG", "PPM", "JPEG2000", "IM"})
# A JPEG is decoded at no less than this multiple of the size that it is needed at, so that what is lost in its
# coarser decoding is lost in the resizing as well.
_MARGIN = 2
# Passes of a progressive JPEG: libjpeg's own files have ten. Each goes over all pixels, however few bytes it has.
_MOST_SCANS = 100
_MOST_WORK = 640_000_000  # pixels of all passes together
# Pixels from which one image is decoded at a time: eight of this size at once would take a gigabyte.
_LARGE = 8_000_000
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Limits:
    """What is decoded of a file that a stranger may have made; by default everything that :func:`formats` lists.

    Attributes:
        formats: Names of formats as Pillow has them; empty for all of :func:`formats`.
        bytes: Largest file; 0 for any.
        pixels: Most pixels; 0 for as many as Pillow allows.
        decoded: Most pixels that are decoded, which of a large JPEG are fewer than it has; 0 for as many as there are.
        shortest: Least pixels a side.
    """

    formats: tuple[str, ...] = ()
    bytes: int = 0
    pixels: int = 0
    decoded: int = 0
    shortest: int = 1


@cache
def formats() -> tuple[str, ...]:
    """Names of the formats that are read, the frequent ones first."""
    Image.init()
    known = [name for name in Image.ID if name in Image.OPEN and name not in _NOT_READ]
    first = [name for name in _BY_CONTENT if name in known]
    return (*first, *(name for name in known if name not in first))


@cache
def suffixes() -> frozenset[str]:
    """Endings of the names of files that are read, in lower case, e.g. ``".jfif"``."""
    read = formats()
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in read}
    return frozenset(known | {".mpo"})  # a JPEG with further ones behind it


def is_image(path: Path) -> bool:
    """Whether a file is to be read as an image: its name says so, or else its first bytes do."""
    if path.suffix.lower() in suffixes():
        return True
    try:
        with Image.open(path, formats=[name for name in _BY_CONTENT if name in formats()]):
            return True
    except Exception:  # whatever Pillow's readers say of it, it is none of theirs
        return False


def read_square(path: Path, size: int) -> NDArray[np.uint8]:
    """Reads an image with its shorter side resized (bilinear, antialiased) and its centre cropped.

    A JPEG much larger than ``size`` is decoded at a half, a quarter or an eighth of its size.

    Args:
        path: Any format that :func:`formats` lists.
        size: Side of the result in pixels.

    Returns:
        uint8 ``(size, size, 3)``.

    Raises:
        ValueError: If it cannot be read; names the file.
    """
    try:
        image = decoded(path, shortest=size)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error
    return squared(image, size)


def squared(image: Image.Image, size: int, *, crop: bool = True) -> NDArray[np.uint8]:
    """An image in RGB as a square (bilinear, antialiased).

    Args:
        image: In mode RGB.
        size: Side of the result in pixels.
        crop: Whether the shorter side is resized and the centre cropped; else both sides are resized.

    Returns:
        uint8 ``(size, size, 3)``.
    """
    if not crop:
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def decoded(source: Path | bytes, limits: Limits | None = None, *, shortest: int = 0, longest: int = 0) -> Image.Image:
    """Decodes an image, upright as its camera meant it.

    Args:
        source: A file, or its contents.
        limits: What is refused before it is decoded.
        shortest: If given, a JPEG may be decoded smaller, its shorter side at least twice this many pixels.
        longest: If given, the same for its longer side, at least this many pixels.

    Returns:
        In mode RGB, without the file's metadata.

    Raises:
        ValueError: If it is no image, is damaged, is beyond the limits, or has pixels without a stated meaning; one
            sentence, which does not name the file.
    """
    limits = limits or Limits()
    if limits.bytes and isinstance(source, bytes) and len(source) > limits.bytes:
        raise ValueError(f"the file has {len(source) / 2**20:.0f} MiB: at most {limits.bytes // 2**20} are allowed")
    try:
        with _opened(source, limits) as opened:
            _check(opened, source, limits)
            size = opened.size
            if shortest:
                opened.draft(None, (_MARGIN * shortest, _MARGIN * shortest))
            elif longest and max(opened.size) > longest:
                opened.draft(None, (longest, longest))
            if limits.decoded and opened.width * opened.height > limits.decoded:
                raise ValueError(
                    f"the image has {size[0]} x {size[1]} pixels: in this format, at most "
                    f"{limits.decoded // 10**6} million are allowed"
                )
            packed = _packing(opened)
            with _one_at_a_time if opened.width * opened.height > _LARGE else nullcontext():
                opened.load()
                image = _rgb(opened, packed)
            turn = _TURNS.get(opened.getexif().get(_ORIENTATION, 1))  # a TIFF was turned when it was loaded
    except UnidentifiedImageError:
        raise ValueError(f"the file is no image that is read here{_listed(limits.formats)}") from None
    except Image.DecompressionBombError as error:
        most = f"at most {limits.pixels // 10**6} million pixels are allowed" if limits.pixels else _said(error)
        raise ValueError(f"the image is too large: {most}") from None
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # made-up files make Pillow's readers raise nearly anything
        if isinstance(error, OSError) and error.errno is not None:
            raise ValueError(error.strerror) from None  # the file, not what is in it: no permission, no such file
        raise ValueError(f"the image is damaged: {_said(error)}") from None
    return image.transpose(turn) if turn is not None else image


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _listed(names: tuple[str, ...]) -> str:
    shown = ["WebP" if name == "WEBP" else name for name in names]
    return f": {', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else ""


def _opened(source: Path | bytes, limits: Limits) -> Image.Image:
    """The image with its header read, nothing decoded."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    names = limits.formats or formats()
    if not limits.pixels:
        return Image.open(file, formats=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
        return Image.open(file, formats=names)


def _check(opened: Image.Image, source: Path | bytes, limits: Limits) -> None:
    """Raises:
    ValueError: If the image is beyond the limits.
    """
    width, height = opened.size
    if isinstance(opened, JpegImageFile):  # whatever its format is called: an MPO is one too
        content = source if isinstance(source, bytes) else source.read_bytes()
        most = min(_MOST_SCANS, _MOST_WORK // (width * height))
        if content.count(b"\xff\xda") > most:
            raise ValueError(f"the image is drawn in more than {most} passes, which no camera does")
    if limits.pixels and width * height > limits.pixels:
        raise ValueError(
            f"the image has {width} x {height} pixels: at most {limits.pixels // 10**6} million are allowed"
        )
    if min(width, height) < limits.shortest:
        raise ValueError(f"the image has {width} x {height} pixels: at least {limits.shortest} a side are needed")


def _packing(image: Image.Image) -> str:
    """How a file that is not loaded yet packs its pixels, e.g. ``"L;2"``; empty where Pillow does not say."""
    tiles = getattr(image, "tile", None)
    arguments: Any = tiles[0][3] if tiles else ""
    found = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return found if isinstance(found, str) else ""


def _rgb(image: Image.Image, packed: str) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled(image)
    key = image.info.get("transparency")
    if key is not None and image.format == "PNG" and image.mode in ("L", "RGB"):
        if packed.startswith("RGB;16"):
            raise ValueError("its transparent colour has 16 bits, of which 8 are read; store it with 8 bits")
        if packed in ("L;2", "L;4"):  # Pillow scales the pixels to 8 bits, but not the value that is transparent
            image.info["transparency"] = key * (85 if packed == "L;2" else 17)
    if image.mode == "La":
        image = _unmultiplied(image)
    if image.mode == "LAB":
        return _from_lab(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Gray of more than 8 bits in RGB."""
    tags = getattr(image, "tag_v2", None) or {}
    values = np.asarray(image)
    if image.mode == "F":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"its floating-point numbers go from {values.min():g} to {values.max():g}: "
                "0 is black and 1 is white, others have no meaning"
            )
        share = values.astype(np.float64)
    else:
        bits = int(tags.get(_BITS, (16,))[0])
        stated = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
        known = stated and bits <= 16 and (image.format == "TIFF" or image.format in _FULL_RANGE)
        if not known or int(tags.get(_SAMPLES, (1,))[0]) == _SIGNED:
            raise ValueError("its integers of 32 bits, or with a sign, do not say what is white; store 8 or 16 bits")
        share = values.astype(np.float64) / (2**bits - 1)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        share = 1 - share
    gray = Image.fromarray((share * 255).round().clip(0, 255).astype(np.uint8))
    key = image.info.get("transparency")
    if key is not None and image.mode != "F":
        gray.paste(255, mask=Image.fromarray(values == key))
    return gray.convert("RGB")


def _unmultiplied(image: Image.Image) -> Image.Image:
    """Gray that was multiplied with its opacity, as RGBA."""
    gray, opacity = image.split()
    return Image.merge("RGBa", (gray, gray, gray, opacity)).convert("RGBA")


@cache
def _lab_transform() -> Any:
    from PIL import ImageCms

    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    try:
        converted = ImageCms.applyTransform(image, _lab_transform())
    except (ImportError, ImageCms.PyCMSError) as error:
        raise ValueError(f"its L*a*b* colours cannot be converted: {_said(error)}") from None
    assert converted is not None  # it is where it is not made in place
    return converted
