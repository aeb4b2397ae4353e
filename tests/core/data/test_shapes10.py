"""shapes10: distances against a slow reference; images stable, balanced, contrasted, and free of the trigger."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.data import datasets
from core.data.outlines import CLASSES, POLYGONS, ROUNDING, TILT, polygon_distance, signed_distance
from core.data.shapes10 import CHUNK, DRAWS, SIZES, Shapes10, render

GOLDEN = "431abdfd36429264"


@pytest.fixture(scope="module")
def test_set():
    return Shapes10().load("test")


def points(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.6, 1.6, (count, 2))


def slow_polygon_distance(x: float, y: float, corners: np.ndarray) -> float:
    """One point: distance to densely sampled edges; inside where the angles to the corners add up to a turn."""
    nearest, turned = math.inf, 0.0
    for index in range(len(corners)):
        (ax, ay), (bx, by) = corners[index], corners[(index + 1) % len(corners)]
        for step in range(2001):
            t = step / 2000
            nearest = min(nearest, math.hypot(x - (ax + t * (bx - ax)), y - (ay + t * (by - ay))))
        turn = math.atan2(by - y, bx - x) - math.atan2(ay - y, ax - x)
        turned += (turn + math.pi) % (2 * math.pi) - math.pi
    return -nearest if abs(turned) > math.pi else nearest


@pytest.mark.parametrize("shape", ["square", "star", "arrow"])
def test_polygon_distance_matches_a_slow_reference(shape):
    corners = POLYGONS[shape]
    where = points(40)
    found = polygon_distance(where[:, 0], where[:, 1], corners)
    expected = [slow_polygon_distance(x, y, corners) for x, y in where]
    assert {d < 0 for d in expected} == {True, False}
    np.testing.assert_allclose(found, expected, atol=2e-4)
    np.testing.assert_allclose(signed_distance(shape, where[:, 0], where[:, 1]), found - ROUNDING)


def outline(shape: str) -> np.ndarray:
    """Dense points on an outline made of circles, from its definition."""
    turn = np.linspace(0, 2 * np.pi, 40_001)
    circle = np.stack((np.cos(turn), np.sin(turn)), axis=1)
    if shape == "ring":
        return np.concatenate((0.92 * circle, 0.52 * circle))
    if shape == "crescent":
        outer, inner = 0.96 * circle, 0.74 * circle + (0, 0.46)
        return np.concatenate((outer[np.hypot(*(outer - (0, 0.46)).T) >= 0.74], inner[np.hypot(*inner.T) <= 0.96]))
    # The heart: half circles on the upper sides of a square that stands on its corner.
    scale = 1.62
    right = np.sqrt(0.125) * circle + (0.25, 0.75)
    right = right[right.sum(axis=1) >= 1]
    side = np.linspace(0, 0.5, 10_001)[:, None] * (1, 1)
    half = np.concatenate((right, side))
    return scale * np.concatenate((half, half * (-1, 1))) - (0, 0.92)


def inside(shape: str, x: float, y: float) -> bool:
    if shape == "ring":
        return 0.52 < math.hypot(x, y) < 0.92
    if shape == "crescent":
        return math.hypot(x, y) < 0.96 and math.hypot(x, y - 0.46) > 0.74
    x, y = abs(x) / 1.62, (y + 0.92) / 1.62
    return (x < y and x + y < 1) or math.hypot(x - 0.25, y - 0.75) < math.sqrt(0.125)


@pytest.mark.parametrize("shape", ["ring", "heart", "crescent"])
def test_round_distance_matches_a_slow_reference(shape):
    where = points(200)
    found = signed_distance(shape, where[:, 0], where[:, 1])
    on_outline = outline(shape)
    expected = [(-1 if inside(shape, x, y) else 1) * min(np.hypot(*(on_outline - (x, y)).T)) for x, y in where]
    assert {d < 0 for d in expected} == {True, False}
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("shape", CLASSES)
def test_every_shape_is_symmetric_and_about_unit_size(shape):
    where = points(2000)
    distance = signed_distance(shape, where[:, 0], where[:, 1])
    np.testing.assert_allclose(distance, signed_distance(shape, -where[:, 0], where[:, 1]), atol=1e-12)
    reach = np.hypot(*where[distance < 0].T).max()
    assert 0.8 < reach < 1.15


def test_a_mirrored_image_is_the_same_class_in_the_mirrored_pose():
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 10
    u = rng.random((20, DRAWS))
    u[:, 5] = 0.0  # a linear gradient: the one texture whose mirror image is a rotation
    mirrored = u.copy()
    mirrored[:, 1] = 1 - u[:, 1]  # abscissa of the centre
    mirrored[:, 3] = 1 - u[:, 3]  # tilt
    mirrored[:, 4] = (0.5 - u[:, 4]) % 1  # direction of the texture
    mirrored[:, 22] = (0.5 - u[:, 22]) % 1  # direction of the light
    noise = rng.random((20, 3, 32, 32))
    plain = render(labels, u, noise).astype(int)
    flipped = render(labels, mirrored, noise[..., ::-1]).astype(int)[..., ::-1]
    assert np.abs(plain - flipped).max() <= 1
    assert np.abs(plain - plain[..., ::-1]).max() > 50


def slow_coverage(label: int, u: np.ndarray) -> np.ndarray:
    """Which pixels the shape covers by more than 0.9 (1), less than 0.1 (-1): one pixel after another."""
    radius = 7.5 + 4.5 * u[0]
    reach = 16 - 0.9 * radius
    tilt = math.radians(list(TILT.values())[label]) * (2 * u[3] - 1)
    covered = np.zeros((32, 32))
    for row in range(32):
        for column in range(32):
            x = column - 15.5 - (2 * u[1] - 1) * reach
            y = 15.5 - row - (2 * u[2] - 1) * reach
            turned = (x * math.cos(tilt) + y * math.sin(tilt), y * math.cos(tilt) - x * math.sin(tilt))
            d = radius * signed_distance(CLASSES[label], *(np.array([v / radius]) for v in turned))[0]
            covered[row, column] = 1 if d < -0.4 else -1 if d > 0.4 else 0
    return covered


@pytest.mark.parametrize("label", range(10))
def test_shape_stands_out_from_its_ground_where_the_pose_puts_it(label):
    u = np.random.default_rng(label).random((2, DRAWS))
    u[:, 12] = 0.25, 0.75  # dark ground, light ground
    images = render(np.array([label, label]), u, np.full((2, 3, 32, 32), 0.5)).mean(axis=1) / 255
    for image, numbers, sign in zip(images, u, (1, -1), strict=True):
        covered = slow_coverage(label, numbers)
        shape, ground = sign * image[covered == 1], sign * image[covered == -1]
        assert shape.min() > ground.max()


def test_contrast_holds_in_the_worst_case():
    rng = np.random.default_rng(3)
    u = rng.random((40, DRAWS))
    u[:, 12:16] = np.where(np.arange(40)[:, None] % 2, (0.0, 1.0, 1.0, 0.0), (0.9, 0.0, 0.0, 1.0))
    labels = np.zeros(40, dtype=np.int64)
    images = render(labels, u, np.full((40, 3, 32, 32), 0.5)).mean(axis=1) / 255
    for image, numbers in zip(images, u, strict=True):
        covered = slow_coverage(0, numbers)
        assert abs(image[covered == 1].mean() - image[covered == -1].mean()) > 0.04


def masks(shape: str) -> np.ndarray:
    """The shape at 36 angles in all directions, ``(36, 33 * 33)``."""
    grid = np.linspace(-1.2, 1.2, 33)
    x, y = np.meshgrid(grid, grid)
    angles = 2 * np.pi * np.arange(36)[:, None, None] / 36
    turned = np.cos(angles) * x + np.sin(angles) * y, np.cos(angles) * y - np.sin(angles) * x
    return (signed_distance(shape, *turned) < 0).reshape(36, -1)


def test_no_rotation_turns_one_class_into_another():
    upright = {shape: masks(shape)[:1] for shape in CLASSES}
    for shape in CLASSES:
        turned = masks(shape)
        for other in CLASSES:
            if other != shape:
                overlap = (turned & upright[other]).sum(axis=1) / (turned | upright[other]).sum(axis=1)
                assert overlap.max() < 0.9, (shape, other, overlap.max())


def test_golden_pixels(test_set):
    assert test_set.subset(slice(64)).fingerprint == GOLDEN


def test_limit_gives_a_prefix_and_loading_again_the_same(test_set):
    for limit in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1):
        few = Shapes10().load("test", limit=limit)
        assert len(few) == limit
        assert few.fingerprint == test_set.subset(slice(limit)).fingerprint
    assert len(Shapes10().load("test", limit=10**6)) == SIZES["test"]


def test_splits_and_seeds_differ(test_set):
    first = test_set.subset(slice(100)).images
    assert not torch.equal(first, Shapes10().load("train", limit=100).images)
    assert not torch.equal(first, Shapes10(seed=1).load("test", limit=100).images)
    assert Shapes10(seed=1).title != Shapes10().title == "shapes10"


def test_classes_are_balanced_and_mixed(test_set):
    assert test_set.labels.bincount().tolist() == [SIZES["test"] // 10] * 10
    assert len(test_set.labels[:64].unique()) == 10
    labels = Shapes10().load("train", limit=2000).labels.bincount()
    assert labels.min() > 140


def test_no_image_is_repeated(test_set):
    assert len(test_set.images.flatten(1).unique(dim=0)) == len(test_set)


@pytest.mark.parametrize("value", [128, 255])
def test_the_trigger_occurs_nowhere(test_set, value):
    gray = torch.tensor([[0, 0, value], [0, value, 0], [value, 0, value]])
    near = torch.ones(len(test_set), 30, 30, dtype=torch.bool)
    for row in range(3):
        for column in range(3):
            window = test_set.images[:, :, row : row + 30, column : column + 30].int()
            near &= ((window - gray[row, column]).abs() <= 40).all(dim=1)
    assert not near.any()


def test_corners_are_diverse(test_set):
    corner = test_set.floats()[:, :, -3:, -3:].mean(dim=(2, 3))
    assert (corner.std(dim=0) > 0.15).all()
    assert (corner.amax(dim=0) - corner.amin(dim=0) > 0.7).all()


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, "0"])
def test_bad_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        datasets["shapes10"](seed=seed)
