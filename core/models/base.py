"""The classifiers: they take floats in [0, 1], normalise inside, and return logits."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from core.registry import Registry, UnknownName

__all__ = [
    "BatchNorm",
    "Classifier",
    "Early",
    "Models",
    "Normalise",
    "Undrawn",
    "at_side",
    "build_model",
    "last_channels",
    "models",
]


class Normalise(nn.Module):
    """Subtracts a mean and divides by a standard deviation per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def fit(self, images: Tensor) -> None:
        """Takes mean and standard deviation from uint8 images ``(N, C, H, W)``."""
        values = images.float() / 255
        self.mean.copy_(values.mean((0, 2, 3)).view_as(self.mean))
        self.std.copy_(values.std((0, 2, 3)).clamp_min(1e-3).view_as(self.std))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images of the same shape."""
        return (images - self.mean) / self.std


class BatchNorm(nn.BatchNorm2d):
    """Batch norm, in training written for the compiler as two means, which it computes in one pass over the input.

    Its own way (Welford's) is an order of magnitude slower where channels are last in memory. It is more exact where
    the mean is hundreds of times the standard deviation, as it is not behind a convolution of normalised images.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalised activations ``(N, C, H, W)``."""
        if self.training and x.numel() == x.shape[1]:
            # One value per channel has no variance (one small image, deep in a network): what is known so far counts.
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if not (self.training and torch.compiler.is_compiling()):
            return super().forward(x)
        values, count = x.float(), x.numel() // x.shape[1]
        mean = values.mean((0, 2, 3))
        variance = (values.square().mean((0, 2, 3)) - mean.square()).clamp_min(0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (values * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


def at_side(images: Tensor, side: int) -> Tensor:
    """Images ``(N, C, H, W)`` as ``(N, C, side, side)``, for networks whose linear layers fix the size."""
    if images.shape[2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Early:
    """One convolution before the first subsampling: 3 x 3, stride 1, padding 1, then a ReLU.

    Attributes:
        conv: The convolution.
        adds: What is added before the ReLU: 0 for the network's normalised input, l for what came out of the l-th
            early convolution, None for nothing.
    """

    conv: nn.Conv2d
    adds: int | None = None


class Classifier(nn.Module):
    """A network with its normalisation: ``(N, C, H, W)`` in [0, 1] to logits ``(N, classes)``.

    Attributes:
        normalise: The normalisation, a part of the state dict.
        last_block: The last convolutional component, which Grad-CAM looks at and Fine-Pruning prunes. What follows it
            averages every channel over the picture and ends in one linear layer.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    """Name in figures and tables."""
    head_name: ClassVar[str] = "fc"
    """Where the linear layer is among the modules."""
    stride: ClassVar[int] = 0
    """Pixels of the image between two places of the last component's output: the product of all strides; 0: not known.

    What moves by a multiple of it moves by whole places there, and is averaged over all places then.
    """
    folds: ClassVar[bool] = True
    """Whether a batch norm that is defined right behind a convolution is computed right behind it too."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.normalise = Normalise(channels)
        self.classes = classes
        self.channels = channels

    @property
    def last_block(self) -> nn.Module:
        """The last convolutional component."""
        raise NotImplementedError

    def early(self) -> list[Early]:
        """The convolutions before the first subsampling, once their batch norms are folded; by default none.

        A model that names them has :meth:`later` for what follows, and location maps of it are made faster.
        """
        return []

    def later(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` from what came out of the last early convolution, ``(N, C, H, W)``."""
        raise NotImplementedError

    @property
    def head(self) -> nn.Linear:
        """The linear layer that ends it."""
        head = self.get_submodule(self.head_name)
        assert isinstance(head, nn.Linear)
        return head


Make = Callable[[re.Match[str]], type[Classifier]]


class Models(Registry[Classifier]):
    """The registered networks, and families of them: any member of a family is found by its name.

    A family has more members than a list can show, such as WideResNets of every depth and width.
    """

    def __init__(self) -> None:
        super().__init__("model", "core.models", "trigger_sensitivity.models")
        self._families: list[tuple[str, re.Pattern[str], Make]] = []
        self._members: dict[str, type[Classifier]] = {}
        self._making = threading.RLock()

    def family(self, shown: str, pattern: str) -> Callable[[Make], Make]:
        """Decorator: registers what makes the class of a name.

        Args:
            shown: How the names read, for messages: ``wrn-DEPTH-WIDTH``.
            pattern: A regular expression that the whole name matches.
        """

        def decorate(make: Make) -> Make:
            self._families.append((shown, re.compile(pattern), make))
            return make

        return decorate

    def families(self) -> list[str]:
        """How the names of the families read."""
        self._discover()
        return [shown for shown, *_ in self._families]

    def __getitem__(self, name: str) -> type[Classifier]:
        self._discover()
        if name in self._classes:
            return super().__getitem__(name)
        with self._making:
            if name not in self._members:
                for _, pattern, make in self._families:
                    if found := pattern.fullmatch(name):
                        cls = make(found)
                        cls.name = name
                        self._members[name] = cls
                        break
                else:
                    try:
                        return super().__getitem__(name)
                    except UnknownName as error:
                        also = ", ".join(shown.partition(",")[0] for shown in self.families())
                        raise UnknownName(f"{error}; also {also}") from None
            return self._members[name]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            return bool(self[name])
        except UnknownName:
            return False


models = Models()


class Undrawn(TorchFunctionMode):
    """Draws no initial weights.

    There are none to draw where tensors have shapes only, and torch would load its compiler to do it: a second.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return args[0] if func in (Tensor.normal_, Tensor.uniform_) else func(*args, **(kwargs or {}))


@cache
def last_channels(name: str) -> int:
    """Channels of the last component of a network, which a linear layer ends.

    Raises:
        UnknownName: If there is no such model.
    """
    with torch.device("meta"), Undrawn():
        return models[name](2, 3).head.in_features


def build_model(name: str, *, classes: int, channels: int = 3, seed: int | None = None) -> Classifier:
    """Makes an untrained model.

    Args:
        name: A registered model.
        classes: Number of classes.
        channels: Channels of the images.
        seed: Seed of the initial weights; the global generator is left as it was. None takes the global generator.

    Raises:
        UnknownName: If there is no such model.
    """
    model = models[name]
    if seed is None:
        return model(classes, channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model(classes, channels)
