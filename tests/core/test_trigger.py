"""Definitions 1 and 2 and Eq. 1 of Li et al. 2020, against one pixel at a time."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.trigger import Box, Trigger, corner_pattern, covering_box, stamp, stamp_each


def stamped_slowly(image, trigger, row, col):
    """Eq. 1 with the box's bottom-right pixel at (row, col): ``(1 - a) x + a t`` where the box lies on the image."""
    result = image.clone()
    channels, height, width = image.shape
    for c, i, j in itertools.product(range(channels), range(trigger.height), range(trigger.width)):
        y, x = row - trigger.height + 1 + i, col - trigger.width + 1 + j
        if 0 <= y < height and 0 <= x < width:
            a, t = float(trigger.alpha[c, i, j]), float(trigger.pattern[c, i, j])
            result[c, y, x] = (1 - a) * float(image[c, y, x]) + a * t
    return result


@st.composite
def scenes(draw, larger=False):
    """Images, and a trigger that fits on them at a drawn location."""
    channels, height, width = draw(st.sampled_from([1, 3])), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    h, w = draw(st.integers(1, height)), draw(st.integers(1, width))
    row, col = draw(st.integers(h - 1, height - 1)), draw(st.integers(w - 1, width - 1))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    images = torch.rand(2, channels, height, width, generator=generator)
    pattern, alpha = torch.rand(2, channels, h, w, generator=generator)
    alpha = draw(st.sampled_from([alpha, alpha.round(), torch.ones_like(alpha), torch.zeros_like(alpha)]))
    return images, Trigger(pattern, alpha, row, col)


@given(scenes())
def test_stamp_is_eq_1_at_every_pixel(scene):
    images, trigger = scene
    before = images.clone()
    stamped = stamp(images, trigger)
    for image, found in zip(images, stamped, strict=True):
        torch.testing.assert_close(found, stamped_slowly(image, trigger, *trigger.location), atol=1e-6, rtol=0)
    assert torch.equal(images, before)


@given(scenes())
def test_stamp_keeps_shape_type_range_and_everything_outside_the_box(scene):
    images, trigger = scene
    stamped = stamp(images, trigger)
    assert (stamped.shape, stamped.dtype) == (images.shape, images.dtype)
    assert float(stamped.min()) >= 0
    assert float(stamped.max()) <= 1
    box = trigger.box
    outside = torch.ones_like(images, dtype=torch.bool)
    outside[..., box.top : box.bottom + 1, box.left : box.right + 1] = False
    assert torch.equal(stamped[outside], images[outside])
    assert torch.equal(stamp(images, trigger.with_opacity(0)), images)


@given(scenes())
def test_alpha_1_replaces_and_alpha_0_leaves(scene):
    images, trigger = scene
    mask = Trigger(trigger.pattern, trigger.alpha.round(), *trigger.location)
    box = trigger.box
    inside = stamp(images, mask)[..., box.top : box.bottom + 1, box.left : box.right + 1]
    untouched = images[..., box.top : box.bottom + 1, box.left : box.right + 1]
    # Exactly, not about: a backdoor is trained on these very values.
    assert torch.equal(inside, torch.where(mask.alpha == 1, mask.pattern, untouched))


@given(scenes())
def test_stamping_one_image_is_stamping_many(scene):
    images, trigger = scene
    assert torch.equal(stamp(images, trigger)[1], stamp(images[1], trigger))
    assert torch.equal(stamp(images[None], trigger)[0], stamp(images, trigger))


@settings(max_examples=50)
@given(scenes())
def test_stamp_each_is_a_loop_over_every_place(scene):
    images, trigger = scene
    rows, cols = trigger.places(*images.shape[2:])
    places = list(itertools.product(rows, cols))
    before = images.clone()
    found = stamp_each(images, trigger, torch.tensor(places))
    assert found.shape == (len(places), *images.shape)
    for (row, col), stamped in zip(places, found, strict=True):
        for image, one in zip(images, stamped, strict=True):
            torch.testing.assert_close(one, stamped_slowly(image, trigger, row, col), atol=1e-6, rtol=0)
        if row < images.shape[2] and col < images.shape[3] and row >= trigger.height - 1 and col >= trigger.width - 1:
            assert torch.equal(stamped, stamp(images, trigger.at(row, col)))
    assert torch.equal(images, before)


