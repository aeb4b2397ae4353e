"""What all sweeps of a trigger share: attacked images, and counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.data import ImageSet
from core.inference.incremental import Before, Predict, predictions_at
from core.metrics import FloatArray, Rate, wilson
from core.schemas.base import Matrix, Row
from core.sweeps.coarse_to_fine import coarse_to_fine
from core.trigger import PAPER_SIDE, Trigger, stamp

__all__ = ["Counted", "at_once", "attacked", "counts_of", "success_at"]

Counts = npt.NDArray[np.int64]
# Forward passes between two results: with a few thousand a second, several pictures a second.
PASSES_PER_STEP = 1024


def at_once(passes: int, images: Tensor) -> int:
    """Places or looks that a step of a sweep takes: larger images take longer and more memory, so fewer of them.

    Args:
        passes: Forward passes of a step, of images of the paper's size.
        images: ``(N, C, H, W)``.

    >>> at_once(512, torch.zeros(64, 3, 32, 32)), at_once(512, torch.zeros(64, 3, 64, 64))
    (8, 2)
    """
    height, width = images.shape[2:]
    pixels = max(1.0, height * width / PAPER_SIDE**2)
    return max(1, int(passes / pixels) // len(images))


def attacked(data: ImageSet, target: int, limit: int | None = None) -> Tensor:
    """The first ``limit`` images whose true class is not the target, as floats: those that Eq. 3 counts."""
    index = (data.labels != target).nonzero().squeeze(1)[:limit]
    return data.floats(index)


def counts_of(*lists: Row | Matrix) -> tuple[Counts, ...]:
    """Counts of a stored result as arrays."""
    return tuple(np.asarray(counts, dtype=np.int64) for counts in lists)


@dataclass(frozen=True)
class Counted:
    """Counts and the share of hits, with 95% Wilson intervals."""

    hits: Counts
    total: Counts

    @property
    def rate(self) -> FloatArray:
        """Share of hits in [0, 1]; nan where nothing was measured."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.total > 0, self.hits / self.total, np.nan)

    @property
    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of the 95% Wilson intervals; 0 and 1 where nothing was measured."""
        return wilson(self.hits, self.total)

    @property
    def done(self) -> float:
        """Share of the sweep that is measured, 0 to 1."""
        return float((self.total > 0).mean())

    def _counts(self) -> dict[str, Any]:
        return {"hits": self.hits.tolist(), "total": self.total.tolist()}


def success_at(predict: Predict, images: Tensor, trigger: Trigger, target: int, before: Before | None = None) -> Rate:
    """Attack success rate (Eq. 3) of one trigger at its location, on images whose true class is not the target.

    Args:
        predict: Floats ``(N, C, H, W)`` in [0, 1] to predicted classes, int64 ``(N,)``.
        images: Floats ``(N, C, H, W)`` in [0, 1], none of which is of the target class.
        trigger: What is stamped, at its place.
        target: The label that counts as success.
        before: A defense in front of the model, or None.

    Returns:
        How many of the ``N`` images are taken for the target, of ``N``.
    """
    predicted = predictions_at(predict, images, trigger, before)
    return Rate(int((predicted == target).sum()), len(images))


def _grid(
    predict: Predict,
    images: Tensor,
    trigger: Trigger,
    target: int,
    values: Sequence[int],
    opacities: Sequence[int | None],
    before: Before | None,
    passes_per_step: int,
) -> Iterator[tuple[Counts, Counts]]:
    """Counts over opacity and value, coarse to fine."""
    if len(images) == 0:
        raise ValueError("a sweep needs at least one image")
    hits = np.zeros((len(opacities), len(values)), dtype=np.int64)
    total = np.zeros_like(hits)
    order = coarse_to_fine(range(len(opacities)), range(len(values)), (0, 0))
    per_step = at_once(passes_per_step, images)
    for start in range(0, len(order), per_step):
        cells = order[start : start + per_step]
        stamped = []
        for i, j in cells:
            shown = trigger.with_value(values[j] / 255)
            opacity = opacities[i]
            stamped.append(stamp(images, shown if opacity is None else shown.with_opacity(opacity / 100)))
        batch = torch.cat(stamped)
        predicted = predict(before(batch) if before else batch).view(len(cells), len(images))
        for (i, j), successes in zip(cells, (predicted == target).sum(1).tolist(), strict=True):
            hits[i, j], total[i, j] = successes, len(images)
        yield hits.copy(), total.copy()
