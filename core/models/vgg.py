"""VGG for 32 x 32 images (Simonyan and Zisserman 2015)."""

from __future__ import annotations

import re
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import BatchNorm, Classifier, Early, models

__all__ = ["VGG19"]

CONFIGURATION = {11: "A", 13: "B", 16: "D", 19: "E"}
# Width of the two hidden layers of the form with three linear ones.
HIDDEN = 512


class _VGG(Classifier):
    """VGG of one of the four depths, with or without batch norm, with one linear layer or three.

    Its five poolings halve images of at least 32 x 32 pixels. Of smaller ones, a map that is one pixel high or wide
    already is not pooled again, so that the weights are the same at every size.
    """

    stride: ClassVar[int] = 16
    depth: ClassVar[int] = 19
    normed: ClassVar[bool] = True
    hidden: ClassVar[bool] = False

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        # Here, not above: torchvision's models take seconds to import, and other models do without them.
        from torchvision.models.vgg import cfgs, make_layers

        self.features = make_layers(cfgs[CONFIGURATION[self.depth]], batch_norm=self.normed)
        if channels != 3:
            self.features[0] = nn.Conv2d(channels, 64, 3, padding=1)
        for place, module in enumerate(self.features):
            if isinstance(module, nn.BatchNorm2d):
                self.features[place] = BatchNorm(module.num_features)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.fcs = nn.ModuleList([nn.Linear(512, HIDDEN), nn.Linear(HIDDEN, HIDDEN)] if self.hidden else [])
        self.relus = nn.ModuleList([nn.ReLU() for _ in self.fcs])
        self.fc = nn.Linear(HIDDEN if self.hidden else 512, classes)

    @property
    def before_pooling(self) -> int:
        """Modules before the first pooling."""
        return next(place for place, module in enumerate(self.features) if isinstance(module, nn.MaxPool2d))

    @property
    def last_block(self) -> nn.Module:
        last: nn.Module = [module for module in self.features if isinstance(module, nn.Conv2d)][-1]
        return last

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        return self.later(self.features[: self.before_pooling](self.normalise(images)))

    def early(self) -> list[Early]:
        return [Early(module) for module in self.features[: self.before_pooling] if isinstance(module, nn.Conv2d)]

    def later(self, x: Tensor) -> Tensor:
        for module in self.features[self.before_pooling :]:
            if not (isinstance(module, nn.MaxPool2d) and min(x.shape[2:]) == 1):
                x = module(x)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        for linear, relu in zip(self.fcs, self.relus, strict=True):
            x = relu(linear(x))
        logits: Tensor = self.fc(x)
        return logits


@models.register("vgg19")
class VGG19(_VGG):
    """VGG-19 with batch norm and one linear layer, as used on CIFAR-10 (20.0 M parameters)."""

    label: ClassVar[str] = "VGG-19"


@models.family(
    "vgg11/13/16, without batch norm vgg11-plain, with three linear layers vgg11-3fc, both vgg11-plain-3fc",
    r"vgg(11|13|16|19)(-plain)?(-3fc)?",
)
def _vgg(name: re.Match[str]) -> type[Classifier]:
    depth, plain, hidden = int(name[1]), bool(name[2]), bool(name[3])
    notes = ["no batch norm"] * plain + ["three linear layers"] * hidden
    label = f"VGG-{depth}" + (f" ({', '.join(notes)})" if notes else "")
    return type(f"VGG{depth}", (_VGG,), {"label": label, "depth": depth, "normed": not plain, "hidden": hidden})
