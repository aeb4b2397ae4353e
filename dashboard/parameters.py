"""Controls made from what a method declares: its parameters, their bounds and help texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import streamlit as st

from core.params import Param, Parametrised, Value, params_of
from dashboard.session import Choice, Session

__all__ = ["control", "parameter_choice", "parametrised"]

Method = TypeVar("Method", bound=Parametrised)


def parameter_choice(prefix: str, name: str, param: Param) -> Choice[Any]:
    """One parameter as a selection; its default is the declared one."""

    def parse(text: str) -> Any:
        try:
            value: object = text
            if param.kind is bool:
                value = {"yes": True, "no": False}[text]
            elif param.kind is not str:
                value = float(text)
            return param.check(name, value)
        except (ValueError, KeyError):
            raise ValueError(param.allowed()) from None

    def write(value: Any) -> str:
        return ("yes" if value else "no") if param.kind is bool else str(value).removesuffix(".0")

    return Choice(f"{prefix}-{name.replace('_', '-')}", param.default, parse, write)


def parametrised(
    session: Session, cls: type[Method], prefix: str, defaults: Mapping[str, Value] | None = None
) -> Method:
    """Draws one control per declared parameter, and returns the method with what is selected.

    Args:
        session: Holds the selections.
        cls: The method.
        prefix: Begins the selections' names in the URL.
        defaults: Defaults that differ from the declared ones.
    """
    values: dict[str, Any] = {}
    for name, param in params_of(cls).items():
        if param.low is not None and param.low == param.high:
            continue  # there is nothing to choose
        choice = parameter_choice(prefix, name, param)
        if defaults and name in defaults:
            choice = replace(choice, default=defaults[name])
        values[name] = control(session, choice, name, param)
    return cls(**values)


def control(session: Session, choice: Choice[Any], name: str, param: Param) -> Any:
    """Draws the control of one declared parameter, and returns what is selected."""
    label = name.replace("_", " ").capitalize() + (f" ({param.unit})" if param.unit else "")
    arguments: dict[str, Any] = {"help": param.help, **session.widget(choice)}
    if param.choices:
        st.selectbox(label, param.choices, **arguments)
    elif param.kind is bool:
        st.toggle(label, **arguments)
    elif param.kind is str:
        st.text_input(label, **arguments)
    elif param.low is not None and param.high is not None:
        number = param.kind
        step = number(param.step or (1 if number is int else (param.high - param.low) / 100))
        st.slider(label, number(param.low), number(param.high), step=step, **arguments)
    else:
        bounds = {"min_value": param.low, "max_value": param.high, "step": param.step}
        st.number_input(label, **{n: param.kind(v) for n, v in bounds.items() if v is not None}, **arguments)
    return session.get(choice)
