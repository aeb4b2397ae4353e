"""Controls that several pages share: which models, which and how many images; errors and progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.models import models
from core.store.card_images import same_kind
from dashboard.components.image_picker import image_thumbnails
from dashboard.components.live_strip import STEP
from dashboard.figures.base import COLOURS
from dashboard.figures.html import png_row
from dashboard.server.jobs import Job, sentence
from dashboard.server.limits import IMAGES_SERVED
from dashboard.server.owner import is_owner
from dashboard.server.places import addressed
from dashboard.server.resources import MOST_IMAGES, Tested, jobs
from dashboard.server.subjects import CONTROL, Subject, dataset_label, repair_label, repairs_of, subjects
from dashboard.state.session import Choice, Session, if_chosen, integer_in, one_of
from dashboard.widgets.model_warnings import draw_warnings
from dashboard.words.escaping import plain

__all__ = [
    "GOES_ON",
    "IMAGES",
    "Chosen",
    "at_most",
    "choose",
    "choose_count",
    "image_choice",
    "image_picker",
    "model_choice",
    "one_sentence",
    "progress_bar",
]

log = logging.getLogger(__name__)

IMAGE_COUNTS = (64, 128, 256, 512, 1000)
IMAGES: Choice[int] = Choice("n", 256, lambda text: int(one_of(map(str, IMAGE_COUNTS))(text)))
NOBODY = "-"
VALUE_HELP = "Brightness of the trigger's non-black pixels, 0 to 255."
OPACITY_HELP = "How much the trigger hides of the image below it: 100% all, 0% nothing (alpha of Eq. 1)."
GOES_ON = "It goes on when this page is left. Should the server end meanwhile, it has to be started again."
# What a link without a model means: the attack of Fig. 4 and Fig. 5, on photographs where there are any.
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
        listed = [(self.main, COLOURS[0])]
        if self.other is not None:
            listed.append((self.other, COLOURS[1]))
        if self.control is not None:
            listed.append((self.control, COLOURS[2]))
        return listed


def one_sentence(page: Callable[[], None]) -> Callable[[], None]:
    """Decorator of a page or a fragment: what is wrong with files or data is said in one sentence, not a traceback."""

    @wraps(page)
    def run() -> None:
        try:
            page()
        except (ValueError, OSError) as error:
            if "identity" in st.session_state:
                jobs().leave(st.session_state.identity)  # nothing that the page asked for will be shown
            if isinstance(error, OSError):
                log.warning("a page could not be shown", exc_info=error)
            st.error(plain(sentence(error)), icon=":material/error:")

    return run


# What a session without a link opens with: an attack of which every page has results.
OPENED = ("cifar10/resnet20/badnets", "shapes10/resnet20/badnets")


def first_key(readable: dict[str, Subject], preferred: Sequence[str] = FIRST) -> str:
    """The model of a link that names none: one that can be measured here, if there is any."""
    ready = [key for key in readable if readable[key].dataset.available() and readable[key].checkpoint.has_weights]
    return next((key for key in preferred if key in ready), next(iter(ready), next(iter(readable), "")))


def opened_key(readable: dict[str, Subject]) -> str:
    """The model that a session begins with."""
    return first_key(readable, OPENED)


def model_choice(readable: Mapping[str, Subject], default: str) -> Choice[str]:
    """Which model a page is about; a link names it always, as another machine has other models."""

    def instead(text: str, shown: str) -> str:
        return f"The link names the model {text}, which is not stored here; {shown} is shown instead."

    return Choice("model", default, one_of(readable), always=True, instead=instead)


def choose(
    session: Session,
    *,
    compare: bool = True,
    repaired: bool = True,
    place: DeltaGenerator | None = None,
    more: DeltaGenerator | None = None,
    opened: Callable[[dict[str, Subject]], str] = opened_key,
) -> Chosen | None:
    """The model picker in the sidebar; None, with a message, where there is no model at all.

    Args:
        session: Holds the selection.
        compare: Whether a second model can be chosen.
        repaired: Whether a stored repair can take the model's place.
        place: Where the pickers are drawn; by default in the sidebar.
        more: Where those are drawn that few need; by default with the others.
        opened: The model that a session begins with, where no link and no page before says another.
    """
    place = place if place is not None else st.sidebar
    more = more if more is not None else place
    readable, damaged = subjects()
    for complaint in damaged.values():
        st.sidebar.warning(complaint, icon=":material/broken_image:")
    if not readable:
        st.info("There is no trained model yet. Make one with: `python scripts/train.py --attack badnets-gray`")
        return None
    choice = model_choice(readable, first_key(readable))
    if not session.came_by_link and choice.name not in st.session_state.selected:
        session.set(choice, opened(readable))
    _draw_parts(session, choice, readable, place, more)
    main = readable[session.get(choice)]
    with more:
        if repaired:
            main = _choose_repair(session, main)
        other = _choose_other(session, readable, main, draw=compare)
    control = _control_of(main, readable)
    if control is not None and control.key in (main.key, other.key if other else "") and not main.repair:
        control = None  # it is on the page already
    draw_warnings(one.card for one in (main, other) if one is not None)
    for subject in filter(None, (main, other)):
        if not subject.checkpoint.has_weights:
            place.info(
                f"Of {plain(subject.key)} only results are here, not its weights. This makes them: "
                f"`{subject.card.command}`",
                icon=":material/inventory_2:",
            )
    return Chosen(main, other, control)


def _draw_parts(
    session: Session, choice: Choice[str], readable: dict[str, Subject], place: DeltaGenerator, more: DeltaGenerator
) -> None:
    """A picker for each part of a model's key: its data set, its network, its attack."""
    parts = session.get(choice).split("/")

    def repick(position: int) -> None:
        wanted = list(parts)
        wanted[position] = st.session_state[f"pick-{position}"]
        # The nearest model that exists: equal in what was picked, then in as many other parts as possible.
        session.set(
            choice,
            max(readable, key=lambda k: (k.split("/")[position] == wanted[position], _agree(k, "/".join(wanted)))),
        )

    labels: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("Data set", dataset_label),
        ("Network", lambda name: models[name].label),
        ("Attack", lambda name: _attack_label(readable, parts, name)),
    )
    for position, (label, write) in enumerate(labels):
        with more if label == "Network" else place:
            same = [key for key in readable if key.split("/")[:position] == parts[:position]]
            options = sorted({key.split("/")[position] for key in same})
            key = f"pick-{position}"
            st.session_state[key] = parts[position]
            st.selectbox(label, options, key=key, format_func=write, on_change=if_chosen(key, repick), args=(position,))


