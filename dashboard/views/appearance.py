"""Page *Trigger appearance*: fade, brighten and repaint the trigger (Fig. 5)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.metrics import Rate
from core.sweeps.appearance import AppearanceCurve, AppearanceMap, appearance_map, appearance_sweep
from core.sweeps.location import LocationMap
from core.transforms import Compose
from core.trigger import Trigger
from dashboard.components.live_rates import Answered, live_rates
from dashboard.components.pattern_painter import MAX_SIDE, Painted, pattern_painter
from dashboard.figures import sweeps as figures
from dashboard.figures.html import Reading
from dashboard.figures.preview import curves_sketch, map_sketch
from dashboard.figures.sweeps import Curve
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import appearance_map_rows, appearance_rows
from dashboard.server.jobs import Job, gathered
from dashboard.server.places import addressed, packed
from dashboard.server.resources import Tested, jobs, predictor, target_for, tested
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session, yes_no
from dashboard.state.trigger import appearance_choices, look_of, place_choices, selected_look
from dashboard.widgets.controls import (
    OPACITY_HELP,
    VALUE_HELP,
    choose,
    choose_count,
    image_choice,
    one_sentence,
    progress_bar,
)
from dashboard.widgets.download import about_data
from dashboard.widgets.following import draw_varied_strip
from dashboard.widgets.live import measured, trigger_picture
from dashboard.widgets.page_head import begin, read_link, say, three_areas
from dashboard.widgets.save_menu import PLOT_CONFIG, downloads
from dashboard.widgets.selection import Selection
from dashboard.widgets.transforms import choose_defense
from dashboard.words.answers import appearance_answer
from dashboard.words.escaping import plain

EXPLANATION = """
The place of the trigger stays; its **appearance** changes: how bright its non-black pixels are, how opaque it is,
which pixels are black. The curve shows the **attack success rate** for every pixel value, with the value used in
training marked: the paper finds that a darker trigger fails, while a brighter one than in training still works.
"""
CURVE_IMAGES = 256
CURVE_STEP = 256
MAP_IMAGES = 64
POLL_SECONDS = 0.3
TOGETHER = yes_no("map")


@dataclass(frozen=True)
class Placed(Selection):
    """What is selected, the place of the trigger (row and column) too."""

    place: tuple[int, int]

    def trigger(self, subject: Subject) -> Trigger:
        """What is stamped for a model."""
        return self.stamped(subject, self.place)

    def base(self, subject: Subject) -> Trigger:
        """What a curve starts from: the non-black pixels at full value, so that none is taken for black."""
        return self.stamped(subject, self.place, replace(self.look, value=255))

    def opaque(self) -> Trigger:
        """What the map starts from: value and opacity in full."""
        return self.stamped(self.main, self.place, replace(self.look, value=255, opacity=100))

    def stored_curve(self, subject: Subject) -> AppearanceCurve | None:
        """The stored curve of a model, if it is of this target and of this trigger but for its value."""
        return stored_curve(subject, self.base(subject), target_for(subject, self.main))


@dataclass(frozen=True)
class Requested:
    """Curves and map of the page: stored, or being computed.

    Attributes:
        curves: Each model with its colour and its curve, a job that computes it, or None where it is not to be had.
        surface: The job that measures value and opacity together, or None where that is not wanted.
    """

    curves: list[tuple[Subject, str, AppearanceCurve | Job[AppearanceCurve] | None]]
    surface: Job[AppearanceMap] | None

    @property
    def jobs(self) -> tuple[Job[AppearanceCurve] | Job[AppearanceMap], ...]:
        """What is being computed."""
        curves = [curve for *_, curve in self.curves if isinstance(curve, Job)]
        return (*curves, *([self.surface] if self.surface is not None else []))

    @property
    def running(self) -> bool:
        """Whether any of it is under way."""
        return any(job.snapshot().running for job in self.jobs)

    def known(self) -> AppearanceCurve | None:
        """What there is of the main model's curve."""
        curve = self.curves[0][2]
        return curve.snapshot().result if isinstance(curve, Job) else curve


def stored_curve(subject: Subject, base: Trigger, target: int) -> AppearanceCurve | None:
    """The stored curve of a model, if it is of this target and of this trigger but for its value, which is varied."""
    return subject.results.appearance_of(base.with_value(subject.trigger.value / 255), target)


