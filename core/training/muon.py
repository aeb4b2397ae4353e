"""Muon in float32, for processors that only emulate products in bfloat16."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["Float32Muon", "orthogonalised"]

# Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon): they leave singular values between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.775, 2.0315)
SMALLEST = 1e-7


class Float32Muon(torch.optim.Muon):
    """torch's Muon, but for the type of its Newton-Schulz steps, which is that of the gradients.

    torch takes bfloat16, always. A processor without instructions for it takes many times as long: one with AVX2 alone
    multiplies at 79 GFLOP/s in float32 and at 0.8 in bfloat16 (``matrix_rate`` of :mod:`core.runtime.machine_speed`).
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Takes one step; matrices without a gradient stay."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                buffer = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                update = matrix.grad.lerp(buffer, momentum) if group["nesterov"] else buffer
                update = orthogonalised(update, group["ns_steps"])
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(update, alpha=-rate * math.sqrt(max(1, matrix.shape[0] / matrix.shape[1])))


def orthogonalised(matrix: Tensor, steps: int) -> Tensor:
    """A matrix with nearly the same singular vectors, and singular values near 1, by Newton-Schulz steps.

    Args:
        matrix: Floats ``(rows, columns)``.
        steps: How many.
    """
    a, b, c = COEFFICIENTS
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=SMALLEST)  # the largest singular value is at most 1
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
