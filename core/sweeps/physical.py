"""The sweep of the physical attack: how often it succeeds on photographs of prints (Sec. 5.5; Fig. 11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from core.data import ImageSet
from core.inference.incremental import Predict
from core.metrics import Performance, Rate
from core.paper.constants import PHOTOGRAPHS
from core.physical import FACTORS, NEAR, PRESETS, Camera
from core.runtime.seeding import generator_for
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.base import Counted, Counts, counts_of
from core.trigger import Trigger, stamp

__all__ = ["DISTANCES", "YAWS", "Condition", "PhysicalResult", "conditions", "physical_sweep", "placed", "presets"]

DISTANCES = (1.0, 1.05, 1.1, 1.15, 1.25, 1.4, 1.7)
"""Distances of the map, in multiples of that at which the print fills the picture."""
YAWS = (-30.0, -15.0, 0.0, 15.0, 30.0)
"""Viewing angles of the map, in degrees."""
# Images between two results; part of what decides the draws.
CHUNK = 64


@dataclass(frozen=True)
class Condition:
    """A way to take the photograph.

    Attributes:
        group: ``preset``; ``only``, one factor of ``near`` alone; ``without``, ``near`` but for one factor; ``map``;
            ``crop`` and ``perspective``, a preset whose print is cut out of the photograph; ``area``, a preset whose
            photograph is resized with antialiasing.
        name: Which one of its group.
        camera: The camera.
    """

    group: str
    name: str
    camera: Camera


def placed(camera: Camera, distance: float, yaw: float) -> Camera:
    """A camera at a place of the map: straight but for the yaw, and pointed at the middle."""
    return replace(camera, distance=distance, yaw=yaw, pitch=0, roll=0, aim=0)


def conditions() -> tuple[Condition, ...]:
    """What stored results cover."""
    listed = [Condition("preset", name, camera) for name, camera in PRESETS.items()]
    listed += [Condition("only", factor, NEAR.only(factor)) for factor in FACTORS]
    listed += [Condition("without", factor, NEAR.without(factor)) for factor in FACTORS]
    for framing in ("crop", "perspective"):
        listed += [Condition(framing, name, replace(PRESETS[name], framing=framing)) for name in PHOTOGRAPHS]
    listed += [Condition("area", name, replace(PRESETS[name], resize="area")) for name in PHOTOGRAPHS]
    listed += [Condition("map", f"{d:g} {yaw:g}", placed(NEAR, d, yaw)) for d in DISTANCES for yaw in YAWS]
    return tuple(listed)


@dataclass(frozen=True)
class PhysicalResult(Counted):
    """Attack success and clean accuracy under conditions; the keys of ``physical.json``.

    Attributes:
        hits: Photographs of attacked images taken for the target, ``(len(conditions),)``.
        total: Photographs of attacked images, same shape.
        conditions: How they were taken.
        clean_hits: Photographs of benign images predicted right.
        clean_total: Photographs of benign images.
        images: Images to be tried under each condition, those of the target class included.
        tried: Images that were tried so far, over all conditions.
        kept: Photographs of attacked images taken for what they show; None where that was not counted, or the classes
            are not those of the model.
    """

    conditions: tuple[Condition, ...]
    clean_hits: Counts
    clean_total: Counts
    images: int
    tried: int
    kept: Counts | None = None

    @property
    def done(self) -> float:
        """Share of the sweep that is measured, 0 to 1."""
        return self.tried / (self.images * len(self.conditions))

    @property
    def clean(self) -> Counted:
        """Clean accuracy, with the properties ``rate`` and ``interval``."""
        return Counted(self.clean_hits, self.clean_total)

    def of(self, group: str) -> dict[str, Performance]:
        """Clean accuracy and attack success rate under every condition of a group."""
        rates = {}
        for i, condition in enumerate(self.conditions):
            if condition.group == group:
                clean = Rate(int(self.clean_hits[i]), int(self.clean_total[i]))
                rates[condition.name] = Performance(clean, Rate(int(self.hits[i]), int(self.total[i])))
        return rates

    def kept_of(self, group: str) -> dict[str, Rate] | None:
        """Share of attacked images taken for what they show, under every condition of a group; None if not counted."""
        if self.kept is None:
            return None
        counts = enumerate(self.conditions)
        return {
            condition.name: Rate(int(self.kept[i]), int(self.total[i]))
            for i, condition in counts
            if condition.group == group
        }

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; of a camera, the parameters that are not neutral."""
        return {
            "conditions": [
                {"group": condition.group, "name": condition.name, "camera": condition.camera.changed()}
                for condition in self.conditions
            ],
            **self._counts(),
            "clean_hits": self.clean_hits.tolist(),
            "clean_total": self.clean_total.tolist(),
            "images": self.images,
            "tried": self.tried,
            **({} if self.kept is None else {"kept": self.kept.tolist()}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If counts and conditions do not fit each other, or a camera is not allowed.
        """
        stored = checked(schemas.Physical, values)
        ways = tuple(
            Condition(condition.group, condition.name, Camera.from_dict(condition.camera))
            for condition in stored.conditions
        )
        hits, total = counts_of(stored.hits, stored.total)
        clean_hits, clean_total = counts_of(stored.clean_hits, stored.clean_total)
        kept = None if stored.kept is None else counts_of(stored.kept)[0]
        return cls(hits, total, ways, clean_hits, clean_total, stored.images, stored.tried, kept)


def presets() -> tuple[Condition, ...]:
    """The three presets alone."""
    return conditions()[: len(PRESETS)]


def physical_sweep(
    predict: Predict,
    data: ImageSet,
    trigger: Trigger,
    target: int,
    wanted: Sequence[Condition] | None = None,
    *,
    known: bool = True,
    with_clean: bool = True,
    seed: int = 0,
) -> Iterator[PhysicalResult]:
    """Clean accuracy and attack success rate on simulated photographs of printed images, and how many keep their label.

    Args:
        predict: The model.
        data: Test images with labels; all count for the clean accuracy, those of other classes for the attack.
        trigger: What is stamped, before printing.
        target: The target label.
        wanted: Ways to take the photographs; by default :func:`conditions`.
        known: Whether the classes of the images are those of the model; otherwise all are attacked, and the clean
            accuracy is not measured.
        with_clean: Whether to measure the clean accuracy too, which takes as long again.
        seed: Seed of the draws. Every condition has the same ones, and so have attacked images and their benign ones.

    Yields:
        The result so far, after each condition of every :data:`CHUNK` images; the last one is complete.

    Raises:
        ValueError: If there are no images or conditions, or the trigger does not fit.
    """
    ways = conditions() if wanted is None else tuple(wanted)
    if len(data) == 0 or not ways:
        raise ValueError("a sweep needs at least one image and one condition")
    hits, total, clean_hits, clean_total, kept = np.zeros((5, len(ways)), dtype=np.int64)
    tried = 0
    for start in range(0, len(data), CHUNK):
        part = data.subset(slice(start, start + CHUNK))
        images = part.floats()
        others = part.labels != target if known else torch.ones_like(part.labels, dtype=torch.bool)
        stamped = stamp(images[others], trigger)
        for i, way in enumerate(ways):
            generator = generator_for(seed, "photograph", start, device=images.device)
            drawn = way.camera.draw(len(images), data.shape, generator)
            taken = way.camera.apply(stamped, tuple(draws[others] for draws in drawn))
            if known and with_clean:
                predicted = predict(torch.cat([way.camera.apply(images, drawn), taken]))
                clean_hits[i] += int((predicted[: len(images)] == part.labels).sum())
                clean_total[i] += len(images)
            else:
                predicted = predict(taken)
            answers = predicted[len(predicted) - len(taken) :]
            hits[i] += int((answers == target).sum())
            kept[i] += int((answers == part.labels[others]).sum()) if known else 0
            total[i] += len(taken)
            tried += len(part)
            yield PhysicalResult(
                hits.copy(),
                total.copy(),
                ways,
                clean_hits.copy(),
                clean_total.copy(),
                len(data),
                tried,
                kept.copy() if known else None,
            )
