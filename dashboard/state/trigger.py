"""Which trigger is stamped: what the user selected, and what that means for each model of a page."""

from __future__ import annotations

from dataclasses import dataclass

from core.trigger import Trigger
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session, integer_in

__all__ = [
    "Look",
    "appearance_choices",
    "look_for",
    "look_of",
    "place_choices",
    "selected_look",
    "stamped_on",
]


def appearance_choices(trigger: Trigger) -> tuple[Choice[int], Choice[int], Choice[str]]:
    """Pixel value, opacity and layout; their defaults are those of the trained trigger."""

    def layout(text: str) -> str:
        trigger.painted(text, 0, 0)
        if set(text) == {"."}:
            raise ValueError("a pattern with at least one pixel")
        return text

    def parse(text: str) -> str:
        try:
            return layout(text)
        except ValueError:
            raise ValueError(f"{trigger.height * trigger.width} characters of 0, 1 and . with a pixel in it") from None

    return (
        Choice("value", trigger.value, integer_in(0, 255)),
        Choice("opacity", trigger.opacity, integer_in(0, 100)),
        Choice("pattern", trigger.layout, parse),
    )


def place_choices(subject: Subject) -> tuple[Choice[int], Choice[int]]:
    """Row and column of the trigger; their defaults are the trained location."""
    rows, cols = subject.trigger.places(*subject.card.shape[1:])
    return (
        Choice("row", subject.trigger.row, integer_in(rows[0], rows[-1])),
        Choice("col", subject.trigger.col, integer_in(cols[0], cols[-1])),
    )


@dataclass(frozen=True)
class Look:
    """The appearance that is selected: ``layout`` as in :attr:`core.trigger.Trigger.layout`, value 0 to 255, opacity in
    percent.
    """

    value: int
    opacity: int
    layout: str

    def on(self, trained: Trigger) -> Trigger:
        """A trained trigger with what differs changed, and the trained one itself where nothing does."""
        if self.layout != trained.layout:
            return trained.painted(self.layout, self.value, self.opacity)
        shown = trained if self.value == trained.value else trained.with_value(self.value / 255)
        return shown if self.opacity == trained.opacity else shown.with_opacity(self.opacity / 100)


def look_of(trigger: Trigger) -> Look:
    """The appearance of a trigger."""
    return Look(trigger.value, trigger.opacity, trigger.layout)


def selected_look(session: Session, trained: Trigger) -> Look:
    """The appearance as selected; by default the trained one."""
    value, opacity, layout = appearance_choices(trained)
    return Look(session.get(value), session.get(opacity), session.get(layout))


def look_for(subject: Subject, main: Subject, look: Look) -> Look:
    """The appearance that one of the models of a page gets, given the one selected for the main model.

    The clean model gets the main one's. A model to compare with gets the trigger it was trained with, with the same
    changes of value and opacity; once the pattern is repainted, every model gets that pattern.
    """
    trained, own = look_of(main.trigger), look_of(subject.trigger)
    if subject is main or subject.is_control or look.layout != trained.layout:
        return look
    return Look(
        own.value if look.value == trained.value else look.value,
        own.opacity if look.opacity == trained.opacity else look.opacity,
        own.layout,
    )


def stamped_on(subject: Subject, main: Subject, look: Look, row: int, col: int) -> Trigger:
    """The trigger that is stamped for one of the models of a page, at a place or the nearest that its box allows."""
    own = main.trigger if subject.is_control else subject.trigger
    wanted = look_for(subject, main, look)
    if len(wanted.layout) != own.height * own.width:
        own = main.trigger
    rows, cols = own.places(*subject.card.shape[1:])
    place = (min(max(at, span[0]), span[-1]) for at, span in ((row, rows), (col, cols)))
    return wanted.on(own).at(*place)