def _choose_repair(session: Session, main: Subject) -> Subject:
    """The model as it is, or one of its stored repairs, where there is any to choose."""
    repairs = repairs_of(main)
    if not repairs:
        return main
    choice = Choice("repair", "", one_of(["", *repairs]))
    st.selectbox(
        "Repair the model",
        ["", *repairs],
        format_func=lambda name: repair_label(name) if name else "No repair",
        **session.widget(choice),
    )
    return replace(main, repair=session.get(choice))


def _choose_other(session: Session, readable: dict[str, Subject], main: Subject, *, draw: bool) -> Subject | None:
    """A second model of the same data and kind, or None; there is a picker where there is any, and it is wanted."""
    dataset = main.key.partition("/")[0]
    others = [
        key
        for key, subject in readable.items()
        if key.startswith(f"{dataset}/")
        and not subject.is_control
        and (key != main.key or main.repair)
        and same_kind(subject.card, main.card)
    ]
    if not others or not draw:
        return None
    compared = st.selectbox(
        "Compare with",
        [NOBODY, *others],
        format_func=lambda key: "No other model" if key == NOBODY else readable[key].title,
        **session.widget(Choice("compare", NOBODY, one_of([NOBODY, *others]))),
    )
    return readable.get(compared)


def _control_of(main: Subject, readable: dict[str, Subject]) -> Subject | None:
    """The clean model of the same network and data, or None; says so where it is of other images."""
    control = readable.get(f"{main.key.rpartition('/')[0]}/{CONTROL}")
    if control is not None and not same_kind(control.card, main.card):
        st.sidebar.warning(
            f"The clean model {control.key} is left out: it was trained on other classes or sizes of images.",
            icon=":material/difference:",
        )
        return None
    return control


def _agree(first: str, second: str) -> int:
    return sum(a == b for a, b in zip(first.split("/"), second.split("/"), strict=True))


def _attack_label(readable: dict[str, Subject], parts: list[str], name: str) -> str:
    subject = readable.get("/".join([*parts[:2], name]))
    return subject.label if subject else name


def choose_count(session: Session, place: DeltaGenerator | None = None) -> int:
    """How many images each live measurement takes; a slider in the sidebar, or where it is wanted."""
    allowed = at_most(IMAGE_COUNTS, IMAGES_SERVED, session.identity)
    choice = replace(IMAGES, parse=lambda text: int(one_of(map(str, allowed))(text)))
    (place if place is not None else st.sidebar).select_slider(
        "Images per measurement",
        allowed,
        help="More images: narrower interval, slower drag.",
        **session.widget(choice),
    )
    return session.get(choice)


def at_most(counts: Sequence[int], limit: int, session: str) -> tuple[int, ...]:
    """Of several numbers of images those that a session may measure with: all of them where it is the owner's."""
    return tuple(count for count in counts if count <= limit or is_owner(session))


def image_choice(data: Tested | None) -> Choice[int]:
    """Which test image is shown large."""
    return Choice("image", 0, integer_in(0, len(data) - 1 if data is not None else MOST_IMAGES - 1))


def image_picker(session: Session, label: str, choice: Choice[int], data: Tested) -> None:
    """Thumbnails of the test images, ten at a time, to pick one from; nothing where there is only one."""
    if len(data) < 2:
        return
    selected = session.get(choice)
    start = selected // STEP * STEP
    part = slice(start, start + STEP)
    image_thumbnails(
        label=label,
        sprite=addressed(png_row(data.images[part]), "image/png", "thumbnails") or "",
        names=[plain(data.read.classes[truth]) for truth in data.labels[part].tolist()],
        start=start,
        selected=selected,
        last=len(data),
        key=f"picker-{choice.name}",
        on_pick=lambda index: session.set(choice, index),
    )


def progress_bar(
    done: float,
    running: Sequence[Job[Any]],
    key: str,
    text: str = "Measuring ...",
    width: float = 4,
    *,
    stop: Callable[[], None] | None = None,
    stoppable: bool = True,
) -> None:
    """How far jobs are, or that they wait their turn, with a button that stops those that nobody else waits for.

    Args:
        done: Share that is done, 0 to 1.
        running: The jobs.
        key: Of the button.
        text: What is said where they are under way.
        width: Of the bar, in widths of the button.
        stop: What the button does; by default it stops the jobs.
        stoppable: Whether there is a button.
    """
    waiting = [job.snapshot().waiting for job in running if job.snapshot().running]
    text_now = waiting[0] if waiting and all(waiting) else text
    if not stoppable:
        st.progress(done, text_now)
        return
    bar, button = st.columns([width, 1], vertical_alignment="center")
    bar.progress(done, text_now)
    if button.button("Stop", key=key):
        if stop is None:
            jobs().stop(Session().identity, running)
        else:
            stop()
        st.rerun()
