"""Weights as they are stored: rounded, and known by a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from core.models import Classifier


def rounded(model: Classifier) -> dict[str, Tensor]:
    """The state dict as it is stored: convolution and linear weights in half precision, the rest as it is.

    A card's numbers are measured on a model rounded like this.
    """

    def store(tensor: Tensor) -> Tensor:
        is_weight = tensor.is_floating_point() and tensor.ndim in (2, 4) and min(tensor.shape[:2]) > 1
        return (tensor.half() if is_weight else tensor).detach().cpu().contiguous()

    return {name: store(tensor) for name, tensor in model.state_dict().items()}


def weights_fingerprint(state: Mapping[str, Tensor]) -> str:
    """16 hex digits that identify stored weights."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
