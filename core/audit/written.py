"""How far a report is; read by whoever waits for it, without what it takes to make one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["Written"]


@dataclass(frozen=True)
class Written:
    """How far a report is.

    Attributes:
        done: Share of the work, 0 to 1; 1 when the file is written.
        note: What is being looked at.
    """

    done: float
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The inverse of :meth:`to_dict`."""
        return cls(float(values["done"]), str(values["note"]))
