"""Sweeps of the trigger's appearance: its pixel value, and its value and opacity together (Fig. 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from core.inference.incremental import Before, Predict
from core.metrics import Rate
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.base import PASSES_PER_STEP, Counted, _grid, counts_of
from core.trigger import Trigger

__all__ = ["AppearanceCurve", "AppearanceMap", "appearance_map", "appearance_sweep"]


@dataclass(frozen=True)
class AppearanceCurve(Counted):
    """Attack success over the pixel value of the trigger; the keys of ``appearance.json``.

    Attributes:
        hits: Images taken for the target, ``(len(values),)``.
        total: Images tried, same shape.
        values: Pixel values, 0 to 255.
    """

    values: tuple[int, ...]

    def at(self, value: int) -> Rate:
        """The rate at a pixel value.

        Raises:
            ValueError: If the value is not on the curve.
        """
        if value not in self.values:
            raise ValueError(f"pixel value {value} is not on the curve")
        index = self.values.index(value)
        return Rate(int(self.hits[index]), int(self.total[index]))

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"values": list(self.values), **self._counts()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If counts and values do not fit each other.
        """
        stored = checked(schemas.Appearance, values)
        hits, total = counts_of(stored.hits, stored.total)
        return cls(hits, total, tuple(stored.values))


@dataclass(frozen=True)
class AppearanceMap(Counted):
    """Attack success over pixel value and opacity.

    Attributes:
        hits: Images taken for the target, ``(len(opacities), len(values))``.
        total: Images tried, same shape.
        values: Pixel values, 0 to 255.
        opacities: Opacities in percent, 0 to 100.
    """

    values: tuple[int, ...]
    opacities: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"values": list(self.values), "opacities": list(self.opacities), **self._counts()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If counts and axes do not fit each other.
        """
        stored = checked(schemas.AppearanceGrid, values)
        hits, total = counts_of(stored.hits, stored.total)
        return cls(hits, total, tuple(stored.values), tuple(stored.opacities))


def appearance_sweep(
    predict: Predict,
    images: Tensor,
    trigger: Trigger,
    target: int,
    *,
    values: Sequence[int] = range(256),
    before: Before | None = None,
    passes_per_step: int = PASSES_PER_STEP,
) -> Iterator[AppearanceCurve]:
    """Attack success rate against the pixel value of the trigger (Sec. 3.2, "The Effect of Appearance").

    Args:
        predict: The model.
        images: Images whose true class is not the target, floats ``(N, C, H, W)`` in [0, 1]; see :func:`attacked`.
        trigger: The trigger at the location to measure at.
        target: The target label.
        values: Pixel values, 0 to 255, that replace the non-zero ones.
        before: What is put between stamping and the model, if anything.
        passes_per_step: Forward passes between two results.

    Yields:
        The curve so far, its values spread over all; the last one is complete.
    """
    grid = _grid(predict, images, trigger, target, values, (None,), before, passes_per_step)
    for hits, total in grid:
        yield AppearanceCurve(hits[0], total[0], tuple(values))


def appearance_map(
    predict: Predict,
    images: Tensor,
    trigger: Trigger,
    target: int,
    *,
    values: Sequence[int] = tuple(range(0, 256, 15)),
    opacities: Sequence[int] = tuple(range(0, 101, 10)),
    before: Before | None = None,
    passes_per_step: int = PASSES_PER_STEP,
) -> Iterator[AppearanceMap]:
    """Attack success rate over pixel value and opacity.

    ``opacities`` are percentages, 0 to 100, that replace the non-zero blending weights; the other arguments are those
    of :func:`appearance_sweep`.

    Yields:
        The map so far; the last one is complete.
    """
    for hits, total in _grid(predict, images, trigger, target, values, opacities, before, passes_per_step):
        yield AppearanceMap(hits, total, tuple(values), tuple(opacities))
