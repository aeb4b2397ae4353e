"""Attribution by gradients: of the network as it is, through changed rules, or averaged along a way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from captum.attr import (
    DeepLift,
    GradientShap,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    NoiseTunnel,
)
from captum.attr import Saliency as Gradient
from torch import Tensor, nn

from core.attribution.methods import BATCH, GradientMethod, methods
from core.models import Classifier
from core.params import integer, number

__all__ = [
    "DeepLifted",
    "Guided",
    "Integrated",
    "ShapGradient",
    "SmoothGrad",
    "VanillaGradient",
    "Weighted",
]


@methods.register("gradient")
@dataclass(frozen=True, kw_only=True)
class VanillaGradient(GradientMethod):
    """Gradient of the logit with respect to the image (Simonyan et al. 2014): the method of the paper."""

    label: ClassVar[str] = "Vanilla gradient"

    def of_gradients(self, images: Tensor, gradients: Tensor) -> Tensor:
        return gradients

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        return self.of_channels(Gradient(model).attribute(images, targets, abs=False))


@methods.register("guided")
@dataclass(frozen=True, kw_only=True)
class Guided(GradientMethod):
    """Guided Backprop (Springenberg et al. 2015): only positive gradients pass a ReLU.

    Captum changes the rule of ``nn.ReLU`` modules alone: on a network that has others instead, such as the ReLU6 of
    MobileNetV2 or the GELU of transformers, it is the vanilla gradient.
    """

    label: ClassVar[str] = "Guided Backprop"

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        return self.of_channels(GuidedBackprop(model).attribute(images, targets))


@methods.register("integrated")
@dataclass(frozen=True, kw_only=True)
class Integrated(GradientMethod):
    """Integrated Gradients (Sundararajan et al. 2017) from a black image."""

    label: ClassVar[str] = "Integrated Gradients"
    costly: ClassVar[bool] = True

    steps: int = integer(32, low=2, high=512, step=2, help="Points on the way from black to the image.")

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        values = IntegratedGradients(model).attribute(
            images, torch.zeros_like(images), targets, n_steps=self.steps, internal_batch_size=BATCH
        )
        return self.of_channels(values)


@methods.register("smoothgrad")
@dataclass(frozen=True, kw_only=True)
class SmoothGrad(GradientMethod):
    """SmoothGrad (Smilkov et al. 2017): the mean gradient of noisy copies of the image."""

    label: ClassVar[str] = "SmoothGrad"
    costly: ClassVar[bool] = True

    samples: int = integer(16, low=1, high=256, help="Noisy copies.")
    std: float = number(20, low=0, high=128, step=1, help="Standard deviation of the noise.", unit="255ths")

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        tunnel = NoiseTunnel(Gradient(model))
        values = tunnel.attribute(
            images,
            nt_type="smoothgrad",
            nt_samples=self.samples,
            nt_samples_batch_size=1,
            stdevs=self.std / 255,
            target=targets,
            abs=False,
        )
        return self.of_channels(values)


@methods.register("inputxgradient")
@dataclass(frozen=True, kw_only=True)
class Weighted(GradientMethod):
    """Input x Gradient (Shrikumar et al. 2016): every pixel times the gradient there."""

    label: ClassVar[str] = "Input x Gradient"

    def of_gradients(self, images: Tensor, gradients: Tensor) -> Tensor:
        return images * gradients

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        return self.of_channels(InputXGradient(model).attribute(images.requires_grad_(), targets))


class _InTurn(nn.Module):
    """Several ReLUs of which every use takes the next one."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(nn.ReLU() for _ in range(count))
        self._uses = 0

    def forward(self, x: Tensor) -> Tensor:
        relu, self._uses = self.each[self._uses], (self._uses + 1) % len(self.each)
        result: Tensor = relu(x)
        return result


def _use_every_relu_once(model: nn.Module, image: Tensor) -> None:
    """Gives every use of a ReLU a module of its own, as captum's DeepLift keeps one input for each."""
    uses: Counter[nn.Module] = Counter()
    relus = [module for module in model.modules() if type(module) is nn.ReLU]
    hooks = [module.register_forward_hook(lambda used, *_: uses.update([used])) for module in relus]
    with torch.no_grad():
        model(image)
    for hook in hooks:
        hook.remove()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if uses[child] > 1:
                setattr(parent, name, _InTurn(uses[child]))


@methods.register("deeplift")
@dataclass(frozen=True, kw_only=True)
class DeepLifted(GradientMethod):
    """DeepLIFT (Shrikumar et al. 2017), the rescale rule, against a black image.

    Captum has the rule for the activations that it lists, ``nn.ReLU`` among them; for others, such as ReLU6, it takes
    the gradient, so that on MobileNetV2 this is Input x Gradient.
    """

    label: ClassVar[str] = "DeepLIFT"

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        _use_every_relu_once(model, images[:1])
        return self.of_channels(DeepLift(model).attribute(images, torch.zeros_like(images), targets))


@methods.register("gradientshap")
@dataclass(frozen=True, kw_only=True)
class ShapGradient(GradientMethod):
    """GradientSHAP (Lundberg and Lee 2017): mean gradients between a black image and noisy copies."""

    label: ClassVar[str] = "GradientSHAP"
    costly: ClassVar[bool] = True

    samples: int = integer(16, low=1, high=256, help="Random points.")
    std: float = number(20, low=0, high=128, step=1, help="Standard deviation of the noise.", unit="255ths")

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        black = torch.zeros_like(images[:1])
        state = np.random.get_state()  # noqa: NPY002 - captum draws its points from NumPy's own generator
        np.random.seed(int(torch.randint(2**31 - 1, ())))  # noqa: NPY002
        # One image at a time: what captum draws depends on how many there are.
        try:
            values = [
                GradientShap(model).attribute(
                    image, black, n_samples=self.samples, stdevs=self.std / 255, target=target
                )
                for image, target in zip(torch.split(images, 1), torch.split(targets, 1), strict=True)
            ]
        finally:
            np.random.set_state(state)  # noqa: NPY002
        return self.of_channels(torch.cat(values))
