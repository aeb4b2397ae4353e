"""Rates and images that follow the trigger: what the browser knows of every place, and what the server measures.

One place has one rate: of what is stored, what a map has so far and what somebody measured there, that on most images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import wraps

import numpy as np
import numpy.typing as npt
import streamlit as st

from core import formatting
from core.metrics import Rate
from core.store.card_images import other_images
from core.sweeps.location import LocationMap
from core.sweeps.place_classes import UNKNOWN, PlaceClasses
from core.transforms import Compose
from core.trigger import Trigger, stamp
from dashboard.components.live_rates import Answer, Answered, live_rates
from dashboard.components.live_strip import STEP, live_strip
from dashboard.figures.html import Reading, png_row, stored_note
from dashboard.server.places import Stored, addressed, fits, packed, stored_look, visited
from dashboard.server.predictions import predictions, success
from dashboard.server.resources import Tested, jobs, predictor, target_for, tested_for
from dashboard.server.subjects import Subject
from dashboard.state.session import Session
from dashboard.state.trigger import Look
from dashboard.widgets.live import rgba

__all__ = [
    "Followed",
    "draw_following_strip",
    "draw_rates",
    "draw_varied_strip",
    "follow",
    "images_of_a_step",
    "in_turn",
]

# Images of a step of a drag, where not all are taken, by how many users drag at once, from so many on. Of few users
# only the models beside the one under study take fewer.
DRAG_IMAGES = {1: 64, 10: 32, 20: 16}
CROWD = 3


@dataclass(frozen=True)
class Followed:
    """One model of the page, with its trigger at the place that the script knows.

    Attributes:
        subject: The model.
        trigger: What is stamped.
        target: The label that counts as success.
        stored: What is stored of the look.
        live: What a map has so far and what was measured here, or None.
        reading: Its rate there.
        measurable: Whether it can be measured here.
        data: The test images it is counted on, or None.
    """

    subject: Subject
    trigger: Trigger
    target: int
    stored: Stored
    live: LocationMap | None
    reading: Reading
    measurable: bool
    data: Tested | None

    @property
    def map(self) -> LocationMap | None:
        """Everything that is known of every place."""
        if self.live is None or self.stored.map is None:
            return self.live or self.stored.map
        if type(self.live) is not LocationMap:  # its intervals are its own
            return self.live.joined(self.stored.map)
        return self.stored.map.joined(self.live)


def images_of_a_step(session: Session, count: int) -> tuple[int, int]:
    """On how many images the model under study is measured now, and the models beside it.

    While the trigger is on its way, the others take fewer, so that it stays under the finger; where several users drag
    at once, so does the model under study, and all the fewer the more there are. When the trigger is let go, all take
    the full number.

    Args:
        session: Of the user.
        count: The full number.
    """
    if session.settled:
        return count, count
    users = jobs().crowd.dragging_with(session.identity)
    few = min(count, *(images for crowd, images in DRAG_IMAGES.items() if users >= crowd))
    return few if users >= CROWD else count, few


def in_turn(session: Session) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Decorator of what follows a trigger: while it is dragged, users draw in turn."""

    def decorate(draw: Callable[[], None]) -> Callable[[], None]:
        @wraps(draw)
        def run() -> None:
            with nullcontext() if session.settled else jobs().turns.turn():
                draw()

        return run

    return decorate