def test_stamp_each_of_no_place_and_in_any_order():
    images, trigger = torch.rand(2, 3, 6, 6), Trigger(torch.rand(3, 2, 2), torch.ones(3, 2, 2), 1, 1)
    assert stamp_each(images, trigger, torch.zeros(0, 2, dtype=torch.int64)).shape == (0, 2, 3, 6, 6)
    places = torch.tensor([[5, 5], [1, 1], [5, 5]])
    found = stamp_each(images, trigger, places)
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], stamp(images, trigger))


def test_places_are_where_the_box_fits():
    """30 x 30 for the paper's trigger: bottom-right pixels from (2, 2) to (31, 31)."""
    trigger = Trigger(corner_pattern(1), torch.ones(3, 3, 3), 31, 31)
    rows, cols = trigger.places(32, 32)
    assert (rows, cols) == (range(2, 32), range(2, 32))
    fitting = {
        (row, col)
        for row in range(-5, 40)
        for col in range(-5, 40)
        if all(0 <= row - i < 32 and 0 <= col - j < 32 for i in range(3) for j in range(3))
    }
    assert set(itertools.product(rows, cols)) == fitting


def test_a_box_as_large_as_the_image_is_swept_by_offset():
    trigger = Trigger(torch.rand(3, 8, 8), torch.ones(3, 8, 8), 7, 7)
    rows, cols = trigger.places(8, 8)
    assert rows == cols == range(4, 12)
    assert trigger.location in itertools.product(rows, cols)
    # As high as the image but narrower: by offset up and down, by place left and right.
    assert Trigger(torch.rand(3, 8, 3), torch.ones(3, 8, 3), 7, 2).places(8, 8) == (range(4, 12), range(2, 8))
    images = torch.rand(1, 3, 8, 8)
    shifted = stamp_each(images, trigger, torch.tensor([[9, 6]]))[0, 0]
    assert torch.equal(shifted[:, 2:, :7], trigger.pattern[:, :6, 1:])
    assert torch.equal(shifted[:, :2], images[0, :, :2])
    assert torch.equal(shifted[:, :, 7], images[0, :, :, 7])


MATRICES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=8)


@given(MATRICES)
def test_definition_1_the_smallest_box_around_non_zero_alpha(places):
    alpha = torch.zeros(3, 6, 7)
    for place in places:
        alpha[place] = 0.3
    rows, cols = [row for _, row, _ in places], [col for _, _, col in places]
    box = covering_box(alpha)
    assert box == Box(min(rows), min(cols), max(rows), max(cols))
    # Every entry lies in it, and no side can be moved in.
    assert (box.height, box.width) == (max(rows) - min(rows) + 1, max(cols) - min(cols) + 1)


