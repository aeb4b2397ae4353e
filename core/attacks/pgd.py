"""Adversarial examples by projected gradient descent, as the Consistent Attack and robust training need them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from core.data import cache_folder
from core.params import Parametrised, integer, number
from core.runtime.atomic_files import write_atomically
from core.runtime.seeding import generator_for

__all__ = ["PGD", "Logits", "Surrogate", "Surrogates", "pgd"]

Logits = Callable[[Tensor], Tensor]
BATCH = 250


@dataclass(frozen=True, kw_only=True)
class PGD(Parametrised):
    """Projected gradient descent in the L-infinity ball with a random start (Madry et al. 2018); sizes in 255ths."""

    epsilon: float = number(
        16, low=0, high=128, step=1, help="Largest change of a pixel.", unit="255ths", title="Largest change of a pixel"
    )
    steps: int = integer(20, low=1, high=1000, help="Steps.")
    step_size: float = number(2, low=0, high=128, step=0.5, help="Change of a pixel in one step.", unit="255ths")


def pgd(logits: Logits, images: Tensor, labels: Tensor, settings: PGD, generator: torch.Generator) -> Tensor:
    """Images changed so that the model loses their label: maximises the cross-entropy in the L-infinity ball.

    Args:
        logits: The model: floats ``(N, C, H, W)`` in [0, 1] to logits; its parameters collect no gradients.
        images: Floats ``(N, C, H, W)`` in [0, 1].
        labels: True classes, int64 ``(N,)``.
        settings: Size of the ball, steps.
        generator: Source of the random start, on the device of the images.

    Returns:
        Floats of the same shape in [0, 1], at most ``epsilon / 255`` away from the images in every pixel.
    """
    epsilon, step = settings.epsilon / 255, settings.step_size / 255
    low, high = (images - epsilon).clamp(0, 1), (images + epsilon).clamp(0, 1)
    start = 2 * torch.rand(images.shape, generator=generator, device=images.device) - 1
    changed = (images + epsilon * start).clamp(0, 1)
    with torch.enable_grad():
        for _ in range(settings.steps):
            changed.requires_grad_(True)
            loss = F.cross_entropy(logits(changed).float(), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, changed)
            changed = (changed.detach() + step * gradient.sign()).clamp(low, high)
    return changed.detach()


@dataclass(frozen=True)
class Surrogate:
    """A separately trained model whose weaknesses are used, and where what was made with it is kept.

    Attributes:
        logits: The model in evaluation mode.
        weights: Fingerprint of its weights.
        device: Where it computes.
        folder: Cache of perturbed images; the user's own by default.
    """

    logits: Logits
    weights: str
    device: torch.device
    folder: Path | None = None

    def perturb(self, images: Tensor, labels: Tensor, settings: PGD, seed: int = 0) -> Tensor:
        """Adversarial versions of images, from the cache if the very same were made before.

        Args:
            images: uint8 ``(N, C, H, W)``.
            labels: True classes, int64 ``(N,)``.
            settings: Size of the ball, steps.
            seed: Seed of the random start.

        Returns:
            uint8 of the same shape.
        """
        if len(images) == 0:
            return images.clone()
        path = (self.folder or cache_folder() / "adversarial") / f"{self._name(images, labels, settings, seed)}"
        with contextlib.suppress(OSError, SafetensorError, KeyError):
            stored = load_file(path)["images"]
            if stored.shape == images.shape and stored.dtype == torch.uint8:
                return stored
        generator = generator_for(seed, "pgd", device=self.device)
        parts = []
        for part, truth in zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True):
            pixels = part.to(self.device).float() / 255
            changed = pgd(self.logits, pixels, truth.to(self.device), settings, generator)
            parts.append((changed * 255).round().byte().cpu())
        result = torch.cat(parts)
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs the time again
            write_atomically(path, save({"images": result.contiguous()}))
        return result

    def _name(self, images: Tensor, labels: Tensor, settings: PGD, seed: int) -> str:
        digest = hashlib.sha256(
            repr((self.weights, sorted(settings.to_dict().items()), seed, images.shape, self.device.type)).encode()
        )
        for values in (images, labels):
            digest.update(values.cpu().contiguous().numpy().tobytes())
        return f"{digest.hexdigest()[:24]}.safetensors"


Surrogates = Callable[[str], Surrogate]
"""Finds a surrogate by the name of its checkpoint: ``MODEL/ATTACK`` of the same data set, or with the data set."""
