"""The printable sheet: benign and attacked images with registration marks, as PDF and PNG."""

from __future__ import annotations

import base64
import io
from functools import partial
from typing import Any

import streamlit as st
import torch
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from core.params import params_of
from core.physical import Sheet
from core.trigger import stamp
from dashboard.saving.names import Source, file_name
from dashboard.server.resources import Tested
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session
from dashboard.widgets.controls import image_picker
from dashboard.widgets.page_head import say
from dashboard.widgets.parameters import parameter_choice, parametrised
from dashboard.words.answers import sheet_answer

__all__ = ["draw_sheet", "sheet_choices"]

PREVIEW = 900


def sheet_choices() -> list[Choice[Any]]:
    """The selections of the sheet."""
    return [parameter_choice("sheet", name, param) for name, param in params_of(Sheet).items()]


def draw_sheet(session: Session, main: Subject, data: Tested, image: Choice[int], answer: DeltaGenerator) -> None:
    """Draws the controls, the page as it will be printed, and the buttons that save it; ``answer`` says what it has."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        sheet = parametrised(session, Sheet, "sheet")
        image_picker(session, "First of the images", image, data)
        page, attacked = _page(sheet, main, data, session.get(image))
        say(answer, sheet_answer(main, len(attacked) - sum(attacked), sum(attacked)))
        name = file_name("sheet", Source.of(main))
        for kind, mime in (("PDF", "application/pdf"), ("PNG", "image/png")):
            st.download_button(
                kind,
                partial(sheet.file, page, kind),
                f"{name}.{kind.lower()}",
                mime,
                key=f"sheet-{kind}",
                icon=":material/download:",
                on_click="ignore",
            )
        st.caption(
            f"Print it at 100 %: each image is {sheet.print_size:g} mm high. The square marks say which image is "
            "which, and where it lies; keep at least two of an image's four in the picture."
        )
    with right:
        st.html(
            f'<img src="{_preview(page)}" alt="the sheet" '
            'style="width:100%;border:1px solid #8888;border-radius:.25rem">'
        )


def _page(sheet: Sheet, main: Subject, data: Tested, start: int) -> tuple[Image.Image, list[bool]]:
    """Benign and attacked images, as many as fit: below each other where rows come in pairs, else side by side.

    Returns:
        The page, and whether each of its images is attacked.
    """
    height, width = main.card.shape[1:]
    (rows, cols), most = sheet.grid(width / height), sheet.capacity(width / height)
    if most == 1:
        label = main.classes[int(data.labels[start])]
        return sheet.page(stamp(data.images[start : start + 1], main.trigger), [f"{label}, attacked"]), [True]
    run = cols if rows % 2 == 0 else 1  # so many benign images, then the same ones attacked
    pairs = max(1, most // 2 // run) * run
    images = data.images[start : start + pairs]
    names = [main.classes[label] for label in data.labels[start : start + pairs].tolist()]
    prints, captions, attacked = [], [], list[bool]()
    for first in range(0, len(images), run):
        part, labels = images[first : first + run], names[first : first + run]
        prints += [part, stamp(part, main.trigger)]
        captions += [*labels, *(f"{name}, attacked" for name in labels)]
        attacked += [False] * len(labels) + [True] * len(labels)
    return sheet.page(torch.cat(prints)[:most], captions[:most]), attacked[:most]


def _preview(page: Image.Image) -> str:
    small = page.copy()
    small.thumbnail((PREVIEW, PREVIEW), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
