"""Recognises a network from the names and shapes of its weights, and gives them the names that are used here.

The spellings are those in use for kuangliu/pytorch-cifar (ResNet, PreActResNet, VGG), torchvision (ResNet, VGG and the
rest, by equal names), akamaster/pytorch_resnet_cifar10, chenyaofo/pytorch-cifar-models, bearpaw/pytorch-classification,
xternalbz/WideResNet-pytorch (which NAD and ABL use), meliketoy/wide-resnet.pytorch, chengyangfu/pytorch-vgg-cifar10,
weiaicunzai's MobileNetV2 and the GTSRB network of backdoor-toolbox, BackdoorBox's MNIST network, and TrojanZoo's
``features.`` and ``classifier.fc`` (ResNet, VGG and MobileNetV2 with ``_comp`` or without, DenseNet without, ``net``).
Read in code: BackdoorBench's, BackdoorBox's, TrojanZoo's, backdoor-toolbox's and torchvision's; seen in files:
akamaster's, and that of a WideResNet of ABL; the others from memory. TrojanZoo's ``resnet18_s`` has no files: its
shortcuts do not fit its strides, so that it cannot be run there; its ``vgg13_s`` has torchvision's VGG in it.

A network for gray images takes RGB by the weights of luma in its first convolution, which computes the same.

A softmax at the end leaves no trace in the weights, and no predicted class depends on it, so that accuracy cannot tell
it either: every network is taken without one, and saliency and Neural Cleanse look at its logits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from core.importing.reading import readable
from core.models import Classifier, build_model, models
from core.models.named import torchvision_names
from core.transforms.colour import LUMA

__all__ = ["Candidate", "candidates", "loaded", "outputs"]

State = Mapping[str, Tensor]
SHOWN = 5
HEADS = r"(?:linear|fc|classifier|last_linear|logits|output|classifier\.fc)"


@dataclass(frozen=True)
class Candidate:
    """A network that the weights may be of, and the weights by its own names.

    Attributes:
        network: A registered name.
        state: The weights.
    """

    network: str
    state: dict[str, Tensor]


def candidates(state: State, network: str = "") -> list[Candidate]:
    """The networks that weights may be of, more than one where names and shapes do not tell.

    Args:
        state: Weights without common prefixes.
        network: A registered name, where it is known; the weights then have its names or its toolbox's.

    Raises:
        ValueError: If the network is not known; names the weights that are not understood.
    """
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    if network:
        models[network]
        known = [one for one in _recognised(state) if one.network == network]
        prefix = "body." if network.partition(".")[0] in ("torchvision", "timm") else ""
        own = Candidate(network, {f"{prefix}{key}": value for key, value in state.items()})
        return known or [own]
    found = _recognised(state)
    if found:
        return found
    names = ", ".join(map(readable, sorted(_top(state))[:SHOWN]))
    raise ValueError(
        f"the network is not known: none of those here has the {len(state)} weights that begin with {names}; "
        "--model NAME names one (also torchvision.NAME, timm.NAME)"
    )


def loaded(candidate: Candidate, classes: int, channels: int) -> Classifier:
    """The model with its weights, in evaluation mode.

    Raises:
        ValueError: If they do not fit; names some of the weights that are unknown, missing, or of another shape.
    """
    try:
        model = build_model(candidate.network, classes=classes, channels=channels, seed=0)
    except ValueError:
        raise
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{candidate.network} cannot be made: {str(error).splitlines()[0]}") from None
    own = model.state_dict()
    given = {key: _coloured(value, own[key]) if key in own else value for key, value in candidate.state.items()}
    unknown = [readable(key) for key in given if key not in own]
    missing = [
        key for key in own if key not in given and not key.endswith("num_batches_tracked") and "normalise." not in key
    ]
    shapes = [
        f"{readable(key)} {_sizes(given[key])}, not {_sizes(own[key])}"
        for key in given
        if key in own and own[key].shape != given[key].shape
    ]
    problems = [
        f"{word} {', '.join(some[:SHOWN])}{f' and {len(some) - SHOWN} more' if len(some) > SHOWN else ''}"
        for word, some in (("does not know", unknown), ("misses", missing), ("has other shapes:", shapes))
        if some
    ]
    if problems:
        raise ValueError(f"the weights are not of {candidate.network}, which {'; '.join(problems)}")
    model.load_state_dict(given, strict=False)
    return model.eval()


def outputs(candidate: Candidate) -> int | None:
    """Number of classes of the weights, where the last linear layer can be found."""
    with torch.device("meta"):
        name = models[candidate.network](10, 3 if "." in candidate.network else channels_of(candidate)).head_name
    head = candidate.state.get(f"{name}.weight")
    return head.shape[0] if head is not None and head.ndim == 2 else None


def _coloured(given: Tensor, own: Tensor) -> Tensor:
    """A first convolution of gray images for RGB ones, where only the number of channels differs; else as it is."""
    if not _only_gray(given, own.shape):
        return given
    return given * torch.tensor(LUMA)[:, None, None]


def _only_gray(given: Tensor, own: Sequence[int]) -> bool:
    """Whether weights are of a convolution that takes one channel where another takes three, and are alike else."""
    return given.ndim == len(own) == 4 and tuple(given.shape) == (own[0], 1, *own[2:]) and own[1] == 3


def channels_of(candidate: Candidate) -> int:
    """Channels of the images, as the first convolution takes them."""
    first = next((value for value in candidate.state.values() if value.ndim == 4), None)
    return int(first.shape[1]) if first is not None else 3


def _sizes(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _top(state: State) -> set[str]:
    return {".".join(key.split(".")[:2]) for key in state}


def _recognised(state: State) -> list[Candidate]:
    """All that fit, of the first kind that fits."""
    plain = _of_trojanzoo(state)
    for kind in (_own, _wide, _residual, _vgg, _mobile, _gtsrb, _mnist):
        found = kind(plain)
        if found:
            return found
    return _torchvision(plain)


def _of_trojanzoo(state: State) -> State:
    """TrojanZoo's names without the two parts that it divides every network into."""
    if any(key.startswith("features.conv0.") for key in state):  # a DenseNet keeps its first part
        return {re.sub(r"^classifier\.fc\.", "classifier.", key): value for key, value in state.items()}
    if not any(key.startswith("features.conv1.") for key in state):
        return state
    return {re.sub(r"^features\.|^classifier\.(?=fc)", "", key): value for key, value in state.items()}


