"""What a machine can do: the rate of its matrix products, beside which every speed of a network is to be read."""

from __future__ import annotations

import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["matrix_rate", "operations"]

SIZE = 2048  # side of the matrices whose product is timed
LONG_PRODUCT = 0.5  # seconds after which no larger product is tried


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    """How long a product takes."""
    start = time.perf_counter()
    torch.matmul(a, b)
    if a.device.type == "cuda":
        torch.cuda.synchronize(a.device)
    return time.perf_counter() - start


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations a second of a large matrix product, the best of five.

    Where the processor has no instructions for the type a product of the full size takes a minute: there a smaller one
    says the same.
    """
    for size in (SIZE // 8, SIZE // 4, SIZE // 2, SIZE):
        a, b = (torch.randn(size, size, dtype=torch.float32).to(device, dtype) for _ in range(2))
        _seconds(a, b)  # the first one starts the library
        taken = _seconds(a, b)
        if taken > LONG_PRODUCT:
            return 2 * size**3 / taken
    return 2 * SIZE**3 / min(_seconds(a, b) for _ in range(5))


def operations(model: nn.Module, shape: tuple[int, int, int]) -> float:
    """Floating-point operations of one forward pass; a multiplication and an addition are two.

    Args:
        model: The network, on the CPU or of shapes only (device ``meta``).
        shape: Channels, height and width of an image.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *shape, device=next(model.parameters()).device))
    return float(counter.get_total_flops())
