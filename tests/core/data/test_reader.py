"""The reader of image files: what pixels of every kind mean, and what is refused."""

from __future__ import annotations

import colorsys
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.data import reader
from core.data.reader import Limits, decoded, formats, is_image, read_square, suffixes
from core.physical import decoded_photo

RAMP = np.linspace(0, 1, 256)[None].repeat(4, 0)


def to_rgb(image):
    """Any image of Pillow in RGB of 8 bits, as the reader makes it of a file."""
    return reader._rgb(image, reader._packing(image))


def test_colours_of_16_bits_and_behind_transparency():
    assert to_rgb(Image.new("I;16", (1, 1), 0x8080)).getpixel((0, 0)) == (128, 128, 128)
    assert to_rgb(Image.new("RGBA", (1, 1), (200, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def file_of(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def read(image, kind="PNG", **options):
    return np.asarray(decoded(file_of(image, kind, **options))).astype(int)


def png(width, bits, colour, rows, transparent):
    """A PNG with a transparent colour, chunk by chunk: Pillow writes none of less or more than 8 bits."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def tiff(values, bits, photometric, sample=1):
    """A gray TIFF of one strip, tag by tag (TIFF 6.0, Sec. 2)."""
    height, width = values.shape
    content = values.tobytes()
    tags = [
        (256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height),
        (279, len(content)), (339, sample),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags)
    offset = 8 + len(content)
    return b"II*\0" + struct.pack("<I", offset) + content + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_an_image_is_resized_by_its_shorter_side_and_cropped_in_the_middle(tmp_path):
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 200  # the middle third
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "high.png")
    for name in ("wide.png", "high.png"):
        found = read_square(tmp_path / name, 20)
        assert found.shape == (20, 20, 3)
        assert (found[2:-2, 2:-2] == 200).all()


def test_shrinking_is_antialiased(tmp_path):
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).convert("RGB").save(tmp_path / "board.png")
    found = read_square(tmp_path / "board.png", 32).astype(int)
    assert np.abs(found[2:-2, 2:-2] - 127).max() < 12


def test_exif_orientation_is_honoured(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    found = read_square(tmp_path / "turned.png", 32)
    assert (found[:16] == 0).all()
    assert (found[16:] == 255).all()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.new("RGB", (9, 9), (255, 255, 255)).convert(mode).save(path)
    assert read_square(path, 9).shape == (9, 9, 3)
    assert read_square(path, 9).min() > 250


def test_a_cut_image_is_named(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"cut\.png cannot be read as an image"):
        read_square(path, 32)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000"])
def test_sixteen_bits_are_scaled(kind):
    found = read(Image.fromarray((RAMP * 65535).round().astype(np.uint16)), kind)
    assert np.abs(found - (RAMP * 255)[..., None]).max() <= 0.5


def test_sixteen_bits_of_a_portable_graymap_are_scaled():
    """Written by hand: not every Pillow that reads them writes them."""
    file = b"P5\n256 4\n65535\n" + (RAMP * 65535).round().astype(">u2").tobytes()
    found = np.asarray(to_rgb(Image.open(io.BytesIO(file)))).astype(int)
    assert np.abs(found - (RAMP * 255)[..., None]).max() <= 0.5


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_either_order(order):
    values = (RAMP * 65535).round()
    image = Image.frombytes("I;16B" if order == ">" else "I;16", (256, 4), values.astype(f"{order}u2").tobytes())
    for found in (np.asarray(to_rgb(image)).astype(int), read(image, "TIFF")):
        assert np.abs(found - (RAMP * 255)[..., None]).max() <= 0.5


def test_a_tiff_whose_zero_is_white_is_turned_around():
    for values, bits in ((RAMP * 255, 8), (RAMP * 65535, 16)):
        stored = values.round().astype(f"<u{bits // 8}")
        for photometric, expected in ((1, RAMP), (0, 1 - RAMP)):
            found = np.asarray(decoded(tiff(stored, bits, photometric))).astype(int)
            assert np.abs(found - (expected * 255)[..., None]).max() <= 1


def test_sixteen_bits_of_colour_keep_their_high_byte():
    cell = struct.pack(">HHH", 65535, 32896, 0)
    file = png(2, 16, 2, [cell * 2], struct.pack(">HHH", 1, 2, 3))
    with pytest.raises(ValueError, match="its transparent colour has 16 bits"):
        decoded(file)
    start = file.index(b"tRNS") - 4
    assert np.asarray(decoded(file[:start] + file[start + 18 :])).tolist() == [[[255, 128, 0]] * 2]


def test_floating_point_is_black_at_0_and_white_at_1():
    found = read(Image.fromarray(RAMP.astype(np.float32)), "TIFF")
    assert np.abs(found - (RAMP * 255)[..., None]).max() <= 0.5


@pytest.mark.parametrize("values", [RAMP * 255, RAMP - 0.5, RAMP * np.nan])
def test_other_floating_point_numbers_are_refused(values):
    with pytest.raises(ValueError, match="0 is black and 1 is white, others have no meaning"):
        decoded(file_of(Image.fromarray(values.astype(np.float32)), "TIFF"))


def test_integers_without_a_stated_white_are_refused():
    for file in (
        file_of(Image.fromarray((RAMP * 255).astype(np.int32)), "TIFF"),
        tiff((RAMP * 32767).astype("<i2"), 16, 1, sample=2),
    ):
        with pytest.raises(ValueError, match="do not say what is white"):
            decoded(file)


@pytest.mark.parametrize(
    ("bits", "row", "transparent", "expected"),
    [
        (1, bytes([0b01000000]), 0, [255, 255]),
        (2, bytes([0b00011011]), 3, [0, 85, 170, 255]),
        (2, bytes([0b00011011]), 1, [0, 255, 170, 255]),
        (4, bytes([0x05]), 5, [0, 255]),
        (8, bytes([7, 8]), 7, [255, 8]),
        (16, struct.pack(">HHH", 0, 300, 25700), 300, [0, 255, 100]),
    ],
)
def test_the_transparent_gray_of_a_png_is_white_at_every_depth(bits, row, transparent, expected):
    file = png(len(expected), bits, 0, [row], struct.pack(">H", transparent))
    assert np.asarray(decoded(file))[0, :, 0].tolist() == expected


def test_a_transparent_colour_is_white():
    file = png(2, 8, 2, [bytes([9, 8, 7, 1, 2, 3])], struct.pack(">HHH", 9, 8, 7))
    assert np.asarray(decoded(file)).tolist() == [[[255, 255, 255], [1, 2, 3]]]


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG"), ("RGBA", "TIFF")])
def test_transparent_pixels_hide_their_colours(mode, kind):
    image = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 8, 16))
    found = read(image.convert(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert (found[:, 8:] == 255).all()
    assert (found[:, :8] == 0).all()


def test_hidden_colours_do_not_bleed_into_their_neighbours(tmp_path):
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))  # nothing is seen of the red
    image.paste((255, 255, 255, 255), (0, 0, 64, 32))
    image.save(tmp_path / "x.png")
    assert (read_square(tmp_path / "x.png", 8) == 255).all()


@pytest.mark.parametrize("transparency", [0, bytes([0, 255, 128])])
def test_transparent_entries_of_a_palette_are_white(transparency):
    image = Image.new("P", (3, 1))
    image.putpalette([200, 0, 0, 0, 0, 200, 0, 0, 0])
    image.putdata([0, 1, 2])
    found = read(image, "PNG", transparency=transparency)[0].tolist()
    assert found[:2] == [[255, 255, 255], [0, 0, 200]]
    assert found[2] == ([127] * 3 if isinstance(transparency, bytes) else [0, 0, 0])


def test_a_gif_with_a_transparent_colour():
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putdata([0, 1])
    assert read(image, "GIF", transparency=0)[0].tolist() == [[255, 255, 255], [0, 0, 200]]


def test_other_spaces_of_colour_become_rgb():
    """Against conversions of Python's own, or by hand."""
    colour = (180, 90, 30)
    hsv = tuple(round(255 * part) for part in colorsys.rgb_to_hsv(*(part / 255 for part in colour)))
    spaces = {
        "HSV": hsv,
        "YCbCr": (110, 83, 178),  # ITU-T T.871
        "CMYK": (75, 165, 225, 0),
        "LAB": (125, 163, 177),  # L* 49.0, a* 34.6, b* 49.2 of CIE 1976 under D50, as bytes
    }
    for mode, values in spaces.items():
        found = np.asarray(to_rgb(Image.new(mode, (1, 1), values)))[0, 0].astype(int)
        assert np.abs(found - colour).max() <= 4, (mode, found)


@settings(max_examples=60, deadline=None)
@given(mode=st.sampled_from(sorted(Image.MODES)), seed=st.integers(0, 2**16))
def test_every_mode_of_pillow_keeps_black_and_white_or_is_refused(mode, seed):
    """Whatever the mode, a picture of black and white with an opaque alpha is that picture."""
    white = np.random.default_rng(seed).random((5, 7)) < 0.5
    gray = Image.fromarray((white * 255).astype(np.uint8))
    if mode.startswith("I;16"):
        image = Image.fromarray((white * 65535).astype(np.uint16))
        if mode in ("I;16B", "I;16L"):
            order = ">" if mode.endswith("B") else "<"
            image = Image.frombytes(mode, (7, 5), (white * 65535).astype(f"{order}u2").tobytes())
    elif mode == "F":
        image = Image.fromarray(white.astype(np.float32))
    elif mode == "I":
        with pytest.raises(ValueError, match="do not say what is white"):
            to_rgb(gray.convert("I"))
        return
    elif mode == "LAB":
        image = Image.merge("LAB", (gray, Image.new("L", (7, 5), 128), Image.new("L", (7, 5), 128)))
    elif mode == "PA":
        image = gray.convert("P").convert("PA")
    elif mode == "La":
        image = gray.convert("LA").convert("La")
    elif mode == "RGBa":
        image = gray.convert("RGBA").convert("RGBa")
    else:
        image = gray.convert(mode, dither=Image.Dither.NONE) if mode == "1" else gray.convert("RGB").convert(mode)
    assert image.mode == mode or mode == "I;16N"
    found = np.asarray(to_rgb(image)).astype(int)
    assert found.shape == (5, 7, 3)
    assert np.abs(found - white[..., None] * 255).max() <= 2


def test_a_large_jpeg_is_decoded_at_the_size_that_is_needed(tmp_path, monkeypatch):
    """The same image as without, but for what the coarser decoding rounds differently; and only where it is large."""
    rows, columns = np.indices((900, 1300))
    waves = [127 + 120 * np.sin(rows / a) * np.cos(columns / b) for a, b in ((90, 40), (31, 77), (200, 15))]
    pixels = np.stack(waves, -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "x.jpg", quality=92, exif=exif)
    drafted = read_square(tmp_path / "x.jpg", 64).astype(int)
    assert min(decoded(tmp_path / "x.jpg", shortest=64).size) == 225  # a quarter: an eighth would be less than 2 x 64
    assert min(decoded(tmp_path / "x.jpg", shortest=460).size) == 900
    with monkeypatch.context() as patch:
        patch.setattr("core.data.reader._MARGIN", 1000)
        whole = read_square(tmp_path / "x.jpg", 64).astype(int)
    assert drafted.shape == whole.shape == (64, 64, 3)
    assert (drafted != whole).any()  # it was another way
    assert np.abs(drafted - whole).max() <= 6
    assert np.abs(drafted - whole).mean() < 0.6
    small = Image.open(tmp_path / "x.jpg").resize((100, 100))
    small.save(tmp_path / "small.jpg", quality=92)
    exact = np.asarray(Image.open(tmp_path / "small.jpg").convert("RGB").resize((64, 64), Image.Resampling.BILINEAR))
    assert (read_square(tmp_path / "small.jpg", 64) == exact).all()


def test_a_tiff_is_turned_once(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "x.tif", exif=exif)
    found = np.asarray(decoded(tmp_path / "x.tif"))
    assert (found[:10] == 0).all()
    assert (found[10:] == 255).all()


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "IM", "JPEG", "JPEG2000", "MPO",
                                  "PCX", "PNG", "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP"])  # fmt: skip
def test_what_pillow_writes_is_read(tmp_path, kind):
    if kind not in Image.SAVE and not Image.init() and kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    image = Image.new("F", (32, 32), 0.5) if kind == "SPIDER" else Image.new("RGB", (32, 32), (128, 128, 128))
    path = tmp_path / f"x.{kind.lower()}"
    image.save(path, kind, **({"append_images": [image]} if kind == "MPO" else {}))
    found = read_square(path, 32).astype(int)
    assert np.abs(found - 128).max() <= 3


def test_what_would_run_another_program_is_not_read(tmp_path):
    assert not {"EPS", "WMF"} & set(formats())
    assert ".eps" not in suffixes()
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png", "EPS")
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image: the file is no image"):
        read_square(tmp_path / "x.png", 8)


def test_names_or_first_bytes_tell_images(tmp_path):
    for name in ("a.jpg", "a.JFIF", "a.jpe", "a.tiff", "a.mpo", "a.webp"):
        assert is_image(tmp_path / name), name
    for name, content in (("a.txt", b"P5 is a text"), ("README", b"#"), ("a.csv", b""), ("a.h5", b"\x89HDF\r\n\x1a\n")):
        (tmp_path / name).write_bytes(content)
        assert not is_image(tmp_path / name), name


def test_the_passes_of_a_jpeg_with_more_pictures_are_counted():
    """A phone's MPO is a JPEG to its decoder."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    file = file_of(photo, "MPO", save_all=True, append_images=[photo])
    assert Image.open(io.BytesIO(file)).format == "MPO"
    assert decoded_photo(file).shape == (64, 64, 3)
    start = file.rindex(bytes((0xFF, 0xDA)))
    with pytest.raises(ValueError, match="in more than 100 passes"):
        decoded_photo(file[:start] + file[start:] * 120)


def test_limits_come_before_decoding():
    file = file_of(Image.new("RGB", (40, 20)), "PNG")
    for limits, message in (
        (Limits(bytes=10), "at most 0 are allowed"),
        (Limits(pixels=10), "the image has 40 x 20 pixels: at most"),
        (Limits(shortest=30), "at least 30 a side"),
        (Limits(formats=("JPEG", "BMP")), "no image that is read here: JPEG or BMP"),
    ):
        with pytest.raises(ValueError, match=message):
            decoded(file, limits)
    assert decoded(file).size == (40, 20)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_one_sentence_or_an_image(data):
    image = Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3))
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "TGA", "PCX", "DDS", "ICO", "SGI"]))
    file = bytearray(file_of(image, kind))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    file = file[: data.draw(st.integers(0, len(file)))]
    said = "an image"
    try:
        found = decoded(bytes(file), Limits(pixels=10**6)).mode
    except ValueError as error:
        found, said = "RGB", str(error)
    assert found == "RGB"
    assert said
    assert "\n" not in said


def test_a_file_that_is_gone_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image: No such file"):
        read_square(tmp_path / "x.png", 8)


@pytest.mark.parametrize("kind", ["jpg", "mpo", "png"])
def test_passes_count_in_a_folder_too_whatever_a_file_is_called(tmp_path, kind):
    """Of large images fewer are allowed: each pass goes over all pixels."""
    buffer = io.BytesIO()
    Image.new("L", (4000, 4000)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    scan, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    path = tmp_path / f"photo.{kind}"
    path.write_bytes(content[:end] + content[scan:end] * 50 + content[end:])
    with pytest.raises(ValueError, match="in more than 40 passes"):
        read_square(path, 32)
