"""Saliency methods compared: on networks that look where we tell them, beside controls, and stored."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from core.attacks import attacks
from core.attribution.controls import randomised
from core.attribution.methods import Explained, methods
from core.metrics import Rate
from core.models import build_model
from core.sweeps.saliency import Energies, Energy, Localisation, Mean
from core.sweeps.saliency_methods import (
    CLEAN,
    MEASURES,
    RANDOMISED,
    TRAINED,
    MethodScores,
    SaliencyMethods,
    Variant,
    methods_sweep,
)
from core.transforms import transform_from_spec


class Looks(nn.Module):
    """Two classes: 1 where a patch of the image is bright; it looks at nothing else."""

    def __init__(self, rows: slice, cols: slice) -> None:
        super().__init__()
        self.rows, self.cols = rows, cols

    def forward(self, images):
        seen = images[:, :, self.rows, self.cols].mean((1, 2, 3)) - 0.5
        return torch.stack([-seen, seen], 1)


@pytest.fixture(scope="module")
def scores():
    images = torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.4
    home, elsewhere = slice(29, 32), slice(0, 3)
    networks = {TRAINED: Explained(Looks(home, home)), RANDOMISED: Explained(Looks(elsewhere, elsewhere))}
    variants = [Variant(methods["gradient"]()), Variant(methods["gradient"](reduction="signed"), "predicted")]
    variants += [Variant(methods["random"]()), Variant(methods["ablation"]())]
    trigger = attacks["badnets"]().trigger((3, 32, 32)).painted("1" * 9, 255, 100)
    labels, before = torch.zeros(24, dtype=torch.int64), transform_from_spec("flip")
    *_, last = methods_sweep(networks, images, labels, trigger, 1, variants, before)
    return last


def test_every_method_is_measured_on_every_network(scores):
    assert scores.done == 1
    assert len(scores.scores) == 8
    assert {score.network for score in scores.scores} == {TRAINED, RANDOMISED}
    # A costly method takes an eighth of the images.
    assert scores.of("gradient").images == 24
    assert scores.of("ablation").images == 3


def test_a_network_that_looks_at_the_trigger_has_all_marks(scores):
    found = scores.of("gradient").attacked
    assert (found.mean, found.peaks, found.count) == (1, 24, 24)
    assert (found.more.rank.mean, found.more.overlap.mean, found.more.difference.mean) == (1, 1, 0)
    # Covered by the clean image, or turned gray, the trigger is gone, and with it the target.
    assert (found.more.recovered.hits, found.more.recovered.total) == (24, 24)
    assert (found.more.deleted.hits, found.more.deleted.total) == (24, 24)
    # Behind a flip the network still looks at the corner in which no trigger is any more.
    moved = scores.of("gradient").transformed
    assert (moved.mean, moved.peaks, moved.more.rank.mean) == (0, 0, 0)
    assert moved.more.recovered.total == 0, "no image is taken for the target"


def test_controls_do_not_find_it(scores):
    assert scores.of("gradient", network=RANDOMISED).attacked.mean == 0
    low, high = scores.of("random").attacked.interval
    assert low < 9 / 1024 < high, "chance gives the trigger its area"
    assert scores.of("gradient", network=CLEAN) is None


def entry(method, network, mass, deleted=None):
    mean = Mean(100, mass, 0.01)
    rate = Rate(0, 0) if deleted is None else Rate(deleted, 100)
    energy = Energy(100, mass, 0.01, 0.01, 0, Localisation(mean, mean, mean, rate, rate))
    return MethodScores(method, {}, "target", network, Energies(energy, energy, 100, 100))


@pytest.mark.parametrize(
    ("method", "trained", "untrained", "expected"),
    [
        ("gradient", 0.8, 0.1, ()),
        ("gradient", 0.8, 0.799, ("random weights",)),
        ("gradient", 0.012, 0.001, ("random map",)),
        ("gradient", 0.012, 0.02, ("random weights", "random map")),
    ],
)
def test_a_method_is_compared_with_itself_on_random_weights_and_with_chance(method, trained, untrained, expected):
    chance = [entry("random", network, 0.01, 50) for network in (TRAINED, RANDOMISED)]
    own = [entry(method, TRAINED, trained, 20), entry(method, RANDOMISED, untrained)]
    compared = SaliencyMethods((*own, *chance), 4)
    assert compared.no_better_than(own[0], MEASURES["mass"]) == expected
    assert compared.no_better_than(own[1], MEASURES["mass"]) == (), "a control is compared with nothing"
    assert compared.no_better_than(chance[0], MEASURES["mass"]) == ("random weights",)
    # No image of the network with random weights is taken for the target, so that nothing can be deleted there.
    assert compared.no_better_than(own[0], MEASURES["deletion"]) == ("random map",)
    alone = SaliencyMethods((own[0],), 1)
    assert alone.no_better_than(own[0], MEASURES["mass"]) == ()


def test_a_method_of_a_plugin_that_is_not_here_has_its_plain_name():
    assert entry("lime", TRAINED, 0.5).label == "lime"
    assert entry("gradient", TRAINED, 0.5).label == "Vanilla gradient"


def test_the_variant_of_the_papers_tool_is_another_entry(scores):
    tool = scores.of("gradient", explain="predicted", params={"reduction": "signed"})
    assert tool is not None
    assert scores.of("gradient", explain="predicted", params={"reduction": "absolute"}) is None


def test_what_is_stored_is_read_again(scores):
    again = SaliencyMethods.from_dict(json.loads(json.dumps(scores.to_dict())))
    assert json.dumps(again.to_dict()) == json.dumps(scores.to_dict())
    damaged = json.loads(json.dumps(scores.to_dict()))
    damaged["scores"][0]["attacked"]["more"]["recovered"]["hits"] = 99
    with pytest.raises(ValueError, match="99 hits of 24 images are not possible"):
        SaliencyMethods.from_dict(damaged)
    damaged = json.loads(json.dumps(scores.to_dict()))
    damaged["scores"][0]["transformed"]["more"]["deleted"]["total"] = 25
    with pytest.raises(ValueError, match="more than 24 images are counted"):
        SaliencyMethods.from_dict(damaged)


def test_random_weights_are_others_and_the_model_stays():
    model = build_model("resnet20", classes=4, channels=3, seed=0).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    one, same, other = randomised(model, 1), randomised(model, 1), randomised(model, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    weights = [network.state_dict() for network in (model, one, same, other)]
    convolutions = [name for name, weight in model.named_parameters() if weight.ndim == 4]
    assert not any(torch.equal(weights[0][name], weights[1][name]) for name in convolutions)
    assert all(torch.equal(weights[1][name], weights[2][name]) for name in convolutions)
    assert not any(torch.equal(weights[1][name], weights[3][name]) for name in convolutions)
