"""Scenes that show no trigger: text alone, and benign images with what two networks say about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import streamlit as st

from core.metrics import Rate, clean_accuracy
from dashboard.figures.base import COLOURS
from dashboard.figures.html import Reading, Shown, data_url, rate_bars, stored_note, strip
from dashboard.lessons.scenes.base import COUNT, Places, Scene, Stage, scenes
from dashboard.lessons.words import Amount
from dashboard.server.predictions import predictions
from dashboard.server.subjects import Subject
from dashboard.widgets.controls import image_picker

__all__ = ["Benign", "Nothing"]

IMAGES = 12
"""Images that are shown at once: three rows of four fill the place of one large image."""


@scenes.register("none")
@dataclass(frozen=True, kw_only=True)
class Nothing(Scene):
    """Text alone."""


@scenes.register("benign")
@dataclass(frozen=True, kw_only=True)
class Benign(Scene):
    """Images without a trigger, and what network A (without a backdoor) and network B (with one) say about them."""

    measures: ClassVar[Mapping[str, str]] = {
        "right_a": "share of benign images that network A is right on",
        "right_b": "the same of network B",
        "kept_b": "the accuracy of network B as a share of that of network A, at most 100%",
    }

    def still(self, stage: Stage, places: Places) -> None:
        """The first images with both answers: it is what the question is about."""
        self._images(stage, places)

    def live(self, stage: Stage, places: Places) -> None:
        """The same with both accuracies, and a slider over the images."""
        readings = []
        for letter, subject, colour in self._networks(stage):
            measured = self._accuracy(stage, subject)
            rate = measured or subject.card.clean_accuracy or Rate(0, 0)
            note = "" if measured else stored_note(rate)
            readings.append(Reading(f"Network {letter} is right on", rate, colour, note))
        with places.under:
            st.html(rate_bars(readings))
        self._images(stage, places)
        if stage.data is not None:
            with places.pictures:
                image_picker(stage.session, "First image", stage.image, stage.data)

    def numbers(self, stage: Stage) -> dict[str, Amount]:
        """Both accuracies, measured here or as stored."""
        found = {}
        for letter, subject, _ in self._networks(stage):
            rate = self._accuracy(stage, subject) or subject.card.clean_accuracy
            if rate is not None and rate.total:
                found[f"right_{letter.lower()}"] = Amount.of(rate)
        if len(found) == 2 and found["right_a"].share:
            kept = min(1.0, found["right_b"].share / found["right_a"].share)
            found["kept_b"] = Amount(kept, found["right_b"].count)
        return found

    def _networks(self, stage: Stage) -> list[tuple[str, Subject, str]]:
        found = [("A", stage.control, COLOURS[2])] if stage.control is not None else []
        return [*found, ("B", stage.main, COLOURS[0])]

    def _accuracy(self, stage: Stage, subject: Subject) -> Rate | None:
        if stage.data is None:
            return None
        said = predictions(subject, None, stage.data, COUNT)
        return clean_accuracy(said, stage.data.clean.labels[:COUNT]) if said is not None else None

    def _images(self, stage: Stage, places: Places) -> None:
        if stage.data is None:
            return
        clean, classes = stage.data.clean, stage.main.classes
        start = max(0, min(stage.index, len(clean) - IMAGES))
        said = {
            letter: predictions(subject, None, stage.data, IMAGES, start)
            for letter, subject, _ in self._networks(stage)
        }
        shown = []
        for number, image in enumerate(clean.floats(slice(start, start + IMAGES))):
            answers = [f"{letter}: {classes[int(its[number])]}" for letter, its in said.items() if its is not None]
            truth = classes[int(clean.labels[start + number])]
            shown.append(Shown(data_url(image), answers[0] if answers else "", truth, False, "".join(answers[1:2])))
        with places.beside:
            st.html(strip(shown, stage.main.target_name))
