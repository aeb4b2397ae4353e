"""The share of the saliency inside the trigger: by hand, on models that look where we tell them, and stored."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from core.attacks import attacks
from core.attribution.measures import pointing_game, relevance_mass_accuracy
from core.attribution.methods import Explained, methods
from core.data import ImageSet
from core.inference.predictor import Predictor
from core.models import build_model
from core.runtime.seeding import generator_for
from core.sweeps.runner import Sweep
from core.sweeps.saliency import (
    TARGETS,
    Energies,
    Energy,
    attacked_and_moved,
    energy_sweep,
    targets_of,
    trigger_mask,
)
from core.transforms import transform_from_spec
from core.trigger import stamp


def images_of(count, seed=0, shape=(3, 32, 32)):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def test_whose_logit_is_explained():
    predicted, labels = torch.tensor([1, 2]), torch.tensor([3, 0])
    chosen = [targets_of(which, predicted, labels, 4).tolist() for which in TARGETS]
    assert chosen == [[4, 4], [1, 2], [3, 0]]
    with pytest.raises(ValueError, match="explain = 'x' is not allowed: one of target, predicted, true"):
        targets_of("x", predicted, labels, 4)


@pytest.mark.parametrize(("name", "pixels"), [("badnets", 9), ("blended", 9), ("consistent", 36)])
def test_the_mask_is_where_the_trigger_changes_pixels(name, pixels):
    trigger = attacks[name]().trigger((3, 32, 32))
    mask = trigger_mask(trigger, 32, 32)
    assert mask.shape == (1, 1, 32, 32)
    assert int(mask.sum()) == pixels
    changed = (stamp(torch.full((1, 3, 32, 32), 0.37), trigger) != 0.37).any(1, keepdim=True)
    assert bool((mask.bool() >= changed).all())


def test_the_mask_goes_the_way_of_its_image():
    """Where the image turned white, there the mask is, after the same draw of Flip and ShrinkPad."""
    trigger = attacks["badnets"]().trigger((3, 32, 32)).painted("1" * 9, 255, 100)
    images, masks = attacked_and_moved(
        torch.zeros(8, 3, 32, 32), trigger, transform_from_spec("flip:0.5,shrinkpad:4"), generator_for(0, "x")
    )
    torch.testing.assert_close(images[:, :1], masks)
    places = {tuple(mask[0].nonzero()[0].tolist()) for mask in masks}
    assert len(places) > 3


def test_energy_is_the_share_inside():
    saliency = torch.ones(3, 4, 4)
    saliency[1, 0, 0] = 17
    saliency[2] = 0
    masks = torch.zeros(3, 1, 4, 4)
    masks[:, :, 0, 0] = 1
    shares = relevance_mass_accuracy(saliency, masks)
    assert shares[:2].tolist() == pytest.approx((1 / 16, 17 / 32))
    assert shares[2].isnan()
    energy = Energy.summed(shares[:2].tolist(), 1 / 16, 1)
    assert (energy.count, energy.area) == (2, 1 / 16)
    assert energy.mean == pytest.approx((1 / 16 + 17 / 32) / 2)
    assert energy.concentration == pytest.approx(16 * energy.mean)
    low, high = energy.interval
    assert 0 <= low < energy.mean < high <= 1


def test_a_peak_is_on_the_trigger_where_the_largest_value_is():
    saliency = torch.zeros(6, 8, 8)
    saliency[0, 1, 4], saliency[0, 0, 0] = 2, 1.9  # far away, though much is inside
    saliency[1, 0, 0], saliency[1, 7, 7] = 2, 1
    saliency[2, 1, 2] = 1  # a neighbour of the trigger's last pixel
    saliency[3, 0, 3] = 1  # a neighbour only of a pixel that is less than half inside
    saliency[4] = 0  # nothing: no peak
    saliency[5, 0, 0] = saliency[5, 7, 7] = 1  # equal: the first one counts
    masks = torch.zeros(6, 1, 8, 8)
    masks[..., 0, 0], masks[..., 0, 1], masks[..., 0, 2] = 1, 1, 0.4
    assert int(pointing_game(saliency, masks).sum()) == 3
    assert Energy.summed([0.5] * 4, 0.1, 2).peak_rate.value == 0.5


def test_the_interval_of_the_energy_covers_the_mean_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(400):
        shares = torch.rand(60, generator=generator) ** 2  # mean 1 / 3, not normal
        low, high = Energy.summed(shares.tolist(), 0.1, 0).interval
        covered += low <= 1 / 3 <= high
    assert 365 <= covered <= 394


def test_energy_of_one_image_or_none_has_no_interval():
    assert Energy.summed([0.3], 0.1, 1).interval == (0.0, 1.0)
    assert Energy.summed([], 0.1, 0).interval == (0.0, 1.0)
    assert Energy.summed([], 0.1, 0).count == 0


class Looks(nn.Module):
    """A model of two classes that looks at nothing but a patch: class 1 where it is bright."""

    def __init__(self, rows, cols):
        super().__init__()
        self.rows, self.cols = rows, cols

    def forward(self, images):
        seen = images[:, :, self.rows, self.cols].sum((1, 2, 3))
        return torch.stack([-seen, seen], 1)


@pytest.mark.parametrize("explain", TARGETS)
def test_energy_of_a_model_that_looks_at_the_trigger_only(explain, monkeypatch):
    """All of it on the trigger; after a flip, where the model looks is not where the trigger is."""
    monkeypatch.setattr("core.sweeps.saliency.BATCH", 4)
    trigger = attacks["badnets"]().trigger((3, 32, 32))
    explained = Explained(Looks(slice(29, 32), slice(29, 32)))
    results = list(
        energy_sweep(
            explained, images_of(10), torch.zeros(10, dtype=torch.int64), trigger, 1, methods["gradient"](),
            transform_from_spec("flip"), explain=explain,
        )
    )  # fmt: skip
    assert [round(result.done, 2) for result in results] == [0.4, 0.8, 1]
    last = results[-1]
    assert (last.attacked.count, last.attacked.mean, last.transformed.mean) == (10, 1, 0)
    assert (last.attacked.peaks, last.transformed.peaks) == (10, 0)
    assert last.attacked.area == last.transformed.area == pytest.approx(9 / 1024)
    assert Energies.from_dict(json.loads(json.dumps(last.to_dict()))) == last


@pytest.mark.parametrize(
    "damage",
    [
        {"seen": 11},
        {"images": 0},
        {"attacked": None},
        {"transformed": {}},
        {"attacked": {"count": "x"}},
        {"attacked": {"count": 2, "mean": 0.1, "std": 0.1, "area": 0.1}},
        {"attacked": {"count": 2, "mean": 0.1, "std": 0.1, "area": 0.1, "peaks": 3}},
        {"seen": None},
    ],
)
def test_a_damaged_result_is_refused(damage):
    energy = Energy.summed([0.5, 0.25], 0.1, 1)
    values = Energies(energy, energy, 10, 10).to_dict() | damage
    with pytest.raises(ValueError, match="damaged"):
        Energies.from_dict(values)


def test_the_energy_of_no_images_is_refused():
    trigger = attacks["badnets"]().trigger((3, 32, 32))
    explained = Explained(build_model("resnet20", classes=4, channels=3, seed=0))
    nothing, labels, before = images_of(0), torch.zeros(0, dtype=torch.int64), transform_from_spec("")
    with pytest.raises(ValueError, match="at least one image"):
        next(energy_sweep(explained, nothing, labels, trigger, 1, methods["gradient"](), before))


def test_the_maps_of_chance_of_a_sweep_differ_from_batch_to_batch(monkeypatch):
    """Each of the images counts once: 64 maps repeated would make every interval too narrow."""
    drawn = []
    monkeypatch.setattr("core.sweeps.saliency.BATCH", 4)
    monkeypatch.setattr("core.sweeps.saliency.Energy.summed", lambda shares, *_: drawn.append(list(shares)))
    labels, trigger = torch.zeros(12, dtype=torch.int64), attacks["badnets"]().trigger((3, 32, 32))
    explained = Explained(Looks(slice(29, 32), slice(29, 32)))
    list(energy_sweep(explained, images_of(12), labels, trigger, 1, methods["random"](), transform_from_spec("flip")))
    assert len(set(drawn[-2])) == 12


@pytest.mark.parametrize(("side", "spec"), [(28, "shrinkpad"), (32, "shrinkpad"), (64, "shrinkpad:8")])
@pytest.mark.parametrize("kind", ["saliency", "saliency-methods"])
def test_what_stands_before_the_model_has_the_size_of_the_images(kind, side, spec, monkeypatch):
    behind = []
    for name in ("energy_sweep", "methods_sweep"):
        monkeypatch.setattr(f"core.sweeps.runner.{name}", lambda *given: behind.append(given[-1]))
    labels = torch.zeros(4, dtype=torch.int64)
    data = ImageSet(torch.zeros(4, 3, side, side, dtype=torch.uint8), labels, ("a", "b", "c"), "made up")
    model = build_model("resnet20", classes=3, channels=3, seed=0).eval()
    Sweep(kind).run(model, Predictor(model), data, attacks["badnets"](target=1), 4)
    assert [before.spec for before in behind] == [spec]
