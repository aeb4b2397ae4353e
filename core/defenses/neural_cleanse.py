"""Neural Cleanse (Wang et al. 2019): for every label, the smallest trigger that makes the model answer with it.

The label of a backdoor needs a far smaller one than all others. What the authors' code does label by label, one Adam
step after the other, is done here for all labels in one batch: the images are stamped with every label's trigger and
go through the model together. Labels that have come to rest leave the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data import ImageSet
from core.defenses.base import Material, Outcome, Progress, Repair, defenses, fit, packed, private_copy, rebuilt
from core.defenses.fine_pruning import extractor_of, pruned_predictions
from core.inference.predictor import Folded
from core.models import Classifier
from core.params import choice, flag, integer, number
from core.runtime.device import fast_type
from core.runtime.seeding import generator_for

__all__ = [
    "NeuralCleanse",
    "Reversed",
    "anomaly_indices",
    "flagged_labels",
    "misses_allowed",
    "reverse_engineer",
]

EPSILON = 1e-7
# The authors divide the weight by a higher power than they multiply it with, so that it falls faster than it rises.
DOWN = 1.5
MOST_PIXELS = 512 * 32 * 32
"""Pixels that go through the network together, with what their gradients need; more labels take turns."""
# Rounds without a smaller mask after which a label is at rest, in units of the patience.
EARLY = 5
# An index above this is an outlier with 95% confidence (Wang et al. 2019, Sec. IV-A).
OUTLIER = 2.0
# Unlearning (their Sec. VI-C): share of the training images, and of those the share that gets the reversed trigger.
UNLEARNED, STAMPED = 0.1, 0.2
# Pruning (their Sec. VI-B): until the reversed trigger has no more success than this.
RESPONSIVE = 0.05


def anomaly_indices(norms: Sequence[float]) -> list[float]:
    """Distance of every norm from the median, in units of the (consistent) median absolute deviation.

    Where more than half of the norms are equal that deviation is 0, and any other norm is infinitely far away.

    >>> anomaly_indices([1, 9, 10, 11, 10])
    [6.0704, 0.6745, 0.0, 0.6745, 0.0]
    >>> anomaly_indices([10, 10, 10, 10, 1])
    [0.0, 0.0, 0.0, 0.0, inf]
    """
    values = np.asarray(norms, dtype=np.float64)
    distances = np.abs(values - np.median(values))
    deviation = 1.4826 * float(np.median(distances))
    if deviation == 0:
        return [math.inf if distance else 0.0 for distance in distances]
    return [round(float(distance) / deviation, 4) for distance in distances]


def flagged_labels(norms: Sequence[float]) -> list[int]:
    """Labels whose mask is smaller than the median with an index above 2 (Wang et al. 2019, Sec. IV-A).

    >>> flagged_labels([1, 9, 10, 11, 10])
    [0]
    """
    indices, median = anomaly_indices(norms), float(np.median(norms))
    return [label for label, norm in enumerate(norms) if indices[label] > OUTLIER and norm < median]


def misses_allowed(threshold: float, samples: int) -> int:
    """How many of a round's samples may escape the trigger while it still counts as successful.

    The authors' code compares the mean over a round with 0.99, and its rounds have 31 x 32 = 992 samples: 9 may escape.
    A smaller round must not ask for more: where the threshold is below 1, one sample may always escape. (At 96 samples
    99% would otherwise be 100%.)

    >>> misses_allowed(0.99, 992), misses_allowed(0.99, 96), misses_allowed(1, 96)
    (9, 1, 0)
    """
    if threshold >= 1:
        return 0
    return max(1, samples - math.ceil(threshold * samples - 1e-9))


@dataclass
class Reversed:
    """The triggers that were found, one per label in the order of ``labels``.

    Attributes:
        labels: Labels.
        masks: Opacity, ``(L, 1, H, W)`` in [0, 1].
        patterns: Colours, ``(L, C, H, W)`` in [0, 1].
        success: Share of the images that the model takes for the label, ``(L,)``.
        rounds: Rounds until the label was at rest, ``(L,)``.
    """

    labels: Tensor
    masks: Tensor
    patterns: Tensor
    success: Tensor
    rounds: Tensor

    @property
    def norms(self) -> list[float]:
        """L1 norm of every mask, in pixels."""
        norms: list[float] = self.masks.sum((1, 2, 3)).tolist()
        return norms


class _Label:
    """The optimisation of one label: its variables, its weight of the mask's size, and its best mask so far."""

    def __init__(self, shape: tuple[int, int, int], settings: NeuralCleanse, generator: torch.Generator) -> None:
        channels, height, width = shape
        device = generator.device

        def variable(*size: int) -> Tensor:
            start = torch.rand(*size, generator=generator, device=device)
            return torch.atanh((start - 0.5) * (2 - EPSILON)).requires_grad_()

        self.settings = settings
        self.mask, self.pattern = variable(1, height, width), variable(channels, height, width)
        self.optimizer = torch.optim.Adam([self.mask, self.pattern], settings.rate, (0.5, 0.9))
        self.cost = 0.0
        self.best = math.inf
        self.best_trigger: tuple[Tensor, Tensor] | None = None
        self.success = 0.0
        self.rounds = 0
        self._set, self._up, self._down = 0, 0, 0
        self._was_up, self._was_down = False, False
        self._rest, self._rest_best = 0, math.inf

    def trigger(self) -> tuple[Tensor, Tensor]:
        """Mask and pattern in [0, 1]."""
        return tuple(torch.tanh(x) / (2 - EPSILON) + 0.5 for x in (self.mask, self.pattern))  # type: ignore[return-value]

    def close_round(self, hits: int, norm: float) -> bool:
        """Takes note of a round and adapts the cost; returns whether the label is at rest."""
        settings = self.settings
        self.rounds += 1
        samples = settings.batches * settings.batch
        success = hits / samples
        reached = samples - hits <= misses_allowed(settings.threshold, samples)
        if reached and norm < self.best:
            self.best, self.success = norm, success
            self.best_trigger = tuple(x.detach().clone() for x in self.trigger())  # type: ignore[assignment]
        if math.isfinite(self.best):
            self._rest = self._rest + 1 if self.best >= self._rest_best else 0
            self._rest_best = min(self.best, self._rest_best)
            if self._was_up and self._was_down and self._rest >= EARLY * settings.patience:
                return True
        if self.cost == 0:  # without any weight until the trigger works
            self._set = self._set + 1 if reached else 0
            if self._set >= settings.patience:
                self.cost = settings.cost
                self._up = self._down = 0
                self._was_up = self._was_down = False
            return False
        self._up, self._down = (self._up + 1, 0) if reached else (0, self._down + 1)
        if self._up >= settings.patience:
            self._up, self._was_up = 0, True
            self.cost *= settings.multiplier
        elif self._down >= settings.patience:
            self._down, self._was_down = 0, True
            self.cost /= settings.multiplier**DOWN
        return False


