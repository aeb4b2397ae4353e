"""The small networks for MNIST: that of Gu et al. 2017, as BackdoorBox has it, and that of PyTorch's examples.

The first is BackdoorBox's ``core/models/baseline_MNIST_network.py``, the second TrojanZoo's ``net``
(``trojanvision/models/normal/net.py``).
"""

from __future__ import annotations

import re
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import Classifier, at_side, models

__all__ = ["MnistCNN", "MnistNet"]

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
        x = at_side(self.normalise(images), SIDE)
        x = F.avg_pool2d(self.relu1(self.conv1(x)), 2)
        x = F.avg_pool2d(self.relu2(self.conv2(x)), 2)
        logits: Tensor = self.fc2(self.relu3(self.fc1(x.flatten(1))))
        return logits


class MnistNet(Classifier):
    """Two 3 x 3 convolutions, the largest of 2 x 2 pixels, and two linear layers (1.2 M parameters)."""

    label: ClassVar[str] = "MNIST net"
    head_name: ClassVar[str] = "fc2"

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        self.conv1, self.conv2 = nn.Conv2d(channels, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, classes)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)

    @property
    def last_block(self) -> nn.Module:
        return self.conv2

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        x = self.relu2(self.conv2(self.relu1(self.conv1(at_side(self.normalise(images), SIDE)))))
        x = self.dropout1(F.max_pool2d(x, 2).flatten(1))
        logits: Tensor = self.fc2(self.dropout2(self.relu3(self.fc1(x))))
        return logits


@models.family("mnist-net", r"mnist-net")
def _mnist_net(name: re.Match[str]) -> type[Classifier]:
    return type("MnistNet", (MnistNet,), {})
