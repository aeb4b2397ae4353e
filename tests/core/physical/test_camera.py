"""Print and camera: against slow references, factor by factor, and over anything that can be selected."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.params import params_of
from core.physical import FACTORS, FAR, FRAMINGS, NEAR, OFF, PRESETS, RESIZES, Camera, rectified
from core.physical.geometry import CORNERS, homography, pinhole, projected
from core.physical.light import colour_of, from_linear, to_linear
from core.runtime.seeding import generator_for


def pictures(count=2, channels=3, height=16, width=16, seed=0):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed))


def smooth(count=2, side=32):
    """Pictures without detail, which survive being resampled."""
    coarse = pictures(count, 3, 4, 4)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False).clamp(0, 1)


def taken(camera, images, seed=0):
    return camera(images, torch.Generator().manual_seed(seed))


# --- geometry


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 50), (25, -35, 110)])
def test_a_point_of_the_sheet_is_seen_where_a_ray_through_it_meets_the_picture(angles):
    distance, view = 1.7, 40.0
    yaw, pitch, roll = (math.radians(angle) for angle in angles)
    turn_z = torch.tensor(
        [[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]], dtype=torch.float64
    )
    turn_x = torch.tensor(
        [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]], dtype=torch.float64
    )
    turn_y = torch.tensor(
        [[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]], dtype=torch.float64
    )
    matrix = pinhole(distance, *angles, view)
    focal = 1 / math.tan(math.radians(view) / 2)
    for point in ([0.0, 0.0], [0.5, -0.3], [-1.0, 1.0]):
        x, y, z = (turn_y @ turn_x @ turn_z @ torch.tensor([*point, 0.0], dtype=torch.float64)).tolist()
        z += distance * focal
        (seen,), (weight,) = projected(matrix, torch.tensor([point], dtype=torch.float64))
        assert seen.tolist() == pytest.approx([focal * x / z, focal * y / z])
        assert float(weight) == pytest.approx(z)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=8, max_size=8))
def test_a_homography_takes_four_points_to_four_others(shifts):
    source = torch.tensor(CORNERS, dtype=torch.float64)
    target = source + torch.tensor(shifts, dtype=torch.float64).reshape(4, 2)
    seen, weight = projected(homography(source, target), source)
    assert torch.allclose(seen, target, atol=1e-9)
    assert (weight > 0).all()


def test_four_points_on_a_line_are_refused():
    line = torch.tensor([[0, 0], [1, 1], [2, 2], [3, 3]])
    with pytest.raises(ValueError, match="lie on a line"):
        homography(torch.tensor(CORNERS), line)


# --- light


@given(st.floats(0, 1))
def test_light_and_values_are_inverse(value):
    assert float(from_linear(to_linear(torch.tensor(value)))) == pytest.approx(value, abs=1e-5)


def test_lamps():
    assert colour_of(6500).tolist() == pytest.approx([1, 1, 1])
    red, green, blue = colour_of(2800).tolist()
    assert red > green > blue
    red, green, blue = colour_of(10000).tolist()
    assert red < green < blue
    assert colour_of(2800, 1).tolist() == [1]


# --- the camera


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 20, 33)])
def test_with_everything_off_nothing_happens(shape):
    images = pictures(3, *shape)
    assert torch.equal(taken(OFF, images), images)
    assert OFF.is_off
    assert not NEAR.is_off
    assert torch.equal(taken(Camera(view=90, pixels=64, margin=20, background="wall", framing="crop"), images), images)


def test_photographing_and_resizing_alone_lose_nothing():
    images = pictures(2, 3, 32, 32)
    for resize in RESIZES:
        camera = Camera(pixels=128, resize=resize)
        drawn = camera.draw(2, (3, 32, 32), torch.Generator())
        back = camera.developed(camera.photograph(images, drawn), (32, 32), drawn)
        assert torch.allclose(back, images, atol=1e-5)


def test_from_twice_the_distance_the_print_is_half_as_large():
    images = pictures(2, 3, 16, 16)
    seen = taken(Camera(distance=2, resize="area", pixels=128, background="black"), images)
    light = to_linear(images)
    # Without a lens, averaging is of the photograph's values: four pixels of the print in each of the result.
    expected = torch.zeros_like(images)
    expected[:, :, 4:12, 4:12] = from_linear(light).reshape(2, 3, 8, 2, 8, 2).mean((3, 5))
    assert torch.allclose(seen, expected, atol=0.02)


def test_upside_down():
    images = pictures(2, 3, 16, 16)
    seen = taken(Camera(roll=180, resize="area"), images)
    assert (seen - images.flip(2, 3)).abs().mean() < 0.05  # the edges of pixels are soft
    assert (seen - images).abs().mean() > 0.1


def test_turned_right_the_right_side_is_further_away():
    corners = Camera(yaw=30).corners(OFF.draw(1, (3, 8, 8), torch.Generator()))[0]
    left, right = corners[3, 1] - corners[0, 1], corners[2, 1] - corners[1, 1]
    assert left > right
    corners = Camera(pitch=30).corners(OFF.draw(1, (3, 8, 8), torch.Generator()))[0]
    assert corners[1, 0] - corners[0, 0] > corners[2, 0] - corners[3, 0]


@pytest.mark.parametrize("name", ["near", "far"])
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 16, 24)])
def test_every_image_has_its_own_draw_and_a_batch_is_its_images(name, shape):
    camera, images = PRESETS[name], pictures(3, *shape)
    drawn = camera.draw(3, shape, torch.Generator().manual_seed(3))
    whole = camera.apply(images, drawn)
    single = [camera.apply(images[i : i + 1], tuple(its[i : i + 1] for its in drawn)) for i in range(3)]
    assert torch.allclose(whole, torch.cat(single), atol=1e-4)
    again = camera.apply(images[:1].expand(3, -1, -1, -1), drawn)
    assert not torch.allclose(again[0], again[1], atol=1e-3)


def test_what_belongs_to_an_image_goes_the_same_way():
    camera = Camera(distance=1.3, yaw=20, roll=10, aim=5, resize="area")
    images = pictures(2, 1, 16, 16).round()
    drawn = camera.draw(2, (1, 16, 16), torch.Generator().manual_seed(1))
    # Masks are no light: where the values are 0 and 1, only the mixed pixels on edges differ.
    assert (camera.follow(images, drawn) - camera.apply(images, drawn)).abs().mean() < 0.04
    assert (images - camera.apply(images, drawn)).abs().mean() > 0.2
    assert torch.equal(OFF.follow(images, drawn), images)


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 5), (-20, 30, -30)])
@pytest.mark.parametrize("resize", RESIZES)
def test_a_print_seen_straight_again_is_the_image(angles, resize):
    yaw, pitch, roll = angles
    camera = Camera(
        distance=1.6, yaw=yaw, pitch=pitch, roll=roll, aim=5, framing="perspective", resize=resize, pixels=256
    )
    images = smooth()
    assert (taken(camera, images) - images).abs().mean() < 0.02


def test_a_corner_behind_the_camera_cannot_be_cut_out():
    for framing in ("crop", "perspective"):
        camera = Camera(view=110, pitch=75, framing=framing)
        with pytest.raises(ValueError, match="a corner of the print is behind the camera"):
            taken(camera, pictures(1))
    assert bool(taken(Camera(view=110, pitch=75), pictures(1)).isfinite().all())


def test_no_images_are_no_photographs():
    for camera in (OFF, NEAR, replace(NEAR, framing="crop")):
        assert taken(camera, pictures(1)[:0]).shape == (0, 3, 16, 16)


def test_paper_is_no_part_of_a_mask():
    camera = Camera(distance=1.5, margin=20)
    drawn = camera.draw(1, (1, 16, 16), torch.Generator())
    assert float(camera.follow(torch.zeros(1, 1, 16, 16), drawn).max()) == 0


def test_a_crop_contains_the_whole_print_and_no_more():
    white = torch.ones(1, 3, 16, 16)
    camera = Camera(distance=2, background="black", framing="crop", aim=10)
    assert taken(camera, white).mean() > 0.97
    assert taken(replace(camera, framing="picture"), white).mean() < 0.35


@pytest.mark.parametrize("factor", FACTORS)
def test_a_factor_alone_does_what_it_is_called(factor):
    images = pictures(2, 3, 32, 32)
    # A little blur does not reach from one pixel's middle to the next one's.
    camera = replace(FAR, defocus=3, motion=6).only(factor)
    changed = set(camera.changed()) - {"view", "pixels", "framing", "resize"}
    assert changed <= set(FACTORS[factor])
    if factor == "background":  # nothing is seen of it before the sheet moves away
        assert camera.is_off
    else:
        assert not torch.allclose(taken(camera, images), images, atol=1e-3)
    assert not set(FAR.without(factor).changed()) & set(FACTORS[factor])
    assert FAR.without(factor).distance == (1.0 if factor == "distance" else FAR.distance)


def test_factors_have_every_parameter_once():
    named = [name for names in FACTORS.values() for name in names]
    assert len(named) == len(set(named))
    assert set(params_of(Camera)) - set(named) == {"view", "framing", "resize", "pixels"}


def test_brightness_light_and_vignetting():
    gray = torch.full((1, 3, 16, 16), 0.5)
    assert taken(Camera(brightness=-1), gray).mean() < 0.4
    assert taken(Camera(brightness=1), gray).mean() > 0.6
    warm = taken(Camera(temperature=3000), gray).mean((0, 2, 3))
    assert warm[0] > 0.5 > warm[2]
    assert torch.allclose(taken(Camera(temperature=3000, white_balance=1), gray), gray, atol=1e-4)
    dark = taken(Camera(vignetting=0.8), gray)
    assert dark[0, 0, 0, 0] < dark[0, 0, 8, 8]


def test_ink_and_paper():
    black, white = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    assert taken(Camera(ink_black=0.1), black).mean() == pytest.approx(float(from_linear(torch.tensor(0.1))), abs=1e-3)
    assert torch.allclose(taken(Camera(ink_black=0.1), white), white, atol=1e-4)
    gray = torch.full((1, 3, 16, 16), 0.7)
    assert taken(Camera(dot_gain=0.2), gray).mean() < 0.68
    assert torch.allclose(taken(Camera(dot_gain=0.2), black), black, atol=1e-4)


def test_few_dots_lose_detail():
    fine = pictures(1, 3, 32, 32)
    coarse = taken(Camera(print_size=20, print_dpi=20), fine)  # 16 dots across
    assert coarse.var() < 0.6 * fine.var()


def test_blur_keeps_the_light_of_a_uniform_picture_and_spreads_a_point():
    gray = torch.full((1, 3, 16, 16), 0.5)
    point = torch.zeros(1, 3, 16, 16)
    point[:, :, 8, 8] = 1
    for camera in (Camera(defocus=6), Camera(motion=12)):
        assert torch.allclose(taken(camera, gray), gray, atol=1e-4)
        assert taken(camera, point)[0, 0, 8, 8] < 0.95
        assert (taken(camera, point) > 0.01).sum() > 3


def test_noise_has_the_deviation_that_was_asked_for():
    white = torch.full((8, 3, 32, 32), 0.9)
    camera = Camera(noise=10, pixels=32)
    drawn = camera.draw(8, (3, 32, 32), torch.Generator().manual_seed(0))
    light = to_linear(camera.photograph(white, drawn))
    level = float(to_linear(torch.tensor(0.9)))
    assert float(light.std()) == pytest.approx(10 / 255 * math.sqrt(0.9 * level + 0.1), rel=0.05)


def test_jpeg_of_low_quality_is_far_from_the_photograph():
    images = smooth()

    def error(quality):
        return float((taken(Camera(jpeg=quality, pixels=32), images) - images).abs().mean())

    assert error(10) > 2 * error(95) > 0


VALUES = {
    name: st.sampled_from(param.choices)
    if param.choices
    else st.sampled_from([0, 100])
    if name == "jpeg"
    else st.sampled_from([32, 64])
    if name == "pixels"
    else st.integers(int(param.low), int(param.high))
    if param.kind is int
    else st.floats(param.low, param.high)
    for name, param in params_of(Camera).items()
}


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({}, optional=VALUES), st.sampled_from([(3, 16, 16), (1, 12, 20)]))
# The dots of this print, 34 x 57, have another shape than the image.
@example({"print_size": 10.0, "print_dpi": 86, "pixels": 32, "noise": 1.0}, (1, 12, 20))
def test_whatever_is_selected_keeps_shape_and_range(values, shape):
    camera = Camera(**values)
    images = pictures(2, *shape)
    refused = ""
    try:
        seen = taken(camera, images)
    except ValueError as error:
        refused = str(error)
    if refused:  # a sheet seen from its edge has no corners to cut it out by
        assert "lie on a line" in refused or "behind the camera" in refused
        return
    assert seen.shape == images.shape
    assert bool(seen.isfinite().all())
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 1
    assert Camera.from_dict(camera.changed()) == camera


def test_equal_seeds_give_equal_photographs():
    images = pictures(2)
    assert torch.equal(taken(NEAR, images, 4), taken(NEAR, images, 4))
    assert not torch.equal(taken(NEAR, images, 4), taken(NEAR, images, 5))
    assert torch.equal(NEAR.seeded(3)(images), NEAR.seeded(3)(images))


def test_other_draws_do_not_depend_on_the_noise():
    first = NEAR.draw(3, (3, 8, 8), generator_for(0, "x"))
    second = NEAR.without("noise").draw(3, (3, 8, 8), generator_for(0, "x"))
    assert all(torch.equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))


@pytest.mark.parametrize(
    "values", [{"distance": 0.5}, {"yaw": 90}, {"jpeg": 101}, {"framing": "nix"}, {"background": 3}]
)
def test_what_no_camera_does_is_refused(values):
    with pytest.raises(ValueError, match="is not allowed"):
        Camera(**values)


def test_an_unknown_framing_or_resize_is_refused():
    corners = torch.tensor(CORNERS)[None]
    with pytest.raises(ValueError, match="framing = 'nix' is not allowed"):
        rectified(pictures(1), corners, "nix", (8, 8))
    for framing in FRAMINGS:
        with pytest.raises(ValueError, match="resize = 'nix' is not allowed"):
            rectified(pictures(1), corners, framing, (8, 8), "nix")


def test_large_photographs_are_read_antialiased():
    fine = pictures(1, 3, 640, 640)
    corners = torch.tensor(CORNERS)[None]
    assert float(rectified(fine, corners, "perspective", (8, 8)).std()) < 0.1
