"""Networks are known by the names and shapes of their weights, in the spellings of the code they come from."""

from __future__ import annotations

import re

import pytest
import torch

from core.attacks.badnets import BadNets
from core.importing.networks import candidates, loaded, outputs
from core.inference.incremental import activations, pays
from core.inference.predictor import Folded
from core.models import build_model


def own(name, classes=4):
    """The weights of a network of this project, but for its normalisation."""
    state = build_model(name, classes=classes, seed=0).state_dict()
    return {k: v for k, v in state.items() if "normalise." not in k and not k.endswith("num_batches_tracked")}


def spelled(name, *rules):
    """Its weights as other code spells them: each rule replaces what matches."""
    state = own(name)
    for pattern, new in rules:
        state = {re.sub(pattern, new, key): value for key, value in state.items()}
    return state


STAGES = [(rf"^stages\.{n}\.", f"layer{n + 1}.") for n in range(4)]
BLOCKS = [(rf"^stages\.{n}\.", f"block{n + 1}.layer.") for n in range(3)]
LINEAR = (r"^(body\.)?fc\.", "linear.")
SPELLINGS = {
    # kuangliu/pytorch-cifar, and so BackdoorBox and backdoor-toolbox.
    "resnet18": [(r"^body\.(?!fc)", ""), (r"downsample", "shortcut"), LINEAR],
    "resnet34": [(r"^body\.(?!fc)", ""), (r"downsample", "shortcut"), LINEAR],
    "resnet50": [(r"^body\.", "")],
    "preactresnet18": [*STAGES, (r"shortcut\.", "shortcut.0."), LINEAR],
    # akamaster/pytorch_resnet_cifar10, chenyaofo/pytorch-cifar-models, and this project's own names.
    "resnet20": [(r"^stage", "layer"), LINEAR],
    "resnet56-b": [(r"^stage", "layer"), (r"shortcut", "downsample")],
    "resnet32": [],
    # xternalbz/WideResNet-pytorch, as NAD and ABL have it, and meliketoy/wide-resnet.pytorch.
    "wrn-16-1": [*BLOCKS, (r"shortcut", "convShortcut"), (r"^bn\.", "bn1.")],
    "wrn-16-2": [*BLOCKS, (r"shortcut", "convShortcut"), (r"^bn\.", "bn1.")],
    "wrn-16-1-biased-raw": [*STAGES, (r"shortcut\.", "shortcut.0."), (r"^bn\.", "bn1."), LINEAR],
    # kuangliu/pytorch-cifar, and chengyangfu/pytorch-vgg-cifar10.
    "vgg11": [(r"^fc\.", "classifier.")],
    "vgg16-plain-3fc": [(r"^fcs\.0", "classifier.1"), (r"^fcs\.1", "classifier.4"), (r"^fc\.", "classifier.6.")],
    # BackdoorBox.
    "mnist-cnn": [],
    # TrojanZoo: `net`, and MobileNetV2 for small pictures.
    "mnist-net": [(r"^conv", "features.conv"), (r"^fc", "classifier.fc")],
    "mobilenetv2-comp": [(r"^body\.", "")],
    # backdoor-toolbox.
    "mobilenetv2": [
        (r"^stages\.([06])\.0\.", lambda found: f"stage{int(found[1]) + 1}."),
        (r"^stages\.(\d)\.", lambda found: f"stage{int(found[1]) + 1}."),
        (r"^fc\.", "conv2."),
    ],
    "gtsrb-cnn": [
        (r"^levels\.(\d)\.([02])\.", lambda found: f"conv{2 * int(found[1]) + 1 + int(found[2]) // 2}.0."),
        (r"^(fc[12])\.", r"\1.0."),
    ],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_known_and_computes_the_same(name):
    state = spelled(name, *SPELLINGS[name])
    if name == "mobilenetv2":
        state["conv2.weight"] = state["conv2.weight"][:, :, None, None]
    found = candidates(state)
    assert name in [one.network for one in found]
    one = next(one for one in found if one.network == name)
    assert outputs(one) == 4
    model, expected = loaded(one, 4, 3), build_model(name, classes=4, seed=0).eval()
    assert {k: v for k, v in own(name).items() if not torch.equal(v, model.state_dict()[k])} == {}
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(images), expected(images))


@pytest.mark.parametrize(
    ("name", "both"),
    [
        ("resnet18", ["resnet18", "resnet18-pool"]),
        ("wrn-16-1-biased-raw", ["wrn-16-1-biased-raw", "wrn-16-1-biased"]),
        ("mobilenetv2-comp", ["torchvision.mobilenet_v2", "mobilenetv2-comp"]),
    ],
)
def test_what_weights_do_not_tell_is_several_candidates(name, both):
    assert [one.network for one in candidates(spelled(name, *SPELLINGS[name]))] == both


