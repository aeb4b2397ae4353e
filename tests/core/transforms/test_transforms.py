"""A contract that every registered transformation keeps, slow references, and compound transformations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from core.params import params_of
from core.registry import UnknownName
from core.runtime.seeding import generator_for
from core.transforms import Compose, transform_from_spec, transforms
from core.transforms.spatial import Flip, RandomShrinkPad, ShrinkPad

every_transform = pytest.mark.parametrize("name", transforms.names())
specs = st.lists(
    st.sampled_from(transforms.names()).flatmap(
        lambda name: st.sampled_from(transforms[name].grid).map(lambda value: f"{name}:{value:g}")
    ),
    max_size=4,
).map(",".join)


def images_of(count, seed=0, shape=(3, 32, 32)):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def of_one(drawn, index):
    """The draw of one image of a batch."""
    return tuple(entry[index : index + 1] for entry in drawn)


@given(specs, st.integers(0, 5), st.sampled_from([(3, 32, 32), (1, 28, 28), (3, 12, 20)]), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_shape_and_range_are_preserved(spec, count, shape, seed):
    """Definition 3, for any compound transformation; black and white stay inside too."""
    images = images_of(count, seed, shape)
    if count:
        images[0], images[-1] = 0, 1
    before, made = images.clone(), transform_from_spec(spec)(images, generator_for(seed, "x"))
    assert torch.equal(images, before)
    assert (made.shape, made.dtype) == (images.shape, images.dtype)
    assert bool(((made >= 0) & (made <= 1)).all())


@every_transform
def test_the_first_strength_changes_nothing(name):
    images = images_of(4)
    unchanged = transforms[name]().at(transforms[name].grid[0])(images, generator_for(0, "x"))
    torch.testing.assert_close(unchanged, images, atol=1e-6, rtol=0)


@every_transform
def test_every_image_has_its_own_draw_and_only_that(name):
    """Applied one by one with the same draw, the images come out the same; and two equal images come out different."""
    transform, images = transforms[name](), images_of(12)
    drawn = transform.draw(12, (3, 32, 32), generator_for(3, "x"))
    together = transform.apply(images, drawn)
    alone = [transform.apply(images[i : i + 1], of_one(drawn, i)) for i in range(12)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)
    if name != "flip":
        same = transform(images[:1].expand(12, -1, -1, -1), generator_for(3, "x"))
        assert len({picture.numpy().tobytes() for picture in same}) > 1


@every_transform
def test_draws_are_seeded(name):
    transform, images = transforms[name](), images_of(8)
    transform = transform.at(0.5) if name == "flip" else transform
    first, again, other = (transform(images, generator_for(seed, "x")) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    run, once_more = transform.seeded(4), transform.seeded(4)
    one, two = run(images), run(images)
    assert not torch.equal(one, two)
    assert torch.equal(once_more(images), one)
    assert torch.equal(once_more(images), two)


@every_transform
def test_a_text_describes_it(name):
    for strength in transforms[name].grid:
        transform = transforms[name]().at(strength)
        assert transform_from_spec(transform.spec).steps == (transform,)
        assert transform.label.startswith(transform.title)
    assert type(transform).from_dict(json.loads(json.dumps(transform.to_dict()))) == transform
    assert transforms[name]().spec == name


@every_transform
def test_a_strength_outside_its_bounds_is_refused_by_name(name):
    param = params_of(transforms[name])[transforms[name].strength]
    with pytest.raises(ValueError, match=f"{transforms[name].strength} = .* is not allowed"):
        transform_from_spec(f"{name}:{param.high + 1}")
    with pytest.raises(ValueError, match=f"{transforms[name].strength} = 'x' is not allowed"):
        transform_from_spec(f"{name}:x")


def slow_shrink(image, size):
    """Bilinear shrinking of one image ``(C, H, W)``, written out: pixel centres aligned, no antialias."""
    channels, height, width = image.shape
    small = np.zeros((channels, height - size, width - size))
    for i in range(height - size):
        for j in range(width - size):
            y, x = ((k + 0.5) * full / (full - size) - 0.5 for k, full in ((i, height), (j, width)))
            y, x = max(y, 0), max(x, 0)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            a, b = y - top, x - left
            small[:, i, j] = (1 - a) * ((1 - b) * image[:, top, left] + b * image[:, top, right]) + a * (
                (1 - b) * image[:, bottom, left] + b * image[:, bottom, right]
            )
    return small


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 16, 24)])
def test_shrinkpad_equals_a_slow_reference(size, shape):
    images, transform = images_of(5, shape=shape), ShrinkPad(size=size)
    sizes, corners = transform.draw(5, shape, generator_for(0, "x"))
    assert sizes.tolist() == [size] * 5
    made = transform.apply(images, (sizes, corners))
    for image, result, (row, col) in zip(images, made, corners.tolist(), strict=True):
        expected = np.zeros(shape)
        expected[:, row : row + shape[1] - size, col : col + shape[2] - size] = slow_shrink(
            image.double().numpy(), size
        )
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-5)


def test_shrinkpad_puts_the_image_everywhere_alike():
    """Every one of the (k + 1) x (k + 1) places, each about equally often: chi-square below its 99.99% quantile."""
    _, corners = ShrinkPad(size=3).draw(16_000, (3, 32, 32), generator_for(0, "x"))
    counts = torch.bincount(4 * corners[:, 0] + corners[:, 1], minlength=16).double()
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 44.3


def test_random_shrinkpad_draws_every_size_alike():
    sizes, corners = RandomShrinkPad(size=4).draw(10_000, (3, 32, 32), generator_for(0, "x"))
    counts = torch.bincount(sizes, minlength=5).double()
    assert float(((counts - 2000) ** 2 / 2000).sum()) < 23.5
    assert bool((corners <= sizes[:, None]).all())
    assert bool((corners >= 0).all())


def test_flip_mirrors_left_and_right():
    images = images_of(3)
    flipped = Flip()(images, generator_for(0, "x"))
    assert torch.equal(flipped, images.flip(3))
    half = Flip(probability=0.5).draw(10_000, (3, 32, 32), generator_for(0, "x"))[0]
    assert 4800 < int(half.sum()) < 5200


def test_noise_has_the_standard_deviation_it_says():
    gray = torch.full((50, 3, 32, 32), 0.5)
    noise = transform_from_spec("noise:10")(gray, generator_for(0, "x")) - gray
    assert float(noise.std()) * 255 == pytest.approx(10, rel=0.01)
    assert abs(float(noise.mean())) * 255 < 0.1


@pytest.mark.parametrize("name", ["hue", "contrast", "brightness", "saturation"])
@pytest.mark.parametrize("channels", [1, 3])
def test_colour_shifts_are_torchvisions(name, channels):
    transform, images = transforms[name](), images_of(16, shape=(channels, 12, 12))
    images[0] = images[0].round()  # saturated colours, where sectors meet
    images[1] = images[1, :1].expand(channels, -1, -1)  # gray
    drawn = transform.draw(16, (channels, 12, 12), generator_for(0, "x"))
    made = transform.apply(images, drawn)
    adjust = getattr(reference, f"adjust_{name}")
    expected = [adjust(image, float(factor)) for image, factor in zip(images, drawn[0], strict=True)]
    torch.testing.assert_close(made, torch.stack(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "amount", "low", "high"), [("contrast", 0.4, 0.6, 1.4), ("hue", 0.3, -0.3, 0.3)])
def test_colour_shifts_draw_from_the_jitters_range(name, amount, low, high):
    (factor,) = transforms[name]().at(amount).draw(20_000, (3, 4, 4), generator_for(0, "x"))
    assert low <= float(factor.min()) < low + 0.01
    assert high - 0.01 < float(factor.max()) <= high
    assert float(factor.mean()) == pytest.approx((low + high) / 2, abs=0.01)


@pytest.mark.parametrize("spec", ["flip", "shrinkpad:5", "random-shrinkpad", "flip:0.5,shrinkpad:3", "noise,flip,hue"])
def test_a_mask_goes_the_way_of_its_image(spec):
    """A mask that is lit where the image is lit ends where the image's light ends; colour leaves it alone."""
    images = torch.zeros(6, 3, 32, 32)
    images[:, :, 28:, 26:] = 1
    masks, transform = images[:, :1].clone(), transform_from_spec(spec)
    drawn = transform.draw(6, (3, 32, 32), generator_for(1, "x"))
    moved = transform.follow(masks, drawn)
    only_spatial = Compose(tuple(step for step in transform.steps if step.spatial))
    kept = tuple(its for step, its in zip(transform.steps, drawn, strict=True) if step.spatial)
    assert torch.equal(moved, only_spatial.apply(images, kept)[:, :1])
    assert not torch.equal(moved, masks)


