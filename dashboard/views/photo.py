"""A user's own photograph: of the printed sheet, found by its marks or by a dragged box, or of anything at all."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import streamlit as st
import torch
from PIL import Image
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from core import formatting
from core.attribution.methods import displayed, methods
from core.physical import FRAMINGS, LARGEST_FILE, Camera, Print, decoded_photo, found_in, rectified
from core.trigger import stamp
from dashboard.figures.base import COLOURS
from dashboard.figures.heatmap import heat
from dashboard.figures.html import beside, captioned, data_url, svg_image
from dashboard.server.resources import explained
from dashboard.server.subjects import Subject
from dashboard.server.uploads import FULL, is_full, pictures
from dashboard.state.session import Choice, Session, one_of
from dashboard.widgets.camera import chances, take
from dashboard.widgets.page_head import say
from dashboard.words.answers import own_photograph_answer

__all__ = ["PHOTO_CHOICES", "draw_photo"]

SOURCES = {"file": "Upload", "camera": "Webcam"}
SOURCE: Choice[str] = Choice("source", "file", one_of(SOURCES))
KINDS = {
    "sheet": "A photograph of the sheet",
    "picture": "Any picture: put the trigger on it, print and photograph it (simulated)",
}
KIND: Choice[str] = Choice("photo-of", "sheet", one_of(KINDS))
SEEN: dict[str, str] = {
    "picture": "The whole photograph",
    "crop": "The print, cropped",
    "perspective": "The print, straight",
}
FRAMING: Choice[str] = Choice("seen", "perspective", one_of(FRAMINGS))
PHOTO_CHOICES = (SOURCE, KIND, FRAMING)
SHOWN = 900
MOST_SAID = 3
TYPES = ["jpg", "jpeg", "png", "webp", "bmp"]


def draw_photo(session: Session, pair: Sequence[Subject], camera: Camera, place: DeltaGenerator) -> None:
    """Draws the page's part about photographs that the user brings; ``place`` says what the models answer."""
    left, right = st.columns([5, 6], gap="large")
    with left:
        st.segmented_control(
            "From", list(SOURCES), format_func=lambda name: SOURCES[name], required=True,
            label_visibility="collapsed", **session.widget(SOURCE),
        )  # fmt: skip
        if session.get(SOURCE) == "file":
            given = st.file_uploader(
                f"JPEG, PNG, WebP or BMP, up to {LARGEST_FILE // 2**20} MiB. It stays in memory, and is forgotten with "
                "this page.", type=TYPES,
            )  # fmt: skip
        else:
            given = st.camera_input("The picture stays in memory, and is forgotten with this page.")
        st.radio("What the picture is", list(KINDS), format_func=lambda name: KINDS[name], **session.widget(KIND))
    if given is None:
        say(place, own_photograph_answer([]))
        pictures().forget(session.identity)  # what was taken away is forgotten
        with right:
            if is_full():
                st.warning(FULL)
            st.info(
                "Print the sheet (*Printable sheet*), photograph one of its images with two or more of its marks in "
                "the picture, and bring the photograph here. Any other picture can be attacked, printed and "
                "photographed in simulation."
            )
        return
    height, width = pair[0].card.shape[1:]
    photo, prints = _read(session, given.getvalue(), width / height)
    with left, pictures().turn():
        if session.get(KIND) == "sheet":
            inputs = dict.fromkeys((subject.identity for subject in pair), _from_sheet(session, photo, prints, pair[0]))
        else:
            inputs = _any_picture(photo, pair, camera, (height, width))
    with right:
        answers = [(subject, _draw_answer(subject, inputs[subject.identity])) for subject in pair]
    say(place, own_photograph_answer([(subject, label) for subject, label in answers if label is not None]))


