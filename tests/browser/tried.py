"""What was tried, what held and what was lost, as rows of a table of the documentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tried:
    """What was tried of one kind, and each loss in a sentence."""

    what: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    def check(self, held: bool, sentence: str) -> None:
        """Counts one try."""
        self.tried += 1
        if not held:
            self.lost.append(sentence)

    def row(self) -> str:
        """As in the table of the documentation."""
        return f"| {self.what} | {self.tried} | {self.tried - len(self.lost)} | {len(self.lost)} |"


def update_table(path: Path, name: str, head: Sequence[str], rows: Sequence[str]) -> None:
    """Writes rows into the table between ``<!-- table: NAME -->`` and ``<!-- end -->``.

    A row takes the place of the one with the same first cell; others stay, and new ones come last.

    Raises:
        ValueError: If the file has no such table.
    """
    text = path.read_text()
    found = re.search(rf"(<!-- table: {re.escape(name)} -->\n)(.*?)(<!-- end -->)", text, flags=re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name} has no table {name}")
    kept = {row.split("|")[1]: row for row in found[2].splitlines()[len(head) :] if row.startswith("|")}
    kept |= {row.split("|")[1]: row for row in rows}
    body = "\n".join([*head, *kept.values(), ""])
    path.write_text(text[: found.start()] + found[1] + body + found[3] + text[found.end() :])
