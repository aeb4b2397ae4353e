"""Attribution by regions: what a convolutional layer saw, and what happens where a part of the image is covered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from captum.attr import FeatureAblation, GuidedGradCam, LayerGradCam, Occlusion
from torch import Tensor

from core.attribution.methods import BATCH, GradientMethod, Method, methods
from core.models import Classifier
from core.params import integer

__all__ = ["Ablated", "GradCam", "GuidedCam", "Occluded"]


def _covers_at_once(images: Tensor) -> int:
    """How many covered copies of every image make one pass: about a batch together, as larger passes are slower."""
    return max(1, BATCH // len(images))


@methods.register("gradcam")
@dataclass(frozen=True, kw_only=True)
class GradCam(Method):
    """Grad-CAM (Selvaraju et al. 2017) of the last convolutional component, enlarged to the image."""

    label: ClassVar[str] = "Grad-CAM"

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        coarse = LayerGradCam(model, model.last_block).attribute(
            images.requires_grad_(), targets, relu_attributions=True
        )
        enlarged: Tensor = F.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False)
        return enlarged


@methods.register("occlusion")
@dataclass(frozen=True, kw_only=True)
class Occluded(Method):
    """Occlusion (Zeiler and Fergus 2014): how far the logit falls when a gray square covers the pixel."""

    label: ClassVar[str] = "Occlusion"
    costly: ClassVar[bool] = True

    window: int = integer(4, low=1, high=16, help="Side of the square.", unit="pixels")
    stride: int = integer(2, low=1, high=16, help="Step between two squares.", unit="pixels")

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        window = min(self.window, *images.shape[2:])
        values: Tensor = Occlusion(model).attribute(
            images,
            (images.shape[1], window, window),
            strides=(images.shape[1], min(self.stride, window), min(self.stride, window)),
            baselines=0.5,
            target=targets,
            perturbations_per_eval=_covers_at_once(images),
        )
        return values.clamp_min(0).amax(1)


@methods.register("guided-gradcam")
@dataclass(frozen=True, kw_only=True)
class GuidedCam(GradientMethod):
    """Guided Grad-CAM (Selvaraju et al. 2017): Guided Backprop times the enlarged Grad-CAM."""

    label: ClassVar[str] = "Guided Grad-CAM"

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        values = GuidedGradCam(model, model.last_block).attribute(
            images.requires_grad_(), targets, interpolate_mode="bilinear"
        )
        return self.of_channels(values)


@methods.register("ablation")
@dataclass(frozen=True, kw_only=True)
class Ablated(Method):
    """Feature ablation: how far the logit falls when a square of a fixed grid turns gray."""

    label: ClassVar[str] = "Feature ablation"
    costly: ClassVar[bool] = True

    window: int = integer(4, low=1, high=16, help="Side of a square.", unit="pixels")

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        height, width = images.shape[2:]
        rows, cols = (torch.arange(size) // self.window for size in (height, width))
        squares = (rows[:, None] * (int(cols[-1]) + 1) + cols)[None, None].to(images.device)
        values: Tensor = FeatureAblation(model).attribute(
            images, baselines=0.5, target=targets, feature_mask=squares, perturbations_per_eval=_covers_at_once(images)
        )
        return values.clamp_min(0).amax(1)
