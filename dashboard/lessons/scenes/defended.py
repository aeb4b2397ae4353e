"""Scenes behind a transformation: the standard attack, and beside it the one trained with transformations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import streamlit as st

from core.paper.constants import SHRINKPAD, TABLE_5
from core.params import text
from core.transforms import Compose, transform_from_spec
from core.trigger import stamp
from dashboard.figures.base import COLOURS
from dashboard.figures.html import Reading, beside, captioned, data_url, rate_bars
from dashboard.lessons.scenes.base import COUNT, Places, Scene, Stage, scenes
from dashboard.lessons.words import Amount
from dashboard.server.predictions import predictions
from dashboard.server.subjects import Subject
from dashboard.widgets.live import draw_strip, trigger_picture
from dashboard.widgets.transforms import BEFORE

__all__ = ["Defended", "EnhancedAttack"]

OFFERED = TABLE_5


@scenes.register("defense")
@dataclass(frozen=True, kw_only=True)
class Defended(Scene):
    """Attacked images that are transformed before the network sees them."""

    transform: str = text(SHRINKPAD, help="What is in front of the network, such as flip or flip,shrinkpad:4.")

    measures: ClassVar[Mapping[str, str]] = {
        "asr_without": "attack success rate without the transformation",
        "asr_behind": "attack success rate behind the transformation",
        "accuracy_without": "clean accuracy without the transformation",
        "accuracy_behind": "clean accuracy behind the transformation",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        transform_from_spec(self.transform)

    def _models(self, stage: Stage) -> list[tuple[Subject, str, str]]:
        """The models with their colours and the end of their numbers' names."""
        return [(stage.main, COLOURS[0], "")]

    def still(self, stage: Stage, places: Places) -> None:
        """One attacked image, and the same behind the transformation."""
        with places.beside:
            self._pictures(stage, transform_from_spec(self.transform))

    def _pictures(self, stage: Stage, before: Compose) -> None:
        if stage.picture is None:
            st.html(trigger_picture(stage.main.trigger, None, stage.main.card.shape))
            return
        attacked = stamp(stage.picture[None], stage.main.trigger)
        moved = before.seeded()(attacked)[0]
        behind = f"What the network gets: {before.label}" if before.steps else "What the network gets: the same"
        st.html(beside(captioned(data_url(attacked[0]), "An attacked image"), captioned(data_url(moved), behind)))

    def live(self, stage: Stage, places: Places) -> None:
        """A choice of transformations, the rates behind each, and ten images."""
        choice = stage.choice(BEFORE, transform_from_spec(self.transform).spec)
        offered = list(dict.fromkeys([*(transform_from_spec(spec).spec for spec in OFFERED), choice.default]))
        before = transform_from_spec(stage.session.get(choice))
        with places.beside:
            self._pictures(stage, before)
            st.segmented_control(
                "Before the network sees it", offered, required=True, **stage.session.widget(choice),
                format_func=lambda spec: transform_from_spec(spec).label if spec else "Nothing",
            )  # fmt: skip
        readings = []
        for subject, colour, _ in self._models(stage):
            rates = stage.defended(subject, before)
            if rates is not None:
                target = f"{subject.label}, attacked: “{subject.target_name}”"
                readings.append(Reading(target, rates.success, colour))
                readings.append(Reading(f"{subject.label}, clean: correct", rates.clean, colour))
        readings.sort(key=lambda reading: "clean" in reading.name)
        with places.under:
            st.html(rate_bars(readings, before.spec))
        last = self._models(stage)[-1][0]
        predicted = predictions(last, last.trigger, stage.data, COUNT, before=before) if stage.data else None
        if stage.data is not None and predicted is not None:
            with places.pictures:
                draw_strip(stage.index, last, stage.data, last.trigger, predicted, before)

    def numbers(self, stage: Stage) -> dict[str, Amount]:
        """The rates with and without the transformation."""
        found = {}
        for subject, _, end in self._models(stage):
            for before, where in ((Compose(), "without"), (transform_from_spec(self.transform), "behind")):
                rates = stage.defended(subject, before)
                for name, rate in zip(("accuracy", "asr"), rates or (), strict=False):
                    if rate.total:
                        found[f"{name}_{where}{end}"] = Amount.of(rate)
        return found


@scenes.register("enhanced")
@dataclass(frozen=True, kw_only=True)
class EnhancedAttack(Defended):
    """The same defense, and two attackers: a standard one, and one who trained with random transformations."""

    measures: ClassVar[Mapping[str, str]] = {
        **Defended.measures,
        **{f"{name}_enhanced": f"{what}, of the enhanced attack" for name, what in Defended.measures.items()},
    }

    def _models(self, stage: Stage) -> list[tuple[Subject, str, str]]:
        enhanced = [(stage.enhanced, COLOURS[1], "_enhanced")] if stage.enhanced is not None else []
        return [*super()._models(stage), *enhanced]

    def still(self, stage: Stage, places: Places) -> None:
        """An image on its way into the training set of the enhanced attack (Fig. 6)."""
        from core.runtime.seeding import generator_for
        from dashboard.views.enhanced import enhanced_of

        attack = enhanced_of(stage.enhanced or stage.main)
        shape = stage.main.card.shape
        image = stage.picture
        if image is None:
            self._pictures(stage, Compose())
            return
        stamped = stamp(image[None], attack.trigger(shape)).expand(9, -1, -1, -1)
        stamped = attack.enhancement.layer(stamped, generator_for(0, "pipeline"))
        with places.beside:
            cells = "".join(f'<img src="{data_url(one)}" alt="a poisoned training image">' for one in stamped)
            st.html(f'<div class="ts-nine">{cells}</div>')
            st.caption(
                f"One poisoned image as it is trained on, nine times, always labelled “{stage.main.target_name}”"
            )
