"""Controls that build a compound transformation step by step: what it consists of, in which order, how strong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.params import params_of
from core.transforms import MOST_STEPS, Compose, Transform, transform_from_spec, transforms
from dashboard.state.session import Choice, Session, if_chosen

__all__ = ["BEFORE", "build", "choose_defense", "parse_spec", "strength_slider"]

NOTHING = "-"


def parse_spec(text: str) -> str:
    """Reads a compound transformation from a link."""
    try:
        return transform_from_spec(text).spec
    except ValueError as error:
        raise ValueError(f"a list such as flip,shrinkpad:4 ({error})") from None


BEFORE: Choice[str] = Choice("before", "", parse_spec)


Shape = tuple[int, int, int]


def strength_slider(
    label: str, transform: Transform, key: str, on_change: Callable[[float], None], shape: Shape
) -> None:
    """A slider for a transformation's strength on images of ``shape`` (C, H, W), made from what it declares."""
    param = params_of(type(transform))[transform.strength]
    number = param.kind
    value, low, high = number(transform.value), number(param.low or 0), number(param.high or 1)
    if param.unit == "pixels":  # as far as it is measured on images of this size, where more is allowed
        high = min(high, max(number(transform.grid_for(shape)[-1]), value))
    step = number(param.step or (high - low) / 20)
    # A link may name a strength between two steps of the slider; it is shown as it is.
    st.session_state[key] = value

    def moved() -> None:
        on_change(float(st.session_state[key]))

    st.slider(
        label,
        low,
        high,
        step=step,
        key=key,
        on_change=if_chosen(key, moved),
        help=f"{param.help} ({param.unit})" if param.unit else param.help,
    )


def build(session: Session, choice: Choice[str], label: str, following: str, shape: Shape) -> Compose:
    """Draws one row of controls per step, and a last one that adds a step; returns what is selected.

    Args:
        session: Holds the selection.
        choice: The text of the compound transformation.
        label: Label of the first row.
        following: Label of the further rows.
        shape: Channels, height and width of the images.
    """
    steps = list(transform_from_spec(session.get(choice)).steps)

    def replace(index: int, step: Transform | None) -> None:
        changed: list[Transform] = [*steps[:index], *([step] if step is not None else []), *steps[index + 1 :]]
        session.set(choice, Compose(tuple(changed)).spec)

    def picked(index: int, key: str) -> None:
        name: Any = st.session_state[key]
        replace(index, transforms[name].sized(shape) if name in transforms else None)

    for index in range(min(len(steps) + 1, MOST_STEPS)):
        key = f"{choice.name}-{index}"
        st.session_state[key] = steps[index].name if index < len(steps) else NOTHING
        st.selectbox(
            label if index == 0 else following,
            [NOTHING, *transforms],
            key=key,
            format_func=lambda name: transforms[name].title if name in transforms else "No transformation",
            on_change=if_chosen(key, picked),
            args=(index, key),
        )
        if index < len(steps):
            step = steps[index]
            strength_slider(
                f"{step.title}: {step.strength}",
                step,
                f"{key}-strength",
                lambda value, index=index, step=step: replace(index, step.at(value)),  # type: ignore[misc]
                shape,
            )
    return transform_from_spec(session.get(choice))


def choose_defense(session: Session, shape: Shape, place: DeltaGenerator | None = None) -> Compose:
    """The transformation-based defense in front of every model of a page (Def. 4), in the sidebar or elsewhere."""
    with place if place is not None else st.sidebar:
        return build(session, BEFORE, "Transform the input", "Then", shape)
