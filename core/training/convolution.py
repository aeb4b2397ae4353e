"""Convolutions of small maps as matrix products, in training on a processor.

Deep in a network the maps are a few pixels wide and have hundreds of channels. There the gradients of a convolution as
the library computes them take ten times as long as matrix products of the same numbers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["MatrixConvolutions"]

LARGEST = 4
"""Height and width of a map up to which products are faster."""
CHANNELS = 128
"""Channels from which they are."""


class MatrixConvolutions(TorchFunctionMode):
    """Meanwhile 3 x 3 convolutions of small maps with many channels are matrix products, and so are their gradients.

    Only those of stride 1 and padding 1 on a processor, where mixed precision computes them in bfloat16; all others
    stay as they are.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and not kwargs and _fits(*args):
            x, weight, bias = args[:3]
            result: Tensor = _Convolution.apply(x, weight)
            return result if bias is None else result + bias.to(result.dtype)[:, None, None]
        return func(*args, **(kwargs or {}))


def _fits(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Whether a convolution is one of those that products are faster for; arguments as of ``conv2d``."""
    plain = all(tuple(value) == (1, 1) for value in (stride, padding, dilation) if isinstance(value, tuple))
    return (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") is torch.bfloat16
        and weight.shape[2:] == (3, 3)
        and groups == 1
        and plain
        and all(isinstance(value, tuple) for value in (stride, padding, dilation))
        and max(x.shape[2:]) <= LARGEST
        and min(weight.shape[:2]) >= CHANNELS
    )


class _Convolution(torch.autograd.Function):
    """A 3 x 3 convolution of ``(N, I, H, W)`` with ``(O, I, 3, 3)``, in bfloat16; channels are last in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        neighbours = _neighbours(x.bfloat16())
        rounded = weight.permute(0, 2, 3, 1).bfloat16().contiguous()
        ctx.save_for_backward(neighbours, rounded)
        ctx.types = x.dtype, weight.dtype
        return _map(neighbours @ rounded.flatten(1).t(), x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        neighbours, weight = ctx.saved_tensors
        gradient = gradients[0].bfloat16()
        of_input = of_weight = None
        if ctx.needs_input_grad[0]:
            # A convolution of the gradient with the weights turned by 180 degrees, from outputs to inputs.
            turned = weight.flip(1, 2).permute(1, 2, 0, 3).flatten(0, 2)
            of_input = _map(_neighbours(gradient) @ turned, gradient).to(ctx.types[0])
        if ctx.needs_input_grad[1]:
            rows = gradient.permute(0, 2, 3, 1).flatten(0, 2)
            product = rows.t() @ neighbours
            of_weight = product.view(weight.shape).permute(0, 3, 1, 2).to(ctx.types[1])
        return of_input, of_weight


def _neighbours(x: Tensor) -> Tensor:
    """The 3 x 3 surroundings of every place of ``(N, C, H, W)``, zeros outside: ``(N * H * W, 9 * C)``."""
    last = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    count, height, width, channels = last.shape
    image, row, place, _ = last.stride()
    shape = (count, height - 2, width - 2, 3, 3, channels)
    return last.as_strided(shape, (image, row, place, row, place, 1)).reshape(-1, 9 * channels)


def _map(rows: Tensor, like: Tensor) -> Tensor:
    """Rows ``(N * H * W, C)`` as a map ``(N, C, H, W)``, channels last in memory."""
    count, _, height, width = like.shape
    return rows.view(count, height, width, -1).permute(0, 3, 1, 2)
