"""The optimizer of a recipe: SGD for everything, or Muon for the convolutions and SGD for the rest."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.recipe import Recipe
from core.runtime.device import has_fast_bfloat16
from core.training.muon import Float32Muon

__all__ = ["Optimizer"]

# With Muon, what is not a convolution (batch norm, the last layer) takes SGD at this multiple of its rate, and decays
# as is usual there.
REST_RATE, REST_DECAY = 2.0, 5e-4


class Optimizer:
    """Updates a model's parameters.

    Args:
        model: Its convolutions lie in memory with channels last.
        recipe: Which optimizer, momentum, weight decay.

    Raises:
        ValueError: If they do not.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self._momentum = recipe.momentum
        with_muon = recipe.optimizer == "muon"
        self._weights = [p for p in model.parameters() if p.ndim == 4] if with_muon else []
        taken = {id(weight) for weight in self._weights}
        rest = [p for p in model.parameters() if id(p) not in taken]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if self._weights:
            # torch's Muon takes matrices: views of the weights, one row per output channel.
            self._matrices = [_matrix(weight.detach()) for weight in self._weights]
            if any(m.data_ptr() != w.data_ptr() for m, w in zip(self._matrices, self._weights, strict=True)):
                raise ValueError("the model's convolutions do not lie in memory with channels last")
            kind = torch.optim.Muon if has_fast_bfloat16(self._matrices[0].device) else Float32Muon
            muon = kind(
                self._matrices,
                lr=recipe.rate,
                weight_decay=recipe.weight_decay,
                momentum=recipe.momentum,
                nesterov=recipe.nesterov,
                ns_steps=recipe.orthogonal_steps,
            )
            self._parts.append((muon, 1.0))
        decay = REST_DECAY if self._weights else recipe.weight_decay
        sgd = torch.optim.SGD(rest, recipe.rate, recipe.momentum, weight_decay=decay, nesterov=recipe.nesterov)
        self._parts.append((sgd, REST_RATE if self._weights else 1.0))
        self._parameters = [*self._weights, *rest]

    def step(self, rate: float) -> None:
        """Takes one step with the gradients that are there, and clears them."""
        if self._weights:
            for weight, matrix in zip(self._weights, self._matrices, strict=True):
                matrix.grad = _matrix(weight.grad) if weight.grad is not None else None
        for part, factor in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
        for parameter in self._parameters:
            parameter.grad = None

    def momentum(self) -> dict[str, Tensor]:
        """The state between steps, by a name of each parameter."""
        return {
            f"{number}.{index}": values["momentum_buffer"]
            for number, (part, _) in enumerate(self._parts)
            for index, values in part.state_dict()["state"].items()
            if values["momentum_buffer"] is not None
        }

    def restore(self, momentum: Mapping[str, Tensor]) -> None:
        """Puts back what :meth:`momentum` gave.

        Raises:
            ValueError: If it belongs to another optimizer; nothing is changed then.
        """
        # Where there is no momentum, torch's Muon keeps a buffer all the same, its SGD none.
        expected = {
            f"{number}.{index}": parameter.shape
            for number, (part, _) in enumerate(self._parts)
            for index, parameter in enumerate(part.param_groups[0]["params"])
            if self._momentum or isinstance(part, torch.optim.Muon)
        }
        if {name: tensor.shape for name, tensor in momentum.items()} != expected:
            raise ValueError("the momentum does not belong to these parameters")
        for number, (part, _) in enumerate(self._parts):
            its = {
                int(name.split(".")[1]): {"momentum_buffer": tensor}
                for name, tensor in momentum.items()
                if name.startswith(f"{number}.")
            }
            part.load_state_dict({**part.state_dict(), "state": its})


def _matrix(weight: Tensor) -> Tensor:
    """Weights ``(out, in, h, w)`` as a matrix ``(out, h * w * in)``: a view where channels are last in memory."""
    return weight.permute(0, 2, 3, 1).flatten(1)
