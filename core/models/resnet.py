"""Residual networks for 32 x 32 images (He et al. 2016)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import BatchNorm, Classifier, Early, models

__all__ = ["ResNet20", "ResNet34"]


class _Block(nn.Module):
    """Two 3 x 3 convolutions with a parameter-free shortcut (option A: subsample, pad channels with zeros)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm(width)
        # Modules, one for each use: Guided Backprop changes the gradient of every ReLU by a hook.
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.stride, self.extra = stride, width - channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride != 1 or self.extra:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        out: Tensor = self.relu2(x + y)
        return out


@models.register("resnet20")
class ResNet20(Classifier):
    """The 0.27 M-parameter CIFAR network of He et al. 2016, Sec. 4.2 (n = 3, widths 16, 32, 64)."""

    label: ClassVar[str] = "ResNet-20"
    stride: ClassVar[int] = 4

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = BatchNorm(16)
        self.relu1 = nn.ReLU()
        self.stage1 = nn.Sequential(*(_Block(16, 16, 1) for _ in range(3)))
        self.stage2 = nn.Sequential(_Block(16, 32, 2), _Block(32, 32, 1), _Block(32, 32, 1))
        self.stage3 = nn.Sequential(_Block(32, 64, 2), _Block(64, 64, 1), _Block(64, 64, 1))
        self.fc = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def last_block(self) -> nn.Module:
        return self.stage3[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        return self.later(self.stage1(self.relu1(self.bn1(self.conv1(self.normalise(images))))))

    def early(self) -> list[Early]:
        return [Early(self.conv1), *_early(self.stage1)]

    def later(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(x))
        # Pooling keeps channels last in the backward pass; a mean over dimensions would not, and costs 5% of training.
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


@models.register("resnet34")
class ResNet34(Classifier):
    """ResNet-34 with a 3 x 3 stem and no first pooling, as used on CIFAR-10 (21.3 M parameters)."""

    label: ClassVar[str] = "ResNet-34"
    head_name: ClassVar[str] = "body.fc"
    stride: ClassVar[int] = 8

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        # Here, not above: torchvision's models take seconds to import, and ResNet-20 does without them.
        from torchvision.models.resnet import BasicBlock, ResNet

        self.body = ResNet(BasicBlock, [3, 4, 6, 3], num_classes=classes, norm_layer=BatchNorm)
        self.body.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(self.body.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.body.maxpool = nn.Identity()

    @property
    def last_block(self) -> nn.Module:
        last: nn.Module = self.body.layer4[-1]
        return last

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        logits: Tensor = self.body(self.normalise(images))
        return logits

    def early(self) -> list[Early]:
        return [Early(self.body.conv1), *_early(self.body.layer1)]

    def later(self, x: Tensor) -> Tensor:
        x = self.body.layer4(self.body.layer3(self.body.layer2(x)))
        logits: Tensor = self.body.fc(self.body.avgpool(x).flatten(1))
        return logits


def _early(stage: nn.Module) -> list[Early]:
    """The convolutions of a stage of blocks whose shortcuts are the identity, behind one convolution."""
    steps = []
    for number, block in enumerate(stage.children()):
        assert isinstance(block.conv1, nn.Conv2d)
        assert isinstance(block.conv2, nn.Conv2d)
        steps += [Early(block.conv1), Early(block.conv2, adds=2 * number + 1)]
    return steps
