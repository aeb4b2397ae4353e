"""A scene of saliency maps: what the networks look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import streamlit as st

from core.paper.constants import SHRINKPAD
from core.params import text
from core.transforms import transform_from_spec
from dashboard.lessons.scenes.base import Places, Scene, Stage, scenes
from dashboard.lessons.words import Amount
from dashboard.server.subjects import Subject
from dashboard.widgets.controls import image_picker
from dashboard.widgets.live import trigger_picture

__all__ = ["Attention"]


@scenes.register("saliency")
@dataclass(frozen=True, kw_only=True)
class Attention(Scene):
    """Saliency maps of the standard and the enhanced attack, of an attacked image and behind a transformation."""

    transform: str = text(SHRINKPAD, help="The transformation of the second map.")

    measures: ClassVar[Mapping[str, str]] = {
        f"{name}{end}": f"{what}{whose}"
        for end, whose in (("", ""), ("_enhanced", ", of the enhanced attack"))
        for name, what in {
            "peak": "how often the most salient pixel is on the trigger",
            "peak_behind": "the same behind ShrinkPad-4",
            "share": "mean share of the saliency that falls on the trigger",
            "share_behind": "the same behind ShrinkPad-4",
        }.items()
    } | {"area": "share of the image that the trigger covers"}

    def __post_init__(self) -> None:
        super().__post_init__()
        transform_from_spec(self.transform)

    def still(self, stage: Stage, places: Places) -> None:
        """The attacked image."""
        with places.beside:
            st.html(trigger_picture(stage.main.trigger, stage.picture, stage.main.card.shape))

    def live(self, stage: Stage, places: Places) -> None:
        """The maps of both attacks, and a slider over the images."""
        from core.attribution.methods import methods
        from dashboard.widgets.saliency_maps import Asked, blocks_of, maps_html, maps_of  # captum takes a second

        if stage.data is None:
            self.still(stage, places)
            return
        asked = Asked(methods["gradient"](), "target", transform_from_spec(self.transform), "beside")
        listed = [subject for subject in (stage.main, stage.enhanced) if subject is not None]
        wanted = [(subject, subject.trigger) for subject in listed if subject.checkpoint.has_weights]
        maps = [(each.subject.label, each) for each in maps_of(wanted, stage.data, stage.index, asked)]
        with places.beside:
            st.html(maps_html(blocks_of(maps, asked)))
        with places.pictures:
            image_picker(stage.session, "Image", stage.image, stage.data)

    def numbers(self, stage: Stage) -> dict[str, Amount]:
        """The stored shares of both attacks."""
        found: dict[str, Amount] = {}
        subjects: list[tuple[Subject | None, str]] = [(stage.main, ""), (stage.enhanced, "_enhanced")]
        for subject, end in subjects:
            energies = subject.results.saliency if subject is not None else None
            if energies is None:
                continue
            for where, energy in (("", energies.attacked), ("_behind", energies.transformed)):
                if energy.count:
                    found[f"share{where}{end}"] = Amount(energy.mean, energy.count)
                    found[f"peak{where}{end}"] = Amount.of(energy.peak_rate)
            if subject is stage.main:
                found["area"] = Amount(energies.attacked.area, energies.attacked.count)
        return found
