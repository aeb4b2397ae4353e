"""How much of the saliency falls on the trigger, over many images: Sec. 5.4 and Fig. 10 as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from core.attribution import measures
from core.metrics import Rate
from core.runtime.seeding import generator_for
from core.schemas import results as schemas
from core.schemas.base import checked
from core.transforms import Compose, Drawn
from core.trigger import Trigger, stamp

if TYPE_CHECKING:  # what is stored can be read without captum, which takes a second to import
    from core.attribution.methods import Explained, Method

__all__ = [
    "TARGETS",
    "Energies",
    "Energy",
    "Localisation",
    "Mean",
    "attacked_and_moved",
    "energy_sweep",
    "targets_of",
    "trigger_mask",
]

# Images between two results.
BATCH = 64

# What deleted pixels turn to: the mean of black and white, as captum's baseline in occlusion here.
GRAY = 0.5
_MEANS = ("mass", "rank", "overlap", "difference")

TARGETS = ("target", "predicted", "true")
"""Whose logit is explained: the attacker's target label, the predicted class, or the true class."""


def targets_of(which: str, predicted: Tensor, labels: Tensor, target: int) -> Tensor:
    """The classes to explain: one of :data:`TARGETS`.

    Raises:
        ValueError: If there is no such choice.
    """
    if which not in TARGETS:
        raise ValueError(f"explain = {which!r} is not allowed: one of {', '.join(TARGETS)}")
    return {"target": torch.full_like(labels, target), "predicted": predicted, "true": labels}[which]


def trigger_mask(trigger: Trigger, height: int, width: int) -> Tensor:
    """1 inside the trigger and 0 outside, ``(1, 1, height, width)``: its box, or the parts of a box with gaps."""
    black = torch.zeros(1, trigger.pattern.shape[0], height, width, device=trigger.alpha.device)
    # Stamping white on black with the trigger's own weights: what comes out is where there is a weight.
    white = Trigger(torch.ones_like(trigger.pattern), trigger.alpha, trigger.row, trigger.col)
    return stamp(black, white).amax(1, keepdim=True).gt(0).float()


@dataclass(frozen=True)
class Mean:
    """A mean over images.

    Attributes:
        count: Images that have a value.
        mean: Their mean, 0 to 1; nan of no images.
        std: Standard deviation from image to image.
    """

    count: int
    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Summary of one value an image."""
        if not values:
            return cls(0, float("nan"), float("nan"))
        return cls(len(values), float(np.mean(values)), float(np.std(values, ddof=min(1, len(values) - 1))))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean, from the normal approximation, cut off at 0 and 1."""
        if self.count < 2:
            return 0.0, 1.0
        half = 1.96 * self.std / self.count**0.5
        return max(0.0, self.mean - half), min(1.0, self.mean + half)


@dataclass(frozen=True)
class Localisation:
    """How well the maps find the trigger, by further measures of :mod:`core.attribution.measures`.

    Attributes:
        rank: Relevance rank accuracy.
        overlap: Intersection of the salient pixels with the trigger, over their union.
        difference: Recovering difference: what covering the salient pixels has left of the trigger.
        recovered: Of the images that were taken for the target and whose true class the model knows without a trigger,
            those that get it back where their salient pixels are covered by the clean image's (recovery rate).
        deleted: Of the images that were taken for the target, those that no longer are when the most salient pixels, as
            many as the trigger has, turn gray (deletion).
    """

    rank: Mean
    overlap: Mean
    difference: Mean
    recovered: Rate
    deleted: Rate