def follow(
    subject: Subject,
    main: Subject,
    colour: str,
    trigger: Trigger,
    data: Tested | None,
    drawn: LocationMap | None,
    before: Compose,
    count: int,
    *,
    dragged: bool,
) -> Followed:
    """Finds the rate of a model at a place; measures it where nothing is known, or too few images were taken.

    Args:
        subject: The model.
        main: The model under study.
        colour: Of the model.
        trigger: What is stamped, at the place.
        data: The test images of the main model, or None where they are not on this machine.
        drawn: The map that a job has so far, or None.
        before: A defense in front of the model; then nothing stored counts.
        count: Images of a measurement.
        dragged: Whether the trigger is on its way: then any number that is known will do.
    """
    target = target_for(subject, main)
    name = main.success_label if subject is main else subject.title
    home = (main if subject.is_control else subject).trigger.location
    stored = stored_look(subject, trigger, home, target) if not before.steps else Stored(None, None, None)
    images = tested_for(subject, main, data)[0] if data is not None else None
    if images is not None and other_images(subject.card, images.read):
        stored = Stored(None, None, None)  # of other images than these
    measurable = images is not None and predictor(subject) is not None
    rate = stored.map.at(*trigger.location) if stored.map is not None else Rate(0, 0)
    note, live = stored_note(rate), drawn
    if images is not None and measurable:
        seen = visited(subject, trigger, images, target, before)
        counts = seen.counts()
        live = counts if drawn is None else drawn.joined(counts)
        best = live.at(*trigger.location)
        if max(best.total, rate.total) < (1 if dragged else min(count, len(images))):
            predicted = predictions(subject, trigger, images, count, before=before)
            if predicted is not None:
                seen.note(*trigger.location, predicted)
                counts = seen.counts()
                live = counts if drawn is None else drawn.joined(counts)
                best = success(predicted, target)
        if best.total > rate.total:
            rate, note = best, _note(live, trigger.location, best)
    reading = Reading(name, rate, colour, note if rate.total else "")
    live = live if live is not None and live.total.any() else None
    return Followed(subject, trigger, target, stored, live, reading, measurable, images)


def _note(counts: LocationMap, place: tuple[int, int], rate: Rate) -> str:
    """The interval of a place as its map has it: an adaptive one is wider than that of a rate alone."""
    if place[0] not in counts.rows or place[1] not in counts.cols:  # between the places of a map of large images
        return f"95% interval {formatting.interval(rate.interval)} %, {rate.hits} of {rate.total} images"
    i, j = counts.rows.index(place[0]), counts.cols.index(place[1])
    low, high = (float(end[i, j]) for end in counts.interval)
    return f"95% interval {formatting.interval((low, high))} %, {counts.hits[i, j]} of {counts.total[i, j]} images"


def draw_rates(models: Sequence[Followed], place: tuple[int, int], *, sentence: bool = False) -> None:
    """The rates of a page's models, following the trigger; with ``sentence``, so does the one under the title."""
    live_rates(
        [
            Answered(
                model.reading,
                _address(model),
                packed(model.live) if model.live is not None else None,
                model.measurable,
            )
            for model in models
        ],
        place=place,
        key="rates",
        answer=Answer(models[0].subject.trigger.location, models[0].subject.target_name, models[0].subject.is_control)
        if sentence
        else None,
    )


def _address(model: Followed) -> str | None:
    return addressed(model.stored.file, "application/json", f"known {model.subject.identity}")


def draw_following_strip(main: Followed, image: int, before: Compose, select: str) -> None:
    """Ten test images around the one that is shown large, following the trigger; ``select`` is that one's name."""
    subject, data, table = main.subject, main.data, main.stored.classes
    if data is None and table is None:
        return
    # Without the images, the stored predictions are still those of the images that were there when it was measured.
    usable = table is not None and (data is None or fits(table, data, subject.card.classes))
    last = len(data) if data is not None else len(table.labels) if table is not None else 0
    start = min(image, last - 1) // STEP * STEP
    count = min(STEP, last - start)
    fixed = bool(before.steps)
    truths = (data.labels if data is not None else table.labels)[start : start + count].tolist()  # type: ignore[union-attr]
    rows, cols = main.trigger.at(*subject.trigger.location).mapped(*subject.card.shape[1:])
    answers, recent = _answers(main, table if usable else None, slice(start, start + count), before)
    if data is not None:
        images = data.images[start : start + count]
        sprite = addressed(
            png_row(before.seeded()(stamp(images, main.trigger)) if fixed else images), "image/png", "ten"
        )
    else:
        sprite = None

    def pick(index: int) -> None:
        st.session_state.selected[select] = index

    missing = f"{subject.dataset_label} is not on this machine: predictions are the stored ones, pictures are missing."
    live_strip(
        sprite=sprite,
        height=subject.card.shape[1],
        width=subject.card.shape[2],
        pattern=rgba(main.trigger),
        place=main.trigger.location,
        rows=rows,
        cols=cols,
        said=answers,
        file=_address(main) if usable else None,
        recent=recent,
        truths=truths,
        classes=subject.classes,
        target=main.target,
        start=start,
        selected=image - start,
        last=last,
        fixed=fixed,
        measurable=data is not None and main.measurable,
        lacks=missing if data is None else "",
        key="strip",
        on_pick=pick,
    )