def _read(session: Session, file: bytes, aspect: float) -> tuple[npt.NDArray[np.uint8], Sequence[Print]]:
    """The photograph and the prints in it."""

    def decode() -> tuple[npt.NDArray[np.uint8], Sequence[Print]]:
        photo = decoded_photo(file)
        return photo, found_in(photo, aspect)

    read: tuple[npt.NDArray[np.uint8], Sequence[Print]] = pictures().read(session.identity, file, aspect, decode)
    return read


def _planes(photo: npt.NDArray[np.uint8], channels: int) -> Tensor:
    """A photograph as floats ``(1, C, h, w)``."""
    planes = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    return planes if channels == 3 else planes.mean(1, keepdim=True)


def _from_sheet(session: Session, photo: npt.NDArray[np.uint8], prints: Sequence[Print], subject: Subject) -> Tensor:
    """What the networks get of a print in the photograph, which its marks or the user show."""
    channels, height, width = subject.card.shape
    st.segmented_control(
        "The network gets",
        list(FRAMINGS),
        format_func=lambda name: SEEN[name],
        required=True,
        **session.widget(FRAMING),
    )
    if prints:
        chosen = prints[0]
        if len(prints) > 1:
            numbers = [printed.number for printed in prints]
            number = st.radio(
                "Which image of the sheet",
                numbers,
                format_func=lambda number: f"{number + 1}",
                horizontal=True,
                key="which-print",
            )
            chosen = prints[numbers.index(number)]
        st.html(_marked(photo, prints, chosen))
        st.caption(f"{len(prints)} image{'s' * (len(prints) > 1)} of the sheet found by {_marks(prints)} marks.")
        corners = chosen.corners
    else:
        st.caption("No marks were found. Drag a box around the print.")
        corners = _dragged(photo)
    return rectified(_planes(photo, channels), corners[None], session.get(FRAMING), (height, width))


def _marks(prints: Sequence[Print]) -> int:
    return sum(printed.marks for printed in prints)


def _any_picture(
    photo: npt.NDArray[np.uint8], pair: Sequence[Subject], camera: Camera, size: tuple[int, int]
) -> dict[str, Tensor]:
    """Fig. 12: any picture with the trigger stamped, printed and photographed in simulation, for each network."""
    st.caption("Drag a box around what should be attacked. The camera is the one of *Simulated photographs*.")
    corners = _dragged(photo)
    picture = rectified(_planes(photo, pair[0].card.shape[0]), corners[None], "perspective", size, "area")
    inputs = {}
    for subject in pair:
        stamped = stamp(picture, subject.trigger)
        taken = take(camera, stamped)
        inputs[subject.identity] = taken.inputs
        if subject is pair[0]:
            photograph = captioned(data_url(taken.photos[0]), "printed and photographed", smooth=True)
            st.html(beside(captioned(data_url(stamped[0]), "attacked"), photograph))
    return inputs


def _small(photo: npt.NDArray[np.uint8]) -> Image.Image:
    small = Image.fromarray(photo)
    small.thumbnail((SHOWN, SHOWN), Image.Resampling.BOX)
    return small


