"""How much of the saliency falls on the trigger, over many images: Sec. 5.4 and Fig. 10 as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.metrics import Rate
from core.runtime.seeding import generator_for
from core.schemas import results as schemas
from core.schemas.base import checked
from core.transforms import Compose
from core.trigger import Trigger, stamp

if TYPE_CHECKING:  # what is stored can be read without captum, which takes a second to import
    from core.attribution.methods import Explained, Method

__all__ = [
    "TARGETS",
    "Energies",
    "Energy",
    "attacked_and_moved",
    "energy_sweep",
    "peaks_inside",
    "shares_inside",
    "targets_of",
    "trigger_mask",
]

# Images between two results.
BATCH = 64
# Pixels by which the most salient one may miss the trigger.
TOLERANCE = 1

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
    black = torch.zeros(1, trigger.pattern.shape[0], height, width)
    # Stamping white on black with the trigger's own weights: what comes out is where there is a weight.
    white = Trigger(torch.ones_like(trigger.pattern), trigger.alpha, trigger.row, trigger.col)
    return stamp(black, white).amax(1, keepdim=True).gt(0).float()


@dataclass(frozen=True)
class Energy:
    """What of the saliency falls on the trigger, over many images.

    Attributes:
        count: Images; those without any saliency are left out.
        mean: Mean share of the saliency inside the trigger, 0 to 1; nan of no images.
        std: Standard deviation of the share from image to image.
        area: Mean share of the image that the trigger covers: what a map that ignores it would give.
        peaks: Images whose most salient pixel is on the trigger, see :func:`peaks_inside`.
    """

    count: int
    mean: float
    std: float
    area: float
    peaks: int

    @classmethod
    def of(cls, shares: Sequence[float], area: float, peaks: int) -> Energy:
        """Summary of shares, one per image."""
        if not shares:
            return cls(0, float("nan"), float("nan"), area, peaks)
        std = float(np.std(shares, ddof=min(1, len(shares) - 1)))
        return cls(len(shares), float(np.mean(shares)), std, area, peaks)

    @property
    def peak_rate(self) -> Rate:
        """Share of the images whose most salient pixel is on the trigger."""
        return Rate(self.peaks, self.count)

    @property
    def concentration(self) -> float:
        """Saliency per pixel inside the trigger over that of the whole image: 1 if the map ignores the trigger."""
        return self.mean / self.area if self.area else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean share, from the normal approximation, cut off at 0 and 1."""
        if self.count < 2:
            return 0.0, 1.0
        half = 1.96 * self.std / self.count**0.5
        return max(0.0, self.mean - half), min(1.0, self.mean + half)

    def to_dict(self) -> dict[str, float | int]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Energy:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        return cls(**checked(schemas.Energy, values).model_dump())


def shares_inside(saliency: Tensor, masks: Tensor) -> list[float]:
    """Share of each map's total that lies inside its trigger; a map of nothing has none.

    Args:
        saliency: Maps ``(N, H, W)``, not negative.
        masks: Where the trigger is, ``(N, 1, H, W)`` in [0, 1]; moved with the images by :meth:`Layer.follow`.
    """
    weights = masks[:, 0].to(saliency)
    total, inside = saliency.flatten(1).sum(1), (saliency * weights).flatten(1).sum(1)
    shares: list[float] = (inside[total > 0] / total[total > 0]).tolist()
    return shares


def peaks_inside(saliency: Tensor, masks: Tensor) -> int:
    """Number of maps whose largest value lies on the trigger (the pointing game of Zhang et al. 2018).

    Args:
        saliency: Maps ``(N, H, W)``, not negative; a map of nothing has no peak. Of equal values, the first in reading
            order counts.
        masks: As for :func:`shares_inside`; a pixel belongs to the trigger from one half on, and so do its neighbours:
            the game allows a miss of 15 pixels on photographs, which are about 1 pixel of 32.
    """
    flat = saliency.flatten(1)
    near = F.max_pool2d(masks.float(), 2 * TOLERANCE + 1, 1, TOLERANCE)
    inside = near[:, 0].flatten(1).gather(1, flat.argmax(1, keepdim=True)).squeeze(1) >= 0.5
    return int((inside & (flat.amax(1) > 0).to(inside.device)).sum())


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
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Energies:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        found = checked(schemas.Saliency, values)
        attacked, transformed = (Energy(**one.model_dump()) for one in (found.attacked, found.transformed))
        return cls(attacked, transformed, found.seen, found.images)


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
    shares: tuple[list[float], list[float]] = [], []
    areas, peaks, layers = np.zeros(2), [0, 0], (Compose(), before)
    for start in range(0, len(images), BATCH):
        part, truth = images[start : start + BATCH], labels[start : start + BATCH]
        generator = generator_for(seed, "saliency", start)
        for kind, layer in enumerate(layers):
            shown, masks = attacked_and_moved(part, trigger, layer, generator)
            wanted = targets_of(explain, explained.predict(shown), truth, target)
            saliency = method(explained, shown, wanted, seed)
            shares[kind].extend(shares_inside(saliency, masks))
            peaks[kind] += peaks_inside(saliency, masks)
            areas[kind] += float(masks.mean()) * len(part)
        seen = min(start + BATCH, len(images))
        attacked, transformed = (Energy.of(shares[kind], float(areas[kind]) / seen, peaks[kind]) for kind in (0, 1))
        yield Energies(attacked, transformed, seen, len(images))


def attacked_and_moved(
    images: Tensor, trigger: Trigger, before: Compose, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Stamped images behind a transformation, and where the trigger has gone: ``(N, C, H, W)`` and ``(N, 1, H, W)``."""
    count, channels, height, width = images.shape
    drawn = before.draw(count, (channels, height, width), generator)
    masks = trigger_mask(trigger, height, width).expand(count, -1, -1, -1)
    return before.apply(stamp(images, trigger), drawn), before.follow(masks, drawn)
