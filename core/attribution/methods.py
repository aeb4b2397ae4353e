"""What a network looks at: the registry of attribution methods, and the model that they explain (Sec. 5.4, Fig. 10).

The methods themselves are in :mod:`core.attribution.gradients` and :mod:`core.attribution.regions`, over captum, which
is imported at the first look-up. Captum's hooks corrupt a module that another thread uses, so every attribution runs on
a private copy of the model, one at a time (:class:`Explained`); the model that predicts is never touched.

>>> sorted(methods)
['ablation', 'deeplift', 'gradcam', 'gradient', 'gradientshap', 'guided', 'guided-gradcam', 'inputxgradient', \
'integrated', 'occlusion', 'random', 'smoothgrad']
"""

from __future__ import annotations

import copy
import hashlib
import threading
import warnings
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from core.models import Classifier
from core.params import Parametrised, choice
from core.registry import Registry

__all__ = ["Explained", "GradientMethod", "Method", "displayed", "methods"]

BATCH = 64
ANSWERS_KEPT = 1024
"""Batches of which the predictions are kept; a thousand take half a megabyte."""
REDUCTIONS = ("absolute", "signed")


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
        self._answers: OrderedDict[bytes, Tensor] = OrderedDict()
        for module in self.model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # a hook cannot see what is overwritten

    @cached_property
    def kind(self) -> Hashable:
        """Equal for models of the same modules, with weights of the same shapes."""
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in self.model.state_dict().items())
        return str(self.model), shapes, str(self.device)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Predicted classes, int64 ``(N,)`` on the CPU, of float images ``(N, C, H, W)`` in [0, 1].

        The last answers are kept, as a comparison asks about the same images with every method.
        """
        digest = hashlib.sha256(repr(images.shape).encode())
        digest.update(images.numpy(force=True).tobytes())
        key = digest.digest()
        with self.lock:
            if key not in self._answers:
                self._answers[key] = self.model(images.to(self.device)).argmax(1).cpu()
            self._answers.move_to_end(key)
            if len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)
            return self._answers[key].clone()


@dataclass(frozen=True, kw_only=True)
class Method(Parametrised):
    """One attribution method with its parameters."""

    name: ClassVar[str]
    label: ClassVar[str]
    """Name in figures and tables."""
    costly: ClassVar[bool] = False
    """Whether an image takes tens or hundreds of passes: comparisons then take fewer images."""

    @abstractmethod
    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        """Saliency ``(n, H, W)`` or ``(n, 1, H, W)``, not negative, of float32 images that require no gradient."""

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
        for n, (part, its) in enumerate(zip(torch.split(images, BATCH), torch.split(targets, BATCH), strict=True)):
            with explained.lock, torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore", UserWarning)  # captum announces its hooks each time
                torch.manual_seed(seed + n)
                values = self._attribute(
                    explained.model, part.detach().clone().to(explained.device), its.to(explained.device)
                )
            parts.append(values.detach().reshape(len(part), *part.shape[2:]).float().cpu())
        return torch.cat(parts)


@dataclass(frozen=True, kw_only=True)
class GradientMethod(Method):
    """A method that gives every channel of every pixel a signed value, from which one per pixel is made.

    ``absolute`` takes the largest absolute value over the channels, as Simonyan et al. (2014) do. ``signed`` takes the
    largest value, as the paper's tool FlashTorch does, whose ``Backprop.calculate_gradients`` was read: with
    ``take_max=True`` it returns ``gradients.max(dim=0)``, always of the class that is *predicted*, and draws that map
    standardised and clipped. Here what is negative counts as nothing.
    """

    reduction: str = choice(
        "absolute",
        choices=REDUCTIONS,
        help="Of the channels' values, the largest without its sign, or the largest positive one as in FlashTorch.",
    )

    def of_gradients(self, images: Tensor, gradients: Tensor) -> Tensor:
        """The values, of images and the gradients there, ``(n, C, H, W)``, where these say all that is needed.

        Raises:
            NotImplementedError: If the method needs more than them.
        """
        raise NotImplementedError

    def of_channels(self, values: Tensor) -> Tensor:
        """One value a pixel, ``(n, H, W)``, of those of all channels, ``(n, C, H, W)``."""
        return values.abs().amax(1) if self.reduction == "absolute" else values.amax(1).clamp_min(0)


methods: Registry[Method] = Registry(
    "saliency method", package="core.attribution", group="trigger_sensitivity.saliency_methods"
)


def displayed(saliency: Tensor) -> Tensor:
    """Every map on its own scale, for showing: ``(N, H, W)`` to [0, 1]; a map of nothing stays 0."""
    flat = saliency.flatten(1)
    low, high = flat.amin(1)[:, None, None], flat.amax(1)[:, None, None]
    return torch.where(high > low, (saliency - low) / (high - low).clamp_min(1e-30), torch.zeros_like(saliency))
