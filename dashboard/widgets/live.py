"""What the pages have in common to show: success rates of their models, triggers and stamped images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import streamlit as st
import torch
from torch import Tensor

from core.metrics import Rate
from core.transforms import Compose
from core.trigger import Trigger, stamp
from dashboard.components.trigger_pad import Move, trigger_pad
from dashboard.figures.html import Reading, Shown, data_url, live_note, stored_note, strip
from dashboard.server.predictions import predictions, success
from dashboard.server.resources import Tested, tested_for
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session
from dashboard.widgets.controls import image_picker

__all__ = ["draw_answers", "draw_pad", "draw_strip", "measured", "rgba", "trigger_picture"]

STRIP = 10
# Gray ground of a picture whose image is not on this machine.
PLACEHOLDER = 0.55


def rgba(trigger: Trigger) -> npt.NDArray[np.uint8]:
    """A trigger's box as the pad wants it: uint8 ``(h, w, 4)``, opacity in the last channel."""
    colour = trigger.pattern if trigger.pattern.shape[0] == 3 else trigger.pattern[:1].expand(3, -1, -1)
    planes = torch.cat([colour, trigger.alpha.amax(0, keepdim=True)])
    pixels: npt.NDArray[np.uint8] = (planes * 255).round().byte().permute(1, 2, 0).numpy()
    return pixels


def measured(
    subjects: Sequence[tuple[Subject, str]],
    triggers: Mapping[str, Trigger],
    stored: Callable[[Subject], Rate | None],
    data: Tested | None,
    count: int,
    others: int | None = None,
    before: Compose | None = None,
    *,
    prefer_stored: bool = False,
) -> tuple[list[Reading], Tensor | None]:
    """Success rates of the models of a page: measured on the images, or as stored where that is impossible.

    Where both are there, the note of a measured rate says the stored one too.

    Args:
        subjects: The models with their colours, the one under study first.
        triggers: What is stamped for each, by key.
        stored: The stored rate of a model with its trigger, or None.
        data: The test images, or None where they are not on this machine.
        count: Images per measurement.
        others: Images per measurement of all but the first model, by default as many.
        before: A defense in front of every model; then nothing stored counts.
        prefer_stored: Whether a stored rate on as many images stands for a measurement.

    Returns:
        One reading per model, and the predictions of the first model if it was measured.
    """
    main = subjects[0][0]
    readings, first = [], None
    for subject, colour in subjects:
        name = f"{main.label}: images taken for “{main.target_name}”" if subject is main else subject.title
        images = count if subject is main or others is None else others
        predicted, target = None, main.attack.target
        kept = stored(subject) if not (before and before.steps) else None
        if data is not None and not (prefer_stored and kept is not None and kept.total >= images):
            images_of_it, target = tested_for(subject, main, data)
            predicted = predictions(subject, triggers[subject.identity], images_of_it, images, before=before)
        if predicted is not None:
            rate = success(predicted, target)
            readings.append(Reading(name, rate, colour, live_note(rate, kept)))
            first = predicted if subject is main else first
        elif kept is not None:
            readings.append(Reading(name, kept, colour, stored_note(kept)))
        else:
            readings.append(Reading(name, Rate(0, 0), colour))
    return readings, first


def draw_strip(
    start: int,
    subject: Subject,
    data: Tested,
    trigger: Trigger,
    predicted: Tensor | None,
    before: Compose | None = None,
) -> None:
    """Ten test images from ``start`` on, stamped, as the model gets them, each with what it says about it.

    What is predicted of the first images, if it is known, is not asked again.
    """
    images = stamp(data.images[start : start + STRIP], trigger)
    if before is not None and before.steps:
        # A defense draws afresh for these ten, so that what is shown is what was predicted.
        images = before.seeded()(images)
        answers = predictions(subject, trigger, data, STRIP, start, before)
    elif predicted is not None and start + STRIP <= len(predicted):
        answers = predicted[start : start + STRIP]
    else:
        answers = predictions(subject, trigger, data, STRIP, start)
    if answers is None:
        return
    draw_answers(subject, images, data.labels[start : start + STRIP], answers.tolist())


def draw_answers(subject: Subject, images: Tensor, labels: Tensor, answers: Sequence[int]) -> None:
    """Images ``(N, C, H, W)`` in [0, 1] in a row, each with its true class and what the model says."""
    classes, target = subject.classes, subject.attack.target
    shown = [
        Shown(data_url(image), classes[answer], classes[truth], answer == target)
        for image, answer, truth in zip(images, answers, labels.tolist(), strict=True)
    ]
    st.html(strip(shown, subject.target_name))


def draw_pad(
    session: Session,
    main: Subject,
    place: Trigger,
    data: Tested | None,
    row: Choice[int],
    col: Choice[int],
    image: Choice[int],
    *,
    slider: bool = True,
) -> None:
    """The trigger on a test image, to be dragged, and, if wanted, a slider over the images."""

    def moved(move: Move) -> None:
        session.set(row, move.row)
        session.set(col, move.col)
        session.settled = move.final

    height, width = main.card.shape[1:]
    rows, cols = place.places(height, width)
    trigger_pad(
        image=data_url(data.images[session.get(image)]) if data is not None else None,
        height=height,
        width=width,
        pattern=rgba(place),
        row=place.row,
        col=place.col,
        rows=(rows[0], rows[-1]),
        cols=(cols[0], cols[-1]),
        trained=main.trigger.location,
        key="pad",
        on_move=moved,
        label="The trigger on a test image",
    )
    if data is not None and slider:
        image_picker(session, "Image", image, data)


def trigger_picture(trigger: Trigger, image: Tensor | None, shape: tuple[int, int, int]) -> str:
    """HTML of one image with the trigger stamped, enlarged; on a gray ground where there is no image."""
    ground = image if image is not None else torch.full(shape, PLACEHOLDER)
    url = data_url(stamp(ground[None], trigger)[0])
    style = "width:100%;max-width:11rem;image-rendering:pixelated;border-radius:.25rem"
    return f'<img src="{url}" alt="test image with the trigger" style="{style}">'
