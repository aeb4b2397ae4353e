"""Page *Trigger location*: drag the trigger and watch the attack succeed or fail (Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from core import formatting
from core.metrics import Rate
from core.sweeps.adaptive import AdaptiveMap, adaptive_sweep
from core.sweeps.location import LocationMap
from core.transforms import Compose
from core.trigger import Trigger
from dashboard.components.location_map import Pick, location_map
from dashboard.figures import sweeps as figures
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import location_rows
from dashboard.server.jobs import Job, Snapshot
from dashboard.server.places import stored_look
from dashboard.server.resources import Tested, jobs, predictor, target_for, tested
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session, yes_no
from dashboard.state.trigger import appearance_choices, place_choices, selected_look
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
from dashboard.widgets.following import (
    Followed,
    draw_following_strip,
    draw_rates,
    follow,
    images_of_a_step,
    in_turn,
)
from dashboard.widgets.live import draw_pad
from dashboard.widgets.page_head import begin, lay_out, read_link, say
from dashboard.widgets.report import offer_report
from dashboard.widgets.save_menu import downloads
from dashboard.widgets.selection import Selection
from dashboard.widgets.transforms import choose_defense
from dashboard.words.escaping import plain

EXPLANATION = """
A backdoored model was trained to answer with one class, the **target**, whenever the small **trigger** is in the
corner. Here the trigger can be put anywhere: the **attack success rate** is the share of test images of *other* classes
that are then taken for the target, and the map shows it for every place. Move the trigger a few pixels and watch
whether the backdoor still fires; the **clean model** shows how often that happens without any backdoor.

