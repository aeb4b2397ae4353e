"""Controls made from what a method declares: its parameters, their bounds and help texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import streamlit as st

from core.params import Param, Parametrised, Value, label_of, params_of
from dashboard.state.session import Choice, Session

__all__ = ["control", "parameter_choice", "parametrised"]

Method = TypeVar("Method", bound=Parametrised)


def parameter_choice(prefix: str, name: str, param: Param, classes: Sequence[str] = ()) -> Choice[Any]:
    """One parameter as a selection; its default is the declared one, a class is written by its name.

    Args:
        prefix: Begins the selection's name in the URL.
        name: Name of the parameter.
        param: Its declaration.
        classes: Class names of the data set, for parameters that are a class.
    """
    if param.is_label and classes:
        return _label_choice(prefix, name, param, classes)

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
        if param.kind is bool:
            return "yes" if value else "no"
        return value if isinstance(value, str) else str(value).removesuffix(".0")

    return Choice(f"{prefix}-{name.replace('_', '-')}", param.default, parse, write)


def _label_choice(prefix: str, name: str, param: Param, classes: Sequence[str]) -> Choice[int]:
    last = len(classes) - 1

    def parse(text: str) -> int:
        try:
            label = label_of(name, text, classes)
        except ValueError as error:
            raise ValueError(f"a class or its index ({str(error).partition(': ')[2]})") from None
        if not 0 <= label <= last:
            raise ValueError(f"a class or its index, 0 to {last}")
        return label

    def write(label: int) -> str:
        return classes[label] if 0 <= label <= last else str(label)

    return Choice(f"{prefix}-{name.replace('_', '-')}", min(int(param.default), last), parse, write)


def parametrised(
    session: Session,
    cls: type[Method],
    prefix: str,
    defaults: Mapping[str, Value] | None = None,
    classes: Sequence[str] = (),
    highest: Mapping[str, float] | None = None,
    settled: Mapping[str, Value] | None = None,
) -> Method:
    """Draws one control per declared parameter, and returns the method with what is selected.

    Args:
        session: Holds the selections.
        cls: The method.
        prefix: Begins the selections' names in the URL.
        defaults: Defaults that differ from the declared ones.
        classes: Class names of the data set, from which a parameter that is a class is chosen.
        highest: Upper bounds that are lower than the declared ones.
        settled: Parameters that are not chosen here, with their values.
    """
    values: dict[str, Any] = dict(settled or {})
    for name, param in params_of(cls).items():
        if name in values:
            continue
        if highest and name in highest:
            param = replace(param, high=highest[name])
        if param.low is not None and param.low == param.high:
            continue  # there is nothing to choose
        choice = parameter_choice(prefix, name, param, classes)
        if defaults and name in defaults:
            choice = replace(choice, default=defaults[name])
        values[name] = control(session, choice, name, param, classes)
    return cls(**values)


def control(
    session: Session, choice: Choice[Any], name: str, param: Param, classes: Sequence[str] = (), label: str = ""
) -> Any:
    """Draws the control of one declared parameter, by default under its name, and returns what is selected."""
    name = param.title or name.replace("_", " ").capitalize()
    label = label or name + (f" ({param.unit})" if param.unit else "")
    arguments: dict[str, Any] = {"help": param.help, **session.widget(choice)}
    if param.is_label and classes:
        st.selectbox(label, range(len(classes)), format_func=lambda index: classes[index], **arguments)
    elif param.choices:
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
