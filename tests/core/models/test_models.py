"""A contract that every registered classifier keeps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.data import datasets
from core.inference.incremental import activations
from core.inference.predictor import Folded, Predictor
from core.models import Normalise, build_model, last_channels, models
from core.params import params_of
from core.registry import UnknownName

# Trained parameters with 10 classes, as counted by hand from the layers, and the literature's figure in millions:
# He et al. 2016, Table 6 (0.27 M); the usual CIFAR forms of ResNet-18 and PreActResNet-18 (11.17 M, kuangliu's),
# ResNet-34 (21.3 M) and VGG-19 (20.0 M).
PARAMETERS = {
    "mnist-cnn": (281_834, 0.28),
    "preactresnet18": (11_171_146, 11.17),
    "resnet18": (11_173_962, 11.17),
    "resnet20": (269_722, 0.27),
    "resnet34": (21_282_122, 21.3),
    "vgg19": (20_040_522, 20.0),
    "wrn-16-1": (175_066, 0.175),
}


@pytest.mark.parametrize("name", models.names())
def test_parameter_counts_are_those_of_the_literature(name):
    exact, millions = PARAMETERS[name]
    model = build_model(name, classes=10, seed=0)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == exact
    assert exact / 1e6 == pytest.approx(millions, rel=0.012)


def test_resnet20_has_the_layers_of_he_et_al():
    """Sec. 4.2 with n = 3: 6n + 2 = 20 weighted layers; maps of 32, 16 and 8 pixels with 16, 32 and 64 filters."""
    model = build_model("resnet20", classes=10, seed=0).eval()
    weighted = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 20
    sizes = []
    hooks = [
        stage.register_forward_hook(lambda module, given, found: sizes.append(tuple(found.shape[1:])))
        for stage in (model.stage1, model.stage2, model.stage3)
    ]
    model(torch.zeros(1, 3, 32, 32))
    assert [hook.remove() for hook in hooks] == [None] * 3
    assert sizes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("channels", [1, 3])
def test_every_model_keeps_the_contract(name, channels):
    model = build_model(name, classes=7, channels=channels, seed=0).eval()
    assert model.name == name
    assert model.label
    assert (model.classes, model.channels) == (7, channels)
    images = torch.rand(2, channels, 32, 32)
    seen = []
    model.last_block.register_forward_hook(lambda module, given, found: seen.append(found))
    with torch.no_grad():
        logits = model(images)
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()
    # One of the network's own modules, convolutional, and part of every forward pass.
    assert any(module is model.last_block for module in model.modules())
    assert len(seen) == 1
    assert seen[0].ndim == 4
    assert model.stride in (0, images.shape[2] // seen[0].shape[2])  # 0: not known
    assert any(isinstance(module, nn.Conv2d) for module in model.last_block.modules())
    assert {"normalise.mean", "normalise.std"} <= set(model.state_dict())


# What `folder` declares for --size, both ends, and sizes that poolings do not divide.
SIZES = (8, 9, 16, 17, 24, 33)
LARGE = (64, 511, 512)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", models.names())
def test_every_model_takes_images_of_every_size_that_folders_allow(name, size):
    declared = params_of(datasets["folder"])["size"]
    assert (declared.low, declared.high) == (min(SIZES), max(LARGE))
    model = build_model(name, classes=3, seed=0)
    images = torch.rand(3, 3, size, size)
    # An epoch's last batch may be a single image.
    for batch in (images, images[:1]):
        logits = model.train()(batch)
        assert logits.shape == (len(batch), 3)
        F.cross_entropy(logits, torch.zeros(len(batch), dtype=torch.int64)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(value.isfinite().all() for value in model.state_dict().values())
    with torch.no_grad():
        assert model.eval()(images).isfinite().all()
    assert Predictor(model, "cpu").predict(images).shape == (3,)


@pytest.mark.parametrize("size", LARGE)
@pytest.mark.parametrize("name", models.names())
def test_every_model_takes_large_images(name, size):
    """By the shapes alone."""
    with torch.device("meta"):
        model = build_model(name, classes=3).eval()
        assert model(torch.rand(2, 3, size, size)).shape == (2, 3)


def test_vgg19_pools_small_images_as_far_as_there_is_something_to_pool():
    """Of 8 x 8 pixels, three of five poolings leave one pixel; of 32 x 32, all five do, and nothing else is done."""
    model = build_model("vgg19", classes=3, seed=0).eval()
    for size, pooled in ((8, 3), (15, 3), (16, 4), (31, 4), (32, 5), (33, 5)):
        images = torch.rand(2, 3, size, size)
        calls = []
        pools = [module for module in model.features if isinstance(module, nn.MaxPool2d)]
        hooks = [pool.register_forward_hook(lambda *_, calls=calls: calls.append(1)) for pool in pools]
        with torch.no_grad():
            logits = model(images)
            assert len(calls) == pooled
            if pooled == 5:
                whole = model.features(model.normalise(images))
                assert torch.equal(logits, model.fc(F.adaptive_avg_pool2d(whole, 1).flatten(1)))
        assert [hook.remove() for hook in hooks] == [None] * 5


@pytest.mark.parametrize("name", models.names())
def test_normalisation_is_inside(name):
    model = build_model(name, classes=4, seed=1).eval()
    training = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    training[:, 1] //= 4
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        plain = [
            ((images[:, c] * 255) - training[:, c].double().mean()) / training[:, c].double().std() for c in range(3)
        ]
        by_hand = torch.stack(plain, 1).float()
        expected = model(by_hand)  # mean 0 and deviation 1 before the fit: nothing is changed
        model.normalise.fit(training)
        torch.testing.assert_close(model(images), expected, atol=2e-3, rtol=2e-3)


def test_a_constant_channel_does_not_divide_by_zero():
    normalise = Normalise(3)
    normalise.fit(torch.full((4, 3, 5, 5), 9, dtype=torch.uint8))
    assert normalise(torch.rand(1, 3, 5, 5)).isfinite().all()


@pytest.mark.parametrize("name", models.names())
def test_initial_weights_come_from_the_seed_alone(name):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_model(name, classes=10, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    again, other = build_model(name, classes=10, seed=3), build_model(name, classes=10, seed=4)
    pairs = [(p, q, r) for p, q, r in zip(first.parameters(), again.parameters(), other.parameters(), strict=True)]
    assert all(torch.equal(p, q) for p, q, _ in pairs)
    assert not all(torch.equal(p, r) for p, _, r in pairs)


def test_without_a_seed_weights_come_from_the_global_generator():
    torch.manual_seed(5)
    first = build_model("resnet20", classes=3)
    second = build_model("resnet20", classes=3)
    torch.manual_seed(5)
    again = build_model("resnet20", classes=3)
    assert torch.equal(first.fc.weight, again.fc.weight)
    assert not torch.equal(first.fc.weight, second.fc.weight)


def test_an_unknown_model_is_refused():
    with pytest.raises(UnknownName, match=r"there is no model 'vgg17'; known: .*did you mean 'vgg19'.*wrn-DEPTH-WIDTH"):
        build_model("vgg17", classes=10)


# Trained parameters as the authors' tables have them, in millions: He et al. 2016, Table 6; Zagoruyko and Komodakis
# 2016, Table 4 (WRN-40-1, 16-2); torchvision's documentation of ResNet-18 with 1000 classes less those of 990.
FAMILIES = {
    "resnet32": 0.46,
    "resnet56": 0.85,
    "resnet110": 1.7,
    "wrn-40-1": 0.6,
    "wrn-16-2": 0.7,
    "resnet50": 23.5,
    "vgg16": 14.7,
    "torchvision.resnet18": 11.18,
    # Sandler et al. 2018, Table 4, less a classifier of 990 classes; biases of 17k numbers are within the tolerance.
    "mobilenetv2": 2.22,
    "mobilenetv2-comp": 2.22,
    "mnist-net": 1.2,
    "gtsrb-cnn": 16.03,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_members_of_families_are_made_by_their_names(name):
    assert name in models
    assert name not in models.names()
    assert models[name] is models[name]
    assert last_channels(name) == models[name](10, 3).head.in_features
    with torch.device("meta"):
        model = build_model(name, classes=10)
    assert model.name == name
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(FAMILIES[name], rel=0.08)


@pytest.mark.parametrize("name", ["wrn-17-1", "wrn-16-99", "wrn-999-9", "torchvision.nothing", "resnet21", "vgg19-x"])
def test_names_that_no_family_has_are_refused(name):
    assert name not in models
    with pytest.raises(UnknownName, match=f"there is no model '{name}'"):
        build_model(name, classes=10)


@pytest.mark.parametrize("size", [9, 28, 33])
@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv2-comp", "mnist-net", "gtsrb-cnn"])
def test_small_networks_of_other_toolboxes_take_images_of_every_size(name, size):
    model = build_model(name, classes=3, channels=1, seed=0)
    F.cross_entropy(model.train()(torch.rand(2, 1, size, size)), torch.tensor([0, 1])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    seen = []
    model.last_block.register_forward_hook(lambda module, given, found: seen.append(found))
    assert Predictor(model, "cpu").predict(torch.rand(2, 1, size, size)).shape == (2,)
    with torch.no_grad():
        assert model.eval()(torch.rand(2, 1, size, size)).shape == (2, 3)
    assert seen[-1].ndim == 4


@pytest.mark.parametrize(
    "name",
    [
        "resnet20-b", "resnet18-pool", "vgg11-plain-3fc", "wrn-10-1-biased-raw", "resnet50", "mobilenetv2",
        "mobilenetv2-comp",
    ],
)  # fmt: skip
def test_variants_of_families_predict_alike_fast_and_slowly(name):
    """Also by putting together what a trigger does not change, where a network says that it can be."""
    model = build_model(name, classes=4, seed=0).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        logits = model(images)
        torch.testing.assert_close(Folded(model, torch.float32)(images), logits, rtol=2e-3, atol=2e-3 * logits.std())
        if model.early():
            folded = Folded(model, torch.float32)
            later = folded.body.later(activations(folded.body.early(), folded.prepare(images))[-1])
            torch.testing.assert_close(later, logits, rtol=2e-3, atol=2e-3 * logits.std())


def test_every_resnet20_weight_takes_part():
    model = build_model("resnet20", classes=3, seed=0)
    F.cross_entropy(model(torch.rand(4, 3, 16, 16)), torch.tensor([0, 1, 2, 0])).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
