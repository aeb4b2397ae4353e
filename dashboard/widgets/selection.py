"""What a page with a trigger on test images shows: its models, the trigger's look, a defense, the images."""

from __future__ import annotations

from dataclasses import dataclass

from core.transforms import Compose
from core.trigger import Trigger
from dashboard.server.resources import Tested, tested_for
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice
from dashboard.state.trigger import Look, stamped_on
from dashboard.widgets.controls import Chosen

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """What is selected.

    Attributes:
        chosen: The models.
        look: Value, opacity and pattern of the trigger.
        before: The defense in front of every model.
        data: The test images of the main model, or None where they are not on this machine.
        image: The selection of the image that is shown large.
    """

    chosen: Chosen
    look: Look
    before: Compose
    data: Tested | None
    image: Choice[int]

    @property
    def main(self) -> Subject:
        """The model under study."""
        return self.chosen.main

    @property
    def behind(self) -> str:
        """The defense as the end of a title; nothing where there is none."""
        return f", behind {self.before.label}" if self.before.steps else ""

    def stamped(self, subject: Subject, place: tuple[int, int], look: Look | None = None) -> Trigger:
        """What is stamped for a model at a place, with this look or another one."""
        return stamped_on(subject, self.main, look or self.look, *place)

    def images(self, subject: Subject) -> Tested | None:
        """The test images that a model of the page is measured on."""
        return tested_for(subject, self.main, self.data)[0] if self.data is not None else None
