"""The network for German traffic signs of backdoor-toolbox (``utils/gtsrb_cnn.py``)."""

from __future__ import annotations

import re
from typing import ClassVar

import torch
from torch import Tensor, nn

from core.models.base import Classifier, at_side, models

__all__ = ["GtsrbCNN"]

SIDE = 32
WIDTHS = (32, 64, 128)
HIDDEN = 1024


class GtsrbCNN(Classifier):
    """A 1 x 1 convolution of the colours, three levels of two convolutions and a pooling, and three linear layers.

    The first linear layer takes what every level gives, not the last alone. It is made for 32 x 32 pixels; images of
    another size are resized to that first (16.1 M parameters with 43 classes).
    """

    label: ClassVar[str] = "GTSRB CNN"
    head_name: ClassVar[str] = "fc3"

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        self.conv0 = nn.Sequential(nn.Conv2d(channels, 3, 1), nn.ReLU())
        before, levels = 3, []
        for width, size in zip(WIDTHS, (5, 3, 3), strict=True):
            levels.append(
                nn.Sequential(
                    nn.Conv2d(before, width, size, padding=size // 2), nn.ReLU(),
                    nn.Conv2d(width, width, size, padding=size // 2), nn.ReLU(), nn.MaxPool2d(2),
                )
            )  # fmt: skip
            before = width
        self.levels = nn.ModuleList(levels)
        inputs = sum(width * (SIDE >> level) ** 2 for level, width in enumerate(WIDTHS, 1))
        self.fc1, self.fc2 = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.fc3 = nn.Linear(HIDDEN, classes)
        self.dropout = nn.Dropout(0.5)

    @property
    def last_block(self) -> nn.Module:
        return self.levels[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        x, found = self.conv0(at_side(self.normalise(images), SIDE)), []
        for level in self.levels:
            x = self.dropout(level(x))
            found.append(x.flatten(1))
        x = self.relu2(self.fc2(self.dropout(self.relu1(self.fc1(torch.cat(found, 1))))))
        logits: Tensor = self.fc3(x)
        return logits


@models.family("gtsrb-cnn", r"gtsrb-cnn")
def _gtsrb_cnn(name: re.Match[str]) -> type[Classifier]:
    return type("GtsrbCNN", (GtsrbCNN,), {})
