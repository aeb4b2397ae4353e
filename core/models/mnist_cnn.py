"""The small network for MNIST of Gu et al. 2017, as BackdoorBox has it (``core/models/baseline_MNIST_network.py``)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import Classifier, models

__all__ = ["MnistCNN"]

SIDE = 28


@models.register("mnist-cnn")
class MnistCNN(Classifier):
    """Two 5 x 5 convolutions, each with a ReLU and a mean over 2 x 2 pixels, and two linear layers.

    It is made for 28 x 28 pixels; images of another size are resized to that first.
    """

    label: ClassVar[str] = "MNIST CNN"
    head_name: ClassVar[str] = "fc2"

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        self.conv1 = nn.Conv2d(channels, 16, 5)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.fc1 = nn.Linear(512, 512)
        self.fc2 = nn.Linear(512, classes)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()

    @property
    def last_block(self) -> nn.Module:
        return self.conv2

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        x = self.normalise(images)
        if x.shape[2:] != (SIDE, SIDE):
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)
        x = F.avg_pool2d(self.relu1(self.conv1(x)), 2)
        x = F.avg_pool2d(self.relu2(self.conv2(x)), 2)
        logits: Tensor = self.fc2(self.relu3(self.fc1(x.flatten(1))))
        return logits