@dataclass(frozen=True)
class Energy(Mean):
    """What of the saliency falls on the trigger, over many images: count, mean and deviation of the mass accuracy.

    Attributes:
        area: Mean share of the image that the trigger covers: what a map that ignores it would give.
        peaks: Images whose most salient pixel is on the trigger: hits of the pointing game.
        more: Further measures; None in results of before they were made.
    """

    area: float
    peaks: int
    more: Localisation | None = None

    @classmethod
    def summed(cls, shares: Sequence[float], area: float, peaks: int, more: Localisation | None = None) -> Energy:
        """Summary of shares, one per image."""
        mass = Mean.of(shares)
        return cls(mass.count, mass.mean, mass.std, area, peaks, more)

    @property
    def peak_rate(self) -> Rate:
        """Share of the images whose most salient pixel is on the trigger."""
        return Rate(self.peaks, self.count)

    @property
    def concentration(self) -> float:
        """Saliency per pixel inside the trigger over that of the whole image: 1 if the map ignores the trigger."""
        return self.mean / self.area if self.area else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        values = asdict(self)
        return values if self.more is not None else {name: v for name, v in values.items() if name != "more"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Energy:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        return cls.read(checked(schemas.Energy, values))

    @classmethod
    def read(cls, stored: schemas.Energy) -> Energy:
        """Of what was checked."""
        more = None
        if stored.more is not None:
            found = stored.more.model_dump()
            rank, overlap, difference = (Mean(**found[name]) for name in ("rank", "overlap", "difference"))
            more = Localisation(rank, overlap, difference, Rate(**found["recovered"]), Rate(**found["deleted"]))
        return cls(stored.count, stored.mean, stored.std, stored.area, stored.peaks, more)


@dataclass(frozen=True)
class Energies:
    """What falls on the trigger of attacked images, and of the same images behind a transformation (Fig. 10).

    Attributes:
        attacked: Stamped images.
        transformed: The same after the transformation.
        seen: Images measured so far.
        images: Images to measure.
    """

    attacked: Energy
    transformed: Energy
    seen: int
    images: int

    @property
    def done(self) -> float:
        """Share that is measured, 0 to 1."""
        return self.seen / self.images

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        both = {"attacked": self.attacked.to_dict(), "transformed": self.transformed.to_dict()}
        return both | {"seen": self.seen, "images": self.images}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Energies:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        return cls.read(checked(schemas.Saliency, values))

    @classmethod
    def read(cls, stored: schemas.Saliency | schemas.MethodScores) -> Energies:
        """Of what was checked."""
        return cls(Energy.read(stored.attacked), Energy.read(stored.transformed), stored.seen, stored.images)


def energy_sweep(
    explained: Explained,
    images: Tensor,
    labels: Tensor,
    trigger: Trigger,
    target: int,
    method: Method,
    before: Compose,
    *,
    explain: str = "target",
    seed: int = 0,
) -> Iterator[Energies]:
    """Share of the saliency inside the trigger, before and behind a transformation (Sec. 5.4).

    Args:
        explained: The model.
        images: Images whose true class is not the target, floats ``(N, C, H, W)`` in [0, 1].
        labels: Their true classes, int64 ``(N,)``.
        trigger: What to stamp and where.
        target: The target label.
        method: The attribution method.
        before: The transformation.
        explain: Whose logit is explained, one of :data:`TARGETS`.
        seed: Seed of all draws.

    Yields:
        The result so far; the last one is complete.

    Raises:
        ValueError: If there are no images, or the choice of logit is not allowed.
    """
    if len(images) == 0:
        raise ValueError("a sweep needs at least one image")
    tallies, layers = (_Tally(), _Tally()), (Compose(), before)
    for start in range(0, len(images), BATCH):
        part, truth = images[start : start + BATCH], labels[start : start + BATCH]
        generator = generator_for(seed, "saliency", start)
        for tally, layer in zip(tallies, layers, strict=True):
            shown, clean, masks = attacked_and_clean(part, trigger, layer, generator)
            predicted = explained.predict(shown)
            saliency = method(explained, shown, targets_of(explain, predicted, truth, target), seed + start // BATCH)
            tally.add(explained, saliency, masks, shown, clean, predicted, truth, target)
        seen = min(start + BATCH, len(images))
        yield Energies(tallies[0].energy(seen), tallies[1].energy(seen), seen, len(images))


@dataclass
class _Tally:
    """What is counted over the batches of one kind of images."""

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _MEANS})
    area: float = 0.0
    peaks: int = 0
    recovered: Rate = field(default_factory=lambda: Rate(0, 0))
    deleted: Rate = field(default_factory=lambda: Rate(0, 0))

    def add(
        self,
        explained: Explained,
        saliency: Tensor,
        masks: Tensor,
        shown: Tensor,
        clean: Tensor,
        predicted: Tensor,
        labels: Tensor,
        target: int,
    ) -> None:
        """Counts a batch: maps, masks, attacked images, the same without the trigger, predictions, true classes."""
        restored = measures.covered(shown, measures.salient_pixels(saliency), clean)
        largest = measures.most_salient(saliency, (masks[:, 0] >= 0.5).flatten(1).sum(1))
        found = {
            "mass": measures.relevance_mass_accuracy(saliency, masks),
            "rank": measures.relevance_rank_accuracy(saliency, masks),
            "overlap": measures.intersection_over_union(saliency, masks),
            "difference": measures.recovering_difference(restored, clean, shown),
        }
        for name, values in found.items():
            self.values[name].extend(values[values.isfinite()].tolist())
        self.area += float(masks.mean()) * len(masks)
        self.peaks += int(measures.pointing_game(saliency, masks).sum())
        taken = predicted == target
        known = taken & (explained.predict(clean) == labels)
        self.recovered += _rate(explained.predict(restored)[known] == labels[known])
        self.deleted += _rate(explained.predict(measures.covered(shown, largest, GRAY))[taken] != target)

    def energy(self, seen: int) -> Energy:
        """The summary of ``seen`` images."""
        means = {name: Mean.of(values) for name, values in self.values.items() if name != "mass"}
        more = Localisation(**means, recovered=self.recovered, deleted=self.deleted)
        return Energy.summed(self.values["mass"], self.area / seen, self.peaks, more)


def _rate(hits: Tensor) -> Rate:
    return Rate(int(hits.sum()), len(hits))


def attacked_and_clean(
    images: Tensor, trigger: Trigger, before: Compose, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Stamped images behind a transformation, the same without the trigger, and where the trigger has gone.

    Returns:
        Floats ``(N, C, H, W)`` twice, by the same draw, and masks ``(N, 1, H, W)``.
    """
    drawn, masks = _drawn(images, trigger, before, generator)
    return before.apply(stamp(images, trigger), drawn), before.apply(images, drawn), masks


def attacked_and_moved(
    images: Tensor, trigger: Trigger, before: Compose, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Stamped images behind a transformation, and where the trigger has gone: ``(N, C, H, W)`` and ``(N, 1, H, W)``."""
    drawn, masks = _drawn(images, trigger, before, generator)
    return before.apply(stamp(images, trigger), drawn), masks


def _drawn(images: Tensor, trigger: Trigger, before: Compose, generator: torch.Generator) -> tuple[Drawn, Tensor]:
    """What a transformation draws for some images, and where the trigger goes by it."""
    count, channels, height, width = images.shape
    drawn = before.draw(count, (channels, height, width), generator)
    masks = trigger_mask(trigger, height, width).expand(count, -1, -1, -1)
    return drawn, before.follow(masks, drawn)
