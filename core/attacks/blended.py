"""Blended injection (Chen et al. 2017): the trigger is mixed into the image instead of replacing its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.attacks.badnets import BadNets
from core.attacks.base import attacks
from core.params import number
from core.trigger import Trigger

__all__ = ["Blended"]


@attacks.register("blended")
@dataclass(frozen=True, kw_only=True)
class Blended(BadNets):
    """The trigger of BadNets with alpha 0.2 inside its box, on 20% of the training set (Sec. 5.1)."""

    label: ClassVar[str] = "Blended"

    poison_rate: float = number(0.2, low=0, high=1, step=0.01, help="Share of the whole training set that is poisoned.")
    alpha: float = number(
        0.2,
        low=0.01,
        high=1,
        step=0.01,
        help="Blending weight inside the trigger's box (Eq. 1).",
        title="Opacity (alpha)",
    )

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        return super().trigger(shape).with_opacity(self.alpha)
