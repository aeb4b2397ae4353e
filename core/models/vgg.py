"""VGG for 32 x 32 images (Simonyan and Zisserman 2015)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import BatchNorm, Classifier, Early, models

__all__ = ["VGG19"]

# Modules before the first pooling: two convolutions, each with its batch norm and ReLU.
EARLY = 6


@models.register("vgg19")
class VGG19(Classifier):
    """VGG-19 with batch norm and one linear layer, as used on CIFAR-10 (20.0 M parameters).

    Its five poolings halve images of at least 32 x 32 pixels. Of smaller ones, a map that is one pixel high or wide
    already is not pooled again, so that the weights are the same at every size.
    """

    label: ClassVar[str] = "VGG-19"
    stride: ClassVar[int] = 16

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        # Here, not above: torchvision's models take seconds to import, and other models do without them.
        from torchvision.models.vgg import cfgs, make_layers

        self.features = make_layers(cfgs["E"], batch_norm=True)
        if channels != 3:
            self.features[0] = nn.Conv2d(channels, 64, 3, padding=1)
        for place, module in enumerate(self.features):
            if isinstance(module, nn.BatchNorm2d):
                self.features[place] = BatchNorm(module.num_features)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.fc = nn.Linear(512, classes)

    @property
    def last_block(self) -> nn.Module:
        last: nn.Module = self.features[49]
        return last

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        return self.later(self.features[:EARLY](self.normalise(images)))

    def early(self) -> list[Early]:
        return [Early(module) for module in self.features[:EARLY] if isinstance(module, nn.Conv2d)]

    def later(self, x: Tensor) -> Tensor:
        for module in self.features[EARLY:]:
            if not (isinstance(module, nn.MaxPool2d) and min(x.shape[2:]) == 1):
                x = module(x)
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
