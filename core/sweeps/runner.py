"""A sweep carried out on a checkpoint, and stored beside it with what it was measured with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.attacks import Attack
from core.data import ImageSet, datasets
from core.data.natural import SHIPPED, natural_available, natural_pictures
from core.inference.predictor import Predictor
from core.models import Classifier
from core.store.card import Card, environment
from core.store.card_images import images_of, other_images
from core.store.local import Checkpoint
from core.sweeps.adaptive import adaptive_sweep
from core.sweeps.appearance import appearance_sweep
from core.sweeps.base import attacked
from core.sweeps.location import location_sweep
from core.sweeps.physical import PhysicalResult, physical_sweep, presets_and_ranges
from core.sweeps.place_classes import RESULT, attacked_set, classes_sweep
from core.sweeps.saliency import energy_sweep
from core.sweeps.saliency_examples import RESULT as EXAMPLES
from core.sweeps.saliency_examples import examples_sweep
from core.sweeps.saliency_methods import CLEAN, RANDOMISED, TRAINED, SaliencyMethods, Variant, methods_sweep
from core.sweeps.strength import strength_sweep
from core.transforms import Compose, Transform
from core.transforms.spatial import ShrinkPad
from core.trigger import Trigger

__all__ = [
    "COUNTS",
    "OTHER_PICTURES",
    "OUT_OF_SAMPLE_NATURAL",
    "PHOTOGRAPHIC",
    "Measured",
    "Sweep",
    "carry_out",
    "foreign_map",
    "out_of_sample_sweeps",
    "store_examples",
]

OUT_OF_SAMPLE_NATURAL = "out-of-sample-natural"
"""The sweep of photographs of crops of photographs; ``out-of-sample`` is that of :data:`OTHER_PICTURES`."""
PHOTOGRAPHIC = ("physical", "out-of-sample", OUT_OF_SAMPLE_NATURAL)
"""Sweeps of photographs."""

COUNTS = {
    "location": 1000,
    "classes": 256,
    "appearance": 1000,
    "strength": 0,
    "saliency": 500,
    "saliency-methods": 500,
    EXAMPLES: 10,
    "physical": 560,
    "out-of-sample": 560,
    OUT_OF_SAMPLE_NATURAL: 560,
}
"""The kinds of sweeps, and how many images each takes by default; 0 for all."""

OTHER_PICTURES = "shapes10"
"""The data set whose images are unlike those of every other one, and on every machine."""


def foreign_map(trigger: Trigger) -> str:
    """Name of the stored map of a trigger that is not the model's own, such as an attack's on the clean model."""
    return f"location-{trigger.fingerprint}"


@dataclass(frozen=True)
class Sweep:
    """What is varied, and what is put before the model.

    Attributes:
        kind: One of :data:`COUNTS`.
        transform: What is varied in strength.
        before: What is put between stamping and the model in the other sweeps.
        width: Largest half width of a location's interval, in points, for an adaptive map; None for an exhaustive one.
        foreign: The attack whose trigger is swept over the locations; None for that of the model.
        clean: The clean model, a control of the saliency methods; None leaves it out.
    """

    kind: str
    transform: Transform | None = None
    before: Compose = field(default_factory=Compose)
    width: float | None = None
    foreign: Attack | None = None
    clean: Classifier | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the result is stored: not behind a defense, and maps only if they are exhaustive."""
        return not self.before.steps and self.width is None

    @property
    def name(self) -> str:
        """Name of the stored result, but for a trigger that is not the model's: see :meth:`name_for`."""
        if self.kind == "classes":
            return RESULT
        return f"strength-{self.transform.name}" if self.transform is not None else self.kind

    def name_for(self, trigger: Trigger) -> str:
        """Name of the stored result of a trigger."""
        return self.name if self.foreign is None else foreign_map(trigger)

    def run(
        self, model: Classifier, predictor: Predictor, data: ImageSet, attack: Attack, limit: int | None
    ) -> Iterator[Any]:
        """The sweep over the first ``limit`` images (of other classes than the target where only those count)."""
        trigger, target = attack.trigger(data.shape), attack.target
        if self.kind in ("saliency", EXAMPLES):
            from core.attribution.methods import Explained, methods  # captum takes a second to import

            explained, method = Explained(model, predictor.device), methods["gradient"]()
            before = Compose((ShrinkPad.sized(data.shape),))
            if self.kind == EXAMPLES:
                count = limit or len(data)
                return examples_sweep(explained, data, trigger, target, method, before, count)
            others = data.subset((data.labels != target).nonzero().squeeze(1)[:limit])
            return energy_sweep(explained, others.floats(), others.labels, trigger, target, method, before)
        if self.kind == "saliency-methods":
            return self._all_methods(model, predictor, data, trigger, target, limit)
        if self.transform is not None:
            return strength_sweep(predictor.predict, data.subset(slice(limit)), trigger, target, self.transform)
        if self.kind == "physical":
            return physical_sweep(predictor.predict, data.subset(slice(limit)), trigger, target)
        if self.kind == "out-of-sample":
            return _out_of_sample(predictor, data, trigger, target, limit)
        if self.kind == OUT_OF_SAMPLE_NATURAL:
            pictures, ways = natural_pictures(data.shape, limit), presets_and_ranges()
            return physical_sweep(
                predictor.predict, pictures, trigger, target, ways, known=False, cut_from=len(SHIPPED)
            )
        predict, located = predictor.predict, predictor.located
        if self.kind == "classes":
            return classes_sweep(located, attacked_set(data, target, limit or len(data)), trigger)
        images = attacked(data, target, limit)
        seeded = self.before.seeded() if self.before.steps else None
        if self.kind == "appearance":
            return appearance_sweep(predict, images, trigger, target, before=seeded)
        if self.width is None:
            return location_sweep(predict, images, trigger, target, before=seeded, located=located)
        return adaptive_sweep(predict, images, trigger, target, width=self.width, before=seeded, located=located)

    def _all_methods(
        self,
        model: Classifier,
        predictor: Predictor,
        data: ImageSet,
        trigger: Trigger,
        target: int,
        limit: int | None,
    ) -> Iterator[SaliencyMethods]:
        """Every registered saliency method, and the gradient as the paper's tool takes it."""
        from core.attribution.controls import randomised
        from core.attribution.methods import Explained, methods

        others = data.subset((data.labels != target).nonzero().squeeze(1)[:limit])
        networks = {TRAINED: model, RANDOMISED: randomised(model)}
        if self.clean is not None:
            networks[CLEAN] = self.clean
        variants = [Variant(methods[name]()) for name in methods]
        variants.append(Variant(methods["gradient"].from_dict({"reduction": "signed"}), "predicted"))
        explained = {name: Explained(network, predictor.device) for name, network in networks.items()}
        before = Compose((ShrinkPad.sized(data.shape),))
        return methods_sweep(explained, others.floats(), others.labels, trigger, target, variants, before)


