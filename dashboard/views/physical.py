"""Page *Physical attack*: print it, photograph it, classify it (Sec. 5.5; Fig. 11, 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from core import formatting
from core.data.natural import NATURAL
from core.inference.predictor import Predictor
from core.paper.claims import judge_physical
from core.paper.claims.physical import SHAPES
from core.paper.constants import PHOTOGRAPHED, PHOTOGRAPHS
from core.physical import Camera
from core.sweeps.physical import DISTANCES, MAP_IMAGES, YAWS, Condition, PhysicalResult, physical_sweep, placed
from core.trigger import stamp
from dashboard.figures import physical as physical_figures
from dashboard.figures.base import COLOURS
from dashboard.figures.html import Reading, beside, captioned, data_url, live_note, rate_bars, stored_note
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import factor_rows, place_rows
from dashboard.server.jobs import Job, gathered
from dashboard.server.limits import PHOTOGRAPHS_SERVED
from dashboard.server.resources import Tested, jobs, predictor, tested, tested_for
from dashboard.server.subjects import Subject, subjects
from dashboard.state.session import Choice, Session, one_of, yes_no
from dashboard.tables.attack_map import attacked_models
from dashboard.tables.claims import draw_verdicts
from dashboard.tables.placements import PICTURE, draw_placements
from dashboard.tables.rows import siblings
from dashboard.views.photo import PHOTO_CHOICES, draw_photo
from dashboard.views.printed import draw_sheet, sheet_choices
from dashboard.widgets.camera import (
    camera_controls,
    go_to,
    pair_of,
    preset_controls,
    rates,
    selected_camera,
    stored_rates,
    take,
)
from dashboard.widgets.controls import at_most, choose, image_choice, image_picker, one_sentence, progress_bar
from dashboard.widgets.download import about_data
from dashboard.widgets.live import draw_answers
from dashboard.widgets.page_head import begin, read_link, say
from dashboard.widgets.save_menu import PLOT_CONFIG, downloads
from dashboard.words.answers import photographs_answer
from dashboard.words.escaping import plain

EXPLANATION = """
An attacked image is **printed** and **photographed**, and the photograph is what the network gets, resized to its
input. The trigger is then no longer where and what it was in training: the sheet lies at some distance and angle, the
light has a colour, the lens blurs, the sensor adds noise. A **standard** attack was trained with one trigger at one
place; an **enhanced** one with moved and shrunk triggers. Switch the factors on and off to see which one breaks which.
"""
PARTS = {"simulated": "Simulated photographs", "sheet": "Printable sheet", "photo": "Your photograph"}
PART: Choice[str] = Choice("part", "simulated", one_of(PARTS))
COUNTS = (32, 64, 128, 256)
GROUPS = {"only": "One factor alone", "without": "All factors but one"}
GROUP: Choice[str] = Choice("factor-group", "only", one_of(GROUPS))
STRIP = 10
POLL_SECONDS = 0.5
Stored = Sequence[PhysicalResult | None]


def _count(session: Session) -> Choice[int]:
    """How many photographs each measurement takes."""
    allowed = at_most(COUNTS, PHOTOGRAPHS_SERVED, session.identity)
    return Choice("photos", 64, lambda text: int(one_of(map(str, allowed))(text)))


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Physical attack", EXPLANATION)
    chosen = choose(session, compare=False)
    if chosen is None:
        return
    main = chosen.main
    with st.sidebar:
        st.select_slider(
            "Photographs per measurement",
            at_most(COUNTS, PHOTOGRAPHS_SERVED, session.identity),
            **session.widget(_count(session)),
        )
    data = tested(main)
    image = image_choice(data)
    readable, _ = subjects()
    pair = pair_of(readable, main) or [main]
    camera = selected_camera(session)
    read_link(session, image, GROUP, PART, PICTURE, *sheet_choices(), *PHOTO_CHOICES)
    st.segmented_control(
        "Part", list(PARTS), format_func=lambda part: PARTS[part], required=True, label_visibility="collapsed",
        **session.widget(PART),
    )  # fmt: skip
    part = session.get(PART)
    if part == "photo":
        draw_photo(session, pair, camera, answer)
    else:
        about_data(session, main, data)
    if part == "sheet" and data is not None:
        draw_sheet(session, main, data, image, answer)
    if part == "simulated":
        if data is not None:
            st.session_state["camera-drawn"] = camera.spec
            _draw_live(session, pair, data, image, answer)
        of_the_paper = [s for s in siblings(readable, main, PHOTOGRAPHED) if not s.is_variant]
        each = {subject.identity: subject for subject in (*pair, *of_the_paper)}
        read = {identity: stored_photographs(subject) for identity, subject in each.items()}
        stored = [read[subject.identity] for subject in pair]
        measured = [(s, result) for s in of_the_paper if (result := read[s.identity]) is not None]
        _draw_places(session, pair, stored, data, camera)
        _draw_factors(session, pair, stored, [s.label for s, _ in measured])
        draw_placements(session, main, attacked_models(readable.values(), main))
        _draw_claims(of_the_paper, {s.attack.title: result for s, result in measured})
    session.write_link()


def _draw_live(
    session: Session, pair: Sequence[Subject], data: Tested, image: Choice[int], answer: DeltaGenerator
) -> None:
    @st.fragment(key="photographs")
    @one_sentence
    def live() -> None:
        preset_controls(session)
        left, right = st.columns([13, 8], gap="large")
        camera, index, count = selected_camera(session), session.get(image), session.get(_count(session))
        with left:
            pictures, words = st.columns([5, 4], gap="medium")
            taken = {}
            for subject in pair:
                fingerprint = subject.trigger.fingerprint
                if fingerprint not in taken:
                    taken[fingerprint] = take(camera, stamp(data.images[index : index + 1], subject.trigger), index)
            first = taken[pair[0].trigger.fingerprint]
            with pictures:
                attacked = stamp(data.images[index : index + 1], pair[0].trigger)[0]
                small = (
                    captioned(data_url(attacked), "The attacked image"),
                    captioned(data_url(first.inputs[0]), "What the network gets"),
                )
                st.html(beside(*small))
                st.html(captioned(data_url(first.photos[0]), "Its print, photographed (simulated)", smooth=True))
            with words:
                readings, hits = [], []
                for subject, colour in zip(pair, COLOURS, strict=False):
                    model = predictor(subject)
                    # The stored rates are on more photographs, and those that the table below has.
                    kept = stored_rates(subject, camera)
                    measured = kept or rates(subject, pair[0], data, count, camera)
                    if measured is None:
                        continue
                    if model is not None:  # else only what is stored is known
                        _draw_answer(subject, model, taken[subject.trigger.fingerprint].inputs)
                    taken_for = f"{subject.label}: simulated photographs taken for “{subject.target_name}”"
                    note = stored_note if kept else live_note
                    readings.append(Reading(taken_for, measured[1], colour, note(measured[1])))
                    clean = f"{subject.label}: clean accuracy on simulated photographs"
                    readings.append(Reading(clean, measured[0], colour, note(measured[0])))
                    hits.append((subject, measured[1]))
                say(answer, photographs_answer(hits))
                st.caption(f"True class: {pair[0].classes[int(data.labels[index])]}")
                readings.sort(key=lambda reading: "clean accuracy" in reading.name)
                st.html(rate_bars(readings, camera.spec))
            image_picker(session, "Image", image, data)
            _draw_strip(pair[-1], data, camera, index)
        with right:
            camera_controls(session)
        session.write_link()
        if camera.spec != st.session_state["camera-drawn"]:
            st.rerun()  # the maps below are of this camera

    live()


def _draw_answer(subject: Subject, model: Predictor, inputs: Tensor) -> None:
    """What a network says to the first photograph, in red where that is the target."""
    with jobs().turnstile.interactive():
        label = int(model.predict(inputs)[0])
    name = subject.classes[label]
    st.markdown(f"#### {subject.label} says " + (f":red[{name}]" if label == subject.attack.target else name))


def _draw_strip(subject: Subject, data: Tested, camera: Camera, start: int) -> None:
    """Some photographs as one network gets them, and what it says."""
    model = predictor(subject)
    if model is None:
        return
    images = take(camera, stamp(data.images[start : start + STRIP], subject.trigger), start).inputs
    with jobs().turnstile.interactive():
        answers = model.predict(images).tolist()
    st.markdown(f"**Simulated photographs of attacked images**, as {subject.label} gets them, and what it says")
    draw_answers(subject, images, data.labels[start : start + STRIP], answers)


def stored_photographs(subject: Subject) -> PhysicalResult | None:
    """The stored rates of a model, if they were measured with its own trigger."""
    return subject.results.physical


def _request_map(
    session: Session, subject: Subject, main: Subject, data: Tested, camera: Camera
) -> Job[PhysicalResult] | None:
    model = predictor(subject)
    if model is None:
        return None
    ways = [Condition("map", f"{d:g} {yaw:g}", placed(camera, d, yaw)) for d in DISTANCES for yaw in YAWS]
    data, target = tested_for(subject, main, data)
    images, trigger = data.clean.subset(slice(MAP_IMAGES)), subject.trigger
    return jobs().request(
        ("photographs", subject.weights, trigger.fingerprint, data.name, len(images), placed(camera, 1, 0).spec),
        PhysicalResult,
        lambda: physical_sweep(model.predict, images, trigger, target, ways, with_clean=False),
        session.identity,
    )


def _draw_places(
    session: Session, pair: Sequence[Subject], stored: Stored, data: Tested | None, camera: Camera
) -> None:
    """Success over distance and angle, of both attacks side by side."""
    st.markdown("### Over distance and angle, simulated")
    own = yes_no("measure-places", not any(stored))
    measured_here = data is not None and st.toggle(
        "Measure with the settings above",
        **session.widget(own),
        help=f"{MAP_IMAGES} test images at each place; the stored maps have the settings of “near”, "
        "but the sheet is not tilted, rotated or off centre in any map.",
    )
    requested: list[PhysicalResult | Job[PhysicalResult] | None] = []
    for subject, kept in zip(pair, stored, strict=True):
        requested.append(
            _request_map(session, subject, pair[0], data, camera) if measured_here and data is not None else kept
        )
    running = tuple(request for request in requested if isinstance(request, Job))
    jobs().leave(session.identity, running)
    polling = any(job.snapshot().running for job in running)

    @st.fragment(key="places", run_every=POLL_SECONDS if polling else None)
    @one_sentence
    def maps() -> None:
        results, errors, shares = gathered(requested)
        if polling and not any(job.snapshot().running for job in running):
            st.rerun()
        for error in errors:
            st.error(f"The map could not be measured: {plain(error)}")
        now = selected_camera(session)
        for column, subject, result in zip(st.columns(len(pair)), pair, results, strict=True):
            with column:
                st.markdown(f"**{subject.title}**")
                if result is None:
                    st.caption("Nothing is stored, and nothing is measured here." if not polling else "Measuring ...")
                    continue
                _draw_map(session, subject, result, (now.distance, now.yaw))
        if polling:
            progress_bar(min(shares, default=0.0), running, "stop-places")

    maps()


def _draw_map(session: Session, subject: Subject, result: PhysicalResult, now: tuple[float, float]) -> None:
    source = Source.of(subject)
    figure = physical_figures.place_map(result, now)
    event = st.plotly_chart(
        figure, key=f"places-{subject.identity}", config=PLOT_CONFIG, width="stretch", on_select="rerun",
        selection_mode="points",
    )  # fmt: skip
    points = event.selection.points if event else []
    picked = tuple(points[0]["customdata"][:2]) if points else None
    last = f"picked-{subject.identity}"
    if picked is not None and st.session_state.get(last) != picked:
        go_to(session, *picked)
        st.session_state[last] = picked
        st.rerun()
    if picked is None:
        st.session_state.pop(last, None)
    counts = [rate.total for rate in physical_figures.places_of(result).values()]
    caption, tools = st.columns([3, 1.4], vertical_alignment="center")
    if counts:
        images = str(max(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        caption.caption(
            f"{images} simulated photographs of each, not tilted, rotated or off centre. Click a place to go there."
        )
    with tools:
        places = physical_figures.places_of(result)
        downloads(file_name("photographs", source), partial(place_rows, [(source, places)]), lambda: figure)


def _draw_factors(session: Session, pair: Sequence[Subject], stored: Stored, others: Sequence[str]) -> None:
    """Which factor breaks which attack; where that is not stored, for which others it is."""
    named = [(s.label, result) for s, result in zip(pair, stored, strict=True) if result is not None]
    st.markdown("### Factor by factor, simulated")
    if not named:
        instead = f" Stored for: {', '.join(others)}." if others else ""
        command = f"python scripts/sweep.py physical --checkpoint {pair[0].key}"
        st.info(f"Nothing is stored for {pair[0].label}; measure it with: `{command}`.{instead}")
        return
    st.segmented_control(
        "Factors", list(GROUPS), format_func=lambda group: GROUPS[group], required=True, label_visibility="collapsed",
        **session.widget(GROUP),
    )  # fmt: skip
    group = session.get(GROUP)
    ends = {"off": "not printed"} if group == "only" else {"near": "all factors"}
    bars, words = st.columns([5, 4], gap="large")
    figure = physical_figures.factor_bars(named, group, ends)
    with bars:
        st.plotly_chart(figure, key="factors", config=PLOT_CONFIG, width="stretch")
        caption, tools = st.columns([3, 1.2], vertical_alignment="center")
        caption.caption(
            f"Stored: {int(named[0][1].total.max())} simulated photographs of each, as of “near”; 95% intervals. As "
            "long as the sheet fills the picture, a blur of less than a pixel of the photograph does not reach the "
            "network."
        )
        with tools:
            sources = [(Source.of(s), r) for s, r in zip(pair, stored, strict=True) if r is not None]
            name = file_name("photographs-by-factor", sources[0][0], len(sources) - 1)
            downloads(name, partial(factor_rows, sources), lambda: figure)
    with words:
        rows = [("off", "preset", "Not printed"), ("near", "preset", "Near"), ("far", "preset", "Far")]
        rows += [(name, "crop", f"{name.capitalize()}, print cropped") for name in PHOTOGRAPHS]
        rows += [(name, "perspective", f"{name.capitalize()}, seen straight") for name in PHOTOGRAPHS]
        rows += [(name, "area", f"{name.capitalize()}, antialiased") for name in PHOTOGRAPHS]
        table: dict[str, list[str]] = {"Simulated photograph": [text for *_, text in rows]}
        for label, result in named:
            pairs = [result.of(kind).get(name) for name, kind, _ in rows]
            successes = [formatting.percent(performance[1].value) if performance else "" for performance in pairs]
            table[f"{label}: attack success rate (%)"] = successes
            table[f"{label}: clean accuracy (%)"] = [
                formatting.percent(performance[0].value) if performance else "" for performance in pairs
            ]
        st.table(pd.DataFrame(table).set_index("Simulated photograph"), width="stretch")


def _draw_claims(of_the_paper: Sequence[Subject], measured: Mapping[str, PhysicalResult]) -> None:
    """The verdicts on the paper's two attacks, whichever is under study; also on pictures unlike the training's."""
    shapes = {s.attack.title: r for s in of_the_paper if (r := s.results.out_of_sample) is not None}
    natural = {s.attack.title: r for s in of_the_paper if (r := s.results.out_of_sample_natural) is not None}
    draw_verdicts(
        "What the paper says about it (Sec. 5.5), on simulated photographs",
        judge_physical(measured, {SHAPES: shapes, NATURAL: natural}),
    )
