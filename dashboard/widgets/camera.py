"""Simulated photographs on the pages: the camera that is selected, what it sees, and what the models say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
import torch
from torch import Tensor

from core.attacks import Enhanced
from core.metrics import Performance, Rate
from core.params import Value, params_of
from core.physical import FACTORS, NEAR, PRESETS, Camera
from core.runtime.seeding import generator_for
from core.store.card_images import same_kind
from core.transforms import Drawn
from core.trigger import Trigger, stamp
from dashboard.server.resources import Tested, jobs, predictor, tested_for
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session, if_chosen
from dashboard.widgets.parameters import control, parameter_choice
from dashboard.words.photographs import SETTINGS, factor_word

__all__ = [
    "GROUPS",
    "Taken",
    "camera_controls",
    "chances",
    "go_to",
    "pair_of",
    "photographs",
    "rates",
    "selected_camera",
    "set_camera",
    "take",
]

# Images that are photographed at once: what a drag waits for, and what is in memory.
CHUNK = 32
GROUPS = {
    "Place of the sheet": ("distance", "yaw", "pitch", "roll", "aim", "view"),
    "Print and background": ("print_size", "print_dpi", "dot_gain", "ink_black", "margin", "background"),
    "Light": ("brightness", "temperature", "white_balance", "vignetting"),
    "Blur, noise and file": ("defocus", "motion", "noise", "jpeg", "pixels"),
    "What the network gets": ("framing", "resize"),
}
"""The camera's parameters as they stand on the page."""


