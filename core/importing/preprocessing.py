"""How a network wants its images is measured: every usual way on the same clean images.

A backdoor fires under nearly every way to prepare images, so that its success rate does not tell a wrong one; clean
accuracy does. The ways are RGB or BGR, and the pixels as 0 to 1, 0 to 255, or less a mean and divided by a deviation:
those of the data set, of ImageNet, one half for both, or those that the file itself names. Each becomes a part of the
model: mean and deviation of its normalisation, and for BGR the order of the first convolution's weights, which computes
the same and lets everything else stay RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from core.data import ImageSet
from core.inference.predictor import Predictor
from core.metrics import Rate
from core.models import Classifier

__all__ = ["Measured", "Way", "choose", "label_map", "measure_ways", "prepared", "usual_ways", "way_from"]

FIRST, FURTHER = 500, 4500
"""Images that every way is measured on, and those in addition for the ways that these do not tell apart."""
DOUBT = 0.05
"""Level at which two ways count as different (exact McNemar test)."""
POOR = 0.5
"""Clean accuracy below which even the best way is doubtful."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# As most code for these data sets has them; CIFAR-10's deviation has two usual values.
USUAL: dict[str, list[tuple[str, tuple[float, ...], tuple[float, ...]]]] = {
    "cifar10": [
        ("dataset", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ("dataset-0.2", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    ],
    "cifar100": [("dataset", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))],
    "tiny-imagenet": [("dataset", (0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262))],
    "gtsrb": [("dataset", (0.3337, 0.3064, 0.3171), (0.2672, 0.2564, 0.2629))],
    "mnist": [("dataset", (0.1307,), (0.3081,))],
}


@dataclass(frozen=True)
class Way:
    """A way to prepare images.

    Attributes:
        name: ``rgb:unit``, ``bgr:imagenet`` and so on.
        mean: Per channel, in the order that the network takes them.
        std: Deviation per channel, in the same order.
        bgr: Whether the network takes blue first.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False


@dataclass(frozen=True)
class Measured:
    """What a way reached.

    Attributes:
        way: The way.
        candidate: Which of the networks, as an index.
        network: Its name.
        correct: Which of the images were classified correctly, bool ``(n,)``.
        predicted: Predicted classes, int64 ``(n,)``.
    """

    way: Way
    candidate: int
    network: str
    correct: Tensor
    predicted: Tensor

    @property
    def rate(self) -> Rate:
        """Clean accuracy."""
        return Rate(int(self.correct.sum()), len(self.correct))


def usual_ways(train: ImageSet, own: tuple[Tensor, Tensor] | None = None) -> list[Way]:
    """The ways that are measured.

    Args:
        train: Training images, for the mean and deviation of a data set that has no usual ones.
        own: Mean and deviation that the file names, if it does.
    """
    channels = train.shape[0]
    fitted = ("dataset", *_mean_and_deviation(train))
    found: list[tuple[str, tuple[float, ...], tuple[float, ...]]] = [("unit", (0.0,) * channels, (1.0,) * channels)]
    # Usual numbers of gray images hold for every channel.
    usual = [
        (name, mean * (channels // len(mean)), std * (channels // len(std)))
        for name, mean, std in USUAL.get(train.name, [])
        if len(mean) in (1, channels)
    ]
    found += usual or [fitted]
    found += [("imagenet", IMAGENET[0], IMAGENET[1])] if channels == 3 else []
    found += [("half", (0.5,) * channels, (0.5,) * channels), ("bytes", (0.0,) * channels, (1 / 255,) * channels)]
    if own is not None:
        own_mean, own_std = (values.expand(channels) if len(values) == 1 else values for values in own)
        fits = len(own_mean) == len(own_std) == channels
        found += [("file", tuple(own_mean.tolist()), tuple(own_std.tolist()))] if fits else []
    ways = [Way(f"rgb:{name}", mean, std) for name, mean, std in found]
    if channels != 3 or bool((train.images == train.images[:, :1]).all()):
        return ways  # of gray images, the order of the channels changes nothing
    return ways + [Way(f"bgr:{name}", mean, std, bgr=True) for name, mean, std in found]


def _mean_and_deviation(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of all pixels of each channel, from how often each of their 256 values occurs."""
    counts = torch.zeros(images.shape[0], 256, dtype=torch.float64)
    for part in images.parts():
        for channel, pixels in enumerate(part.images.unbind(1)):
            counts[channel] += pixels.flatten().bincount(minlength=256)
    values, total = torch.linspace(0, 1, 256, dtype=torch.float64), counts.sum(1)
    mean = counts @ values / total
    variance = (counts * (values - mean[:, None]).square()).sum(1) / (total - 1).clamp_min(1)
    return tuple(mean.tolist()), tuple(variance.sqrt().clamp_min(1e-3).tolist())


def way_from(text: str, ways: Sequence[Way]) -> Way:
    """The way that a user names: ``rgb:imagenet``, or ``rgb:0.5,0.5,0.5/0.2,0.2,0.2``.

    Raises:
        ValueError: If there is no such way; names those there are.
    """
    for way in ways:
        if text in (way.name, way.name.removeprefix("rgb:")):
            return way
    colours, _, numbers = text.rpartition(":")
    try:
        mean, std = (tuple(float(part) for part in side.split(",")) for side in numbers.split("/"))
    except ValueError:
        mean, std = (), ()
    counts, sane = len(mean) == len(std) == len(ways[0].mean), all(abs(m) < 1e3 for m in mean)
    if colours in ("", "rgb", "bgr") and counts and sane and all(1e-6 < s < 1e3 for s in std):
        return Way(text, mean, std, bgr=colours == "bgr")
    names = ", ".join(way.name for way in ways)
    raise ValueError(f"preprocess = {text!r} is not allowed: auto, {names}, or rgb:MEAN,.../DEVIATION,...")


def prepared(model: Classifier, way: Way) -> Classifier:
    """Makes a way a part of the model, in place: images are RGB in [0, 1] from then on.

    Raises:
        ValueError: If a network that takes BGR does not begin with a convolution of three channels.
    """
    mean, std = torch.tensor(way.mean), torch.tensor(way.std)
    if way.bgr:
        mean, std = mean.flip(0), std.flip(0)
        first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
        if first is None or first.in_channels != 3 or first.groups != 1:
            raise ValueError("the network does not begin with a convolution of three channels: BGR is not possible")
        with torch.no_grad():
            first.weight.copy_(first.weight.flip(1))
    model.normalise.mean.copy_(mean.view_as(model.normalise.mean))
    model.normalise.std.copy_(std.view_as(model.normalise.std))
    return model


def measure_ways(
    build: Callable[[int], Classifier],
    networks: Sequence[str],
    ways: Sequence[Way],
    images: ImageSet,
    device: torch.device,
) -> Iterator[Measured]:
    """Measures every way with every network.

    Those that the first images do not tell from the best are measured on all.

    Args:
        build: Makes a fresh model of a network, by its index.
        networks: Names of the networks.
        ways: The ways.
        images: Clean images; the first :data:`FIRST` are for all ways.
        device: Where to compute.

    Yields:
        One by one; a later one takes the place of an earlier one of the same way and network.
    """
    first = images.subset(slice(FIRST))
    seen = []
    for number, network in enumerate(networks):
        for way in ways:
            one = _measured(build(number), way, number, network, first, device)
            seen.append(one)
            yield one
    close = _close_to_best(seen)
    if len(close) > 1 and len(images) > FIRST:
        for one in close:
            yield _measured(build(one.candidate), one.way, one.candidate, one.network, images, device)


def _measured(
    model: Classifier, way: Way, number: int, network: str, images: ImageSet, device: torch.device
) -> Measured:
    predict = Predictor(prepared(model, way), device).predict
    predicted = torch.cat([predict(part.floats().to(device)) for part in images.parts(FIRST)])
    return Measured(way, number, network, predicted == images.labels, predicted)


def _close_to_best(measured: Sequence[Measured]) -> list[Measured]:
    best = max(measured, key=lambda one: one.rate.value)
    return [one for one in measured if one is best or not differ(best, one)]


def differ(first: Measured, second: Measured) -> bool:
    """Whether two ways differ on the same images (exact McNemar test; only images that one alone gets right count)."""
    from scipy.stats import binomtest

    count = min(len(first.correct), len(second.correct))
    a, b = first.correct[:count], second.correct[:count]
    only, other = int((a & ~b).sum()), int((b & ~a).sum())
    return only + other > 0 and bool(binomtest(only, only + other).pvalue < DOUBT)


def choose(measured: Sequence[Measured]) -> tuple[list[Measured], list[str]]:
    """What was measured last of every way, best first, and what is to be said of it.

    Ways that computed alike on all images are one choice: the first of them is taken.
    """
    last = {(one.candidate, one.way.name): one for one in measured}
    ranked = sorted(last.values(), key=lambda one: (-len(one.correct), -one.rate.value))
    best, warnings = ranked[0], []
    equal = [one for one in ranked[1:] if not differ(best, one) and len(one.correct) == len(best.correct)]
    if equal:
        names = ", ".join(f"{one.network} {one.way.name} {one.rate}" for one in equal)
        warnings.append(
            f"{len(best.correct)} images do not tell {best.network} {best.way.name} {best.rate} from {names}"
        )
    if best.rate.value < POOR:
        warnings.append(
            f"even the best way to prepare images reaches a clean accuracy of {best.rate} only: another data set, "
            "network or order of classes may be right"
        )
    return ranked, warnings


def label_map(predicted: Tensor, labels: Tensor, classes: int) -> tuple[list[int], Rate]:
    """The one-to-one map of outputs to classes that gets most images right (Hungarian method).

    Args:
        predicted: The model's outputs, int64 ``(N,)``.
        labels: True classes, int64 ``(N,)``.
        classes: Number of classes.

    Returns:
        The class of every output, and the accuracy under that map.

    >>> label_map(torch.tensor([1, 1, 0, 2]), torch.tensor([0, 0, 1, 2]), 3)
    ([1, 0, 2], Rate(hits=4, total=4))
    """
    from scipy.optimize import linear_sum_assignment

    confusion = torch.bincount(predicted * classes + labels, minlength=classes * classes).view(classes, classes)
    rows, columns = linear_sum_assignment(np.asarray(confusion), maximize=True)
    order = [int(column) for _, column in sorted(zip(rows, columns, strict=True))]
    return order, Rate(sum(int(confusion[row, order[row]]) for row in range(classes)), len(labels))
