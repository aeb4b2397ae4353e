"""The one way for text from files and links onto a page: as plain text, whatever stands in it.

Names of classes, folders and data sets, and sentences that quote them, come from files that others may have made. On a
page they go into Markdown, HTML, figures and pictures. There are two steps, and no third:

* :func:`plain` where such a text comes from, once: what would mean something to Markdown, to Streamlit or to Plotly is
  shown by a character that looks alike and means nothing, so that the text can go anywhere.
* :func:`html.escape` where it goes into HTML that is written here.

The exact names stay in the cards, in the numbers that are saved (CSV), and in what is compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["plain", "plain_all"]

LONGEST = 1000
# Marks that turn the direction of what follows: a name could be read as another one.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# What is replaced, where it would mean something: HTML, links and images, addresses that become links, icons and emoji
# by their names, references to characters, formulas, code, emphasis, and what makes a line a heading or a list.
_MEANINGS = tuple(
    re.compile(pattern)
    for pattern in (
        r"<(?=[A-Za-z/!?])",
        r"\](?=[(\[:])",
        r"(?i)(?<=http):(?=//)|(?<=https):(?=//)|(?<=ftp):(?=//)|(?<=javascript):|(?<=mailto):|(?<=data):(?=\w+/)",
        r"(?i)(?<=\bwww)\.",
        r":(?=[\w+-]+:)|:(?=material/)|:(?=[\w-]+\[)|:(?=[\w-]+\{)",
        r"&(?=#?\w+;)",
        r"\$(?![A-Z]{2}[A-Z_]+)",
        r"`",
        r"\*(?=\S)|(?<=\S)\*",
        r"(?<![^\W_])_(?=\S)|(?<=\S)_(?![^\W_])",
        r"~(?=.*~)|(?<=~)~",
        r"%(?=\{)",
        r"^[#>+|-](?=\s)|^#(?=#)",
    )
)


def plain(text: object) -> str:
    """A text from a file or a link as it is shown: one line, of at most :data:`LONGEST` characters.

    Characters that would mean something are replaced by their full-width forms; the rest stays as it is. Of a text that
    is shown already, everything stays.

    >>> plain("stop sign"), plain("<script>"), plain("![x](http://a.b)"), plain("a\\nb")
    ('stop sign', '＜script>', '![x］(http：//a.b)', 'a b')
    >>> plain("C:/data/my_images, 3 * 4 < 5 & 100 % of $TRIGGER_DATA")
    'C:/data/my_images, 3 * 4 < 5 & 100 % of $TRIGGER_DATA'
    """  # noqa: RUF002 - that they look alike is what they are for
    line = " ".join("".join(_visible(character) for character in str(text)[: 2 * LONGEST]).split())
    for meaning in _MEANINGS:
        line = meaning.sub(lambda match: chr(ord(match[0]) + 0xFEE0), line)
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def plain_all(names: Iterable[object]) -> tuple[str, ...]:
    """Several texts."""
    return tuple(plain(name) for name in names)


def _visible(character: str) -> str:
    if character in _DIRECTIONS:
        return ""
    return " " if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character
