"""What an audit is made of: what is stored beside a model, and what is measured where nothing is stored.

>>> from core.store import Store
>>> *_, last = audit(Store().checkpoint("shapes10/resnet20/badnets"))
>>> last.audit.location.rate.shape
(30, 30)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.data import DataMissing, ImageSet
from core.defenses.neural_cleanse import NeuralCleanse
from core.inference.predictor import Predictor
from core.metrics import Rate
from core.models import Classifier
from core.runtime.device import select_device
from core.store.card import Card, Missing
from core.store.card_images import images_of
from core.store.local import Checkpoint
from core.sweeps.appearance import AppearanceCurve, appearance_sweep
from core.sweeps.base import attacked
from core.sweeps.location import LocationMap, location_sweep
from core.sweeps.repair import Repaired
from core.sweeps.results import StoredResults
from core.sweeps.saliency import Energies, energy_sweep
from core.sweeps.saliency_methods import SaliencyMethods
from core.sweeps.strength import StrengthCurve, strength_sweep
from core.transforms import Compose, transforms
from core.transforms.spatial import ShrinkPad
from core.trigger import stamp

__all__ = ["COUNTS", "Audit", "AuditProgress", "Saliency", "audit"]

COUNTS: Mapping[str, int] = {"location": 64, "appearance": 128, "strength": 256, "saliency": 64}
"""Test images of what is not stored and measured for the audit: so many that it takes a minute or two."""
VALUES = (*range(0, 255, 15), 255)
"""Pixel values of an appearance curve that is measured for the audit."""
PICTURES = 6
STRENGTHS = 4
"""Largest number of strengths of a transformation in a report."""


@dataclass(frozen=True)
class Saliency:
    """Where the network looks on a few images, stamped and not transformed.

    Attributes:
        images: Stamped images, floats ``(N, C, H, W)`` in [0, 1].
        maps: Saliency of the target label, floats ``(N, H, W)``, each divided by its largest value.
        truth: Names of the true classes.
        predicted: Names of the predicted classes.
    """

    images: Tensor
    maps: Tensor
    truth: tuple[str, ...]
    predicted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What is known of a model's backdoor. What could not be had is None, or empty.

    Attributes:
        card: The model's card.
        location: Attack success over the place of the trigger.
        appearance: Attack success over its pixel value.
        strengths: Attack success and clean accuracy over the strength of each transformation, by its name.
        energies: What of the saliency falls on the trigger, stamped and behind ShrinkPad.
        pictures: Saliency of a few images.
        methods: Stored scores of all saliency methods.
        repairs: Stored results of repairs, by their names.
        measured: What was measured for this audit, since it was not stored.
        notes: What is missing and why, as sentences.
    """

    card: Card
    location: LocationMap | None = None
    appearance: AppearanceCurve | None = None
    strengths: Mapping[str, StrengthCurve] = field(default_factory=dict)
    energies: Energies | None = None
    pictures: Saliency | None = None
    methods: SaliencyMethods | None = None
    repairs: Mapping[str, Repaired] = field(default_factory=dict)
    measured: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def at_home(self) -> Rate:
        """Attack success rate with the trigger as it was trained, from the card; else from the map."""
        stored, trigger = self.card.attack_success_rate, self.card.attack_object.trigger(self.card.shape)
        if stored.total or self.location is None:
            return stored
        return self.location.at(*trigger.location)


@dataclass(frozen=True)
class AuditProgress:
    """How far an audit is.

    Attributes:
        done: Share of the work, 0 to 1.
        note: What is being looked at.
        audit: The audit; only with the last one.
    """

    done: float
    note: str
    audit: Audit | None = None


def audit(checkpoint: Checkpoint, device: torch.device | str | None = None) -> Iterator[AuditProgress]:
    """Collects what is stored of a model and measures what is not, on as many test images as :data:`COUNTS` says.

    Neural Cleanse and the other repairs are not run: they take minutes to hours. A stored result of theirs is taken.

    Args:
        checkpoint: The model.
        device: Where to compute; by default the best there is.

    Yields:
        How far it is; the last one holds the audit.

    Raises:
        Missing: If there is no such model.
        Damaged: If its card cannot be read.
    """
    card = checkpoint.card()
    stored = StoredResults(checkpoint)
    found: dict[str, Any] = {
        "location": stored.location, "appearance": stored.appearance, "energies": stored.saliency
    }  # fmt: skip
    curves = {name: stored.strength(name) for name in _evaluated()}
    repairs = stored.repairs
    lacking = [name for name, value in found.items() if value is None]
    lacking += [name for name, value in curves.items() if value is None]
    notes: list[str] = []
    yield AuditProgress(0.05, "stored results are read")
    measure, why = _measure(checkpoint, card, device)
    if measure is None:
        if lacking:
            notes.append(f"What is not stored could not be measured: {why}")
        else:
            notes.append(f"No images are shown: {why}")
    else:
        for step, name in enumerate(lacking):
            yield AuditProgress(0.1 + 0.8 * step / len(lacking), f"measuring: {name}")
            value = measure.of(name)
            if name in found:
                found[name] = value
            else:
                curves[name] = value
        yield AuditProgress(0.9, "saliency of a few images")
        found["pictures"] = measure.pictures()
    if NeuralCleanse.name not in repairs:
        notes.append(
            "Neural Cleanse was not run on this model; do so with: "
            f"python scripts/defend.py {NeuralCleanse.name} --checkpoint {checkpoint.key}"
        )
    yield AuditProgress(
        1.0,
        "done",
        Audit(
            card=card,
            **found,
            strengths={name: curve for name, curve in curves.items() if curve is not None},
            repairs=repairs,
            methods=stored.saliency_methods,
            measured=tuple(lacking) if measure is not None else (),
            notes=tuple(notes),
        ),
    )


