"""What the scripts that measure speed share: seconds, the machine's matrix rate, operations of a network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["matrix_rate", "operations", "seconds_of", "spread"]

SIZE = 2048  # side of the matrices whose product is timed
LONG_PRODUCT = 0.5  # seconds after which no larger product is tried


def seconds_of(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """How long something takes, and what it gives."""
    start = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, result


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations a second of a large matrix product, the best of five.

    Where the processor has no instructions for the type a product of the full size takes a minute: there a smaller one
    says the same.
    """
    for size in (SIZE // 8, SIZE // 4, SIZE // 2, SIZE):
        a, b = (torch.randn(size, size, dtype=torch.float32).to(device, dtype) for _ in range(2))
        seconds_of(partial(torch.matmul, a, b), device)  # the first one starts the library
        taken = seconds_of(partial(torch.matmul, a, b), device)[0]
        if taken > LONG_PRODUCT:
            return 2 * size**3 / taken
    return 2 * SIZE**3 / min(seconds_of(partial(torch.matmul, a, b), device)[0] for _ in range(5))


def operations(model: nn.Module, shape: tuple[int, int, int]) -> float:
    """Floating-point operations of one forward pass; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *shape))
    return float(counter.get_total_flops())


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest of several measurements."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
