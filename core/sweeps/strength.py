"""The sweep of a defense over its strength: what a transformation stops, and what it costs (Tables 1 and 3 to 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from core.data import ImageSet
from core.inference.incremental import Predict
from core.metrics import Performance, Rate
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.base import Counted, Counts, counts_of
from core.transforms import Compose, Transform
from core.trigger import Trigger, stamp

__all__ = ["StrengthCurve", "strength_sweep"]

# Images between two results; part of what decides the draws.
CHUNK = 128


@dataclass(frozen=True)
class StrengthCurve(Counted):
    """Attack success and clean accuracy over the strength of a transformation; the keys of ``strength-<name>.json``.

    Attributes:
        hits: Attacked images taken for the target after the transformation, ``(len(strengths),)`` (R_T of Eq. 5).
        total: Attacked images tried, same shape.
        strengths: Strengths, ascending; the first one is no transformation.
        clean_hits: Benign images predicted right after the transformation.
        clean_total: Benign images tried.
        images: Benign images to be tried at each strength.
        benign_hits: Benign images of other classes taken for the target after the transformation, of the same
            ``total``: what it does by itself, without the trigger (Sec. 5.3). None in older results.
    """

    strengths: tuple[float, ...]
    clean_hits: Counts
    clean_total: Counts
    images: int
    benign_hits: Counts | None = None

    @property
    def done(self) -> float:
        """Share of the sweep that is measured, 0 to 1."""
        return float(self.clean_total.sum() / (self.images * len(self.strengths)))

    @property
    def clean(self) -> Counted:
        """Clean accuracy, with the properties ``rate`` and ``interval``."""
        return Counted(self.clean_hits, self.clean_total)

    def at(self, strength: float) -> Performance:
        """Clean accuracy and attack success rate at a strength.

        Raises:
            ValueError: If the strength is not on the curve.
        """
        i = self._index(strength)
        clean = Rate(int(self.clean_hits[i]), int(self.clean_total[i]))
        return Performance(clean, Rate(int(self.hits[i]), int(self.total[i])))

    def benign_at(self, strength: float) -> Rate | None:
        """Share of the benign images of other classes that are taken for the target, without any trigger.

        Returns:
            The rate; None where an older sweep has not counted it.

        Raises:
            ValueError: If the strength is not on the curve.
        """
        i = self._index(strength)
        return None if self.benign_hits is None else Rate(int(self.benign_hits[i]), int(self.total[i]))

    @property
    def benign(self) -> Counted | None:
        """The same over all strengths, with the properties ``rate`` and ``interval``."""
        return None if self.benign_hits is None else Counted(self.benign_hits, self.total)

    def _index(self, strength: float) -> int:
        if strength not in self.strengths:
            raise ValueError(f"strength {strength:g} is not on the curve")
        return self.strengths.index(strength)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        benign = {} if self.benign_hits is None else {"benign_hits": self.benign_hits.tolist()}
        return {
            "strengths": list(self.strengths),
            **self._counts(),
            "clean_hits": self.clean_hits.tolist(),
            "clean_total": self.clean_total.tolist(),
            **benign,
            "images": self.images,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If counts and strengths do not fit each other.
        """
        stored = checked(schemas.Strength, values)
        hits, total = counts_of(stored.hits, stored.total)
        clean_hits, clean_total = counts_of(stored.clean_hits, stored.clean_total)
        benign_hits = None if stored.benign_hits is None else counts_of(stored.benign_hits)[0]
        return cls(hits, total, tuple(stored.strengths), clean_hits, clean_total, stored.images, benign_hits)


def strength_sweep(
    predict: Predict,
    data: ImageSet,
    trigger: Trigger,
    target: int,
    transform: Transform,
    *,
    then: Compose | None = None,
    strengths: Sequence[float] | None = None,
    seed: int = 0,
) -> Iterator[StrengthCurve]:
    """Clean accuracy and attack success rate with a transformation in front of the model, against its strength.

    These are the transformation-based defenses of Definition 4 (Tables 1, 3, 4) and the robustness R_T of Eq. 5
    (Table 5, Fig. 13). How many benign images of other classes are taken for the target is counted too: what the
    transformation does by itself, such as the black edges of ShrinkPad (Sec. 5.3). All strengths go through the images
    together, so that every prefix is a whole curve.

    Args:
        predict: The model.
        data: Test images with labels; all count for the clean accuracy, those of other classes for the attack.
        trigger: What to stamp and where.
        target: The target label.
        transform: The transformation; its own strength is not used.
        then: Transformations that follow it (Definition 6), at their own strengths.
        strengths: Strengths, by default its grid; those that images of this size do not allow are left out.
        seed: Seed of the draws; equal seeds give equal draws, whatever else is measured.

    Yields:
        The curve so far, after each strength of every :data:`CHUNK` images; the last one is complete.

    Raises:
        ValueError: If there are no images, or a strength or the trigger does not fit.
    """
    if len(data) == 0:
        raise ValueError("a sweep needs at least one image")
    every = [
        transform.at(strength) for strength in (transform.grid_for(data.shape) if strengths is None else strengths)
    ]
    steps = [step for step in every if step.possible(data.shape)]
    hits, total, clean_hits, clean_total, benign_hits = np.zeros((5, len(steps)), dtype=np.int64)
    defenses = [Compose((step, *(then.steps if then is not None else ()))) for step in steps]
    for start in range(0, len(data), CHUNK):
        part = data.subset(slice(start, start + CHUNK))
        images, others = part.floats(), part.labels != target
        stamped = stamp(images[others], trigger)
        for i, defense in enumerate(defenses):
            before = defense.seeded(seed + start)
            predicted = predict(before(torch.cat([images, stamped])))
            clean_hits[i] += int((predicted[: len(images)] == part.labels).sum())
            clean_total[i] += len(images)
            benign_hits[i] += int((predicted[: len(images)][others] == target).sum())
            hits[i] += int((predicted[len(images) :] == target).sum())
            total[i] += len(stamped)
            yield StrengthCurve(
                hits.copy(),
                total.copy(),
                tuple(step.value for step in steps),
                clean_hits.copy(),
                clean_total.copy(),
                len(data),
                benign_hits.copy(),
            )