def reverse_engineer(
    network: nn.Module, images: Tensor, labels: Sequence[int], settings: NeuralCleanse, seed: int = 0
) -> Iterator[tuple[int, Reversed]]:
    """Finds the smallest trigger for every label.

    Args:
        network: Float images to logits; differentiable, its own weights need no gradients.
        images: Clean images of all classes, uint8 or floats ``(N, C, H, W)`` in [0, 1], where the network computes.
        labels: For which labels.
        settings: Rounds, batches, learning rate, cost schedule.
        seed: Seed of the start and of the batches; each label has its own start, whatever others there are.

    Yields:
        Number of labels still moving, and what was found so far; the last one is complete.
    """
    device = images.device
    shape = (images.shape[1], images.shape[2], images.shape[3])
    states = {label: _Label(shape, settings, generator_for(seed, "reverse", label, device=device)) for label in labels}
    moving = list(labels)
    at_once = max(1, MOST_PIXELS // (settings.batch * shape[1] * shape[2]))
    batches = generator_for(seed, "reverse", "batches")
    for _ in range(settings.rounds):
        hits, norms = torch.zeros(2, len(moving), device=device)
        for _ in range(settings.batches):
            index = torch.randint(0, len(images), (settings.batch,), generator=batches).to(device)
            batch = images[index] if images.is_floating_point() else images[index].float() / 255
            for start in range(0, len(moving), at_once):
                part = slice(start, start + at_once)
                more_hits, more_norms = _step(network, {label: states[label] for label in moving[part]}, batch)
                hits[part] += more_hits
                norms[part] += more_norms
        sizes_of_round = (norms / settings.batches).tolist()
        moving = [
            label
            for label, count, norm in zip(moving, hits.tolist(), sizes_of_round, strict=True)
            if not states[label].close_round(round(count), norm)
        ]
        yield len(moving), _found(states)
        if not moving:
            return


def _step(network: nn.Module, states: Mapping[int, _Label], images: Tensor) -> tuple[Tensor, Tensor]:
    """One step of some labels on the same images: how many of these each trigger turned, and the sizes of the masks."""
    masks, patterns = (
        torch.stack(parts)[:, None] for parts in zip(*(state.trigger() for state in states.values()), strict=True)
    )
    stamped = (1 - masks) * images + masks * patterns
    logits = network(stamped.flatten(0, 1)).view(len(states), len(images), -1)
    wanted = torch.tensor(list(states), device=images.device)[:, None].expand(-1, len(images))
    entropy = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(len(states), -1)
    sizes = masks.flatten(1).sum(1)
    costs = torch.tensor([state.cost for state in states.values()], device=images.device)
    # A sum over labels whose variables are apart: every label gets the gradient it would have alone.
    (entropy.mean(1) + costs * sizes).sum().backward()  # type: ignore[no-untyped-call]
    for state in states.values():
        state.optimizer.step()
        state.optimizer.zero_grad()
    return (logits.argmax(2) == wanted).sum(1).detach(), sizes.detach()


def _found(states: Mapping[int, _Label]) -> Reversed:
    triggers = [state.best_trigger or state.trigger() for state in states.values()]
    masks, patterns = (torch.stack([x.detach() for x in parts]).cpu() for parts in zip(*triggers, strict=True))
    success = torch.tensor([state.success for state in states.values()])
    return Reversed(
        torch.tensor(list(states)), masks, patterns, success, torch.tensor([s.rounds for s in states.values()])
    )


def _joined(parts: Sequence[Reversed]) -> Reversed:
    columns = zip(*((p.labels, p.masks, p.patterns, p.success, p.rounds) for p in parts), strict=True)
    return Reversed(*(torch.cat(column) for column in columns))


@defenses.register("neural-cleanse")
@dataclass(frozen=True, kw_only=True)
class NeuralCleanse(Repair):
    """Reverse-engineers a trigger per label, flags the labels whose trigger is far too small, and unlearns those."""

    label: ClassVar[str] = "Neural Cleanse"
    # The paper takes those of the authors' code.
    paper_settings: ClassVar[Mapping[str, Any]] = {"rounds": 1000, "batches": 31, "batch": 32}

    patch: str = choice(
        "unlearning",
        choices=("unlearning", "pruning"),
        help="Train on images with the reversed trigger and true labels, or cut the neurons that it wakes.",
    )
    rounds: int = integer(80, low=1, high=10000, help="Rounds at most; the authors' code has 1000.")
    batches: int = integer(12, low=1, high=1000, help="Batches per round; the authors' code has 31.")
    batch: int = integer(8, low=1, high=1024, help="Images per batch and label; the authors' code has 32.")
    rate: float = number(0.1, low=1e-4, high=10, help="Learning rate of Adam.")
    cost: float = number(1e-3, low=0, high=10, help="First weight of the mask's size, once the trigger works.")
    multiplier: float = number(2, low=1.01, high=10, help="Factor by which that weight changes.")
    threshold: float = number(
        0.99,
        low=0.5,
        high=1,
        step=0.01,
        help="Success that a trigger must have in a round; one sample may always miss.",
    )
    patience: int = integer(5, low=1, high=1000, help="Rounds in a row before the weight changes.")
    together: bool = flag(True, help="All labels in one batch; otherwise one after the other, as in the authors' code.")
    unlearn_rate: float = number(0.003, low=0, high=1, step=0.001, help="Learning rate of the unlearning (SGD).")

    def run(self, model: Classifier, material: Material, device: torch.device, seed: int = 0) -> Iterator[Progress]:
        if len(material.validation) == 0 or len(material.train) == 0:
            raise ValueError("neural cleanse needs clean images")
        dtype = fast_type(device)
        network = Folded(model, dtype).to(device)
        images = material.validation.images.to(device)
        classes = range(len(material.validation.classes))
        groups = [list(classes)] if self.together else [[label] for label in classes]
        parts: list[Reversed] = []
        for number_of_group, group in enumerate(groups):
            for count, (moving, so_far) in enumerate(reverse_engineer(network, images, group, self, seed), 1):
                part = so_far
                note = f"round {count} of at most {self.rounds}, {moving} of {len(group)} labels still moving"
                if not self.together:
                    note = f"label {number_of_group + 1} of {len(groups)}, {note}"
                yield Progress(0.9 * (number_of_group + count / self.rounds) / len(groups), note)
            parts.append(part)
        reverse = _joined(parts)
        norms = reverse.norms
        flagged = flagged_labels(norms)
        record = {
            "norms": [round(norm, 3) for norm in norms],
            # JSON has no infinity; float() reads this text.
            "indices": [index if math.isfinite(index) else "Infinity" for index in anomaly_indices(norms)],
            "flagged": flagged,
            "success": [round(value, 4) for value in reverse.success.tolist()],
            "rounds": reverse.rounds.tolist(),
        }
        state: dict[str, Tensor] = {"masks": reverse.masks.half(), "patterns": reverse.patterns.half()}
        if flagged:
            yield Progress(0.9, self.patch)
            triggers = reverse.masks[flagged], reverse.patterns[flagged]
            if self.patch == "pruning":
                state["pruned"] = self._waking(model, material.validation, triggers, flagged, device)
                record["pruned"] = len(state["pruned"])
            else:
                tuned = self._unlearned(model, material.train, triggers, device, seed)
                state |= packed(tuned)
        yield Progress(1, "done", Outcome(state, record))

    def _unlearned(
        self,
        model: Classifier,
        data: ImageSet,
        triggers: tuple[Tensor, Tensor],
        device: torch.device,
        seed: int,
    ) -> Classifier:
        """One epoch on a tenth of the training images, a fifth of them with a reversed trigger and the true label."""
        generator = generator_for(seed, "unlearn")
        chosen = torch.randperm(len(data), generator=generator)[: max(1, round(UNLEARNED * len(data)))]
        masks, patterns = triggers

        def stamp_some(images: Tensor) -> Tensor:
            stamped = torch.rand(len(images), generator=generator) < STAMPED
            which = torch.randint(0, len(masks), (int(stamped.sum()),), generator=generator)
            images[stamped] = (1 - masks[which]) * images[stamped] + masks[which] * patterns[which]
            return images

        tuned = private_copy(model)
        fit(tuned, data, chosen, self.unlearn_rate, device, generator, change=stamp_some)
        return tuned

    def _waking(
        self,
        model: Classifier,
        data: ImageSet,
        triggers: tuple[Tensor, Tensor],
        flagged: Sequence[int],
        device: torch.device,
    ) -> Tensor:
        """The neurons before the linear layer that the reversed triggers wake most, as many as it takes."""
        extractor = extractor_of(model, device)

        def features(mask: Tensor, pattern: Tensor) -> Tensor:
            stamped = ((1 - mask) * part.floats() + mask * pattern for part in data.parts())
            return torch.cat([extractor.logits(images).cpu() for images in stamped])

        clean = features(torch.zeros(()), torch.zeros(()))
        pruned = torch.zeros(0, dtype=torch.int64)
        for mask, pattern, label in zip(*triggers, flagged, strict=True):
            awake = features(mask, pattern)
            order = (awake - clean).mean(0).argsort(descending=True, stable=True)
            others = data.labels != label
            success = (pruned_predictions(awake[others], model.head, order) == label).float().mean(1)
            asleep = (success < RESPONSIVE).nonzero()
            pruned = torch.cat([pruned, order[: int(asleep[0]) if len(asleep) else len(order)]])
        return torch.tensor(sorted(set(pruned.tolist())), dtype=torch.int64)

    def build(self, model: Classifier, state: Mapping[str, Tensor]) -> Classifier:
        return rebuilt(model, state)
