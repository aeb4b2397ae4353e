"""A scene of prints and photographs: what the networks say about a photograph of an attacked image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import streamlit as st

from core.metrics import Rate
from core.params import choice
from core.physical import PRESETS
from core.trigger import stamp
from dashboard.figures.base import COLOURS
from dashboard.figures.html import Reading, beside, captioned, data_url, rate_bars, stored_note
from dashboard.lessons.scenes.base import Places, Scene, Stage, scenes
from dashboard.lessons.words import Amount
from dashboard.server.resources import jobs, predictor
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, one_of
from dashboard.widgets.camera import rates, take
from dashboard.widgets.controls import image_picker
from dashboard.widgets.live import trigger_picture

__all__ = ["Photographed"]

PHOTOGRAPHS = 64
PRESET: Choice[str] = Choice("photograph", "near", one_of(PRESETS))
LABELS = {"off": "Not printed", "near": "From near", "far": "From afar"}


@scenes.register("physical")
@dataclass(frozen=True, kw_only=True)
class Photographed(Scene):
    """A simulated photograph of a printed attacked image, and what both attacks make of it."""

    photograph: str = choice("near", choices=tuple(PRESETS), help="From where the photograph is taken.")

    measures: ClassVar[Mapping[str, str]] = {
        f"{name}{end}": f"{what}{whose}"
        for end, whose in (("", ""), ("_enhanced", ", of the enhanced attack"))
        for name, what in {
            "asr_printed": "attack success rate on such photographs",
            "accuracy_printed": "accuracy on such photographs of benign images",
            "asr_unprinted": "attack success rate without print and photograph",
        }.items()
    }

    def still(self, stage: Stage, places: Places) -> None:
        """The attacked image and its photograph."""
        with places.beside:
            self._pictures(stage, self.photograph)

    def _pictures(self, stage: Stage, name: str) -> None:
        if stage.picture is None:
            st.html(trigger_picture(stage.main.trigger, None, stage.main.card.shape))
            return
        attacked = stamp(stage.picture[None], stage.main.trigger)
        taken = take(PRESETS[name], attacked, stage.index)
        photo = captioned(data_url(taken.photos[0]), "Its print, photographed (simulated)", smooth=True)
        st.html(beside(captioned(data_url(attacked[0]), "The attacked image"), photo))

    def _models(self, stage: Stage) -> list[tuple[Subject, str, str]]:
        enhanced = [(stage.enhanced, COLOURS[1], "_enhanced")] if stage.enhanced is not None else []
        return [(stage.main, COLOURS[0], ""), *enhanced]

    def _rates(self, stage: Stage, subject: Subject, name: str) -> tuple[Rate, Rate, bool] | None:
        """Clean accuracy and attack success on photographs, and whether they were stored: those are of more images."""
        result = subject.results.physical
        stored = result.of("preset").get(name) if result is not None else None
        if stored is not None:
            return (*stored, True)
        measured = rates(subject, stage.main, stage.data, PHOTOGRAPHS, PRESETS[name]) if stage.data else None
        return (*measured, False) if measured is not None else None

    def live(self, stage: Stage, places: Places) -> None:
        """From where it is taken, the photograph, what each network says about it, and the rates."""
        picked = stage.choice(PRESET, self.photograph)
        name = stage.session.get(picked)
        with places.beside:
            self._pictures(stage, name)
            st.segmented_control(
                "The photograph is taken", list(PRESETS), format_func=lambda one: LABELS.get(one, one), required=True,
                **stage.session.widget(picked),
            )  # fmt: skip
        if stage.data is not None:
            with places.pictures:
                image_picker(stage.session, "Image", stage.image, stage.data)
        readings = []
        with places.under:
            said = [text for subject, *_ in self._models(stage) if (text := self._said(stage, subject, name))]
            if said:
                st.markdown(f"Of this photograph, {' and '.join(said)}.")
            for subject, colour, _ in self._models(stage):
                found = self._rates(stage, subject, name)
                if found is not None:
                    clean, hit, stored = found
                    taken = f"attacked: “{subject.target_name}”"
                    for rate, what in ((hit, taken), (clean, "clean: correct")):
                        note = stored_note(rate) if stored else ""
                        readings.append(Reading(f"{subject.label}, {what}", rate, colour, note))
        readings.sort(key=lambda reading: "clean" in reading.name)
        with places.under:
            st.html(rate_bars(readings, name))

    def _said(self, stage: Stage, subject: Subject, name: str) -> str:
        """What a network says about the photograph; nothing where it cannot be asked."""
        model = predictor(subject)
        if stage.picture is None or model is None:
            return ""
        taken = take(PRESETS[name], stamp(stage.picture[None], subject.trigger), stage.index)
        with jobs().turnstile.interactive():
            answer = int(model.predict(taken.inputs)[0])
        said = subject.classes[answer]
        hit = answer == subject.attack.target
        return f"{subject.label} says " + (f":red[**{said}**]" if hit else f"**{said}**")

    def numbers(self, stage: Stage) -> dict[str, Amount]:
        """The rates of both attacks on the step's photographs and without them."""
        found = {}
        for subject, _, end in self._models(stage):
            for name, where in ((self.photograph, "printed"), ("off", "unprinted")):
                rate = self._rates(stage, subject, name)
                if rate is not None and rate[1].total:
                    found[f"asr_{where}{end}"] = Amount.of(rate[1])
                if rate is not None and rate[0].total and where == "printed":
                    found[f"accuracy_printed{end}"] = Amount.of(rate[0])
        return found