# How many convolutions before the first subsampling are computed once for each image; with none, passes are whole.
REUSED = {
    "resnet18": 5, "resnet18-pool": 1, "resnet34": 7, "resnet50": 1, "resnet20-b": 7, "resnet32": 11, "resnet44": 15,
    "vgg11": 1, "vgg13": 2, "vgg16-plain-3fc": 2, "preactresnet18": 0, "preactresnet18-norm": 0, "wrn-16-1-raw": 0,
    "mnist-cnn": 0, "torchvision.resnet18": 0, "mobilenetv2": 0, "mobilenetv2-comp": 0, "gtsrb-cnn": 0, "mnist-net": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", REUSED)
def test_which_networks_the_location_engine_can_reuse(name):
    folded, trigger = Folded(build_model(name, classes=4, seed=0).eval(), torch.float32), BadNets().trigger((3, 32, 32))
    steps, images = folded.body.early(), torch.rand(1, 3, 32, 32)
    assert len(steps) == REUSED[name]
    # From 11 on, what a 3 x 3 trigger changes has grown to most of an image of 32 pixels.
    assert pays(steps, trigger, 32, 32) == (0 < len(steps) < 11)
    if steps:
        with torch.no_grad():
            later = folded.body.later(activations(steps, folded.prepare(images))[-1])
            torch.testing.assert_close(later, folded(images), atol=1e-5, rtol=1e-5)


def test_trojanzoo_divides_networks_into_two_parts():
    state = {("classifier." if key.startswith("fc") else "features.") + key: value
             for key, value in spelled("resnet18", (r"^body\.", "")).items()}  # fmt: skip
    assert candidates(state)[0].network == "resnet18"
    loaded(candidates(state)[0], 4, 3)


def test_trojanzoo_counts_the_linear_layers_of_its_vgg():
    names = {"fcs.0": "classifier.fc1", "fcs.1": "classifier.fc2", "fc": "classifier.fc3"}
    state = {
        next((key.replace(old, new, 1) for old, new in names.items() if key.startswith(f"{old}.")), key): value
        for key, value in own("vgg11-3fc").items()
    }
    (found,) = candidates(dict(reversed(state.items())))
    assert found.network == "vgg11-3fc"
    loaded(found, 4, 3)


@pytest.mark.parametrize("name", ["mnist-net", "resnet20"])
def test_a_network_for_gray_images_takes_rgb_ones_by_their_luma(name):
    gray = build_model(name, classes=4, channels=1, seed=0).eval()
    state = {k: v for k, v in gray.state_dict().items() if "normalise." not in k}
    (found,) = candidates(state)
    images = torch.rand(2, 3, 28, 28)
    luma = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    with torch.no_grad():
        torch.testing.assert_close(loaded(found, outputs(found), 3)(images), gray(luma), rtol=1e-4, atol=1e-5)
    assert torch.equal(loaded(found, 4, 1)(luma), gray(luma))


def test_trojanzoo_leaves_the_first_part_of_its_densenet_and_cuts_that_of_its_resnet():
    from torchvision import models

    for name, head in (("densenet121", "classifier"), ("resnet18", "fc")):
        with torch.device("meta"):
            shapes = models.get_model(name, num_classes=4).state_dict()
        renamed = {
            re.sub(rf"^{head}\.", "classifier.fc.", key) if key.startswith(head) else
            key if key.startswith("features.") else f"features.{key}": value
            for key, value in shapes.items()
        }  # fmt: skip
        state = {key: torch.zeros(()).expand(value.shape) for key, value in renamed.items()}
        assert [one.network for one in candidates(state)] == [f"torchvision.{name}"]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_torchvisions_networks_are_known_by_their_names(name):
    from torchvision import models

    with torch.device("meta"):
        shapes = models.get_model(name, num_classes=4).state_dict()
    state = {key: torch.zeros(()).expand(value.shape) for key, value in shapes.items()}
    found = candidates(state)
    assert [one.network for one in found] == [f"torchvision.{name}"]
    assert outputs(found[0]) == 4


def test_an_unknown_network_is_refused_with_what_was_not_known():
    with pytest.raises(ValueError, match=r"is not known: none of those here has the 2 weights that begin with a\.b"):
        candidates({"a.b.weight": torch.rand(2, 2), "c.weight": torch.rand(3, 3)})


@pytest.mark.parametrize("key", ["conv1.weight", "layer2.0.conv1.weight", "layer2.0.bn1.weight", "linear.weight"])
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (1, 1, 1, 1, 1)])
def test_weights_of_a_wrong_shape_are_refused(key, shape):
    state = spelled("resnet20", *SPELLINGS["resnet20"])
    state[key] = torch.zeros(shape)
    with pytest.raises(ValueError, match="not"):
        loaded(candidates(state)[0], 4, 3)


def test_weights_that_do_not_fit_are_named():
    state = own("resnet20")
    del state["fc.bias"]
    state |= {"extra.weight": torch.rand(2, 2), "bn1.weight": torch.rand(5)}
    said = (
        r"not of resnet20, which does not know extra\.weight; misses fc\.bias; has other shapes: bn1\.weight 5, not 16"
    )
    with pytest.raises(ValueError, match=said):
        loaded(candidates(state, "resnet20")[0], 4, 3)


def test_a_network_of_timm_needs_timm():
    import importlib.util

    if importlib.util.find_spec("timm"):
        assert candidates({"fc.weight": torch.rand(4, 512)}, "timm.resnet18")[0].network == "timm.resnet18"
    else:
        with pytest.raises(ValueError, match=r"needs the package timm"):
            candidates({"fc.weight": torch.rand(4, 512)}, "timm.resnet18")
