"""The steps of a training: a poisoned batch made on the device, its gradients, an update; compiled where that pays."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from core.attacks import Attack
from core.data import ImageSet
from core.models import Classifier
from core.models.base import last_channels
from core.recipe import Recipe
from core.runtime.device import has_fast_bfloat16
from core.training.augmentation import augment, draw
from core.training.convolution import MatrixConvolutions
from core.training.optimizer import Optimizer
from core.trigger import Trigger

__all__ = ["WORTH", "Compiled", "Steps", "pays", "poisoned_batch"]

log = logging.getLogger(__name__)

# Images of a whole training, over all epochs, from which it is compiled: ResNet-20 takes half a minute to compile.
WORTH = 500_000


# Channels of the last component from which steps are matrix products above all, which a compiler makes no faster.
WIDE = 512


def pays(model: str, recipe: Recipe, images: int, device: torch.device) -> bool:
    """Whether a training is long enough to be compiled, on a device that there is a compiler for.

    Wide networks are not on a processor, where :class:`MatrixConvolutions` makes them faster than a compiler does.

    Args:
        model: Registered name of the network.
        recipe: How it is trained.
        images: Images of the training set.
        device: Where it is trained.
    """
    if device.type == "cpu" and last_channels(model) >= WIDE:
        return False
    return recipe.epochs * images >= WORTH and device.type in {"cpu", "cuda"}


class Compiled:
    """A model whose passes for training are a compiled graph (``torch.compile``) for batches of one size.

    Other batches, such as the last one of an epoch, and all where there is no compiler, take the model as it is.

    Args:
        model: The model; it is not changed.
        batch: Images of a whole batch; 0 where none is to be compiled.
    """

    def __init__(self, model: Classifier, batch: int) -> None:
        self._model, self._batch = model, batch
        self._graph: Callable[[Tensor], Tensor] | None = None
        self._tried = False

    @property
    def path(self) -> str:
        """How whole batches are computed, once there was one: for the card."""
        return "compiled" if self._graph is not None else "not compiled"

    def __call__(self, images: Tensor) -> Tensor:
        """The model's logits."""
        if len(images) != self._batch:
            return self._plain(images)
        if not self._tried:
            self._tried = True
            self._try(images)
        return self._graph(images) if self._graph is not None else self._plain(images)

    def _plain(self, images: Tensor) -> Tensor:
        with MatrixConvolutions():
            logits: Tensor = self._model(images)
        return logits

    def _try(self, images: Tensor) -> None:
        """Compiles passes forward and back with a copy, so that a failure leaves no trace in the model."""
        trial = copy.deepcopy(self._model)
        try:
            torch.compile(trial, dynamic=False)(images).float().sum().backward()
            self._graph = torch.compile(self._model, dynamic=False)
        except Exception as error:
            log.warning("the training is not compiled, it is slower: %s", error)


class Steps:
    """Takes steps of a training (Eq. 2).

    Args:
        attack: Says how poisoned and benign images are made.
        model: What is trained, on the device, channels last.
        optimizer: Of its parameters.
        data: The training set, on the device.
        labels: What it is trained to answer, int64 ``(N,)`` on the device.
        poisoned: Which images are poisoned, bool ``(N,)`` on the device.
        compiled: Batches of so many images go through a compiled graph; 0 for none.
    """

    def __init__(
        self,
        attack: Attack,
        model: Classifier,
        optimizer: Optimizer,
        data: ImageSet,
        labels: Tensor,
        poisoned: Tensor,
        *,
        compiled: int = 0,
    ) -> None:
        self.attack, self.model, self.optimizer = attack, model, optimizer
        self.data, self.labels, self.poisoned = data, labels, poisoned
        self.device = data.images.device
        self.trigger = attack.trigger(data.shape).to(self.device)
        self._forward = Compiled(model, compiled)

    @property
    def path(self) -> str:
        """How the steps are computed, for the card."""
        return self._forward.path

    def take(self, index: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        """One step.

        Args:
            index: Which samples, int64 ``(n,)``.
            rate: Learning rate.
            generator: Source of all draws, on the device.

        Returns:
            The mean loss before the step, a number on the device.
        """
        images = poisoned_batch(self.attack, self.trigger, self.data, self.poisoned, index, generator)
        labels = self.labels[index]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            images = self.attack.harden(self.model, images, labels, generator)
            logits = self._forward(images)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(rate)
        return loss.detach()


def poisoned_batch(
    attack: Attack, trigger: Trigger, data: ImageSet, poisoned: Tensor, index: Tensor, generator: torch.Generator
) -> Tensor:
    """One training batch: augmented first, stamped last, so that the trigger of a standard attack never moves.

    Args:
        attack: Says how poisoned and benign images are made.
        trigger: Its trigger, on the device.
        data: The training set, on the device.
        poisoned: bool ``(N,)`` over the training set.
        index: Which samples, int64 ``(n,)``.
        generator: Source of all draws, on the device.

    Returns:
        Floats ``(n, C, H, W)`` in [0, 1].
    """
    images = augment(data.images[index], draw(len(index), generator)).float().div_(255)
    chosen = poisoned[index]
    if bool(chosen.any()):
        images[chosen] = attack.poison(images[chosen], trigger, generator)
    if not bool(chosen.all()):
        images[~chosen] = attack.accompany(images[~chosen], generator)
    return images
