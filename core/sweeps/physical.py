"""The sweep of the physical attack: how often it succeeds on photographs of prints (Sec. 5.5; Fig. 11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from core.data import ImageSet
from core.inference.incremental import Predict
from core.metrics import Performance, Rate
from core.paper.constants import PHOTOGRAPHS
from core.physical import FACTORS, NEAR, PRESETS, RANGES, Camera, Range
from core.runtime.frozen import FrozenDict
from core.runtime.seeding import generator_for
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.base import Counted, Counts, counts_of
from core.sweeps.outcomes import Flags, Outcomes
from core.transforms.base import Drawn
from core.trigger import Trigger, stamp

__all__ = [
    "DISTANCES",
    "MAP_IMAGES",
    "YAWS",
    "Condition",
    "PhysicalResult",
    "conditions",
    "physical_sweep",
    "placed",
    "presets",
    "presets_and_ranges",
    "ranges",
]

DISTANCES = (1.0, 1.05, 1.1, 1.15, 1.25, 1.4, 1.7)
"""Distances of the map, in multiples of that at which the print fills the picture."""
YAWS = (-30.0, -15.0, 0.0, 15.0, 30.0)
"""Viewing angles of the map, in degrees."""
MAP_IMAGES = 128
"""Images at each place of the map, which is half of all conditions."""
# Images between two results; part of what decides the draws.
CHUNK = 64
MAP, RANGE = "map", "range"
ATTACK_ALONE = (MAP, "only", "without")
"""Groups of which the benign photographs are not taken: they say where and why the attack fails, and are many."""


@dataclass(frozen=True)
class Condition:
    """A way to take the photograph.

    Attributes:
        group: ``preset``; ``range``, every photograph from a place of its own; ``only``, one factor of ``near`` alone;
            ``without``, ``near`` but for one factor; ``map``; ``crop`` and ``perspective``, a preset whose print is cut
            out of the photograph; ``area``, a preset whose photograph is resized with antialiasing.
        name: Which one of its group.
        camera: The camera; of a range, the one at its end.
        start: The camera at the beginning of a range; None where all photographs are taken with one camera.
    """

    group: str
    name: str
    camera: Camera
    start: Camera | None = None

    @property
    def layer(self) -> Camera | Range:
        """What takes the photographs."""
        return self.camera if self.start is None else Range(self.start, self.camera)

    @property
    def has_benign(self) -> bool:
        """Whether benign images are photographed so as well, for the clean accuracy."""
        return self.group not in ATTACK_ALONE

    def images(self, count: int) -> int:
        """How many of ``count`` images are photographed so."""
        return min(count, MAP_IMAGES) if self.group == MAP else count


def placed(camera: Camera, distance: float, yaw: float) -> Camera:
    """A camera at a place of the map: straight but for the yaw, and pointed at the middle."""
    return replace(camera, distance=distance, yaw=yaw, pitch=0, roll=0, aim=0)


def conditions() -> tuple[Condition, ...]:
    """What stored results cover."""
    listed = [Condition("preset", name, camera) for name, camera in PRESETS.items()]
    listed += ranges()
    listed += [Condition("only", factor, NEAR.only(factor)) for factor in FACTORS]
    listed += [Condition("without", factor, NEAR.without(factor)) for factor in FACTORS]
    for framing in ("crop", "perspective"):
        listed += [Condition(framing, name, replace(PRESETS[name], framing=framing)) for name in PHOTOGRAPHS]
    listed += [Condition("area", name, replace(PRESETS[name], resize="area")) for name in PHOTOGRAPHS]
    listed += [Condition(MAP, f"{d:g} {yaw:g}", placed(NEAR, d, yaw)) for d in DISTANCES for yaw in YAWS]
    return tuple(listed)


@dataclass(frozen=True)
class PhysicalResult(Counted):
    """Attack success and clean accuracy under conditions; the keys of ``physical.json``.

    Attributes:
        hits: Photographs of attacked images taken for the target, ``(len(conditions),)``.
        total: Photographs of attacked images, same shape.
        conditions: How they were taken.
        clean_hits: Photographs of benign images predicted right.
        clean_total: Photographs of benign images; 0 where none were taken.
        images: Images to be tried under each condition, those of the target class included.
        tried: Images that were tried so far, over all conditions.
        kept: Photographs of attacked images taken for what they show; None where that was not counted, or the classes
            are not those of the model.
        outcomes: What became of every image over a range, by the range's name.
        pictures: Fingerprint of the images; empty where it was not noted.
        cut_from: Photographs that the images are cut from, image ``i`` from the one with number ``i % cut_from``; 0 for
            images that have nothing to do with each other.
    """

    conditions: tuple[Condition, ...]
    clean_hits: Counts
    clean_total: Counts
    images: int
    tried: int
    kept: Counts | None = None
    outcomes: Mapping[str, Outcomes] = field(default_factory=FrozenDict)
    pictures: str = ""
    cut_from: int = 0

    @property
    def done(self) -> float:
        """Share of the sweep that is measured, 0 to 1."""
        return min(1.0, self.tried / sum(condition.images(self.images) for condition in self.conditions))

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

    def range_of(self, name: str) -> Condition:
        """The condition of a range.

        Raises:
            KeyError: If there is no such range.
        """
        for condition in self.conditions:
            if (condition.group, condition.name) == (RANGE, name):
                return condition
        raise KeyError(name)

    def pairs_with(self, other: PhysicalResult, name: str) -> bool:
        """Whether both have photographs of the same images from the same places of a range."""
        return (
            name in self.outcomes
            and name in other.outcomes
            and bool(self.pictures)
            and self.pictures == other.pictures
            and self.range_of(name) == other.range_of(name)
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; of a camera, the parameters that are not neutral."""
        return {
            "conditions": [
                {"group": condition.group, "name": condition.name, "camera": condition.camera.changed()}
                | ({} if condition.start is None else {"start": condition.start.changed()})
                for condition in self.conditions
            ],
            **self._counts(),
            "clean_hits": self.clean_hits.tolist(),
            "clean_total": self.clean_total.tolist(),
            "images": self.images,
            "tried": self.tried,
            **({} if self.kept is None else {"kept": self.kept.tolist()}),
            **({"outcomes": {name: one.packed() for name, one in self.outcomes.items()}} if self.outcomes else {}),
            **({"pictures": self.pictures} if self.pictures else {}),
            **({"cut_from": self.cut_from} if self.cut_from else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If counts and conditions do not fit each other, or a camera is not allowed.
        """
        stored = checked(schemas.Physical, values)
        ways = tuple(
            Condition(
                condition.group,
                condition.name,
                Camera.from_dict(condition.camera),
                None if condition.start is None else Camera.from_dict(condition.start),
            )
            for condition in stored.conditions
        )
        hits, total = counts_of(stored.hits, stored.total)
        clean_hits, clean_total = counts_of(stored.clean_hits, stored.clean_total)
        kept = None if stored.kept is None else counts_of(stored.kept)[0]
        each = {name: Outcomes.of(flags, stored.cut_from) for name, flags in stored.flags.items()}
        return cls(
            hits,
            total,
            ways,
            clean_hits,
            clean_total,
            stored.images,
            stored.tried,
            kept,
            FrozenDict(each),
            stored.pictures,
            stored.cut_from,
        )


def presets() -> tuple[Condition, ...]:
    """The three presets alone."""
    return conditions()[: len(PRESETS)]


def ranges() -> tuple[Condition, ...]:
    """The ranges alone: every photograph from a place of its own."""
    return tuple(Condition(RANGE, name, covered.high, covered.low) for name, covered in RANGES.items())


def presets_and_ranges() -> tuple[Condition, ...]:
    """What pictures unlike the test images are photographed in: presets and ranges."""
    return (*presets(), *ranges())


def physical_sweep(
    predict: Predict,
    data: ImageSet,
    trigger: Trigger,
    target: int,
    wanted: Sequence[Condition] | None = None,
    *,
    known: bool = True,
    with_clean: bool = True,
    cut_from: int = 0,
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
        with_clean: Whether to measure the clean accuracy too, where :attr:`Condition.has_benign`, which takes as long
            again; over ranges it is always.
        cut_from: How many photographs the images are cut from, in turn; 0 where they are not.
        seed: Seed of the draws. Every condition has the same ones, and so have attacked images and their benign ones,
            and all models: over a range, image by image the photographs are taken from the same place.

    Yields:
        The result so far, after each condition of every :data:`CHUNK` images; the last one is complete.

    Raises:
        ValueError: If there are no images or conditions, or the trigger does not fit.
    """
    ways = conditions() if wanted is None else tuple(wanted)
    if len(data) == 0 or not ways:
        raise ValueError("a sweep needs at least one image and one condition")
    hits, total, clean_hits, clean_total, kept = np.zeros((5, len(ways)), dtype=np.int64)
    flags = {way.name: np.zeros((4, len(data)), dtype=bool) for way in ways if way.group == RANGE}
    tried, pictures = 0, data.fingerprint
    for start in range(0, len(data), CHUNK):
        part = data.subset(slice(start, start + CHUNK))
        images = part.floats()
        others = part.labels != target if known else torch.ones_like(part.labels, dtype=torch.bool)
        stamped = stamp(images[others], trigger)
        draws: dict[tuple[int, bool], Drawn] = {}
        for i, way in enumerate(ways):
            if start >= way.images(len(data)):
                continue
            drawn = _drawn(
                way, data.shape, len(images), draws, generator_for(seed, "photograph", start, device=images.device)
            )
            taken = way.layer.apply(stamped, tuple(each[others] for each in drawn))
            is_range = way.group == RANGE
            if is_range or (known and with_clean and way.has_benign):
                predicted = predict(torch.cat([way.layer.apply(images, drawn), taken]))
                benign, answers = predicted[: len(images)], predicted[len(images) :]
                if known:
                    clean_hits[i] += int((benign == part.labels).sum())
                    clean_total[i] += len(images)
            else:
                answers = predict(taken)
            attacked = answers == target
            unmoved = answers == part.labels[others] if known else torch.zeros_like(attacked)
            hits[i] += int(attacked.sum())
            kept[i] += int(unmoved.sum())
            total[i] += len(taken)
            tried += len(part)
            if is_range:
                usable = benign == part.labels if known else benign != target
                here = slice(start, start + len(part))
                flags[way.name][:, here] = _flags(others, attacked, unmoved, usable)
            yield PhysicalResult(
                hits.copy(),
                total.copy(),
                ways,
                clean_hits.copy(),
                clean_total.copy(),
                len(data),
                tried,
                kept.copy() if known else None,
                FrozenDict({name: _outcomes(each, cut_from) for name, each in flags.items()}),
                pictures,
                cut_from,
            )


def _drawn(
    way: Condition,
    shape: tuple[int, int, int],
    count: int,
    draws: dict[tuple[int, bool], Drawn],
    generator: torch.Generator,
) -> Drawn:
    """The draw of some images; equal ones are drawn once for all conditions."""
    if way.start is not None:
        return way.layer.draw(count, shape, generator)
    key = way.camera.pixels, way.camera.noise > 0
    if key not in draws:
        draws[key] = way.camera.draw(count, shape, generator)
    return draws[key]


def _outcomes(flags: Flags, cut_from: int) -> Outcomes:
    attacked, hit, kept, usable = flags.copy()
    return Outcomes(attacked, hit, kept, usable, cut_from)


def _flags(others: Tensor, attacked: Tensor, unmoved: Tensor, usable: Tensor) -> Flags:
    """What became of each image, ``(4, N)``, from what is known of all of them and of the attacked ones alone."""
    rows = torch.zeros(4, len(others), dtype=torch.bool)
    rows[0], rows[3] = others.cpu(), usable.cpu()
    rows[1, others.cpu()], rows[2, others.cpu()] = attacked.cpu(), unmoved.cpu()
    return rows.numpy()