Some maps have a regular grid of bright places: the network's layers move over the image in steps, together four pixels
in ResNet-20, so that a trigger moved by a multiple of four can look to them as it did in training.
"""
# Half width, in points, of the interval of every cell of a map that is computed here.
MAP_WIDTH = 5.0
# A drag waits for at most this many forward passes of a map that is being computed.
MAP_STEP = 256
POLL_SECONDS = 0.3
AGAIN = yes_no("measure-map")


@dataclass(frozen=True)
class Mapped:
    """A map to draw: stored, or being computed by a job."""

    subject: Subject
    stored: LocationMap | None
    job: Job[AdaptiveMap] | None

    def snapshot(self) -> Snapshot[LocationMap] | Snapshot[AdaptiveMap]:
        """The map now."""
        if self.job is not None:
            return self.job.snapshot()
        return Snapshot(self.stored, False, "", False, 0.0)


def stored_map(subject: Subject, shown: Trigger, target: int) -> LocationMap | None:
    """The stored map of a model, if it is of this target and of the trigger that is shown, wherever that is."""
    return stored_look(subject, shown, subject.trigger.location, target).map


def stored_rate(subject: Subject, stamped: Trigger, target: int) -> Rate | None:
    """The stored rate of a model with a trigger at its place, if there is one."""
    kept = stored_map(subject, stamped, target)
    return kept.at(*stamped.location) if kept is not None else None


def request_map(
    session: Session, subject: Subject, shown: Trigger, data: Tested | None, target: int, again: bool, before: Compose
) -> Mapped:
    """The stored map, or a job that computes one where that is possible."""
    stored = stored_look(subject, shown, shown.location, target).map if not before.steps else None
    if (stored is not None and not again) or data is None:
        return Mapped(subject, stored, None)
    model = predictor(subject)
    if model is None:
        return Mapped(subject, stored, None)
    images, fineness = data.images, (MAP_STEP, MAP_WIDTH)
    key = ("adaptive", subject.weights, shown.fingerprint, data.name, len(images), target, *fineness, before.spec)
    job = jobs().request(
        key,
        AdaptiveMap,
        lambda: adaptive_sweep(
            model.predict,
            images,
            shown,
            target,
            width=MAP_WIDTH,
            before=before.seeded() if before.steps else None,
            located=model.located,
            passes_per_step=MAP_STEP,
        ),
        session.identity,
    )
    return Mapped(subject, stored, job)


def images_of(result: LocationMap | AdaptiveMap) -> str:
    """How many images the measured places of a map have, and of how many where there are only so few."""
    measured = result.total[result.total > 0]
    fewest, most = int(measured.min()), int(measured.max())
    text = f"{fewest} to {most}" if fewest < most else f"{most}"
    return (
        f"{text} of {result.images} images" if isinstance(result, AdaptiveMap) and result.images else f"{text} images"
    )


def precision_of(result: LocationMap | AdaptiveMap) -> str:
    """How precisely a finished map knows its places."""
    short = int((~result.narrow).sum()) if isinstance(result, AdaptiveMap) else 0
    if short:
        return f"all there are, which is too few for ±{MAP_WIDTH:g} points in {short} of them"
    return f"as many as ±{MAP_WIDTH:g} points took"


@dataclass(frozen=True)
class Located(Selection):
    """What is selected; the place is read anew at every step of a drag.

    Attributes:
        count: Images of a measurement.
        row: The selection of the trigger's row.
        col: The selection of its column.
    """

    count: int
    row: Choice[int]
    col: Choice[int]

    def place(self, session: Session) -> tuple[int, int]:
        """Row and column as they are now."""
        return session.get(self.row), session.get(self.col)


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Trigger location", EXPLANATION)
    say(answer, "")  # written where the trigger is followed: in the browser
    models_area, look_area, defense_area = (st.sidebar.container() for _ in range(3))
    more = st.sidebar.expander("More")
    chosen = choose(session, place=models_area, more=more)
    if chosen is None:
        return
    main = chosen.main
    value, opacity, _ = appearance_choices(main.trigger)
    with look_area:
        st.slider(
            "Pixel value",
            0,
            255,
            help=VALUE_HELP,
            **session.widget(value),
        )
    before = choose_defense(session, main.card.shape, defense_area)
    with more:
        st.slider(
            "Opacity (%)",
            0,
            100,
            help=OPACITY_HELP,
            **session.widget(opacity),
        )
        count = choose_count(session, more)
        again = st.toggle(
            "Measure the map here",
            help=f"To ±{MAP_WIDTH:g} points, instead of the stored map.",
            **session.widget(AGAIN),
        )
    data = tested(main)
    selection = Located(
        chosen, selected_look(session, main.trigger), before, data, image_choice(data), count, *place_choices(main)
    )
    read_link(session, selection.row, selection.col, selection.image)
    about_data(session, main, data)
    mapped = [
        request_map(
            session,
            s,
            selection.stamped(s, main.trigger.location),
            selection.images(s),
            target_for(s, main),
            again,
            before,
        )
        for s in (main, chosen.other)
        if s is not None
    ]
    jobs().leave(session.identity, tuple(m.job for m in mapped if m.job is not None))
    with more:
        offer_report(session, main)
    lay_out(session, len(mapped))
    _draw_live(session, selection, mapped)


def _draw_live(session: Session, selection: Located, mapped: Sequence[Mapped]) -> None:
    """Pad, rates, maps and images, which follow the trigger."""
    main = selection.main
    polling = any(m.job is not None and m.job.snapshot().running for m in mapped)

    @st.fragment(key="live", run_every=POLL_SECONDS if polling else None)
    @one_sentence
    @in_turn(session)
    def live() -> None:
        snapshots = [m.snapshot() for m in mapped]
        if polling and not any(s.running for s in snapshots):
            st.rerun()
        place = selection.place(session)
        with st.container(key="live-grid"):
            rates, pad, maps, pictures = (
                st.container(key=f"live-{name}") for name in ("rates", "pad", "maps", "strip")
            )
            with rates:
                maps_so_far = {m.subject.identity: s.result for m, s in zip(mapped, snapshots, strict=True) if m.job}
                models = _follow(session, selection, place, maps_so_far)
                if selection.before.steps:
                    st.caption(f"Behind {selection.before.label}.")
                draw_rates(models, place, sentence=True)
            with maps:
                everything = {model.subject.identity: model.map for model in models}
                for column, m, snapshot in zip(st.columns(len(mapped)), mapped, snapshots, strict=True):
                    with column:
                        _draw_map(session, selection, m, snapshot, everything[m.subject.identity])
            with pictures:
                draw_following_strip(models[0], session.get(selection.image), selection.before, selection.image.name)
            # The pad is drawn last, into a container made first: what it acknowledges is on the page before it.
            with pad:
                trigger = selection.stamped(main, place)
                draw_pad(
                    session, main, trigger, selection.data, selection.row, selection.col, selection.image, slider=False
                )
        if session.settled:
            session.write_link()

    live()


def _follow(
    session: Session,
    selection: Located,
    place: tuple[int, int],
    maps_so_far: Mapping[str, LocationMap | AdaptiveMap | None],
) -> list[Followed]:
    """Every model of the page with its trigger at a place; the model under study first."""
    main_count, other_count = images_of_a_step(session, selection.count)
    return [
        follow(
            s,
            selection.main,
            colour,
            selection.stamped(s, place),
            selection.data,
            maps_so_far.get(s.identity),
            selection.before,
            main_count if s is selection.main else other_count,
            dragged=not session.settled,
        )
        for s, colour in selection.chosen.all()
    ]


def _draw_map(
    session: Session,
    selection: Located,
    mapped: Mapped,
    snapshot: Snapshot[LocationMap] | Snapshot[AdaptiveMap],
    known: LocationMap | None,
) -> None:
    """One map; ``known`` is what is known of all places, if anything."""
    # With what was measured at single places, so that the map and the numbers above say the same of each.
    subject, result = mapped.subject, (known or snapshot.result) if snapshot.result is not None else None
    if snapshot.error:
        st.error(f"The map could not be computed: {plain(snapshot.error)}")
    if result is None:
        if snapshot.running:
            st.caption(snapshot.waiting or "The first places are being measured ...")
        elif not snapshot.error:
            st.info("No map of this trigger is stored, and nothing can be measured here.")
        return

    def picked(pick: Pick) -> None:
        session.set(selection.row, pick.row)
        session.set(selection.col, pick.col)

    low, high = result.interval
    row, col = selection.place(session)
    source = Source.of(subject, selection.stamped(subject, (row, col)), selection.before)
    name = file_name("location", source)
    title = f"{subject.title}, {subject.dataset_label}{selection.behind}"
    location_map(
        rows=result.rows,
        cols=result.cols,
        hits=result.hits,
        total=result.total,
        low=low,
        high=high,
        row=row,
        col=col,
        trained=subject.trigger.location,
        key=f"map-{subject.identity}",
        on_pick=picked,
        title=title,
        filename=name,
    )
    with st.container(key=f"map-notes-{subject.identity}"):
        cells, tools = st.columns([3, 1.4], vertical_alignment="center")
        with cells:
            _draw_progress(mapped, snapshot, result)
        with tools:
            downloads(
                name,
                partial(location_rows, source, result),
                partial(figures.location_map, result, subject.trigger.location, title),
            )


def _draw_progress(
    mapped: Mapped, snapshot: Snapshot[LocationMap] | Snapshot[AdaptiveMap], result: LocationMap | AdaptiveMap
) -> None:
    """How far a map is and on how many images, below it."""
    images, share = images_of(result), formatting.progress(snapshot.done)
    if mapped.job is None:
        st.caption(f"Stored: {images} in each of {result.hits.size} places.")
    elif snapshot.running:
        text = f"{share} of the places known to ±{MAP_WIDTH:g} points"
        progress_bar(snapshot.done, [mapped.job], f"stop-{mapped.subject.identity}", text, width=5 / 3)
    elif snapshot.cancelled and snapshot.done < 1:
        st.caption(f"Stopped: {share} of the places are known to ±{MAP_WIDTH:g} points, {images} each.")
    else:
        st.caption(f"Measured here, {images} in each of {result.hits.size} places: {precision_of(result)}.")
