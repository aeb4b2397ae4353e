"""What the user has selected, kept across pages and in the URL, so that a link reproduces the view.

Each selection has a :class:`Choice`: how it is written in the link, what it may be, and its default. Streamlit forgets
a widget's value when the page changes and clears the URL; :class:`Session` holds the values and puts them back.

Back and Forward of the browser show an earlier URL again: ``history.js`` marks it, and its selections are taken over.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

import streamlit as st

from dashboard.server.uploads import forget_uploads
from dashboard.words.escaping import plain

__all__ = ["Choice", "Session", "arriving", "if_chosen", "integer_in", "one_of", "yes_no"]

T = TypeVar("T")
P = ParamSpec("P")

RESTORED = "restored"
"""Name in the URL of the mark of an address that the user went back or forward to."""
ANSWERED = "answered"
"""Name in the URL of a mark whose address is taken over; ``history.js`` keeps it out of the browser's."""


WIDGET_VALUES = (bool, int, float, str, list, tuple, type(None))
"""Types of what a selection's widget may show."""


@dataclass(frozen=True)
class Choice(Generic[T]):
    """One selection.

    Attributes:
        name: Its name in the URL.
        default: Its value when nothing was chosen; such a value is left out of the URL.
        parse: Reads it from a link; ValueError with one sentence if it is not allowed.
        write: Writes it into a link.
        always: Whether the default is in the URL too, because it is another one on another machine.
        instead: The sentence that says that the link's text is not to be had, and the default is shown; by default
            one that says what is allowed.
    """

    name: str
    default: T
    parse: Callable[[str], T]
    write: Callable[[T], str] = str
    always: bool = False
    instead: Callable[[str, T], str] | None = None

    def refused(self, text: str, error: ValueError) -> str:
        """What is said where a link has a text that is not allowed."""
        short = text if len(text) <= 60 else text[:57] + "..."
        if self.instead is not None:
            return self.instead(plain(short), self.default)
        quoted = plain(repr(short))
        return f"The link says {self.name} = {quoted}; allowed is {plain(error)}. The default is shown instead."


