"""Controls that several pages share: which model, which images, which trigger; downloads; missing data."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, Self

import plotly.graph_objects as go
import streamlit as st

from core.data import Dataset
from core.models import models
from core.trigger import Trigger
from dashboard import figures
from dashboard.resources import CONTROL, MOST_IMAGES, Subject, Tested, dataset_label, jobs, present, subjects
from dashboard.session import Choice, Session, integer_in, one_of

__all__ = [
    "IMAGES",
    "Chosen",
    "Look",
    "appearance_choices",
    "choose",
    "choose_count",
    "downloads",
    "explain",
    "image_choice",
    "look_for",
    "look_of",
    "offer_data",
    "one_sentence",
    "place_choices",
    "selected_look",
    "stamped_on",
]

IMAGE_COUNTS = (64, 128, 256, 512, 1000)
IMAGES: Choice[int] = Choice("n", 256, lambda text: int(one_of(map(str, IMAGE_COUNTS))(text)))
NOBODY = "-"
# Opened first: the attack of Fig. 4 and Fig. 5, on photographs where there are any.
FIRST = ("cifar10/resnet20/badnets-gray", "shapes10/resnet20/badnets-gray")


@dataclass(frozen=True)
class Chosen:
    """The models a page is about.

    Attributes:
        main: The model under study.
        other: A second one to compare with, or None.
        control: The clean model of the same network and data, or None where there is none.
    """

    main: Subject
    other: Subject | None
    control: Subject | None

    def all(self) -> list[tuple[Subject, str]]:
        """Each with its colour, the control last and never twice."""
        listed = [(self.main, figures.COLOURS[0])]
        if self.other is not None:
            listed.append((self.other, figures.COLOURS[1]))
        if self.control is not None:
            listed.append((self.control, figures.COLOURS[2]))
        return listed


def explain(text: str) -> None:
    """The "What am I looking at?" text of a page."""
    with st.expander("What am I looking at?", icon=":material/help:"):
        st.markdown(text)


def one_sentence(page: Callable[[], None]) -> Callable[[], None]:
    """Decorator of a page or a fragment: what is wrong with files or data is said in one sentence, not a traceback."""

    @wraps(page)
    def run() -> None:
        try:
            page()
        except (ValueError, OSError) as error:
            st.error(str(error), icon=":material/error:")

    return run


def first_key(found: dict[str, Subject]) -> str:
    """The model a new session opens with: one that can be measured here, if there is any."""
    ready = [key for key in found if found[key].dataset.available() and found[key].checkpoint.has_weights]
    return next((key for key in FIRST if key in ready), next(iter(ready), next(iter(found), "")))


def choose(session: Session) -> Chosen | None:
    """The model picker in the sidebar; None, with a message, where there is no model at all."""
    present(session.identity)
    found, damaged = subjects()
    for complaint in damaged.values():
        st.sidebar.warning(complaint, icon=":material/broken_image:")
    if not found:
        st.info("There is no trained model yet. Make one with: `python scripts/train.py --attack badnets-gray`")
        return None
    choice = Choice("model", first_key(found), one_of(found))
    key = session.get(choice)
    parts = key.split("/")

    def repick(position: int) -> None:
        wanted = list(parts)
        wanted[position] = st.session_state[f"pick-{position}"]
        # The nearest model that exists: equal in what was picked, then in as many other parts as possible.
        session.set(
            choice, max(found, key=lambda k: (k.split("/")[position] == wanted[position], _agree(k, "/".join(wanted))))
        )

    labels: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("Data set", dataset_label),
        ("Network", lambda name: models[name].label),
        ("Attack", lambda name: _attack_label(found, parts, name)),
    )
    with st.sidebar:
        for position, (label, write) in enumerate(labels):
            same = [k for k in found if k.split("/")[:position] == parts[:position]]
            options = sorted({k.split("/")[position] for k in same})
            st.session_state[f"pick-{position}"] = parts[position]
            st.selectbox(label, options, key=f"pick-{position}", format_func=write, on_change=repick, args=(position,))
        main = found[key]
        others = [k for k in found if k != key and k.startswith(f"{parts[0]}/") and not found[k].is_control]
        other_choice = Choice("compare", NOBODY, one_of([NOBODY, *others]))
        if others:
            compared = st.selectbox(
                "Compare with",
                [NOBODY, *others],
                format_func=lambda k: "nothing" if k == NOBODY else found[k].title,
                **session.widget(other_choice),
            )
        else:
            compared = NOBODY
    control = found.get(f"{parts[0]}/{parts[1]}/{CONTROL}")
    return Chosen(
        main, found.get(compared), control if control is not None and control.key not in (key, compared) else None
    )


def _agree(first: str, second: str) -> int:
    return sum(a == b for a, b in zip(first.split("/"), second.split("/"), strict=True))


def _attack_label(found: dict[str, Subject], parts: list[str], name: str) -> str:
    subject = found.get("/".join([*parts[:2], name]))
    return subject.attack.label if subject else name


def choose_count(session: Session) -> int:
    """How many images each live measurement takes."""
    return int(
        st.sidebar.select_slider(
            "Images per measurement",
            IMAGE_COUNTS,
            help="More images: narrower interval, slower drag.",
            **session.widget(IMAGES),
        )
    )


def appearance_choices(trigger: Trigger) -> tuple[Choice[int], Choice[int], Choice[str]]:
    """Pixel value, opacity and layout; their defaults are those of the trained trigger."""

    def layout(text: str) -> str:
        trigger.painted(text, 0, 0)
        if set(text) == {"."}:
            raise ValueError("a pattern with at least one pixel")
        return text

    def parse(text: str) -> str:
        try:
            return layout(text)
        except ValueError:
            raise ValueError(f"{trigger.height * trigger.width} characters of 0, 1 and . with a pixel in it") from None

    return (
        Choice("value", trigger.value, integer_in(0, 255)),
        Choice("opacity", trigger.opacity, integer_in(0, 100)),
        Choice("pattern", trigger.layout, parse),
    )


def image_choice(data: Tested | None) -> Choice[int]:
    """Which test image is shown large."""
    return Choice("image", 0, integer_in(0, len(data) - 1 if data is not None else MOST_IMAGES - 1))


def place_choices(subject: Subject) -> tuple[Choice[int], Choice[int]]:
    """Row and column of the trigger; their defaults are the trained location."""
    rows, cols = subject.trigger.places(*subject.card.shape[1:])
    return (
        Choice("row", subject.trigger.row, integer_in(rows[0], rows[-1])),
        Choice("col", subject.trigger.col, integer_in(cols[0], cols[-1])),
    )


@dataclass(frozen=True)
class Look:
    """The appearance that is selected: ``layout`` as in :attr:`core.trigger.Trigger.layout`, value 0 to 255, opacity in
    percent.
    """

    value: int
    opacity: int
    layout: str

    def on(self, trained: Trigger) -> Trigger:
        """A trained trigger with what differs changed, and the trained one itself where nothing does."""
        if self.layout != trained.layout:
            return trained.painted(self.layout, self.value, self.opacity)
        shown = trained if self.value == trained.value else trained.with_value(self.value / 255)
        return shown if self.opacity == trained.opacity else shown.with_opacity(self.opacity / 100)


def look_of(trigger: Trigger) -> Look:
    """The appearance of a trigger."""
    return Look(trigger.value, trigger.opacity, trigger.layout)


def selected_look(session: Session, trained: Trigger) -> Look:
    """The appearance as selected; by default the trained one."""
    value, opacity, layout = appearance_choices(trained)
    return Look(session.get(value), session.get(opacity), session.get(layout))


def look_for(subject: Subject, main: Subject, look: Look) -> Look:
    """The appearance that one of the models of a page gets, given the one selected for the main model.

    The clean model gets the main one's. A model to compare with gets the trigger it was trained with, with the same
    changes of value and opacity; once the pattern is repainted, every model gets that pattern.
    """
    trained, own = look_of(main.trigger), look_of(subject.trigger)
    if subject is main or subject.is_control or look.layout != trained.layout:
        return look
    return Look(
        own.value if look.value == trained.value else look.value,
        own.opacity if look.opacity == trained.opacity else look.opacity,
        own.layout,
    )


def stamped_on(subject: Subject, main: Subject, look: Look, row: int, col: int) -> Trigger:
    """The trigger that is stamped for one of the models of a page, at a place or the nearest that its box allows."""
    own = main.trigger if subject.is_control else subject.trigger
    wanted = look_for(subject, main, look)
    if len(wanted.layout) != own.height * own.width:
        own = main.trigger
    rows, cols = own.places(*subject.card.shape[1:])
    place = (min(max(at, span[0]), span[-1]) for at, span in ((row, rows), (col, cols)))
    return wanted.on(own).at(*place)


def downloads(name: str, rows: Callable[[], list[list[object]]], figure: Callable[[], go.Figure]) -> None:
    """A menu that offers a figure as HTML and its numbers as CSV; both are made when asked for."""
    with st.popover("Download", icon=":material/download:", type="tertiary"):
        st.download_button(
            "Numbers (CSV)",
            lambda: figures.to_csv(rows()),
            f"{name}.csv",
            "text/csv",
            key=f"{name}-csv",
            on_click="ignore",
        )
        st.download_button(
            "Figure (HTML)",
            lambda: figures.to_html(figure()),
            f"{name}.html",
            "text/html",
            key=f"{name}-html",
            on_click="ignore",
        )
        st.caption("PNG: the button on the figure itself.")


@dataclass(frozen=True)
class _Fetched:
    """How far a download is."""

    done: float

    def to_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        return cls(float(values["done"]))


def _fetch(dataset: Dataset) -> Iterator[_Fetched]:
    """Downloads in a thread of its own, yielding its progress; closing it ends the download at its next report."""
    reports: queue.Queue[float | Exception | None] = queue.Queue()
    stopped = threading.Event()

    def report(share: float) -> None:
        if stopped.is_set():
            raise OSError("the download was cancelled")
        reports.put(share)

    def run() -> None:
        try:
            dataset.download(report)
            reports.put(None)
        except Exception as error:
            reports.put(error)

    threading.Thread(target=run, daemon=True).start()
    done = 0.0
    item: float | Exception | None
    try:
        while True:
            try:
                item = reports.get(timeout=0.5)
            except queue.Empty:
                item = done  # nothing new: the caller may want to stop
            if isinstance(item, Exception):
                raise item
            if item is None:
                break
            done = min(item, 0.999)
            yield _Fetched(done)
        yield _Fetched(1.0)
    finally:
        stopped.set()


def offer_data(session: Session, subject: Subject) -> None:
    """Says that a data set is missing and fetches it at the press of a button, with progress and cancel."""
    key = ("download", subject.card.dataset)
    wanted = f"fetch-{subject.card.dataset}"
    label = dataset_label(subject.card.dataset)
    running = False
    if st.session_state.get(wanted):
        job = jobs().request(
            key, _Fetched, lambda: _fetch(subject.dataset), session.identity, heavy=False, cached=False
        )
        running = job.snapshot().running

    @st.fragment(key="fetch", run_every=0.5 if running else None)
    def progress() -> None:
        st.info(
            f"The images of {label} are not on this machine: what is stored is shown, nothing new is measured. "
            "Shapes-10 needs no download.",
            icon=":material/image_not_supported:",
        )
        if not st.session_state.get(wanted):
            if st.button(f"Fetch {label} (170 MB)", icon=":material/cloud_download:"):
                st.session_state[wanted] = True
                st.rerun()
            return
        job = jobs().request(
            key, _Fetched, lambda: _fetch(subject.dataset), session.identity, heavy=False, cached=False
        )
        snapshot = job.snapshot()
        if snapshot.running:
            st.progress(snapshot.done, f"Fetching {label}: {snapshot.done:.0%}")
            if st.button("Cancel", key="cancel-fetch"):
                job.cancel()
                st.session_state[wanted] = False
                st.rerun()
            return
        st.session_state[wanted] = False
        if snapshot.error:
            st.session_state["fetch-error"] = snapshot.error.partition(": ")[2] or snapshot.error
        st.rerun()

    progress()
    error = st.session_state.pop("fetch-error", "")
    if error:
        st.error(f"{label} could not be fetched: {error}", icon=":material/cloud_off:")