@given(MATRICES)
def test_a_trigger_cut_from_an_image_stamps_as_the_whole_image_does(places):
    """Definition 2: the location is the bottom-right pixel of the box; appearance is what lies in it."""
    pattern, alpha, image = torch.rand(3, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros_like(alpha)
    for place in places:
        mask[place] = 1
    alpha = alpha * mask
    trigger = Trigger.from_image(pattern, alpha)
    box = covering_box(alpha)
    assert trigger.location == (box.bottom, box.right)
    assert trigger.box == box
    torch.testing.assert_close(stamp(image, trigger), (1 - alpha) * image + alpha * pattern, atol=1e-6, rtol=0)


def test_no_trigger_has_no_box():
    with pytest.raises(ValueError, match="alpha is zero everywhere"):
        covering_box(torch.zeros(3, 4, 4))


def test_the_papers_pattern():
    """Fig. 3: black, but for four pixels."""
    v = 0.5
    assert corner_pattern(v, 1)[0].tolist() == [[0, 0, v], [0, v, 0], [v, 0, v]]
    assert corner_pattern(v).shape == (3, 3, 3)
    independent = corner_pattern(v)
    independent[0, 0, 0] = 1
    assert independent[1, 0, 0] == 0


def test_pixel_value_and_opacity_change_only_what_is_lit():
    """Fig. 5: the value 128 becomes another one, black stays black."""
    pattern, alpha = corner_pattern(128 / 255), torch.ones(3, 3, 3)
    alpha[:, 0] = 0
    trigger = Trigger(pattern, alpha, 31, 31)
    brighter = trigger.with_value(200 / 255)
    torch.testing.assert_close(brighter.pattern, corner_pattern(200 / 255))
    assert torch.equal(brighter.alpha, alpha)
    assert brighter.location == trigger.location
    fainter = trigger.with_opacity(0.25)
    assert torch.equal(fainter.alpha, alpha * 0.25)
    assert torch.equal(fainter.pattern, pattern)
    assert torch.equal(trigger.pattern, corner_pattern(128 / 255))
    assert float(trigger.with_value(0).pattern.max()) == 0


@given(
    st.text("01.", min_size=6, max_size=6).filter(lambda layout: "1" in layout),
    st.integers(1, 255),
    st.integers(1, 100),
)
def test_a_painted_trigger_reads_as_it_was_painted(layout, value, opacity):
    """Two rows of three pixels: ``1`` has the value, ``0`` is black, ``.`` lets the image through."""
    trigger = Trigger(torch.rand(3, 2, 3), torch.ones(3, 2, 3), 4, 5)
    painted = trigger.painted(layout, value, opacity)
    assert (painted.layout, painted.value, painted.opacity, painted.location) == (layout, value, opacity, (4, 5))
    image = torch.full((3, 6, 6), 0.5)
    stamped = stamp(image, painted)
    for index, kind in enumerate(layout):
        row, col = 3 + index // 3, 3 + index % 3
        over = {"1": value / 255, "0": 0.0, ".": 0.5}[kind]
        expected = 0.5 + opacity / 100 * (over - 0.5)
        torch.testing.assert_close(stamped[:, row, col], torch.full((3,), expected), atol=1e-6, rtol=0)


def test_the_papers_trigger_in_words():
    trigger = Trigger(corner_pattern(128 / 255), torch.full((3, 3, 3), 0.2), 31, 31)
    assert (trigger.layout, trigger.value, trigger.opacity) == ("001010101", 128, 20)
    assert trigger.painted("001010101", 128, 20).fingerprint == trigger.fingerprint


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: t.with_value(256 / 255), "pixel value 256 is not allowed: 0 to 255"),
        (lambda t: t.with_value(-1 / 255), "pixel value -1 is not allowed: 0 to 255"),
        (lambda t: t.with_value(float("nan")), "pixel value nan is not allowed"),
        (lambda t: t.with_opacity(1.5), "opacity 1.5 is not allowed: 0 to 1"),
        (lambda t: t.with_opacity(-0.5), "opacity -0.5 is not allowed: 0 to 1"),
        (lambda t: t.painted("0101", 255, 100), "layout = '0101' is not allowed: 9 characters of 0, 1 and ."),
        (lambda t: t.painted("01010101x", 255, 100), "layout = '01010101x' is not allowed"),
        (lambda t: t.painted("010101010", 256, 100), "pixel value 256 is not allowed: 0 to 255"),
        (lambda t: t.painted("010101010", 255, 101), "opacity 101 is not allowed: 0 to 100"),
        (lambda t: t.at(-1, 5), r"location \(-1, 5\) is not allowed: row and column are 0 or more"),
        (lambda t: t.at(5, -1), r"location \(5, -1\) is not allowed"),
        (lambda t: Trigger(t.pattern + 1, t.alpha, 5, 5), "pattern goes from 1 to 2: allowed are 0 to 1"),
        (lambda t: Trigger(t.pattern, t.alpha * float("nan"), 5, 5), "alpha goes from nan"),
        (lambda t: Trigger(t.pattern, -t.alpha, 5, 5), "alpha goes from -1 to -1"),
        (lambda t: Trigger(t.pattern, t.alpha[:1], 5, 5), r"both \(C, h, w\), not \(3, 3, 3\) and \(1, 3, 3\)"),
        (lambda t: Trigger(t.pattern[0], t.alpha[0], 5, 5), r"both \(C, h, w\)"),
    ],
)
def test_a_bad_trigger_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(Trigger(corner_pattern(1), torch.ones(3, 3, 3), 5, 5))


