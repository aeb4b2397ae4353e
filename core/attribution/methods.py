"""What a network looks at: attribution methods over captum (Sec. 5.4, Fig. 10).

Captum's hooks corrupt a module that another thread uses, so every attribution runs on a private copy of the model, one
at a time (:class:`Explained`); the model that predicts is never touched.

>>> sorted(methods)
['gradcam', 'gradient', 'guided', 'integrated', 'occlusion', 'smoothgrad']
"""

from __future__ import annotations

import copy
import threading
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, NoiseTunnel, Occlusion
from captum.attr import Saliency as Gradient
from torch import Tensor, nn

from core.models import Classifier
from core.params import Parametrised, integer, number
from core.registry import Registry

__all__ = ["Explained", "Method", "displayed", "methods"]

BATCH = 64


class Explained:
    """A private copy of a model for attribution: float32, without gradients of its own; one attribution at a time.

    Args:
        model: The classifier; it stays as it is.
        device: Where to compute.
    """

    def __init__(self, model: Classifier, device: torch.device | str = "cpu") -> None:
        self.model = copy.deepcopy(model).to(device).float().eval().requires_grad_(False)
        self.device = torch.device(device)
        self.lock = threading.Lock()
        for module in self.model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # a hook cannot see what is overwritten

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Predicted classes, int64 ``(N,)`` on the CPU, of float images ``(N, C, H, W)`` in [0, 1]."""
        with self.lock:
            predicted: Tensor = self.model(images.to(self.device)).argmax(1).cpu()
        return predicted


@dataclass(frozen=True, kw_only=True)
class Method(Parametrised):
    """One attribution method with its parameters."""

    name: ClassVar[str]
    label: ClassVar[str]
    """Name in figures and tables."""

    @abstractmethod
    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        """Saliency ``(n, H, W)`` or ``(n, 1, H, W)``, not negative; the images require gradients as captum likes."""

    def __call__(self, explained: Explained, images: Tensor, targets: Tensor, seed: int = 0) -> Tensor:
        """How much every pixel matters for the logit of a class.

        Args:
            explained: The model.
            images: Floats ``(N, C, H, W)`` in [0, 1].
            targets: The class whose logit is explained, int64 ``(N,)``.
            seed: Seed of what a method draws.

        Returns:
            Saliency, float32 ``(N, H, W)``, not negative, on the CPU.
        """
        if len(images) == 0:
            return torch.zeros(0, *images.shape[2:])
        parts = []
        for part, its in zip(torch.split(images, BATCH), torch.split(targets, BATCH), strict=True):
            with explained.lock, torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore", UserWarning)  # captum announces its hooks each time
                torch.manual_seed(seed)
                values = self._attribute(
                    explained.model, part.detach().clone().to(explained.device), its.to(explained.device)
                )
            parts.append(values.detach().reshape(len(part), *part.shape[2:]).float().cpu())
        return torch.cat(parts)


methods: Registry[Method] = Registry("saliency method")


def _largest(values: Tensor) -> Tensor:
    """Absolute value, maximum over channels, as the paper's tool reduces a gradient."""
    return values.abs().amax(1)


@methods.register("gradient")
@dataclass(frozen=True, kw_only=True)
class VanillaGradient(Method):
    """Gradient of the logit with respect to the image (Simonyan et al. 2014): the method of the paper."""

    label: ClassVar[str] = "Vanilla gradient"

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        return _largest(Gradient(model).attribute(images, targets))


@methods.register("guided")
@dataclass(frozen=True, kw_only=True)
class Guided(Method):
    """Guided Backprop (Springenberg et al. 2015): only positive gradients pass a ReLU."""

    label: ClassVar[str] = "Guided Backprop"

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        return _largest(GuidedBackprop(model).attribute(images, targets))


@methods.register("integrated")
@dataclass(frozen=True, kw_only=True)
class Integrated(Method):
    """Integrated Gradients (Sundararajan et al. 2017) from a black image."""

    label: ClassVar[str] = "Integrated Gradients"

    steps: int = integer(32, low=2, high=512, step=2, help="Points on the way from black to the image.")

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        values = IntegratedGradients(model).attribute(
            images, torch.zeros_like(images), targets, n_steps=self.steps, internal_batch_size=BATCH
        )
        return _largest(values)


@methods.register("smoothgrad")
@dataclass(frozen=True, kw_only=True)
class SmoothGrad(Method):
    """SmoothGrad (Smilkov et al. 2017): the mean gradient of noisy copies of the image."""

    label: ClassVar[str] = "SmoothGrad"

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
        return _largest(values)


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
            perturbations_per_eval=16,
        )
        return values.clamp_min(0).amax(1)


def displayed(saliency: Tensor) -> Tensor:
    """Every map on its own scale, for showing: ``(N, H, W)`` to [0, 1]; a map of nothing stays 0."""
    flat = saliency.flatten(1)
    low, high = flat.amin(1)[:, None, None], flat.amax(1)[:, None, None]
    return torch.where(high > low, (saliency - low) / (high - low).clamp_min(1e-30), torch.zeros_like(saliency))
