"""Sizes that grow with the images: trigger, ShrinkPad, the places of a map; at 32 pixels they are the paper's."""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.attacks import Enhancement, attack_from_dict, attacks
from core.data import datasets, decoding
from core.sweeps import location_sweep
from core.sweeps.adaptive import adaptive_sweep
from core.sweeps.strength import strength_sweep
from core.transforms import transforms
from core.trigger import Trigger, corner_pattern, size_factor

SHAPES = {28: 1, 32: 1, 63: 1, 64: 2, 96: 3, 224: 7}
PARSE = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "train.py"))["parse"]


@pytest.mark.parametrize(("side", "factor"), SHAPES.items())
def test_defaults_grow_with_the_images(side, factor):
    shape = (3, side, side)
    assert size_factor(side, side) == factor
    for name in attacks:
        attack = attacks[name].for_model("resnet20", shape)
        trigger, paper = attack.trigger(shape), attacks[name].for_model("resnet20").trigger((3, 32, 32))
        assert trigger.location == (side - 1, side - 1)
        if name != "consistent":
            assert (trigger.height, trigger.width) == (3 * factor, 3 * factor)
            for row in range(3 * factor):
                for col in range(3 * factor):
                    expected = paper.pattern[:, row // factor, col // factor]
                    assert torch.equal(trigger.pattern[:, row, col], expected)
        assert attack_from_dict(attack.to_card()) == attack
    assert transforms["shrinkpad"].sized(shape).value == 4 * factor
    assert transforms["shrinkpad"].grid_for(shape) == tuple(factor * size for size in range(9))
    assert Enhancement.defaults(shape) == {"max_shrink": 4 * factor}


def test_what_was_stored_before_there_were_scales_keeps_its_trigger():
    card = {"name": "badnets", "params": {"target": 4, "poison_rate": 0.25, "value": 255}}
    assert attack_from_dict(card).trigger((3, 224, 224)).height == 3
    assert attack_from_dict(card).to_card() == card


@pytest.mark.parametrize("location", [(31, 31), (2, 17), (30, 30)])
def test_a_map_of_small_images_has_every_place(location):
    trigger = Trigger(corner_pattern(1), torch.ones(3, 3, 3), *location)
    assert trigger.mapped(32, 32) == trigger.places(32, 32)


@pytest.mark.parametrize("side", [64, 96, 224])
@pytest.mark.parametrize("back", [0, 1, 5])
def test_a_map_of_large_images_has_every_so_many_places_and_the_trained_one(side, back):
    size = 3 * SHAPES[side]
    trigger = Trigger(torch.ones(3, size, size), torch.ones(3, size, size), side - 1 - back, side - 1)
    for span, all_of_them, at in zip(
        trigger.mapped(side, side), trigger.places(side, side), trigger.location, strict=True
    ):
        assert at in span
        assert set(span) <= set(all_of_them)
        assert span.step % 2 == 1
        assert len(span) <= 30
        assert span[0] - all_of_them[0] < span.step
        assert all_of_them[-1] - span[-1] < span.step


def test_sweeps_of_large_images_against_a_plain_loop():
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    trigger = Trigger(torch.ones(3, 6, 6), torch.ones(3, 6, 6), 63, 62)

    def predict(batch):  # depends on where the white box is
        columns = (batch.mean((1, 2)) * torch.arange(64)).sum(1)
        return (columns * 7).long() % 3

    *_, found = location_sweep(predict, images, trigger, 1)
    for row in found.rows[::5]:
        for col in found.cols[::5]:
            stamped = images.clone()
            stamped[:, :, row - 5 : row + 1, col - 5 : col + 1] = 1
            assert found.at(row, col).hits == int((predict(stamped) == 1).sum())
            assert found.at(row, col).total == 3
    assert found.at(63, 62).total == 3
    assert found.at(62, 62).total == 0  # between two places of the map
    with pytest.raises(ValueError, match="is not on the map"):
        found.at(64, 62)
    *_, adaptive = adaptive_sweep(predict, images, trigger, 1)
    assert np.array_equal(adaptive.hits, found.hits)
    assert adaptive.rows == found.rows


def test_a_strength_sweep_of_large_images_has_their_strengths():
    from core.data import ImageSet

    data = ImageSet(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"), "none")
    trigger = Trigger(torch.ones(3, 6, 6), torch.ones(3, 6, 6), 63, 63)
    zeros = lambda images: torch.zeros(len(images), dtype=torch.int64)  # noqa: E731
    *_, curve = strength_sweep(zeros, data, trigger, 1, transforms["shrinkpad"]())
    assert curve.strengths == (0, 2, 4, 6, 8, 10, 12, 14, 16)


def folder_of(path: Path, side: int) -> Path:
    rng = np.random.default_rng(side)
    for label, name in enumerate(("blue", "red")):
        (path / name).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 80, (side, side, 3))
            pixels[..., 2 - 2 * label] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(path / name / f"{number}.png")
    return path


def test_the_command_line_takes_a_size(tmp_path):
    folder = folder_of(tmp_path / "two", 70)
    arguments = ["--dataset", f"folder:{folder}", "--size", "64", "--target", "red"]
    options, plan = PARSE([*arguments, "--enhanced"])
    assert isinstance(options, argparse.Namespace)
    assert plan.dataset == datasets["folder"](path=str(folder), size=64)
    assert plan.attack.to_card() == {
        "name": "badnets",
        "params": {"target": 1, "poison_rate": 0.25, "value": 255, "scale": 2},
        "enhanced": {"max_shrink": 8, "transforms": "", "benign_too": True},
    }
    _, small = PARSE([*arguments, "--scale", "1", "--enhanced", "--max-shrink", "4"])
    assert small.attack.trigger((3, 64, 64)).height == 3
    assert plan.key == "two/resnet20/badnets-target1-data-size64+max8"
    _, again = PARSE([*arguments, "--enhanced", "--transforms", "flip:0.5"])
    assert again.attack.enhancement.transforms == "flip:0.5"


def test_decoded_images_beyond_a_limit_lie_in_a_file_or_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = folder_of(tmp_path / "two", 20)
    data = datasets["folder"](path=str(folder), size=64)
    expected = data.load("train")
    monkeypatch.setattr(decoding, "MOST_IN_MEMORY", 0)
    assert data.load("train").fingerprint == expected.fingerprint
    assert isinstance(decoding.room_for(2, 8), np.memmap)
    assert not list((tmp_path / "cache").rglob("tmp*"))
    monkeypatch.setattr(decoding, "MOST_BYTES", 64 * 64 * 3 * 9)
    with pytest.raises(ValueError, match=r"10 images of 64 x 64 pixels take 0 GiB, .* choose a smaller size, or fewer"):
        data.load("train")