def request_curve(
    session: Session, subject: Subject, base: Trigger, data: Tested | None, target: int, before: Compose
) -> AppearanceCurve | Job[AppearanceCurve] | None:
    """The stored curve, or a job that computes one where that is possible."""
    stored = stored_curve(subject, base, target) if not before.steps else None
    if stored is not None or data is None:
        return stored
    model = predictor(subject)
    if model is None:
        return None
    images = data.images[:CURVE_IMAGES]
    return jobs().request(
        ("appearance", subject.weights, base.fingerprint, data.name, len(images), target, before.spec),
        AppearanceCurve,
        lambda: appearance_sweep(
            model.predict, images, base, target, before=before.seeded(), passes_per_step=CURVE_STEP
        ),
        session.identity,
    )


def request_map(
    session: Session, subject: Subject, base: Trigger, data: Tested, before: Compose
) -> Job[AppearanceMap] | None:
    """A job that measures value and opacity together; ``base`` has both in full."""
    model = predictor(subject)
    if model is None:
        return None
    images, target = data.images[:MAP_IMAGES], subject.attack.target
    return jobs().request(
        ("value and opacity", subject.weights, base.fingerprint, data.name, len(images), before.spec),
        AppearanceMap,
        lambda: appearance_map(model.predict, images, base, target, before=before.seeded(), passes_per_step=CURVE_STEP),
        session.identity,
    )


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Trigger appearance", EXPLANATION)
    chosen = choose(session)
    if chosen is None:
        return
    main = chosen.main
    count = choose_count(session)
    with_map = st.sidebar.toggle(
        "Value and opacity together",
        help=f"A map of both: {MAP_IMAGES} images in each of 198 cells.",
        **session.widget(TOGETHER),
    )
    before = choose_defense(session, main.card.shape)
    row, col = place_choices(main)
    look, place = selected_look(session, main.trigger), (session.get(row), session.get(col))
    data = tested(main)
    selection = Placed(chosen, look, before, data, image_choice(data), place)
    read_link(session, selection.image)
    about_data(session, main, data)

    curves = [
        (s, colour, request_curve(session, s, selection.base(s), selection.images(s), target_for(s, main), before))
        for s, colour in chosen.all()
    ]
    surface = request_map(session, main, selection.opaque(), data, before) if with_map and data is not None else None
    requested = Requested(curves, surface)
    jobs().leave(session.identity, requested.jobs)

    left, right, below = three_areas()
    with left:
        _draw_rates(selection, requested, count, answer)
        _draw_trigger(session, selection)
    with right:
        _draw_measured(session, selection, requested)
    if data is not None and predictor(main) is not None:
        with below:
            draw_varied_strip(
                main, data, selection.trigger(main), selection.opaque(), look, session.get(selection.image), before,
                selection.image.name,
            )  # fmt: skip
    session.write_link()


def _draw_rates(selection: Placed, requested: Requested, count: int, answer: DeltaGenerator) -> None:
    """The rates of the models, which follow the sliders, and what the page answers."""
    main, look, before = selection.main, selection.look, selection.before
    value, opacity, _ = appearance_choices(main.trigger)
    triggers = {s.identity: selection.trigger(s) for s, _ in selection.chosen.all()}

    def stored_rate(subject: Subject) -> Rate | None:
        curve = selection.stored_curve(subject)
        return curve.at(triggers[subject.identity].value) if curve is not None else None

    readings, _ = measured(
        selection.chosen.all(), triggers, stored_rate, selection.data, count, before=before, prefer_stored=True
    )
    readings[0] = replace(readings[0], name=main.success_label)
    defense = before.label if before.steps else ""
    say(answer, appearance_answer(main, triggers[main.identity], readings[0].rate, requested.known(), defense))
    live_rates(
        [
            _answered(s, reading, curve, look.opacity, s is main or selection.data is not None)
            for (s, _, curve), reading in zip(requested.curves, readings, strict=True)
        ],
        place=(look.opacity, look.value),
        key="rates",
        sliders=(f"choice-{opacity.name}", f"choice-{value.name}"),
    )
    if before.steps:
        st.caption(f"Behind {before.label}.")


def _draw_trigger(session: Session, selection: Placed) -> None:
    """Sliders, painter and picture of the trigger, and the way back to the trained one."""
    main, data, trigger = selection.main, selection.data, selection.trigger(selection.main)
    value, opacity, layout = appearance_choices(main.trigger)
    st.slider("Pixel value", 0, 255, help=VALUE_HELP, **session.widget(value))
    st.slider("Opacity (%)", 0, 100, help=OPACITY_HELP, **session.widget(opacity))
    paint, preview = st.columns(2)
    with paint:
        _draw_painter(session, trigger, value, layout)
    with preview, st.container(key="as-it-looks"):
        st.caption("On the image")
        image = data.images[session.get(selection.image)] if data is not None else None
        st.html(trigger_picture(trigger, image, main.card.shape))
    changed = selection.look != look_of(main.trigger) or selection.place != main.trigger.location
    if changed and st.button("Back to the trained trigger", icon=":material/restart_alt:"):
        for number in (value, opacity, *place_choices(main)):
            session.set(number, number.default)
        session.set(layout, layout.default)
        st.rerun()