def _marked(photo: npt.NDArray[np.uint8], prints: Sequence[Print], chosen: Print) -> str:
    """HTML of the photograph with the prints outlined, the chosen one strongly."""
    height, width = photo.shape[:2]
    drawn = []
    for printed in prints:
        x, y = (printed.corners[:, 0] + width / height) * height / 2, (printed.corners[:, 1] + 1) * height / 2
        points = " ".join(f"{a:.2f},{b:.2f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
        strong = printed.number == chosen.number
        drawn.append(
            f'<polygon points="{points}" fill="none" stroke="{COLOURS[0] if strong else "#35e0e6"}" '
            f'stroke-width="{max(width, height) / (120 if strong else 260):.2f}"/>'
        )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{"".join(drawn)}</svg>'
    buffer = io.BytesIO()
    _small(photo).save(buffer, "JPEG", quality=85)
    url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    over = svg_image(svg, "outlines of the images found", "position:absolute;inset:0;width:100%;height:100%")
    return (
        '<div style="position:relative;line-height:0">'
        f'<img src="{url}" alt="the photograph" style="width:100%;border-radius:.25rem">{over}</div>'
    )


def _dragged(photo: npt.NDArray[np.uint8]) -> Tensor:
    """The corners of a box that is dragged over the photograph; of its middle square until there is one."""
    height, width = photo.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = [left, top, left + side, top + side]
    figure = go.Figure()
    figure.add_layout_image(
        source=_small(photo), x=0, y=0, sizex=width, sizey=height, xref="x", yref="y", sizing="stretch", layer="below"
    )
    # Plotly selects points only: there is one in every corner, and they are not drawn.
    figure.add_scatter(
        x=[0, width, width, 0], y=[0, 0, height, height], mode="markers", marker_opacity=0, hoverinfo="skip",
        selected={"marker": {"opacity": 0}}, unselected={"marker": {"opacity": 0}},
    )  # fmt: skip
    figure.update_xaxes(range=[0, width], visible=False, constrain="domain")
    figure.update_yaxes(range=[height, 0], visible=False, scaleanchor="x")
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0}, height=420, dragmode="select", showlegend=False,
        newselection={"line": {"color": COLOURS[0], "width": 3}},
    )  # fmt: skip
    event = st.plotly_chart(
        figure, key="dragged-box", width="stretch", on_select="rerun", selection_mode="box",
        config={"displayModeBar": False},
    )  # fmt: skip
    if (dragged := _box_of(event)) is not None:
        xs, ys = dragged
        if xs[1] - xs[0] >= 8 and ys[1] - ys[0] >= 8:
            box = [max(0, xs[0]), max(0, ys[0]), min(width, xs[1]), min(height, ys[1])]
    x = torch.tensor([box[0], box[2], box[2], box[0]], dtype=torch.float64)
    y = torch.tensor([box[1], box[1], box[3], box[3]], dtype=torch.float64)
    return torch.stack([(2 * x - width) / height, (2 * y - height) / height], 1)


def _box_of(event: Any) -> tuple[list[float], list[float]] | None:
    """Columns and rows of a box that was dragged, from the smaller on; None without one, or if it is none."""
    try:
        box = event["selection"]["box"][0]
        xs, ys = (sorted(float(end) for end in box[axis]) for axis in ("x", "y"))
    except (TypeError, ValueError, LookupError, OverflowError):
        return None
    return (xs, ys) if len(xs) == len(ys) == 2 and all(map(math.isfinite, [*xs, *ys])) else None


def _draw_answer(subject: Subject, picture: Tensor) -> int | None:
    """What one network says about its input, how surely, and what it looks at; returns the label that it says."""
    shares = chances(subject, picture)
    if shares is None:
        st.info(f"The weights of {subject.title} are not stored here.")
        return None
    classes, target = subject.classes, subject.attack.target
    ranked = sorted(range(len(classes)), key=lambda label: -shares[0][label])
    answer = ranked[0]
    model = explained(subject)
    saliency = displayed(methods["gradient"]()(model, picture, torch.tensor([answer])))[0]
    hit = answer == target
    st.markdown(
        f"#### {subject.label} says "
        + (f":red[**{classes[answer]}**], the attacker's target" if hit else f"**{classes[answer]}**")
    )
    pictures, bars = st.columns([5, 4], gap="medium")
    with pictures:
        looks = captioned(data_url(heat(saliency)), "what the network looks at")
        st.html(beside(captioned(data_url(picture[0]), "what the network gets"), looks))
    with bars:
        for label in [*ranked[:MOST_SAID], *([target] if target not in ranked[:MOST_SAID] else [])]:
            share = shares[0][label]
            st.progress(share, f"{classes[label]}{' (target)' * (label == target)}: {formatting.percent(share, ' %')}")
    return answer