def test_steps_go_in_order():
    images = images_of(3)
    both = transform_from_spec("shrinkpad:8,noise:20")
    drawn = both.draw(3, (3, 32, 32), generator_for(0, "x"))
    first, second = both.steps
    assert torch.equal(both.apply(images, drawn), second.apply(first.apply(images, drawn[0]), drawn[1]))
    assert both.spec == "shrinkpad:8,noise:20"
    assert both.label == "ShrinkPad-8, then Noise 20"


def test_no_step_is_no_transformation():
    nothing, images = transform_from_spec(""), images_of(2)
    assert nothing == Compose()
    assert torch.equal(nothing(images, generator_for(0, "x")), images)
    assert (nothing.spec, nothing.label) == ("", "no transformation")


def test_texts_that_mean_nothing_are_refused():
    with pytest.raises(UnknownName, match="did you mean 'shrinkpad'"):
        transform_from_spec("shrinkpat:2")
    with pytest.raises(ValueError, match="9 transformations are not allowed: at most 8"):
        transform_from_spec(",".join(["flip"] * 9))


def test_an_image_smaller_than_the_shrink_size_is_refused():
    with pytest.raises(ValueError, match="size = 8 is not allowed: images are 8 x 20 pixels"):
        ShrinkPad(size=8)(images_of(1, shape=(3, 8, 20)), generator_for(0, "x"))
