"""Results that are there before they are complete: what a sweep, a repair or a download yields while it goes on."""

from __future__ import annotations

from typing import Any, Protocol, Self

__all__ = ["AnytimeResult", "Readable", "Reported"]


class Readable(Protocol):
    """What can be read from JSON."""

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The result that was written; ValueError if it is damaged."""


class Reported(Readable, Protocol):
    """What can be written to and read from JSON, and so be handed from process to process."""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""


class AnytimeResult(Reported, Protocol):
    """One that knows how complete it is."""

    @property
    def done(self) -> float:
        """Share that is measured, 0 to 1."""
