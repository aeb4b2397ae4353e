"""A scene that only asks: its questions may be decided by what the attacks do when moved, and behind ShrinkPad-4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dashboard.lessons.scenes.base import Scene, Stage, scenes
from dashboard.lessons.scenes.defended import EnhancedAttack
from dashboard.lessons.scenes.trigger import Pad
from dashboard.lessons.words import Amount

__all__ = ["Questions"]


@scenes.register("questions")
@dataclass(frozen=True, kw_only=True)
class Questions(Scene):
    """Nothing but the step's questions. Its numbers are of a trigger one pixel up, and of ShrinkPad-4."""

    measures: ClassVar[Mapping[str, str]] = {**Pad.measures, **EnhancedAttack.measures}

    def numbers(self, stage: Stage) -> dict[str, Amount]:
        """What :class:`Pad` measures one pixel up, and what :class:`EnhancedAttack` does behind ShrinkPad-4."""
        return {**Pad(down=-1).numbers(stage), **EnhancedAttack().numbers(stage)}