def _draw_measured(session: Session, selection: Placed, requested: Requested) -> None:
    """Curves over the pixel value, and the map of value and opacity, while they are measured."""
    polling = requested.running

    @st.fragment(key="curves", run_every=POLL_SECONDS if polling else None)
    @one_sentence
    def curves() -> None:
        running, surface = requested.running, requested.surface
        results, errors, share = gathered([curve for *_, curve in requested.curves])
        if polling and not running:
            st.rerun()
        for error in errors:
            st.error(f"The curve could not be computed: {plain(error)}")
        st.markdown(f"**Attack success rate by pixel value** ({selection.main.dataset_label}{selection.behind})")
        drawn = [
            (Curve(subject.title, result, colour), Source.of(subject, selection.trigger(subject), selection.before))
            for (subject, colour, _), result in zip(requested.curves, results, strict=True)
            if result is not None
        ]
        if drawn and share:
            value, *_ = appearance_choices(selection.main.trigger)
            st.html(curves_sketch([curve for curve, _ in drawn], session.get(value)))
        elif drawn:
            _draw_curves(session, selection, drawn)
        elif not running and not errors:
            st.info("No curve of this trigger is stored, and nothing can be measured here.")
        if running:
            done = min(share, default=surface.snapshot().done if surface else 0.0)
            progress_bar(done, requested.jobs, "stop-curves")
        result = surface.snapshot().result if surface is not None else None
        if result is not None:
            _draw_surface(session, selection, result)

    curves()


def _draw_curves(session: Session, selection: Placed, drawn: Sequence[tuple[Curve, Source]]) -> None:
    """Finished curves over the pixel value, with the trained value marked."""
    main, (value, *_) = selection.main, appearance_choices(selection.main.trigger)
    curves = [curve for curve, _ in drawn]
    trained = main.trigger.value if not main.is_control else None
    figure = figures.appearance_curves(curves, trained, session.get(value))
    st.plotly_chart(figure, key="curve", config=PLOT_CONFIG, width="stretch")
    counts = ", ".join(f"{curve.name}: {int(curve.result.total.max())}" for curve in curves)
    caption, tools = st.columns([3, 1.2], vertical_alignment="center")
    caption.caption(f"Images per point, bands are 95% intervals. {counts}.")
    with tools:
        numbers = [(source, curve.result) for curve, source in drawn]
        name = file_name("pixel-value", numbers[0][0], len(drawn) - 1)
        downloads(name, partial(appearance_rows, numbers), lambda: figure)


def _draw_surface(session: Session, selection: Placed, result: AppearanceMap) -> None:
    """Success over value and opacity; a sketch of it as long as it is measured."""
    st.markdown("**Attack success rate by pixel value and opacity**")
    if result.done < 1:
        st.html(map_sketch(result))
        return
    main, (value, opacity, _) = selection.main, appearance_choices(selection.main.trigger)
    trained, now = (main.trigger.value, main.trigger.opacity), (session.get(value), session.get(opacity))
    figure = figures.appearance_map(result, trained, now)
    st.plotly_chart(figure, key="surface", config=PLOT_CONFIG, width="stretch")
    source = Source.of(main, selection.trigger(main), selection.before)
    downloads(file_name("value-and-opacity", source), partial(appearance_map_rows, source, result), lambda: figure)


def _answered(
    subject: Subject,
    reading: Reading,
    curve: AppearanceCurve | Job[AppearanceCurve] | None,
    opacity: int,
    measurable: bool,
) -> Answered:
    """What the browser can say of a model at every pixel value, at the opacity of its curve."""
    result = curve.snapshot().result if isinstance(curve, Job) else curve
    if result is None:
        return Answered(reading, None, None, measurable)
    counts = packed(LocationMap(result.hits[None], result.total[None], (opacity,), result.values))
    if isinstance(curve, Job):
        return Answered(reading, None, counts, measurable)
    file = addressed(json.dumps(counts).encode(), "application/json", f"curve {subject.identity}")
    return Answered(reading, file, None, measurable)


def _draw_painter(session: Session, shown: Trigger, value: Choice[int], layout: Choice[str]) -> None:
    if max(shown.height, shown.width) > MAX_SIDE:
        return

    def painted(new: Painted) -> None:
        session.set(layout, new.pattern)

    st.caption("Pattern: click to paint")
    pattern_painter(
        pattern=session.get(layout),
        height=shown.height,
        width=shown.width,
        value=session.get(value),
        key="painter",
        on_paint=painted,
    )
