"""Residual networks for 32 x 32 images (He et al. 2016)."""

from __future__ import annotations

import re
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import BatchNorm, Classifier, Early, models

__all__ = ["ResNet18", "ResNet20", "ResNet34"]


class _Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut.

    The shortcut has no parameters (option A of He et al. 2016: subsample, pad channels with zeros), or is a 1 x 1
    convolution where the shape changes (option B).
    """

    def __init__(self, channels: int, width: int, stride: int, projection: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm(width)
        # Modules, one for each use: Guided Backprop changes the gradient of every ReLU by a hook.
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.stride, self.extra = stride, width - channels
        self.shortcut: nn.Module | None = None
        if projection and (stride != 1 or self.extra):
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), BatchNorm(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.stride != 1 or self.extra:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        out: Tensor = self.relu2(x + y)
        return out


class _CifarResNet(Classifier):
    """The CIFAR networks of He et al. 2016, Sec. 4.2: 6n + 2 layers, widths 16, 32, 64."""

    stride: ClassVar[int] = 4
    blocks: ClassVar[int] = 3
    projection: ClassVar[bool] = False

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = BatchNorm(16)
        self.relu1 = nn.ReLU()
        self.stage1 = self._stage(16, 16, 1)
        self.stage2 = self._stage(16, 32, 2)
        self.stage3 = self._stage(32, 64, 2)
        self.fc = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, channels: int, width: int, stride: int) -> nn.Sequential:
        more = (_Block(width, width, 1, self.projection) for _ in range(self.blocks - 1))
        return nn.Sequential(_Block(channels, width, stride, self.projection), *more)

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


@models.register("resnet20")
class ResNet20(_CifarResNet):
    """The 0.27 M-parameter CIFAR network of He et al. 2016, Sec. 4.2 (n = 3, widths 16, 32, 64)."""

    label: ClassVar[str] = "ResNet-20"


@models.family("resnet32/44/56/110, with 1 x 1 shortcuts resnet20-b and so on", r"resnet(20|32|44|56|110)(-b)?")
def _cifar_resnet(name: re.Match[str]) -> type[Classifier]:
    depth, projection = int(name[1]), bool(name[2])
    label = f"ResNet-{depth}" + " (1 x 1 shortcuts)" * projection
    return type(
        f"ResNet{depth}", (_CifarResNet,), {"label": label, "blocks": (depth - 2) // 6, "projection": projection}
    )


class _ImageResNet(Classifier):
    """torchvision's ResNet with a 3 x 3 stem and, unless ``pooled``, no first pooling, as used on CIFAR-10."""

    head_name: ClassVar[str] = "body.fc"
    stride: ClassVar[int] = 8
    layers: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)
    bottleneck: ClassVar[bool] = False
    pooled: ClassVar[bool] = False

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        # Here, not above: torchvision's models take seconds to import, and ResNet-20 does without them.
        from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

        block = Bottleneck if self.bottleneck else BasicBlock
        self.body = ResNet(block, list(self.layers), num_classes=classes, norm_layer=BatchNorm)
        self.body.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(self.body.conv1.weight, mode="fan_out", nonlinearity="relu")
        if not self.pooled:
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
        first = Early(self.body.conv1)
        return [first] if self.pooled or self.bottleneck else [first, *_early(self.body.layer1)]

    def later(self, x: Tensor) -> Tensor:
        if self.pooled or self.bottleneck:
            x = self.body.layer1(self.body.maxpool(x))
        x = self.body.layer4(self.body.layer3(self.body.layer2(x)))
        logits: Tensor = self.body.fc(self.body.avgpool(x).flatten(1))
        return logits


@models.register("resnet18")
class ResNet18(_ImageResNet):
    """ResNet-18 with a 3 x 3 stem and no first pooling, as most code for CIFAR-10 has it (11.2 M parameters)."""

    label: ClassVar[str] = "ResNet-18"


@models.register("resnet34")
class ResNet34(_ImageResNet):
    """ResNet-34 with a 3 x 3 stem and no first pooling, as used on CIFAR-10 (21.3 M parameters)."""

    label: ClassVar[str] = "ResNet-34"
    layers: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)


@models.family("resnet50/101/152, with the first pooling resnet18-pool and so on", r"resnet(18|34|50|101|152)(-pool)?")
def _image_resnet(name: re.Match[str]) -> type[Classifier]:
    depth, pooled = int(name[1]), bool(name[2])
    layers = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    values = {
        "label": f"ResNet-{depth}" + " (pooled stem)" * pooled,
        "layers": layers,
        "bottleneck": depth >= 50,
        "pooled": pooled,
        "stride": 16 if pooled else 8,
    }
    return type(f"ResNet{depth}", (_ImageResNet,), values)


def _early(stage: nn.Module) -> list[Early]:
    """The convolutions of a stage of blocks whose shortcuts are the identity, behind one convolution."""
    steps = []
    for number, block in enumerate(stage.children()):
        assert isinstance(block.conv1, nn.Conv2d)
        assert isinstance(block.conv2, nn.Conv2d)
        steps += [Early(block.conv1), Early(block.conv2, adds=2 * number + 1)]
    return steps
