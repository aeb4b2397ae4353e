"""Networks whose blocks normalise and activate first: PreActResNet and WideResNet.

The forms are those that most code uses: PreActResNet of kuangliu/pytorch-cifar, which BackdoorBench trains
(``models/preact_resnet.py`` there; no batch norm before the pooling), and the WideResNet of xternalbz and, with biases
and the shortcut before the activation, of meliketoy. What a trigger changes in them cannot be put together from early
convolutions (:mod:`core.inference.incremental`), since what is added up is not activated; they take whole passes.
"""

from __future__ import annotations

import re
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import BatchNorm, Classifier, models
from core.registry import UnknownName

__all__ = ["PreActResNet18", "WideResNet16"]

DEEPEST, WIDEST = 202, 16


class _PreBlock(nn.Module):
    """Batch norm, ReLU, 3 x 3 convolution, twice, with a 1 x 1 convolution beside where the shape changes.

    Args:
        channels: Channels that come in.
        width: Channels that go out.
        stride: Of the first convolution and of the shortcut.
        bias: Whether convolutions have one.
        activated: Whether the 1 x 1 convolution takes what is activated, or what comes in.
    """

    def __init__(self, channels: int, width: int, stride: int, bias: bool = False, activated: bool = True) -> None:
        super().__init__()
        self.bn1 = BatchNorm(channels)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=bias)
        self.bn2 = BatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=bias)
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != width:
            self.shortcut = nn.Conv2d(channels, width, 1, stride, bias=bias)
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        first = self.relu1(self.bn1(x))
        if self.shortcut is not None:
            x = self.shortcut(first if self.activated else x)
        out: Tensor = x + self.conv2(self.relu2(self.bn2(self.conv1(first))))
        return out


class _PreActivation(Classifier):
    """A 3 x 3 convolution, stages of blocks, perhaps a batch norm and ReLU, and one linear layer.

    Attributes:
        blocks: Blocks of each stage; every stage but the first halves the picture.
        widths: Channels after the first convolution, and after each stage.
    """

    blocks: ClassVar[tuple[int, ...]]
    widths: ClassVar[tuple[int, ...]]
    bias: ClassVar[bool] = False
    activated: ClassVar[bool] = True
    last_norm: ClassVar[bool] = True

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        first, *widths = self.widths
        self.conv1 = nn.Conv2d(channels, first, 3, 1, 1, bias=self.bias)
        stages, before = [], first
        for number, (count, width) in enumerate(zip(self.blocks, widths, strict=True)):
            stage = []
            for place in range(count):
                stride = 2 if number and not place else 1
                stage.append(_PreBlock(before, width, stride, self.bias, self.activated))
                before = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)
        self.bn: nn.Module = BatchNorm(before) if self.last_norm else nn.Identity()
        self.relu: nn.Module = nn.ReLU() if self.last_norm else nn.Identity()
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def last_block(self) -> nn.Module:
        last = self.stages[-1]
        assert isinstance(last, nn.Sequential)
        return last[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        x = self.conv1(self.normalise(images))
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(self.relu(self.bn(x)), 1).flatten(1))
        return logits


@models.register("preactresnet18")
class PreActResNet18(_PreActivation):
    """PreActResNet-18 as BackdoorBench and kuangliu/pytorch-cifar have it (11.2 M parameters)."""

    label: ClassVar[str] = "PreActResNet-18"
    stride: ClassVar[int] = 8
    blocks: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)
    widths: ClassVar[tuple[int, ...]] = (64, 64, 128, 256, 512)
    last_norm: ClassVar[bool] = False


@models.family("preactresnet34, with a last batch norm preactresnet18-norm", r"preactresnet(18|34)(-norm)?")
def _preactresnet(name: re.Match[str]) -> type[Classifier]:
    blocks = (2, 2, 2, 2) if name[1] == "18" else (3, 4, 6, 3)
    label = f"PreActResNet-{name[1]}" + " (last batch norm)" * bool(name[2])
    return type("PreActResNet", (PreActResNet18,), {"label": label, "blocks": blocks, "last_norm": bool(name[2])})


def _wide(depth: int, width: int, bias: bool, raw: bool) -> dict[str, object]:
    """What makes a WideResNet of Zagoruyko and Komodakis 2016: 6n + 4 layers, widths 16, 16k, 32k, 64k."""
    notes = ["biases"] * bias + ["shortcut before the activation"] * raw
    return {
        "label": f"WRN-{depth}-{width}" + (f" ({', '.join(notes)})" if notes else ""),
        "stride": 4,
        "blocks": ((depth - 4) // 6,) * 3,
        "widths": (16, 16 * width, 32 * width, 64 * width),
        "bias": bias,
        "activated": not raw,
    }


@models.register("wrn-16-1")
class WideResNet16(_PreActivation):
    """WRN-16-1, the student and the backdoored network of NAD and ABL (0.2 M parameters)."""

    label: ClassVar[str] = "WRN-16-1"
    stride: ClassVar[int] = 4
    blocks: ClassVar[tuple[int, ...]] = (2, 2, 2)
    widths: ClassVar[tuple[int, ...]] = (16, 16, 32, 64)


@models.family("wrn-DEPTH-WIDTH", r"wrn-(\d{2,3})-(\d{1,2})(-biased)?(-raw)?")
def _wide_resnet(name: re.Match[str]) -> type[Classifier]:
    depth, width = int(name[1]), int(name[2])
    if depth % 6 != 4 or not 10 <= depth <= DEEPEST or not 1 <= width <= WIDEST:
        raise UnknownName(
            f"there is no model {name[0]!r}: a WideResNet has 6n + 4 layers, 10 to {DEEPEST}, and width 1 to {WIDEST}"
        )
    return type("WideResNet", (_PreActivation,), _wide(depth, width, bool(name[3]), bool(name[4])))
