"""What the words on the pages mean: read from ``glossary.toml``, shown behind *Words* in the head of every page."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

__all__ = ["glossary", "glossary_text"]

_FILE = Path(__file__).with_name("glossary.toml")


@cache
def glossary() -> dict[str, str]:
    """Every term with what it means, in the order of the file.

    >>> "Trigger" in glossary()
    True
    """
    listed = tomllib.loads(_FILE.read_text(encoding="utf-8"))["word"]
    return {entry["term"]: entry["meaning"] for entry in listed}


def glossary_text() -> str:
    """The glossary as Markdown."""
    return "\n\n".join(f"**{term}.** {meaning}" for term, meaning in glossary().items())
