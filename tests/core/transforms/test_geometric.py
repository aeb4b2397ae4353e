"""Warps against slow references: single pixels, torchvision, and the camera that they are a part of."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import functional as tv

from core.physical.camera import FAR, OFF, VARIED
from core.runtime.seeding import generator_for
from core.transforms import transform_from_spec
from core.transforms.camera import PIXELS, PrintAndCamera
from core.transforms.geometric import Affine, Perspective, Rotation, Shift
from core.transforms.quality import Blur, Jpeg, Resize


def images_of(count=4, shape=(3, 12, 12)):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def test_a_shift_by_half_a_pixel_is_the_mean_of_two():
    images = images_of(1)
    moved = Shift(pixels=1).apply(images, (torch.tensor([[0.5, 0.0]]),))
    torch.testing.assert_close(moved[..., :-1], (images[..., :-1] + images[..., 1:]) / 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[..., -1], images[..., -1] / 2, atol=1e-5, rtol=0)  # black from outside


def test_a_shift_by_whole_pixels_is_exact_on_images_that_are_not_square():
    images = images_of(2, (3, 8, 20))
    moved = Shift(pixels=4).apply(images, (torch.tensor([[3.0, 0.0], [0.0, -2.0]]),))
    torch.testing.assert_close(moved[0, :, :, :-3], images[0, :, :, 3:], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[1, :, 2:], images[1, :, :-2], atol=1e-5, rtol=0)
    assert float(moved[0, :, :, -3:].abs().max()) < 1e-5


@pytest.mark.parametrize("angle", [90.0, -30.0, 7.0])
def test_a_rotation_is_torchvisions(angle):
    images = images_of(1)
    turned = Rotation(degrees=180).apply(images, (torch.tensor([angle]),))
    there = tv.rotate(images, angle, interpolation=tv.InterpolationMode.BILINEAR)
    torch.testing.assert_close(turned, there, atol=1e-4, rtol=0)


def test_an_affine_matrix_is_that_of_torch():
    images, change = images_of(1), torch.tensor([[0.1, -0.2, 0.05, 0.3]])
    matrix = torch.tensor([[[1.1, -0.2, 0.0], [0.05, 1.3, 0.0]]])
    there = F.grid_sample(images, F.affine_grid(matrix, list(images.shape), align_corners=False), align_corners=False)
    torch.testing.assert_close(Affine(percent=50).apply(images, (change,)), there, atol=1e-5, rtol=0)


def test_a_perspective_puts_the_corners_where_they_were_drawn():
    """A white picture fills the quadrilateral of its moved corners, and nothing else."""
    images = torch.ones(1, 1, 100, 100)
    inwards = torch.tensor([[[0.2, 0.4], [0.0, 0.0], [0.1, 0.1], [0.5, 0.0]]])
    seen = Perspective(percent=90).apply(images, (inwards,))[0, 0]
    signs = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    corners = ((signs * (1 - inwards[0])) + 1) * 50
    x, y = corners[:, 0], corners[:, 1]
    area = 0.5 * float((x * y.roll(-1) - y * x.roll(-1)).sum().abs())
    assert float(seen.sum()) == pytest.approx(area, rel=0.01)


def test_blur_is_torchvisions():
    images = images_of(1)
    blurred = Blur(sigma=1.5).apply(images, (torch.tensor([1.2]),))
    there = tv.gaussian_blur(F.pad(images, (8,) * 4, mode="replicate"), [11, 11], [1.2, 1.2])[..., 8:-8, 8:-8]
    torch.testing.assert_close(blurred, there, atol=1e-3, rtol=0)


def test_resize_keeps_what_a_smaller_copy_keeps():
    """A picture of two halves is not changed far from the edge; a checkerboard becomes gray."""
    halves = torch.zeros(1, 1, 12, 12)
    halves[..., 6:] = 1
    kept = Resize(percent=50).apply(halves, (torch.tensor([50.0]),))
    torch.testing.assert_close(kept[..., 1], halves[..., 1], atol=1e-4, rtol=0)
    board = ((torch.arange(12)[:, None] + torch.arange(12)) % 2).float()[None, None]
    gray = Resize(percent=50).apply(board, (torch.tensor([50.0]),))
    assert float((gray - 0.5).abs().max()) < 0.15


def test_jpeg_loses_more_where_more_is_drawn():
    images = images_of(1, (3, 32, 32)).expand(3, -1, -1, -1)
    losses = (Jpeg(loss=99).apply(images, (torch.tensor([2.0, 50.0, 95.0]),)) - images).square().mean((1, 2, 3))
    assert losses.tolist() == sorted(losses.tolist())
    assert float(losses[0]) < float(losses[2])


def test_every_photograph_of_the_layer_is_one_of_the_camera():
    """A batch with values of each image's own is what the camera gives image by image."""
    images, layer = images_of(5, (3, 32, 32)), PrintAndCamera(range=80)
    drawn = layer.draw(5, (3, 32, 32), generator_for(0, "x"))
    made = layer.apply(images, drawn)
    for n in range(5):
        own = {name: float(values[n]) for name, values in zip(VARIED, drawn[4:], strict=True)}
        camera = replace(layer.cameras.high, **{name: own[name] for name in VARIED})
        alone = camera.apply(images[n : n + 1], tuple(part[n : n + 1] for part in drawn[:4]))
        # Kernels reach as far as the widest of the batch, with zeros there; JPEG files step by 1 of 255.
        torch.testing.assert_close(made[n : n + 1], alone, atol=2 / 255, rtol=0)


def test_what_is_drawn_stays_within_the_preset_times_the_range():
    layer = PrintAndCamera(range=50)
    *_, own = (layer.draw(4000, (3, 8, 8), generator_for(0, "x"))[4:],)
    assert layer.cameras.high.pixels == PIXELS
    for name, values in zip(VARIED, own, strict=True):
        off, far = getattr(OFF, name), getattr(FAR, name)
        most = abs(far - off) / 2
        assert float((values - off).abs().max()) <= most * (1 + 1e-9)
        assert float((values - off).abs().max()) >= 0.95 * most
        if name in ("yaw", "pitch", "roll", "brightness"):
            assert abs(float(values.mean()) - off) < 0.05 * most
        else:
            assert float(((values - off) / math.copysign(1, far - off)).min()) >= 0


def test_the_camera_says_how_far_it_goes_where_that_is_not_the_whole_range() -> None:
    assert [transform_from_spec(spec).label for spec in ("camera", "camera:50")] == ["Camera", "Camera (50 %)"]
