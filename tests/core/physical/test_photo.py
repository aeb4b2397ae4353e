"""Photographs that users give: what is read, and what is refused in one sentence."""

from __future__ import annotations

import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from core.data import reader
from core.physical import LARGEST_FILE, decoded_photo
from core.physical import photo as module


def file_of(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def halves(width=40, height=20):
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_kinds_that_are_read(kind):
    photo = decoded_photo(file_of(halves(), kind))
    assert photo.shape == (20, 40, 3)
    assert photo[10, 5, 0] > 200
    assert photo[10, 35, 2] > 200
    assert photo.flags.writeable


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb(mode):
    ramp = Image.fromarray(np.linspace(0, 255, 40).round().astype(np.uint8)[None].repeat(20, 0))
    image = ramp.convert("RGB").convert(mode) if mode in ("P", "CMYK", "RGBA") else ramp.convert(mode)
    photo = decoded_photo(file_of(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert photo.shape == (20, 40, 3)
    assert photo[:, 0].mean() < 20
    assert photo[:, -1].mean() > 235
    assert 100 < photo.mean() < 155


def test_sixteen_bits_become_eight():
    ramp = Image.fromarray(np.linspace(0, 65535, 40).astype(np.uint16)[None].repeat(20, 0))
    photo = decoded_photo(file_of(ramp, "PNG"))
    assert abs(photo[0, :, 1].astype(int) - np.linspace(0, 255, 40)).max() <= 1


def odd_exif(orientation):
    """How the camera was held, and a resolution that is a text instead of a fraction."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0")
    return b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)


def test_odd_exif_is_no_obstacle():
    assert decoded_photo(file_of(halves(), "JPEG", exif=odd_exif(6))).shape == (40, 20, 3)
    assert decoded_photo(file_of(halves(), "JPEG", exif=odd_exif(77))).shape == (20, 40, 3)


def test_a_jpeg_of_endless_passes_is_not_decoded():
    file = file_of(halves(64, 64), "JPEG", progressive=True)
    start = file.rindex(bytes((0xFF, 0xDA)))
    with pytest.raises(ValueError, match="in more than 100 passes"):
        decoded_photo(file[:start] + file[start:-2] * 120 + file[-2:])


def test_transparent_pixels_are_white():
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (decoded_photo(file_of(image, "PNG")) == 255).all()


def test_the_orientation_of_the_camera_is_honoured():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    photo = decoded_photo(file_of(halves(), "JPEG", exif=exif, quality=95))
    assert photo.shape == (40, 20, 3)
    assert photo[5, 10, 0] > 200
    assert photo[35, 10, 2] > 200


def test_large_photographs_are_made_smaller():
    image = Image.new("RGB", (6400, 3200), (10, 200, 30))
    photo = decoded_photo(file_of(image, "JPEG"))
    assert photo.shape == (1500, 3000, 3)
    assert abs(photo.astype(int) - [10, 200, 30]).max() < 6


def test_an_image_that_claims_too_many_pixels_is_not_decoded(monkeypatch):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    bomb += struct.pack(">I", 8) + b"IDAT" + bytes(12)
    with pytest.raises(ValueError, match="at most 64 million"):
        decoded_photo(bomb)
    monkeypatch.setattr(module, "MOST_PIXELS", 100)
    with pytest.raises(ValueError, match="the image has 40 x 20 pixels: at most"):
        decoded_photo(file_of(halves(), "PNG"))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"not an image",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        b"%PDF-1.4",
        file_of(halves().convert("P"), "GIF"),
        file_of(halves(), "TIFF"),
    ],
)
def test_other_files_are_refused(file):
    with pytest.raises(ValueError, match="no image that is read here: JPEG, PNG, WebP or BMP"):
        decoded_photo(file)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_files_are_refused_in_one_sentence(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    file = file_of(noise, kind)
    with pytest.raises(ValueError, match=r"^(the image is damaged: .+|the file is no image .+)$") as caught:
        decoded_photo(file[: len(file) // 2])
    assert "\n" not in str(caught.value)


def test_too_small_and_too_large():
    with pytest.raises(ValueError, match="at least 16 a side"):
        decoded_photo(file_of(halves(40, 8), "PNG"))
    with pytest.raises(ValueError, match="at most 25 are allowed"):
        decoded_photo(bytes(LARGEST_FILE + 1))


def test_what_is_decoded_is_limited_before_it_is(monkeypatch):
    decoded = []
    for kind in (PngImageFile, JpegImageFile):
        monkeypatch.setattr(kind, "load", lambda image: decoded.append(image.size))
    for mode in ("RGB", "RGBA", "L"):
        with pytest.raises(ValueError, match=r"7000 x 6000 pixels: in this format, at most 36 million are allowed$"):
            decoded_photo(file_of(Image.new(mode, (7000, 6000)), "PNG"))
    assert not decoded


def test_a_large_jpeg_is_decoded_at_half_of_its_size():
    assert decoded_photo(file_of(Image.new("L", (7000, 6000)), "JPEG")).shape == (2571, 3000, 3)


def test_one_large_image_is_decoded_at_a_time(monkeypatch):
    file, at_once, most = file_of(Image.new("L", (4000, 3000)), "PNG"), 0, 0
    to_rgb = reader._rgb

    def counted(image, packed):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.05)
        at_once -= 1
        return to_rgb(image, packed)

    monkeypatch.setattr(reader, "_rgb", counted)
    with ThreadPoolExecutor(4) as pool:
        assert {image.shape for image in pool.map(decoded_photo, [file] * 4)} == {(2250, 3000, 3)}
    assert most == 1