def _renamed(state: State, rules: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """Each name by the first rule that fits the whole of it; others stay as they are, and are unknown later."""
    compiled = [(re.compile(pattern), new) for pattern, new in rules]
    result = {}
    for key, value in state.items():
        for pattern, new in compiled:
            if match := pattern.fullmatch(key):
                key = match.expand(new)
                break
        result[key] = value
    return result


def _own(state: State) -> list[Candidate]:
    """Names of this project itself."""
    if "stage1.0.conv1.weight" not in state or "fc.weight" not in state:
        return []
    return _cifar_resnet({re.sub(r"^stage(\d)", r"layer\1", key): value for key, value in state.items()})


def _blocks(state: State, pattern: str) -> list[int]:
    """Number of blocks of each stage: ``pattern`` has the stage's and the block's number as groups."""
    found: dict[int, int] = {}
    for key in state:
        if match := re.match(pattern, key):
            found[int(match[1])] = max(found.get(int(match[1]), 0), int(match[2]) + 1)
    return [found.get(number, 0) for number in range(1, max(found, default=0) + 1)]


def _wide(state: State) -> list[Candidate]:
    """WideResNet as xternalbz spells it."""
    blocks = _blocks(state, r"block(\d)\.layer\.(\d+)\.conv1\.weight")
    if len(blocks) != 3 or "block3.layer.0.conv1.weight" not in state:
        return []
    rules = [
        (r"block1\.layer\.(\d+)\.(.*)", r"stages.0.\1.\2"),
        (r"block2\.layer\.(\d+)\.(.*)", r"stages.1.\1.\2"),
        (r"block3\.layer\.(\d+)\.(.*)", r"stages.2.\1.\2"),
        (r"bn1\.(\w+)", r"bn.\1"),
        (HEADS + r"\.(\w+)", r"fc.\1"),
    ]
    renamed = {key.replace(".convShortcut.", ".shortcut."): value for key, value in _renamed(state, rules).items()}
    width = state["block3.layer.0.conv1.weight"].shape[0] // 64
    return [Candidate(f"wrn-{6 * blocks[0] + 4}-{width}", renamed)]


def _residual(state: State) -> list[Candidate]:
    """Networks of stages ``layer1`` to ``layer3`` or ``layer4``."""
    blocks = _blocks(state, r"layer(\d)\.(\d+)\.conv1\.weight")
    stem, second = state.get("conv1.weight"), state.get("layer2.0.conv1.weight")
    norm = state.get("layer2.0.bn1.weight")
    if len(blocks) not in (3, 4) or stem is None or second is None or norm is None:
        return []
    if stem.ndim != 4 or second.ndim != 4 or norm.ndim != 1:
        return []
    if norm.shape[0] != second.shape[0]:
        return _pre_activation(state, blocks)
    if len(blocks) == 3:
        return _cifar_resnet(state)
    depths: dict[tuple[tuple[int, ...], bool], int] = {
        ((2, 2, 2, 2), False): 18,
        ((3, 4, 6, 3), False): 34,
        ((3, 4, 6, 3), True): 50,
        ((3, 4, 23, 3), True): 101,
        ((3, 8, 36, 3), True): 152,
    }
    depth = depths.get((tuple(blocks), "layer1.0.conv3.weight" in state))
    if depth is None or stem.shape[2] != 3:
        return []  # a 7 x 7 stem is torchvision's
    rules = [
        (r"(layer\d\.\d+)\.(?:shortcut|downsample)\.(.*)", r"body.\1.downsample.\2"),
        (HEADS + r"\.(\w+)", r"body.fc.\1"),
        (r"((?:conv1|bn1|layer\d)\..*)", r"body.\1"),
    ]
    renamed = _renamed(state, rules)
    return [Candidate(f"resnet{depth}", renamed), Candidate(f"resnet{depth}-pool", renamed)]


def _cifar_resnet(state: State) -> list[Candidate]:
    blocks = _blocks(state, r"layer(\d)\.(\d+)\.conv1\.weight")
    if len(set(blocks)) != 1 or "layer1.0.conv3.weight" in state:
        return []
    depth = 6 * blocks[0] + 2
    projection = any(re.match(r"layer[23]\.0\.(shortcut|downsample)\.0\.weight", key) for key in state)
    rules = [
        (r"layer(\d)\.(\d+)\.(?:shortcut|downsample)\.(.*)", r"stage\1.\2.shortcut.\3"),
        (r"layer(\d)\.(.*)", r"stage\1.\2"),
        (HEADS + r"\.(\w+)", r"fc.\1"),
    ]
    name = f"resnet{depth}" + "-b" * projection
    return [Candidate(name, _renamed(state, rules))] if name in models else []


def _pre_activation(state: State, blocks: list[int]) -> list[Candidate]:
    """PreActResNet, or WideResNet where there are three stages."""
    rules = [
        *((rf"layer{n + 1}\.(\d+)\.(?:shortcut|downsample)(?:\.0)?\.(weight|bias)", rf"stages.{n}.\1.shortcut.\2")
          for n in range(4)),
        *((rf"layer{n + 1}\.(\d+)\.(.*)", rf"stages.{n}.\1.\2") for n in range(4)),
        (r"(?:bn1|bn)\.(\w+)", r"bn.\1"),
        (HEADS + r"\.(\w+)", r"fc.\1"),
    ]  # fmt: skip
    renamed = _renamed(state, rules)
    if len(blocks) == 4:
        depth = {"2, 2, 2, 2": 18, "3, 4, 6, 3": 34}.get(", ".join(map(str, blocks)))
        name = f"preactresnet{depth}" + "-norm" * ("bn.weight" in renamed)
        return [Candidate(name, renamed)] if depth else []
    biased = "-biased" if "layer1.0.conv1.bias" in state else ""
    name = f"wrn-{6 * blocks[0] + 4}-{state['layer3.0.conv1.weight'].shape[0] // 64}{biased}"
    # Whether the shortcut takes what is activated cannot be seen in the weights.
    return [Candidate(one, renamed) for one in (f"{name}-raw", name) if one in models]


def _vgg(state: State) -> list[Candidate]:
    """VGG with ``features`` in torchvision's order and one or three linear layers of 512 channels."""
    convs = {int(m[1]): state[key] for key in state if (m := re.fullmatch(r"features\.(\d+)\.weight", key))}
    shapes = [value.shape[0] for _, value in sorted(convs.items()) if value.ndim == 4]
    depth = {8: 11, 10: 13, 13: 16, 16: 19}.get(len(shapes))
    if depth is None or shapes[-1] != 512:
        return []
    normed = any(key.endswith("running_mean") for key in state)
    linear = sorted(
        (key for key in state if re.fullmatch(rf"{HEADS}(\.?\d+)?\.weight", key) and state[key].ndim == 2),
        key=lambda key: [int(number) for number in re.findall(r"\d+", key)],
    )
    if not linear or state[linear[0]].shape[1] != 512 or len(linear) not in (1, 3):
        return []
    places = ["fcs.0", "fcs.1", "fc"] if len(linear) == 3 else ["fc"]
    names = {key.removesuffix(".weight"): place for key, place in zip(linear, places, strict=True)}

    def new(key: str) -> str:
        stem, _, last = key.rpartition(".")
        return f"{names[stem]}.{last}" if stem in names else key

    name = f"vgg{depth}" + "-plain" * (not normed) + "-3fc" * (len(linear) == 3)
    return [Candidate(name, {new(key): value for key, value in state.items()})]


def _mobile(state: State) -> list[Candidate]:
    """MobileNetV2 as weiaicunzai spells it: its last layer is a convolution of one pixel."""
    head = state.get("conv2.weight")
    if head is None or "stage7.residual.0.weight" not in state or head.shape[1:] != (1280, 1, 1):
        return []
    rules = [
        *((rf"stage{n}\.residual\.(.*)", rf"stages.{n - 1}.0.residual.\1") for n in (1, 7)),
        *((rf"stage{n}\.(.*)", rf"stages.{n - 1}.\1") for n in range(2, 7)),
        (r"conv2\.(\w+)", r"fc.\1"),
    ]
    renamed = _renamed(state, rules)
    return [Candidate("mobilenetv2", renamed | {"fc.weight": head.flatten(1)})]


def _gtsrb(state: State) -> list[Candidate]:
    """backdoor-toolbox's network for traffic signs."""
    if "conv0.0.weight" not in state or "conv6.0.weight" not in state or "fc3.weight" not in state:
        return []
    rules = [
        *((rf"conv{number}\.0\.(\w+)", rf"levels.{(number - 1) // 2}.{2 - 2 * (number % 2)}.\1")
          for number in range(1, 7)),
        (r"(fc[12])\.0\.(\w+)", r"\1.\2"),
    ]  # fmt: skip
    return [Candidate("gtsrb-cnn", _renamed(state, rules))]


def _mnist(state: State) -> list[Candidate]:
    """Both small networks have the same names: the sides of a filter tell them apart."""
    wanted = {f"{layer}.{part}" for layer in ("conv1", "conv2", "fc1", "fc2") for part in ("weight", "bias")}
    if set(state) != wanted:
        return []
    shapes = (tuple(state["conv1.weight"].shape[2:]), *state["fc1.weight"].shape[1:])
    name = {((5, 5), 512): "mnist-cnn", ((3, 3), 9216): "mnist-net"}.get(shapes)
    return [Candidate(name, dict(state))] if name else []


def _torchvision(state: State) -> list[Candidate]:
    """Every network of torchvision with exactly these names and, but for the classes, these shapes."""
    names, found = set(state), []
    for network, (head, theirs) in _theirs().items():
        same = (
            key.rpartition(".")[0] == head
            or tuple(state[key].shape) == theirs[key]
            or _only_gray(state[key], theirs[key])
            for key in names
        )
        if names == set(theirs) and all(same):
            own = {f"body.{key}": value for key, value in state.items()}
            # The weights do not tell whether it has the strides of TrojanZoo's form for small pictures.
            more = ["mobilenetv2-comp"] if network == "torchvision.mobilenet_v2" else []
            found += [Candidate(one, own) for one in (network, *more)]
    return found


@cache
def _theirs() -> dict[str, tuple[str, dict[str, tuple[int, ...]]]]:
    """Where the last linear layer of every network of torchvision is, and the shapes of its weights."""
    found = {}
    for name in torchvision_names():
        network = f"torchvision.{name}"
        try:
            with torch.device("meta"):
                own = models[network](10, 3)
        except (ValueError, RuntimeError, TypeError, NotImplementedError):
            continue  # needs something that is not here
        shapes = {
            key.removeprefix("body."): tuple(value.shape)
            for key, value in own.state_dict().items()
            if key.startswith("body.") and not key.endswith("num_batches_tracked")
        }
        found[network] = (own.head_name.removeprefix("body."), shapes)
    return found
