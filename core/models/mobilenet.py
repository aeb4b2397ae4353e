"""MobileNetV2 for 32 x 32 images (Sandler et al. 2018), in two forms of the field.

``mobilenetv2`` is that of weiaicunzai/pytorch-cifar100, which backdoor-toolbox has (``utils/mobilenetv2.py``): its
convolutions have biases, and its 1 x 1 stem pads the picture by a pixel. ``mobilenetv2-comp`` is torchvision's with the
strides that TrojanZoo gives it for small pictures (``mobilenet_v2_comp``). Both halve a picture three times.
"""

from __future__ import annotations

import re
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import BatchNorm, Classifier, models

__all__ = ["MobileNetV2", "MobileNetV2Comp"]

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 1), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage, as weiaicunzai has them."""
COMP = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
LAST = 1280


class _Bottleneck(nn.Module):
    """1 x 1 convolution to more channels, 3 x 3 convolution of each channel alone, 1 x 1 convolution to fewer."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.residual = nn.Sequential(
            nn.Conv2d(channels, inner, 1), BatchNorm(inner), nn.ReLU6(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner), BatchNorm(inner), nn.ReLU6(),
            nn.Conv2d(inner, width, 1), BatchNorm(width),
        )  # fmt: skip
        self.adds = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.residual(x)
        return out + x if self.adds else out


class MobileNetV2(Classifier):
    """MobileNetV2 as backdoor-toolbox has it (2.3 M parameters)."""

    label: ClassVar[str] = "MobileNetV2"
    stride: ClassVar[int] = 0  # 32 pixels become 34, 17, 9 and 5

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        self.pre = nn.Sequential(nn.Conv2d(channels, 32, 1, padding=1), BatchNorm(32), nn.ReLU6())
        stages, before = [], 32
        for expansion, width, count, stride in STAGES:
            first = _Bottleneck(before, width, stride, expansion)
            more = (_Bottleneck(width, width, 1, expansion) for _ in range(count - 1))
            stages.append(nn.Sequential(first, *more))
            before = width
        self.stages = nn.ModuleList(stages)
        self.conv1 = nn.Sequential(nn.Conv2d(before, LAST, 1), BatchNorm(LAST), nn.ReLU6())
        self.fc = nn.Linear(LAST, classes)

    @property
    def last_block(self) -> nn.Module:
        return self.conv1

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        x = self.pre(self.normalise(images))
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(self.conv1(x), 1).flatten(1))
        return logits


class MobileNetV2Comp(Classifier):
    """torchvision's MobileNetV2 with TrojanZoo's strides for small pictures (2.2 M parameters)."""

    label: ClassVar[str] = "MobileNetV2 (torchvision's, small pictures)"
    head_name: ClassVar[str] = "body.classifier.1"
    stride: ClassVar[int] = 8

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        from torchvision.models import MobileNetV2 as Theirs  # takes seconds to import

        settings = [list(stage) for stage in COMP]
        self.body = Theirs(num_classes=classes, inverted_residual_setting=settings, norm_layer=BatchNorm)
        self.body.features[0][0] = nn.Conv2d(channels, 32, 3, 1, 1, bias=False)

    @property
    def last_block(self) -> nn.Module:
        last: nn.Module = self.body.features[-1]
        return last

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        logits: Tensor = self.body(self.normalise(images))
        return logits


@models.family("mobilenetv2, with torchvision's layers mobilenetv2-comp", r"mobilenetv2(-comp)?")
def _mobilenet(name: re.Match[str]) -> type[Classifier]:
    base = MobileNetV2Comp if name[1] else MobileNetV2
    return type(base.__name__, (base,), {})
