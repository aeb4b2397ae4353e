"""Scenes with the trigger in one's hand: the pad to drag it on, and its brightness and opacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import streamlit as st
import torch

from core.metrics import Rate
from core.params import integer
from core.transforms import Compose
from core.trigger import Trigger, stamp
from dashboard.figures.html import beside, captioned, data_url, rate_bars
from dashboard.lessons.scenes.base import COUNT, Places, Scene, Stage, scenes
from dashboard.lessons.words import Amount
from dashboard.server.resources import target_for
from dashboard.server.subjects import Subject
from dashboard.state.trigger import appearance_choices, place_choices
from dashboard.widgets.following import draw_following_strip, draw_rates, follow
from dashboard.widgets.live import PLACEHOLDER, draw_pad, draw_strip, measured, trigger_picture

__all__ = ["Appearance", "Pad"]

ASR = {
    "asr_home": "attack success rate with the trained trigger",
    "asr_here": "attack success rate in the step's state",
    "asr_clean": "how often the model without a backdoor says the target class in that state",
}


def stored_rate(subject: Subject, stamped: Trigger, target: int) -> Rate | None:
    """The stored rate of a model with this trigger at its place, if there is one."""
    from dashboard.views import appearance, location  # a page may import a scene

    rate = location.stored_rate(subject, stamped, target)
    if rate is not None or stamped.location != subject.trigger.location:
        return rate
    curve = appearance.stored_curve(subject, stamped.with_value(1.0), target)
    return curve.at(stamped.value) if curve is not None else None


def _numbers(stage: Stage, here: Trigger) -> dict[str, Amount]:
    """The rates of :data:`ASR`."""
    asked = [("asr_home", stage.main, stage.main.trigger), ("asr_here", stage.main, here)]
    if stage.control is not None:
        asked.append(("asr_clean", stage.control, here))
    found = {}
    for name, subject, trigger in asked:
        rate = stored_rate(subject, trigger, target_for(subject, stage.main))
        if rate is None or rate.total < COUNT:
            rate = stage.success(subject, trigger) or rate
        if rate is not None and rate.total:
            found[name] = Amount.of(rate)
    return found


def _readouts(stage: Stage, places: Places, trigger: Trigger) -> None:
    """The rates of both networks with a trigger, and ten images."""
    readings, predicted = measured(
        stage.coloured(),
        {subject.identity: trigger for subject, _ in stage.coloured()},
        lambda subject: stored_rate(subject, trigger, target_for(subject, stage.main)),
        stage.data,
        COUNT,
        prefer_stored=True,
    )
    with places.under:
        st.html(rate_bars(readings, f"{trigger.row},{trigger.col}"))
    if stage.data is not None:
        with places.pictures:
            draw_strip(stage.index, stage.main, stage.data, trigger, predicted)


@scenes.register("pad")
@dataclass(frozen=True, kw_only=True)
class Pad(Scene):
    """The trigger on an image, to be dragged."""

    down: int = integer(0, low=-128, high=128, help="Rows that the trigger is moved down from its trained place.")
    right: int = integer(0, low=-128, high=128, help="Columns that it is moved to the right.")

    measures: ClassVar[Mapping[str, str]] = ASR

    def _trigger(self, stage: Stage) -> Trigger:
        trained = stage.main.trigger
        spans = trained.places(*stage.main.card.shape[1:])
        wanted = (trained.row + self.down, trained.col + self.right)
        return trained.at(*(min(max(at, span[0]), span[-1]) for at, span in zip(wanted, spans, strict=True)))

    def still(self, stage: Stage, places: Places) -> None:
        """The image with the trigger where the question has it."""
        with places.beside:
            st.html(trigger_picture(self._trigger(stage), stage.picture, stage.main.card.shape))

    def live(self, stage: Stage, places: Places) -> None:
        """The pad, and the rates at the place and ten images, which follow it in the browser."""
        asked = self._trigger(stage)
        row, col = (
            stage.choice(choice, state) for choice, state in zip(place_choices(stage.main), asked.location, strict=True)
        )
        place = asked.at(stage.session.get(row), stage.session.get(col))
        dragged = not stage.session.settled
        models = [
            follow(subject, stage.main, colour, place, stage.data, None, Compose(), COUNT, dragged=dragged)
            for subject, colour in stage.coloured()
        ]
        with places.under:
            draw_rates(models, place.location)
        with places.pictures:
            draw_following_strip(models[0], stage.index, Compose(), stage.image.name)
        # The pad is drawn last: what it acknowledges is on the page before it.
        with places.beside:
            draw_pad(stage.session, stage.main, place, stage.data, row, col, stage.image, slider=False)

    def numbers(self, stage: Stage) -> dict[str, Amount]:
        """The rates at the trained place and at the step's."""
        return _numbers(stage, self._trigger(stage))


@scenes.register("appearance")
@dataclass(frozen=True, kw_only=True)
class Appearance(Scene):
    """Brightness and opacity of the trigger at its trained place."""

    brightness: int = integer(100, low=0, high=200, help="Pixel value, in percent of the trained one; at most 255.")
    opacity: int = integer(100, low=0, high=100, help="Opacity, in percent of the trained one.")

    measures: ClassVar[Mapping[str, str]] = ASR

    def _state(self, stage: Stage) -> tuple[int, int]:
        trained = stage.main.trigger
        return min(255, round(trained.value * self.brightness / 100)), round(trained.opacity * self.opacity / 100)

    def _trigger(self, stage: Stage, value: int, opacity: int) -> Trigger:
        trained = stage.main.trigger
        shown = trained if value == trained.value else trained.with_value(value / 255)
        return shown if opacity == trained.opacity else shown.with_opacity(opacity / 100)

    def still(self, stage: Stage, places: Places) -> None:
        """The image with the trigger as it was trained and as the question has it."""
        with places.beside:
            self._pictures(stage, self._trigger(stage, *self._state(stage)))

    def _pictures(self, stage: Stage, now: Trigger) -> None:
        shown = []
        for trigger, text in ((stage.main.trigger, "In training"), (now, "Now")):
            ground = stage.picture if stage.picture is not None else torch.full(stage.main.card.shape, PLACEHOLDER)
            look = f"{text}: pixel value {trigger.value}, opacity {trigger.opacity} %"
            shown.append(captioned(data_url(stamp(ground[None], trigger)[0]), look))
        st.html(beside(*shown))

    def live(self, stage: Stage, places: Places) -> None:
        """Both sliders, the picture, the rates, and ten images."""
        value, opacity, _ = appearance_choices(stage.main.trigger)
        value, opacity = (
            stage.choice(choice, state) for choice, state in zip((value, opacity), self._state(stage), strict=True)
        )
        trigger = self._trigger(stage, stage.session.get(value), stage.session.get(opacity))
        _readouts(stage, places, trigger)
        with places.beside:
            self._pictures(stage, trigger)
            left, right = st.columns(2, gap="medium")
            left.slider("Pixel value of the trigger", 0, 255, **stage.session.widget(value))
            right.slider("Opacity (%)", 0, 100, **stage.session.widget(opacity))

    def numbers(self, stage: Stage) -> dict[str, Amount]:
        """The rates with the trained look and with the step's."""
        return _numbers(stage, self._trigger(stage, *self._state(stage)))
