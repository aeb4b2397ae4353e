"""What a saliency map is compared with: maps of chance, networks that have learned nothing (Adebayo et al. 2018)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from core.attribution.methods import Method, methods
from core.models import Classifier

__all__ = ["RandomMap", "randomised"]


@methods.register("random")
@dataclass(frozen=True, kw_only=True)
class RandomMap(Method):
    """A map of chance, the same for every network: what a measure gives to a map that knows nothing."""

    label: ClassVar[str] = "Random map"

    def _attribute(self, model: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        return torch.rand(len(images), *images.shape[2:], device=images.device)


def randomised(model: Classifier, seed: int = 0) -> Classifier:
    """A copy of a network with new random weights in every layer.

    The end of the cascading randomisation of Adebayo et al. (2018): a saliency method whose map stays as it is does not
    depend on what the network has learned. Every layer draws its weights as PyTorch's own ``reset_parameters`` does.

    Args:
        model: The network; it stays as it is.
        seed: Seed of the weights.
    """
    copied = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in copied.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return copied.eval()