def _out_of_sample(
    predictor: Predictor, own: ImageSet, trigger: Trigger, target: int, limit: int | None
) -> Iterator[PhysicalResult]:
    """The physical attack on pictures unlike those that the model was trained on (Fig. 12)."""
    others = datasets[OTHER_PICTURES]()
    if own.name == others.title:
        raise ValueError(f"out-of-sample pictures are those of {others.title}, which this model was trained on")
    pictures = others.load("test", limit)
    if pictures.shape != own.shape:
        raise ValueError(f"out-of-sample pictures are {pictures.shape}, but the model sees images of {own.shape}")
    return physical_sweep(predictor.predict, pictures, trigger, target, presets_and_ranges(), known=False)


def out_of_sample_sweeps(dataset: str) -> tuple[str, ...]:
    """The sweeps of pictures unlike those of a data set that are possible on this machine.

    Shapes-10 is none of its own; crops of photographs are there where the packages are that ship them.
    """
    possible = {"out-of-sample": dataset != OTHER_PICTURES, OUT_OF_SAMPLE_NATURAL: natural_available()}
    return tuple(name for name, is_there in possible.items() if is_there)


@dataclass(frozen=True)
class Measured:
    """A sweep so far.

    Attributes:
        result: The map or curve.
        source: What it was measured with; empty until it is complete.
        stored: Whether it was stored.
        warning: What is to be said if the test images are not those that the card's rates were measured on.
    """

    result: Any
    source: dict[str, Any] = field(default_factory=dict)
    stored: bool = False
    warning: str = ""


def carry_out(
    sweep: Sweep,
    checkpoint: Checkpoint,
    model: Classifier,
    predictor: Predictor,
    limit: int | None = None,
    *,
    replace: bool = False,
) -> Iterator[Measured]:
    """Measures a stored model.

    Args:
        sweep: What to measure.
        checkpoint: The model's place.
        model: The model, which saliency is computed of.
        predictor: The same, ready to predict.
        limit: Test images; None for all.
        replace: Store the result even if the stored one is on more images, or on those of the card and this is not.

    Yields:
        The result so far; the last one is complete, and stored unless the sweep is none of those that are.

    Raises:
        DataMissing: If the data set is not on this machine.
        OtherData: If it has other classes or another shape than the model was trained on.
        ValueError: If another model was stored meanwhile.
        OSError: If the result cannot be stored.
    """
    card = checkpoint.card()
    data = images_of(card, "test")
    attack = sweep.foreign or card.attack_object
    trigger = attack.trigger(card.shape)
    name = sweep.name_for(trigger)
    start = time.perf_counter()
    result: Any = None
    for result in sweep.run(model, predictor, data, attack, limit):
        yield Measured(result)
    source = {
        "target": attack.target,
        "trigger": trigger.fingerprint,
        "dataset": card.dataset,
        "encoding": data.encoding,
        "test": data.fingerprint,
        "path": predictor.path,
        "seconds": round(time.perf_counter() - start, 1),
        "environment": environment(predictor.device),
    }
    values = result.to_dict()
    stored = sweep.is_kept and (replace or _is_better(values | source, checkpoint.result(name), card))
    if stored:
        checkpoint.save_result(name, values | source, model=model)
    yield Measured(result, source, stored, other_images(card, data))


def store_examples(checkpoint: Checkpoint, model: Classifier, predictor: Predictor) -> None:
    """Stores a few saliency maps of a model beside its shares; a moment.

    Raises:
        As :func:`carry_out`.
    """
    for _ in carry_out(Sweep(EXAMPLES), checkpoint, model, predictor, COUNTS[EXAMPLES]):
        pass


def images_in(counts: Mapping[str, Any]) -> int:
    """How many images a result is on, as it is stored: where places or methods have several numbers, the largest."""
    each = counts.get("labels", counts.get("indices"))
    if each is not None:
        return len(each)
    if "scores" in counts:
        return max((int(score["seen"]) for score in counts["scores"]), default=0)
    return int(np.max(counts.get("total", counts.get("seen", 0))))


def _is_better(values: dict[str, Any], stored: dict[str, Any] | None, card: Card) -> bool:
    """Whether a result is on at least as many images as the stored one, and on the same; those of the card win."""
    if stored is None:
        return True
    before = stored.get("test", card.test)  # not in older results
    return images_in(values) >= images_in(stored) if values["test"] == before else values["test"] == card.test
