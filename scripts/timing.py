"""What the scripts that measure speed share: seconds and their spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["seconds_of", "spread"]


def seconds_of(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """How long something takes, and what it gives."""
    start = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, result


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest of several measurements."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