def _evaluated() -> list[str]:
    return [name for name in transforms if transforms[name].evaluated]


def _measure(checkpoint: Checkpoint, card: Card, device: torch.device | str | None) -> tuple[_Measurements | None, str]:
    """What measures, or why nothing can be measured on this machine."""
    try:
        data = images_of(card, "test")
        model = checkpoint.model()
    except (DataMissing, Missing) as error:
        return None, str(error)
    return _Measurements(card, model, data, select_device(str(device or "auto"))), ""


class _Measurements:
    """Measures one model.

    Args:
        card: Its card.
        model: The model.
        data: Its test images.
        device: Where to compute.
    """

    def __init__(self, card: Card, model: Classifier, data: ImageSet, device: torch.device) -> None:
        self.card, self.model, self.data, self.device = card, model, data, device
        self.target, self.trigger = card.attack_object.target, card.attack_object.trigger(card.shape)
        from core.attribution.methods import Explained, methods

        self.predictor = Predictor(model, device)
        self.explained = Explained(model, device)
        self.method = methods["gradient"]()  # captum is imported here, which is not everywhere that core is

    def of(self, name: str) -> Any:
        """One of the sweeps, by the name of its attribute in :class:`Audit`, or of a transformation."""
        own: dict[str, Callable[[], Any]] = {
            "location": self._location, "appearance": self._appearance, "energies": self._energies
        }  # fmt: skip
        *_, result = own[name]() if name in own else self._strengths(name)
        return result

    def _location(self) -> Iterator[LocationMap]:
        images, predictor = attacked(self.data, self.target, COUNTS["location"]), self.predictor
        return location_sweep(predictor.predict, images, self.trigger, self.target, located=predictor.located)

    def _appearance(self) -> Iterator[AppearanceCurve]:
        images = attacked(self.data, self.target, COUNTS["appearance"])
        return appearance_sweep(self.predictor.predict, images, self.trigger, self.target, values=VALUES)

    def _energies(self) -> Iterator[Energies]:
        images, labels = self._others(COUNTS["saliency"])
        before = Compose((ShrinkPad.sized(self.card.shape),))
        return energy_sweep(self.explained, images, labels, self.trigger, self.target, self.method, before)

    def _strengths(self, name: str) -> Iterator[StrengthCurve]:
        kind = transforms[name]
        images = self.data.subset(slice(COUNTS["strength"]))
        strengths = shown_strengths(kind.grid_for(self.card.shape))
        return strength_sweep(self.predictor.predict, images, self.trigger, self.target, kind(), strengths=strengths)

    def _others(self, count: int) -> tuple[Tensor, Tensor]:
        """The first images of other classes than the target, ``(N, C, H, W)`` in [0, 1], and their classes ``(N,)``."""
        others = self.data.subset((self.data.labels != self.target).nonzero().squeeze(1)[:count])
        return others.floats(), others.labels

    def pictures(self) -> Saliency:
        """Saliency of the first images, one per class as far as there are so many."""
        labels = self.data.labels
        first = {int(label): index for index, label in reversed(list(enumerate(labels.tolist())))}
        index = torch.tensor([first[label] for label in sorted(first) if label != self.target][:PICTURES])
        chosen = self.data.subset(index)
        shown = stamp(chosen.floats(), self.trigger)
        maps = self.method(self.explained, shown, torch.full_like(chosen.labels, self.target))
        largest = maps.flatten(1).amax(1).clamp(min=1e-12)[:, None, None]
        classes = self.card.classes
        return Saliency(
            shown,
            maps / largest,
            tuple(classes[label] for label in chosen.labels.tolist()),
            tuple(classes[label] for label in self.explained.predict(shown).tolist()),
        )


def shown_strengths(strengths: tuple[float, ...]) -> tuple[float, ...]:
    """No transformation and at most :data:`STRENGTHS` strengths spread over a grid, the largest among them.

    >>> shown_strengths((0, 1, 2, 3, 4, 5, 6, 7, 8))
    (0, 2, 4, 6, 8)
    >>> shown_strengths((0, 1))
    (0, 1)
    """
    last = len(strengths) - 1
    count = min(last, STRENGTHS)
    return tuple(strengths[round(step * last / count)] for step in range(count + 1)) if count else strengths
