"""Several models of one network explained at once, for methods that are a function of the gradient alone.

A small network on two images costs its calls, not its arithmetic. With the weights of all models stacked, one pass
forward and back through ``torch.vmap`` does for all of them what each does alone, and its forward half says what they
predict.

>>> from core.attribution.gradients import VanillaGradient
>>> from core.models import build_model
>>> both = [Explained(build_model("mnist-cnn", classes=3, channels=1, seed=seed)) for seed in range(2)]
>>> images = torch.rand(2, 4, 1, 28, 28)
>>> predicted, saliency = Together(both).explain(VanillaGradient(), images, lambda predicted: predicted)
>>> predicted.shape, saliency.shape
(torch.Size([2, 4]), torch.Size([2, 4, 28, 28]))
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from core.attribution.methods import Explained, GradientMethod, Method

__all__ = ["Together", "takes"]


def takes(method: Method) -> bool:
    """Whether a method is a function of the image and of the gradient there."""
    return isinstance(method, GradientMethod) and type(method).of_gradients is not GradientMethod.of_gradients


class Together:
    """Some models of one network, with their weights stacked.

    Args:
        explained: The models; they stay as they are.

    Raises:
        ValueError: If there is none, or they are of several kinds (:attr:`Explained.kind`).
    """

    def __init__(self, explained: Sequence[Explained]) -> None:
        if len({one.kind for one in explained}) != 1:
            raise ValueError("models are explained together that are of one network, with weights of the same shapes")
        models = [one.model for one in explained]
        self.device = explained[0].device
        self._state = stack_module_state(models)
        self._frame = copy.deepcopy(models[0]).to("meta")
        self._lock = threading.Lock()  # a call puts the weights into the frame for a while

    def explain(self, method: Method, images: Tensor, targets_of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """What each model predicts of its images, and how much every pixel matters for the logit of a class.

        Args:
            method: A method that is a function of the gradient (:func:`takes`).
            images: Of each model, floats ``(M, N, C, H, W)`` in [0, 1].
            targets_of: Makes of the predicted classes, int64 ``(M, N)``, those whose logit is explained.

        Returns:
            Predicted classes, int64 ``(M, N)``, and saliency, float32 ``(M, N, H, W)``, not negative; on the CPU.

        Raises:
            ValueError: If the method is another.
        """
        if not isinstance(method, GradientMethod) or not takes(method):
            raise ValueError(f"{method.label} is no function of the gradient alone")
        own = images.detach().to(self.device).float().clone().requires_grad_()
        with self._lock, torch.enable_grad():
            logits: Tensor = vmap(self._logits)(*self._state, own)
            predicted = logits.detach().argmax(2).cpu()
            targets = targets_of(predicted).to(self.device)
            (gradients,) = torch.autograd.grad(logits.gather(2, targets[..., None]).sum(), own)
        flat = method.of_gradients(own.detach().flatten(0, 1), gradients.flatten(0, 1))
        return predicted, method.of_channels(flat).view(*predicted.shape, *images.shape[3:]).cpu()

    def _logits(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        """Logits of one model ``(N, classes)``; of all of them under ``vmap``."""
        result: Tensor = functional_call(self._frame, (parameters, buffers), (images,))
        return result
