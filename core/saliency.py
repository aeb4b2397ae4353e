"""What a network looks at: attribution methods over captum, and what falls on the trigger (Sec. 5.4, Fig. 10).

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, NoiseTunnel, Occlusion
from captum.attr import Saliency as Gradient
from torch import Tensor, nn

from core.models import Classifier
from core.params import Parametrised, integer, number
from core.randomness import generator_for
from core.registry import Registry
from core.transforms import Compose
from core.trigger import Trigger, stamp

__all__ = [
    "TARGETS",
    "Energies",
    "Energy",
    "Explained",
    "Method",
    "attacked_and_moved",
    "displayed",
    "energy_sweep",
    "methods",
    "shares_inside",
    "targets_of",
    "trigger_mask",
]

BATCH = 64
TARGETS = ("target", "predicted", "true")
"""Whose logit is explained: the attacker's target label, the predicted class, or the true class."""


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


def targets_of(which: str, predicted: Tensor, labels: Tensor, target: int) -> Tensor:
    """The classes to explain: one of :data:`TARGETS`.

    Raises:
        ValueError: If there is no such choice.
    """
    if which not in TARGETS:
        raise ValueError(f"explain = {which!r} is not allowed: one of {', '.join(TARGETS)}")
    return {"target": torch.full_like(labels, target), "predicted": predicted, "true": labels}[which]


def trigger_mask(trigger: Trigger, height: int, width: int) -> Tensor:
    """1 inside the trigger and 0 outside, ``(1, 1, height, width)``: its box, or the parts of a box with gaps."""
    black = torch.zeros(1, trigger.pattern.shape[0], height, width)
    # Stamping white on black with the trigger's own weights: what comes out is where there is a weight.
    white = Trigger(torch.ones_like(trigger.pattern), trigger.alpha, trigger.row, trigger.col)
    return stamp(black, white).amax(1, keepdim=True).gt(0).float()


@dataclass(frozen=True)
class Energy:
    """Share of the saliency inside the trigger, over many images.

    Attributes:
        count: Images; those without any saliency are left out.
        mean: Mean share, 0 to 1; nan of no images.
        std: Standard deviation of the share from image to image.
        area: Mean share of the image that the trigger covers: what a map that ignores it would give.
    """

    count: int
    mean: float
    std: float
    area: float

    @classmethod
    def of(cls, shares: Sequence[float], area: float) -> Energy:
        """Summary of shares, one per image."""
        if not shares:
            return cls(0, float("nan"), float("nan"), area)
        return cls(len(shares), float(np.mean(shares)), float(np.std(shares, ddof=min(1, len(shares) - 1))), area)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean share, from the normal approximation, cut off at 0 and 1."""
        if self.count < 2:
            return 0.0, 1.0
        half = 1.96 * self.std / self.count**0.5
        return max(0.0, self.mean - half), min(1.0, self.mean + half)

    def to_dict(self) -> dict[str, float | int]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Energy:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        try:
            count, rest = values["count"], {name: float(values[name]) for name in ("mean", "std", "area")}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a stored result is damaged: {error!r}") from error
        if type(count) is not int or count < 0:
            raise ValueError(f"a stored result is damaged: {count!r} images")
        return cls(count, **rest)


def shares_inside(saliency: Tensor, masks: Tensor) -> list[float]:
    """Share of each map's total that lies inside its trigger; a map of nothing has none.

    Args:
        saliency: Maps ``(N, H, W)``, not negative.
        masks: Where the trigger is, ``(N, 1, H, W)`` in [0, 1]; moved with the images by :meth:`Layer.follow`.
    """
    weights = masks[:, 0].to(saliency)
    total, inside = saliency.flatten(1).sum(1), (saliency * weights).flatten(1).sum(1)
    shares: list[float] = (inside[total > 0] / total[total > 0]).tolist()
    return shares


@dataclass(frozen=True)
class Energies:
    """What falls on the trigger of attacked images, and of the same images behind a transformation (Fig. 10).

    Attributes:
        attacked: Stamped images.
        transformed: The same after the transformation.
        seen: Images measured so far.
        images: Images to measure.
    """

    attacked: Energy
    transformed: Energy
    seen: int
    images: int

    @property
    def done(self) -> float:
        """Share that is measured, 0 to 1."""
        return self.seen / self.images

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Energies:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        try:
            attacked, transformed = (Energy.from_dict(values[name]) for name in ("attacked", "transformed"))
            seen, images = int(values["seen"]), int(values["images"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"a stored result is damaged: {error!r}") from error
        if not 0 <= seen <= images or images < 1:
            raise ValueError(f"a stored result is damaged: {seen} of {images} images")
        return cls(attacked, transformed, seen, images)


def energy_sweep(
    explained: Explained,
    images: Tensor,
    labels: Tensor,
    trigger: Trigger,
    target: int,
    method: Method,
    before: Compose,
    *,
    explain: str = "target",
    seed: int = 0,
) -> Iterator[Energies]:
    """Share of the saliency inside the trigger, before and behind a transformation (Sec. 5.4).

    Args:
        explained: The model.
        images: Images whose true class is not the target, floats ``(N, C, H, W)`` in [0, 1].
        labels: Their true classes, int64 ``(N,)``.
        trigger: What to stamp and where.
        target: The target label.
        method: The attribution method.
        before: The transformation.
        explain: Whose logit is explained, one of :data:`TARGETS`.
        seed: Seed of all draws.

    Yields:
        The result so far; the last one is complete.

    Raises:
        ValueError: If there are no images, or the choice of logit is not allowed.
    """
    if len(images) == 0:
        raise ValueError("a sweep needs at least one image")
    attacked: list[float] = []
    transformed: list[float] = []
    areas = np.zeros(2)
    for start in range(0, len(images), BATCH):
        part, truth = images[start : start + BATCH], labels[start : start + BATCH]
        generator = generator_for(seed, "saliency", start)
        for into, layer, index in ((attacked, Compose(), 0), (transformed, before, 1)):
            shown, masks = attacked_and_moved(part, trigger, layer, generator)
            wanted = targets_of(explain, explained.predict(shown), truth, target)
            into += shares_inside(method(explained, shown, wanted, seed), masks)
            areas[index] += float(masks.mean()) * len(part)
        seen = min(start + BATCH, len(images))
        before_energy, after_energy = (
            Energy.of(shares, float(area) / seen) for shares, area in zip((attacked, transformed), areas, strict=True)
        )
        yield Energies(before_energy, after_energy, seen, len(images))


def attacked_and_moved(
    images: Tensor, trigger: Trigger, before: Compose, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Stamped images behind a transformation, and where the trigger has gone: ``(N, C, H, W)`` and ``(N, 1, H, W)``."""
    count, channels, height, width = images.shape
    drawn = before.draw(count, (channels, height, width), generator)
    masks = trigger_mask(trigger, height, width).expand(count, -1, -1, -1)
    return before.apply(stamp(images, trigger), drawn), before.follow(masks, drawn)
