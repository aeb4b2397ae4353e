"""Prints the stored results of all checkpoints as Markdown tables, or puts them into files.

    python scripts/summary.py
    python scripts/summary.py --update README.md checkpoints/README.md

In a file, the table NAME stands between the lines ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from command import Parser, add_common, run, say, write_json

from core.paper.tables import TABLES, Row, readable
from core.runtime.atomic_files import write_atomically
from core.store.remote import open_store


def markdown(rows: Iterator[Row]) -> str:
    """Rows as a Markdown table, the first one being its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    head = lines[0].count("|") - 1
    return "\n".join([lines[0], "|" + "---|" * head, *lines[1:]])


def updated(text: str, tables: dict[str, str]) -> str:
    """A text with its marked tables replaced.

    Raises:
        ValueError: If it marks a table that there is not.
    """

    def replace(match: re.Match[str]) -> str:
        if match[2] not in tables:
            raise ValueError(f"there is no table {match[2]!r}; there are {', '.join(tables)}")
        return f"{match[1]}{tables[match[2]]}\n{match[3]}"

    return re.sub(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", replace, text, flags=re.DOTALL)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", type=Path, nargs="+", metavar="FILE", help="put the tables into these files")
    add_common(parser)
    options = parser.parse_args()
    checkpoints = readable(open_store(options.store))
    if not checkpoints:
        raise ValueError(f"there is no checkpoint in {options.store}")
    tables = {name: markdown(make(checkpoints)) for name, make in TABLES.items()}
    for path in options.update or ():
        write_atomically(path, updated(path.read_text(), tables).encode())
    if not options.update:
        say(options, "\n\n".join(f"{name}\n\n{table}" for name, table in tables.items()))
    write_json(options.json, {name: list(make(checkpoints)) for name, make in TABLES.items()})


if __name__ == "__main__":
    run(main)
