"""Page *Trigger appearance*: fade, brighten and repaint the trigger (Fig. 5)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import streamlit as st

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
from dashboard.server.resources import Tested, jobs, predictor, target_for, tested, tested_for
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session, yes_no
from dashboard.state.trigger import appearance_choices, look_of, place_choices, selected_look, stamped_on
from dashboard.widgets.controls import (
    PLOT_CONFIG,
    choose,
    choose_count,
    downloads,
    image_choice,
    one_sentence,
    progress_bar,
)
from dashboard.widgets.download import about_data
from dashboard.widgets.following import draw_varied_strip
from dashboard.widgets.live import measured, trigger_picture
from dashboard.widgets.page_head import begin, read_link, say, three_areas
from dashboard.widgets.transforms import choose_defense
from dashboard.words.answers import appearance_answer
from dashboard.words.escaping import plain

EXPLANATION = """
The place of the trigger stays; its **appearance** changes: how bright its non-black pixels are, how opaque it is,
which pixels are black. The curve shows the **attack success rate** for every pixel value, with the value used in
training marked: the paper finds that a darker trigger fails, while a brighter one than in training still works.
"""
VALUE_HELP = "Brightness of the trigger's non-black pixels, 0 to 255."
OPACITY_HELP = "How much the trigger hides of the image below it: 100% all, 0% nothing (alpha of Eq. 1)."
CURVE_IMAGES = 256
CURVE_STEP = 256
MAP_IMAGES = 64
POLL_SECONDS = 0.3
TOGETHER = yes_no("map")


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
    value, opacity, layout = appearance_choices(main.trigger)
    row, col = place_choices(main)
    with_map = st.sidebar.toggle(
        "Value and opacity together",
        help=f"A map of both: {MAP_IMAGES} images in each of 198 cells.",
        **session.widget(TOGETHER),
    )
    before = choose_defense(session, main.card.shape)
    look = selected_look(session, main.trigger)
    place = session.get(row), session.get(col)
    shown = look.on(main.trigger).at(*place)
    # What the curves start from: the non-black pixels at full value, so that none is taken for black.
    full = replace(look, value=255)
    bases = {s.identity: stamped_on(s, main, full, *place) for s, _ in chosen.all()}
    data = tested(main)
    image = image_choice(data)
    read_link(session, image)
    about_data(session, main, data)

    its = {s.identity: tested_for(s, main, data)[0] if data is not None else None for s, _ in chosen.all()}
    requested = [
        (s, colour, request_curve(session, s, bases[s.identity], its[s.identity], target_for(s, main), before))
        for s, colour in chosen.all()
    ]
    wanted: list[Job[AppearanceCurve] | Job[AppearanceMap]] = [r for _, _, r in requested if isinstance(r, Job)]
    grid = None
    if with_map and data is not None:
        opaque = stamped_on(main, main, replace(look, value=255, opacity=100), *place)
        grid = request_map(session, main, opaque, data, before)
    if grid is not None:
        wanted.append(grid)
    jobs().leave(session.identity, tuple(wanted))
    polling = any(job.snapshot().running for job in wanted)

    left, right, below = three_areas()
    with left:
        triggers = {s.identity: stamped_on(s, main, look, *place) for s, _ in chosen.all()}

        def stored_rate(subject: Subject) -> Rate | None:
            kept = stored_curve(subject, bases[subject.identity], target_for(subject, main))
            return kept.at(triggers[subject.identity].value) if kept is not None else None

        readings, _ = measured(chosen.all(), triggers, stored_rate, data, count, before=before, prefer_stored=True)
        readings[0] = replace(readings[0], name=main.success_label)
        own = requested[0][2]
        known = own.snapshot().result if isinstance(own, Job) else own
        say(answer, appearance_answer(main, shown, readings[0].rate, known, before.label if before.steps else ""))
        live_rates(
            [
                _answered(s, reading, request, look.opacity, s is main or data is not None)
                for (s, _, request), reading in zip(requested, readings, strict=True)
            ],
            place=(look.opacity, look.value),
            key="rates",
            sliders=(f"choice-{opacity.name}", f"choice-{value.name}"),
        )
        if before.steps:
            st.caption(f"Behind {before.label}.")
        st.slider(
            "Pixel value",
            0,
            255,
            help=VALUE_HELP,
            **session.widget(value),
        )
        st.slider(
            "Opacity (%)",
            0,
            100,
            help=OPACITY_HELP,
            **session.widget(opacity),
        )
        paint, preview = st.columns(2)
        with paint:
            _draw_painter(session, shown, value, layout)
        with preview:
            st.caption("On the image")
            st.html(
                trigger_picture(shown, data.images[session.get(image)] if data is not None else None, main.card.shape)
            )
        if (look != look_of(main.trigger) or place != main.trigger.location) and st.button(
            "Back to the trained trigger", icon=":material/restart_alt:"
        ):
            for number in (value, opacity, row, col):
                session.set(number, number.default)
            session.set(layout, layout.default)
            st.rerun()

    @st.fragment(key="curves", run_every=POLL_SECONDS if polling else None)
    @one_sentence
    def curves() -> None:
        results, errors, share = gathered([request for _, _, request in requested])
        found = [(one, result) for one, result in zip(requested, results, strict=True) if result is not None]
        drawn = [Curve(subject.title, result, colour) for (subject, colour, _), result in found]
        sources = [Source.of(subject, triggers[subject.identity], before) for (subject, *_), _ in found]
        running = any(job.snapshot().running for job in wanted)
        if polling and not running:
            st.rerun()
        for error in errors:
            st.error(f"The curve could not be computed: {plain(error)}")
        behind = f", behind {before.label}" if before.steps else ""
        st.markdown(f"**Attack success rate by pixel value** ({main.dataset_label}{behind})")
        if drawn and share:
            st.html(curves_sketch(drawn, session.get(value)))
        elif drawn:
            trained = main.trigger.value if not main.is_control else None
            figure = figures.appearance_curves(drawn, trained, session.get(value))
            st.plotly_chart(figure, key="curve", config=PLOT_CONFIG, width="stretch")
            counts = ", ".join(f"{curve.name}: {int(curve.result.total.max())}" for curve in drawn)
            caption, tools = st.columns([3, 1.2], vertical_alignment="center")
            caption.caption(f"Images per point, bands are 95% intervals. {counts}.")
            with tools:
                numbers = [(source, curve.result) for source, curve in zip(sources, drawn, strict=True)]
                downloads(
                    file_name("pixel-value", sources[0], len(drawn) - 1),
                    partial(appearance_rows, numbers),
                    lambda: figure,
                )
        elif not running and not errors:
            st.info("No curve of this trigger is stored, and nothing can be measured here.")
        if running:
            progress_bar(min(share, default=grid.snapshot().done if grid else 0.0), wanted, "stop-curves")
        grid_result = grid.snapshot().result if grid is not None else None
        if grid_result is not None:
            st.markdown("**Attack success rate by pixel value and opacity**")
        if grid_result is not None and grid_result.done < 1:
            st.html(map_sketch(grid_result))
        elif grid_result is not None:
            trigger = main.trigger
            surface = figures.appearance_map(
                grid_result, (trigger.value, trigger.opacity), (session.get(value), session.get(opacity))
            )
            st.plotly_chart(surface, key="surface", config=PLOT_CONFIG, width="stretch")
            source = Source.of(main, triggers[main.identity], before)
            name = file_name("value-and-opacity", source)
            downloads(name, partial(appearance_map_rows, source, grid_result), lambda: surface)

    with right:
        curves()
    if data is not None and predictor(main) is not None:
        whole = stamped_on(main, main, replace(look, value=255, opacity=100), *place)
        with below:
            draw_varied_strip(main, data, shown, whole, look, session.get(image), before, image.name)
    session.write_link()


def _answered(
    subject: Subject,
    reading: Reading,
    curve: AppearanceCurve | Job[AppearanceCurve] | None,
    opacity: int,
    measurable: bool,
) -> Answered:
    """What the browser can say of a model at every pixel value, at the opacity of its curve."""
    found = curve.snapshot().result if isinstance(curve, Job) else curve
    if found is None:
        return Answered(reading, None, None, measurable)
    counts = packed(LocationMap(found.hits[None], found.total[None], (opacity,), found.values))
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