def _parse_factors(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if any(name not in FACTORS for name in names):
        raise ValueError(f"a list of {', '.join(FACTORS)}")
    return [name for name in FACTORS if name in names]


# Every factor is on unless the link says otherwise; "-" is none.
FACTORS_ON: Choice[list[str]] = Choice(
    "factors",
    list(FACTORS),
    lambda text: [] if text == "-" else _parse_factors(text),
    lambda names: ",".join(names) or "-",
)


def _choice(name: str) -> Choice[Any]:
    """One parameter of the camera; the page opens with the preset ``near``."""
    return replace(parameter_choice("cam", name, params_of(Camera)[name]), default=getattr(NEAR, name))


def selected_camera(session: Session) -> Camera:
    """The camera with the factors that are switched on."""
    values: dict[str, Any] = {name: session.get(_choice(name)) for name in params_of(Camera)}
    on = session.get(FACTORS_ON)
    off = {name for factor, names in FACTORS.items() if factor not in on for name in names}
    return Camera(**{name: value for name, value in values.items() if name not in off})


def set_camera(session: Session, values: Mapping[str, Value]) -> None:
    """Selects parameters of the camera."""
    for name, value in values.items():
        session.set(_choice(name), value)


def preset_controls(session: Session) -> None:
    """Draws the presets and a switch for every factor."""
    presets = {name: camera.to_dict() for name, camera in PRESETS.items()}
    now = {name: session.get(_choice(name)) for name in params_of(Camera)}
    whole = len(session.get(FACTORS_ON)) == len(FACTORS)
    st.session_state["preset"] = next((name for name, values in presets.items() if values == now and whole), None)

    def picked() -> None:
        name = st.session_state["preset"]
        if name is not None:
            set_camera(session, presets[name])
            session.set(FACTORS_ON, list(FACTORS))

    st.segmented_control(
        "Photograph", list(PRESETS), format_func=str.capitalize, key="preset", on_change=if_chosen("preset", picked)
    )
    st.pills(
        "Factors switched on", list(FACTORS), selection_mode="multi", help="What is off does not happen at all.",
        format_func=factor_word,
        **session.widget(FACTORS_ON),
    )  # fmt: skip


def go_to(session: Session, distance: float, yaw: float) -> None:
    """Selects a place of the map, with the factors that it needs switched on."""
    set_camera(session, {"distance": distance, "yaw": yaw, "pitch": 0.0, "roll": 0.0, "aim": 0.0})
    session.set(FACTORS_ON, [name for name in FACTORS if name in {*session.get(FACTORS_ON), "distance", "angle"}])


def camera_controls(session: Session) -> None:
    """Draws one control per parameter."""
    for title, names in GROUPS.items():
        with st.expander(title, expanded=title == next(iter(GROUPS))):
            off = [f for f in FACTORS if f not in session.get(FACTORS_ON) and set(FACTORS[f]) & set(names)]
            if off:
                st.caption(f"Switched off: {', '.join(map(factor_word, off))}.")
            for name in names:
                control(session, _choice(name), name, params_of(Camera)[name], label=SETTINGS[name])


def pair_of(readable: Mapping[str, Subject], main: Subject) -> list[Subject]:
    """The standard attack and its enhanced version, of the model under study; only what is stored."""
    front = main.key.removesuffix(main.name)
    standard = front + main.name.partition("+")[0]
    enhanced = main.key if isinstance(main.attack, Enhanced) else f"{standard}+"
    keys = [key for key in dict.fromkeys((standard, enhanced)) if key in readable]
    listed = [readable[key] for key in keys if same_kind(readable[key].card, main.card)]
    return [main if subject.key == main.key else subject for subject in listed]


@dataclass(frozen=True)
class Taken:
    """Photographs of some images.

    Attributes:
        photos: As the camera stores them, ``(N, C, h, w)``.
        inputs: What the network gets, ``(N, C, H, W)``.
    """

    photos: Tensor
    inputs: Tensor


def take(camera: Camera, images: Tensor, seed: int = 0) -> Taken:
    """Photographs images ``(N, C, H, W)``; equal seeds give equal draws."""
    channels, height, width = images.shape[1:]
    # The draws do not depend on the camera: while a slider moves, nothing else does.
    drawn: Drawn = camera.draw(len(images), (channels, height, width), generator_for(seed, "photograph"))
    photos = camera.photograph(images, drawn)
    return Taken(photos, images if camera.is_off else camera.developed(photos, images.shape[2:], drawn))


@st.cache_resource(show_spinner=False, max_entries=8)
def _inputs(
    trigger: str, data: str, count: int, camera: str, _trigger: Trigger | None, _data: Tested, _camera: Camera
) -> Tensor:
    images = _data.clean.floats(slice(count)) if _trigger is None else stamp(_data.images[:count], _trigger)
    parts = torch.split(images, CHUNK)
    return torch.cat([take(_camera, part, number).inputs for number, part in enumerate(parts)])


def photographs(trigger: Trigger | None, data: Tested, count: int, camera: Camera) -> Tensor:
    """What a network gets of photographs of the first test images: attacked ones, or benign ones of all classes.

    Args:
        trigger: What is stamped before the print; None takes the untouched images of all classes instead.
        data: The test images.
        count: How many of them.
        camera: How they are printed and photographed.

    Returns:
        Floats ``(n, C, H, W)`` in [0, 1], ``n`` at most ``count``.
    """
    stamped = trigger.fingerprint if trigger is not None else "untouched"
    return _inputs(stamped, data.name, count, camera.spec, trigger, data, camera)


def stored_rates(subject: Subject, camera: Camera) -> Performance | None:
    """The stored rates of a model's own trigger under a camera's settings; None where one was not measured."""
    stored = subject.results.physical
    for condition in stored.conditions if stored is not None else ():
        if stored is not None and condition.start is None and condition.camera == camera:
            rates = stored.of(condition.group)[condition.name]
            return rates if rates.clean.total else None
    return None


def rates(subject: Subject, main: Subject, data: Tested, count: int, camera: Camera) -> Performance | None:
    """Clean accuracy and attack success on photographs; None where the weights are not stored.

    Args:
        subject: The model.
        main: The model under study, whose test images ``data`` are.
        data: The test images.
        count: How many.
        camera: How they are photographed.
    """
    data, _ = tested_for(subject, main, data)
    model = predictor(subject)
    if model is None:
        return None
    attacked, benign = photographs(subject.trigger, data, count, camera), photographs(None, data, count, camera)
    with jobs().turnstile.interactive():
        hits = model.predict(attacked) == subject.attack.target
        right = model.predict(benign) == data.clean.labels[:count]
    return Performance(Rate(int(right.sum()), len(right)), Rate(int(hits.sum()), len(hits)))


def chances(subject: Subject, images: Tensor) -> Sequence[Sequence[float]] | None:
    """The probability of every class for every image; None where the weights are not stored."""
    model = predictor(subject)
    if model is None:
        return None
    with jobs().turnstile.interactive():
        shares: list[list[float]] = model.logits(images).float().softmax(1).tolist()
    return shares