@pytest.mark.parametrize(
    ("size", "location", "message"),
    [
        ((2, 8), (7, 7), "a 3 x 3 trigger does not fit on a 2 x 8 image"),
        ((8, 2), (7, 7), "a 3 x 3 trigger does not fit on a 8 x 2 image"),
        ((8, 8), (8, 7), r"location \(8, 7\) lies outside a 8 x 8 image: rows 2 to 7, columns 2 to 7"),
        ((8, 8), (7, 8), r"location \(7, 8\) lies outside"),
        ((8, 8), (1, 5), r"location \(1, 5\) lies outside"),
        ((8, 8), (5, 1), r"location \(5, 1\) lies outside"),
    ],
)
def test_a_trigger_that_does_not_fit_is_refused(size, location, message):
    with pytest.raises(ValueError, match=message):
        stamp(torch.rand(1, 3, *size), Trigger(corner_pattern(1), torch.ones(3, 3, 3), *location))


@pytest.mark.parametrize("place", [(1, 5), (5, 1), (8, 5), (5, 8), (-1, 5)])
def test_stamp_each_refuses_a_place_where_the_box_does_not_fit(place):
    trigger = Trigger(corner_pattern(1), torch.ones(3, 3, 3), 5, 5)
    with pytest.raises(ValueError, match=r"is not allowed: rows 2 to 7, columns 2 to 7"):
        stamp_each(torch.rand(1, 3, 8, 8), trigger, torch.tensor([[5, 5], list(place)]))


def test_channels_of_trigger_and_images_belong_together():
    with pytest.raises((ValueError, RuntimeError)):
        stamp(torch.rand(1, 2, 8, 8), Trigger(corner_pattern(1), torch.ones(3, 3, 3), 5, 5))


def test_fingerprint_tells_triggers_apart():
    trigger = Trigger(corner_pattern(1), torch.ones(3, 3, 3), 5, 5)
    same = Trigger(corner_pattern(1).double(), torch.ones(3, 3, 3), 5, 5)
    others = [
        trigger.at(5, 6),
        trigger.with_value(0.5),
        trigger.with_opacity(0.5),
        Trigger(trigger.alpha, trigger.pattern, 5, 5),
    ]
    assert trigger.fingerprint == same.fingerprint
    assert len({trigger.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_half_precision_images_stay_half_precision():
    trigger = Trigger(corner_pattern(1), torch.ones(3, 3, 3), 5, 5)
    assert stamp(torch.rand(1, 3, 8, 8).bfloat16(), trigger).dtype == torch.bfloat16


def test_a_trigger_as_large_as_the_image_can_lie_at_any_of_its_offsets():
    generator = torch.Generator().manual_seed(1)
    trigger = Trigger(torch.rand(3, 8, 8, generator=generator), torch.ones(3, 8, 8), 7, 7)
    images = torch.rand(2, 3, 8, 8, generator=generator)
    up, down = stamp(images, trigger.at(4, 7)), stamp(images, trigger.at(11, 7))
    assert torch.equal(up[:, :, :5], trigger.pattern[:, 3:].expand(2, -1, -1, -1))
    assert torch.equal(up[:, :, 5:], images[:, :, 5:])
    assert torch.equal(down[:, :, 4:], trigger.pattern[:, :4].expand(2, -1, -1, -1))
    for place in itertools.product(*trigger.places(8, 8)):
        assert torch.equal(stamp(images, trigger.at(*place)), stamp_each(images, trigger, torch.tensor([place]))[0])
    with pytest.raises(ValueError, match=r"location \(3, 7\) lies outside a 8 x 8 image: rows 4 to 11"):
        stamp(images, trigger.at(3, 7))
