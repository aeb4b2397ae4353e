"""What all scenes have in common: the models and images of the lesson, and where on the page they draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from core.metrics import Performance, Rate, clean_accuracy
from core.params import Parametrised
from core.registry import Registry
from core.transforms import Compose
from core.trigger import Trigger
from dashboard.figures.base import COLOURS
from dashboard.lessons.words import Amount
from dashboard.server.predictions import predictions, success
from dashboard.server.resources import Tested, tested_for
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session

__all__ = ["COUNT", "Places", "Scene", "Stage", "scenes"]

COUNT = 256
"""Images of a measurement."""

T = TypeVar("T")


@dataclass(frozen=True)
class Places:
    """Where a scene draws: beside the text, many small pictures below that, under the text, and under all of it."""

    beside: DeltaGenerator
    pictures: DeltaGenerator
    under: DeltaGenerator
    below: DeltaGenerator


@dataclass(frozen=True)
class Stage:
    """The models and images that a lesson is shown with.

    Attributes:
        session: The selections.
        main: The attacked model.
        enhanced: The same attack trained with transformations, or None where it is not stored.
        control: The model without a backdoor, or None.
        data: The test images, or None where they are not on this machine.
        image: Which image is shown large.
    """

    session: Session
    main: Subject
    enhanced: Subject | None
    control: Subject | None
    data: Tested | None
    image: Choice[int]

    @property
    def index(self) -> int:
        """The image that is shown large."""
        return self.session.get(self.image)

    @property
    def picture(self) -> Tensor | None:
        """That image, ``(C, H, W)`` in [0, 1]."""
        return self.data.images[self.index] if self.data is not None else None

    def choice(self, choice: Choice[T], state: T) -> Choice[T]:
        """A selection of this step alone, which begins with the step's state; its name begins with ``at-``."""
        return replace(choice, name=f"at-{choice.name}", default=state)

    def coloured(self) -> list[tuple[Subject, str]]:
        """The attacked model and the one without a backdoor, each with its colour."""
        return [(self.main, COLOURS[0])] + ([(self.control, COLOURS[2])] if self.control is not None else [])

    def success(self, subject: Subject, trigger: Trigger, before: Compose | None = None) -> Rate | None:
        """Attack success rate measured here; None where that is not possible."""
        if self.data is None:
            return None
        its, target = tested_for(subject, self.main, self.data)
        predicted = predictions(subject, trigger, its, COUNT, before=before)
        return success(predicted, target) if predicted is not None else None

    def defended(self, subject: Subject, before: Compose) -> Performance | None:
        """Clean accuracy and attack success rate behind a defense: measured here, or as stored."""
        if self.data is not None:
            its, _ = tested_for(subject, self.main, self.data)
            hit = self.success(subject, subject.trigger, before)
            untouched = predictions(subject, None, its, COUNT, before=before)
            if hit is not None and untouched is not None:
                return Performance(clean_accuracy(untouched, its.clean.labels[:COUNT]), hit)
        if len(before.steps) > 1:
            return None
        name, strength = (before.steps[0].name, before.steps[0].value) if before.steps else ("shrinkpad", 0.0)
        curve = subject.results.strength(name)
        return curve.at(strength) if curve is not None and strength in curve.strengths else None


@dataclass(frozen=True, kw_only=True)
class Scene(Parametrised):
    """What a step shows; its declared parameters are the state that a step can set."""

    name: ClassVar[str]
    measures: ClassVar[Mapping[str, str]] = {}
    """The numbers that it measures for its state, by name, with what they are."""

    def still(self, stage: Stage, places: Places) -> None:
        """Draws what is to be seen while the question is open: no answer of a network."""

    def live(self, stage: Stage, places: Places) -> None:
        """Draws the component, set to the state, and what the networks say."""

    def numbers(self, stage: Stage) -> dict[str, Amount]:
        """The measured numbers of the step's state; those that cannot be had here are left out."""
        return {}


scenes: Registry[Scene] = Registry("scene", "dashboard.lessons.scenes")
"""All scenes by name."""
