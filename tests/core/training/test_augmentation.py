"""Batched augmentation against a loop over images and pixels."""

from __future__ import annotations

import pytest
import torch

from core.training.augmentation import PADDING, Draw, augment, draw


def slowly(image, top, left, mirror):
    """Zero-padding by 4, a crop of the original size at (top, left), then a mirror image: pixel by pixel."""
    _, height, width = image.shape
    result = torch.zeros_like(image)
    for row in range(height):
        for col in range(width):
            r, c = row + top - 4, col + left - 4
            if 0 <= r < height and 0 <= c < width:
                result[:, row, width - 1 - col if mirror else col] = image[:, r, c]
    return result


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(9, 3, 8, 8), (5, 1, 6, 11)])
def test_augment_equals_a_loop(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, shape, generator=generator).to(dtype)
    before = images.clone()
    chosen = draw(shape[0], generator)
    chosen.offsets[:3] = torch.tensor([[0, 0], [8, 8], [0, 8]])
    result = augment(images, chosen)
    assert result.dtype == dtype
    assert result.shape == shape
    for image, offset, mirror, found in zip(images, chosen.offsets, chosen.mirror, result, strict=True):
        assert torch.equal(found, slowly(image, int(offset[0]), int(offset[1]), bool(mirror)))
    assert torch.equal(images, before)


def test_no_shift_and_no_mirror_is_the_image_itself():
    images = torch.rand(4, 3, 8, 8)
    unmoved = Draw(torch.full((4, 2), PADDING), torch.zeros(4, dtype=torch.bool))
    assert torch.equal(augment(images, unmoved), images)
    mirrored = Draw(torch.full((4, 2), PADDING), torch.ones(4, dtype=torch.bool))
    assert torch.equal(augment(images, mirrored), images.flip(3))


def test_the_result_is_channels_last():
    """The order that convolutions want; another one costs training time."""
    result = augment(torch.rand(4, 3, 8, 8), draw(4, torch.Generator().manual_seed(0)))
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_draws_are_uniform_one_per_image_and_seeded():
    chosen = draw(9000, torch.Generator().manual_seed(1))
    for axis in range(2):
        counts = torch.bincount(chosen.offsets[:, axis], minlength=9)
        assert len(counts) == 9
        # 1000 expected in each; five standard deviations of a binomial count.
        assert (counts - 1000).abs().max() < 5 * 30
    assert abs(int(chosen.mirror.sum()) - 4500) < 5 * 48
    assert torch.corrcoef(torch.stack([*chosen.offsets.T.double(), chosen.mirror.double()])).triu(1).abs().max() < 0.06
    again = draw(9000, torch.Generator().manual_seed(1))
    assert torch.equal(again.offsets, chosen.offsets)
    assert torch.equal(again.mirror, chosen.mirror)


def test_no_images():
    assert augment(torch.zeros(0, 3, 8, 8), draw(0, torch.Generator())).shape == (0, 3, 8, 8)