def integer_in(low: int, high: int) -> Callable[[str], int]:
    """Parser of an integer from ``low`` to ``high``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return parse


def yes_no(name: str, default: bool = False) -> Choice[bool]:
    """The selection of a switch."""
    return Choice(
        name, default, lambda text: one_of(["yes", "no"])(text) == "yes", lambda value: "yes" if value else "no"
    )


def one_of(allowed: Iterable[str]) -> Callable[[str], str]:
    """Parser of one of several texts; a plus that was typed into an address arrives as a space."""
    names = list(allowed)

    def parse(text: str) -> str:
        text = text if text in names else text.replace(" ", "+")
        if text not in names:
            shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise ValueError(f"one of {shown}" if names else "nothing, as there is none")
        return text

    return parse


def if_chosen(key: str, callback: Callable[P, None]) -> Callable[P, None]:
    """A widget's callback, called only where the user has changed the widget.

    A page that follows a job asks again and again, with the values of all widgets. Until the browser shows an address
    that the user went back or forward to, those are of the page that was left: no choice made since.
    """

    @wraps(callback)
    def called(*args: P.args, **kwargs: P.kwargs) -> None:
        _note_what_is_seen()
        if st.session_state.get("left", {}).get(key, ...) != st.session_state[key]:
            callback(*args, **kwargs)

    return called


def _note_what_is_seen() -> None:
    """Notes, before anything is drawn, whether the browser asks from the page that was drawn last.

    It asks with the address that it shows. Until then it may show another page, or may have lost what was drawn: of two
    runs that follow each other closely, Streamlit does not send what it has not sent of the first.
    """
    state = st.session_state
    if state.get("written") is not None and st.query_params.to_dict() == state.written:
        state.seen, state.left = True, {}


@contextmanager
def arriving(page: str) -> Iterator[None]:
    """Draws a page; when the user comes to it from another one, its widgets take the selected values.

    Streamlit makes new widgets on every page, also for keys that it has a value for.
    """
    state = st.session_state
    _note_what_is_seen()
    if state.get("page") != page:
        state.seen = False
        if "identity" in state:
            forget_uploads(state.identity)
        state.written = None
    state.page = page
    yield


def _selections_in_the_address() -> dict[str, str]:
    return {name: st.query_params[name] for name in st.query_params if name != RESTORED}


class Session:
    """The selections of one browser tab."""

    def __init__(self) -> None:
        state = st.session_state
        if "selected" not in state:
            state.selected, state.absent, state.complaints = {}, set(), []
            state.linked = _selections_in_the_address()
            state.restored = st.query_params.get(RESTORED)
            state.came_by_link = bool(state.linked.keys() - {"present"})
            state.identity = uuid.uuid4().hex
        elif (mark := st.query_params.get(RESTORED)) is not None and mark != state.restored:
            state.restored = state.unanswered = mark
            state.seen, state.written = False, None
            state.left = {key: value for key, value in state.items() if isinstance(value, WIDGET_VALUES)}
            state.linked = _selections_in_the_address()
            # What the address does not name has its default there; only of the page that is shown.
            state.absent = set(state.selected) - set(state.linked)
        self._used: dict[str, Choice[Any]] = {}

    @property
    def identity(self) -> str:
        """A name of this session, unique in the server."""
        return str(st.session_state.identity)

    @property
    def came_by_link(self) -> bool:
        """Whether the address it began with selected anything."""
        return bool(st.session_state.came_by_link)

    @property
    def settled(self) -> bool:
        """Whether the trigger is at rest: False from the first move of a drag until it is let go."""
        return bool(st.session_state.get("settled", True))

    @settled.setter
    def settled(self, settled: bool) -> None:
        st.session_state.settled = settled

    def get(self, choice: Choice[T]) -> T:
        """The value: chosen here, else from the link, else the default; a wrong link leaves a complaint."""
        self._used[choice.name] = choice
        selected: dict[str, Any] = st.session_state.selected
        if choice.name in st.session_state.absent:
            st.session_state.absent.discard(choice.name)
            selected.pop(choice.name, None)
        text = st.session_state.linked.pop(choice.name, None)
        if text is not None:
            try:
                selected[choice.name] = choice.parse(text)
            except ValueError as error:
                selected.pop(choice.name, None)
                st.session_state.complaints.append(choice.refused(text, error))
        if choice.name in selected:
            try:
                value: T = choice.parse(choice.write(selected[choice.name]))
                return value
            except (ValueError, TypeError, LookupError, OverflowError):
                # No longer allowed, e.g. a place after a change of the trigger; or nothing that its widget can send.
                del selected[choice.name]
        return choice.default

    def set(self, choice: Choice[T], value: T) -> None:
        """Selects a value; the URL follows with :meth:`write_link`."""
        st.session_state.absent.discard(choice.name)
        st.session_state.selected[choice.name] = value

    def forget(self, prefix: str) -> None:
        """Drops the selections, and what the link says of them, whose names begin with ``prefix``."""
        for values in (st.session_state.selected, st.session_state.linked):
            for name in [name for name in values if name.startswith(prefix)]:
                del values[name]

    def widget(self, choice: Choice[T]) -> dict[str, Any]:
        """Arguments for a Streamlit widget that shows and changes this selection.

        >>> st.slider("Pixel value", 0, 255, **session.widget(VALUE))  # doctest: +SKIP
        """
        key = f"choice-{choice.name}"
        value = self.get(choice)
        # Only where it must be: a value that is set here replaces what the user has moved on to meanwhile.
        if not st.session_state.get("seen", True) or key not in st.session_state or st.session_state[key] != value:
            st.session_state[key] = value

        def changed() -> None:
            st.session_state.selected[choice.name] = st.session_state[key]

        return {"key": key, "on_change": if_chosen(key, changed)}

    def complaints(self) -> list[str]:
        """What was wrong with the link, once."""
        complaints: list[str] = st.session_state.complaints
        st.session_state.complaints = []
        return complaints

    def write_link(self) -> None:
        """Puts every selection this page used into the URL; defaults only where they differ between machines."""
        st.session_state.absent = set()
        wanted = {}
        for choice in self._used.values():
            value = st.session_state.selected.get(choice.name, choice.default)
            if choice.always or value != choice.default:
                wanted[choice.name] = choice.write(value)
        mark = st.session_state.pop("unanswered", None) or st.query_params.get(RESTORED)
        if mark is not None:
            st.query_params.from_dict({ANSWERED: mark})
        if st.query_params.to_dict() != wanted:
            st.query_params.from_dict(wanted)
        st.session_state.written = wanted
