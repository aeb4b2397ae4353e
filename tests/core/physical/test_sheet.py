"""The printable sheet, and finding it again in photographs."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from core.physical import MOST_PRINTS, Sheet, found_in, rectified


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def page(images):
    sheet = Sheet(print_dpi=100)
    return np.asarray(sheet.page(images, [f"number {i}" for i in range(4)]))


def warped(page, corners, size=(1100, 1400)):
    """The page as a camera sees it, its four corners at these places; out of focus, before a brown table."""
    height, width = page.shape[:2]
    outline = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(outline, np.array(corners, dtype=np.float32))
    photo = cv2.warpPerspective(page, matrix, size, borderValue=(120, 100, 80), flags=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(photo, (0, 0), 1.0)


def planes(photo):
    return torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0), (1000, 0), (1000, 1400), (0, 1400)],
        [(120, 60), (980, 20), (1060, 1300), (20, 1380)],
        [(1080, 30), (1060, 1380), (40, 1330), (70, 60)],  # lies on its side
        [(1000, 1390), (60, 1330), (110, 40), (1050, 100)],  # upside down
    ],
)
def test_every_print_is_found_and_seen_straight(page, images, corners):
    photo = warped(page, corners)
    prints = found_in(photo)
    assert [one.number for one in prints] == [0, 1, 2, 3]
    for one in prints:
        seen = rectified(planes(photo), one.corners[None], "perspective", (32, 32), "area")[0]
        errors = [float((seen - image).abs().mean()) for image in images]
        assert int(np.argmin(errors)) == one.number
        # Noise at the scale of a pixel does not survive the lens; its neighbourhood does.
        coarse = torch.nn.functional.avg_pool2d(torch.stack([seen, images[one.number]]), 4)
        assert float((coarse[0] - coarse[1]).abs().mean()) < 0.06


def test_two_marks_are_enough_and_one_is_not(page):
    all_four = found_in(page)[0]
    hidden = page.copy()
    height = page.shape[0]
    (left, top), (_, bottom) = ((all_four.corners[i] + torch.tensor([210 / 297, 1])) * height / 2 for i in (0, 3))
    hidden[:, : int(left) - 2] = 255  # both marks on the left
    (rest,) = [one for one in found_in(hidden) if one.number == 0]
    assert rest.marks == 2
    assert torch.allclose(rest.corners, all_four.corners, atol=0.01)
    hidden[int(bottom) :, :] = 255
    assert 0 not in [one.number for one in found_in(hidden)]
    assert float(top) < float(bottom)


def test_a_photograph_without_the_sheet_has_no_prints():
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert found_in(noise) == []
    assert found_in(np.zeros((20, 20), dtype=np.uint8)) == []


def test_prints_of_other_shapes(images):
    sheet = Sheet(print_size=30, print_dpi=100)
    wide = torch.rand(3, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    photo = np.asarray(sheet.page(wide, ["a", "b", "c"]))
    prints = found_in(photo, 1.5)
    assert [one.number for one in prints] == [0, 1, 2]
    seen = rectified(planes(photo)[:, :1], prints[1].corners[None], "perspective", (16, 24), "area")
    assert float((seen[0] - wide[1]).abs().mean()) < 0.05


@pytest.mark.parametrize("paper", ["A4", "Letter"])
@pytest.mark.parametrize("size", [15, 40, 120])
def test_what_fits_lies_on_the_page(paper, size):
    sheet = Sheet(paper=paper, print_size=size, print_dpi=72)
    count = sheet.capacity()
    assert 1 <= count <= MOST_PRINTS
    page = np.asarray(sheet.page(torch.zeros(count, 3, 8, 8), [""] * count))
    assert (page[[0, -1]] == 255).all()
    assert (page[:, [0, -1]] == 255).all()
    assert (page < 128).any()


def test_too_many_or_too_few_are_refused(images):
    sheet = Sheet(print_size=120)
    with pytest.raises(ValueError, match="4 prints are not possible"):
        sheet.page(images, ["a"] * 4)
    with pytest.raises(ValueError, match="2 captions for 1 prints"):
        sheet.page(images[:1], ["a", "b"])
    with pytest.raises(ValueError, match="paper = 'A3' is not allowed"):
        Sheet(paper="A3")


def test_files_have_the_true_size(images):
    sheet = Sheet(print_dpi=150)
    page = sheet.page(images, ["a"] * 4)
    png = Image.open(io.BytesIO(sheet.file(page, "PNG")))
    assert png.info["dpi"][0] == pytest.approx(150, rel=1e-3)
    assert png.size[0] / 150 * 25.4 == pytest.approx(210, abs=0.2)
    pdf = sheet.file(page, "PDF")
    assert pdf.startswith(b"%PDF")
    box = pdf[pdf.index(b"/MediaBox") :][:60]
    width, height = [float(part) for part in box[box.index(b"[") + 1 : box.index(b"]")].split()][2:]
    assert (width / 72 * 25.4, height / 72 * 25.4) == pytest.approx((210, 297), abs=0.3)