def _answers(
    main: Followed, table: PlaceClasses | None, images: slice, before: Compose
) -> tuple[list[int] | None, npt.NDArray[np.uint8] | None]:
    """What the model says of some images where the trigger is, and of the places where it was, if that is not stored.

    Args:
        main: The model and its trigger.
        table: The stored predictions, if they are of these images.
        images: Which images.
        before: A defense in front of the model.

    Returns:
        Predicted classes ``(N,)`` or None; and uint8 ``(rows, cols, N)`` of the places that somebody has visited.
    """
    subject, data, (row, col) = main.subject, main.data, main.trigger.location
    if table is not None and images.stop <= len(table.labels) and row in table.rows and col in table.cols:
        return table.at(row, col)[images].tolist(), None
    if data is None or not main.measurable:
        return None, None
    count, recent = images.stop - images.start, None
    if not before.steps:
        recent = visited(subject, main.trigger, data, main.target, before).classes(images.start, count)
        rows, cols = main.trigger.at(*subject.trigger.location).mapped(*subject.card.shape[1:])
        if row in rows and col in cols:
            known = recent[rows.index(row), cols.index(col)]
            if (known != UNKNOWN).all():
                return known.tolist(), recent
    # A defense draws afresh for these ten, so that what is shown is what was predicted.
    predicted = predictions(subject, main.trigger, data, count, images.start, before)
    return (predicted.tolist() if predicted is not None else None), recent


def draw_varied_strip(
    subject: Subject, data: Tested, shown: Trigger, whole: Trigger, look: Look, image: int, before: Compose, select: str
) -> None:
    """Ten test images that follow the sliders of pixel value and opacity; what is said about them, when let go.

    Args:
        subject: The model.
        data: The test images.
        shown: The trigger as it is.
        whole: The same at full value and opacity.
        look: Value and opacity that the script knows.
        image: The image that is shown large.
        before: A defense in front of the model.
        select: Name of the selection of the image.
    """
    start = min(image, len(data) - 1) // STEP * STEP
    count = min(STEP, len(data) - start)
    images = data.images[start : start + count]
    predicted = predictions(subject, shown, data, count, start, before)
    place = (look.opacity, look.value)

    def pick(index: int) -> None:
        st.session_state.selected[select] = index

    pictures = before.seeded()(stamp(images, shown)) if before.steps else images
    live_strip(
        sprite=addressed(png_row(pictures), "image/png", "ten"),
        height=subject.card.shape[1],
        width=subject.card.shape[2],
        pattern=rgba(whole),
        place=place,
        rows=[place[0]],
        cols=[place[1]],
        said=predicted.tolist() if predicted is not None else None,
        file=None,
        recent=None,
        truths=data.labels[start : start + count].tolist(),
        classes=subject.classes,
        target=subject.attack.target,
        start=start,
        selected=image - start,
        last=len(data),
        fixed=bool(before.steps),
        measurable=True,
        lacks="",
        key="strip",
        on_pick=pick,
        at=shown.location,
    )
