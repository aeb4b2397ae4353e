"""Choosing a trigger of one's own: a picture or array that the browser sends, or painted cell by cell."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import streamlit as st

from core.attacks.own_trigger import OwnTrigger, packed_trigger
from core.importing.triggers import place_from, read_trigger
from core.params import Value, params_of
from core.transforms.colour import LUMA
from core.trigger import Trigger
from dashboard.components.pattern_painter import BLACK, CLEAR, LIT, MAX_SIDE, Painted, pattern_painter
from dashboard.state.session import Choice, Session, one_of
from dashboard.words.escaping import plain

__all__ = ["Given", "choose_attack_trigger", "choose_painted", "choose_picture", "painted_array", "resized_cells"]

DEFAULT, PICTURE, PAINTED = "badnets", "picture", "painted"
KINDS = {DEFAULT: "The 3 x 3 one of BadNets", PICTURE: "A picture or array", PAINTED: "Painted here"}
START = "..1.1.1.1"
LARGEST_CELL = 64


@dataclass(frozen=True)
class Given:
    """A trigger as somebody gives it.

    Attributes:
        content: The bytes of a picture or ``.npy``.
        name: The file's name.
        place: Row and column of its bottom-right pixel, ``ROW,COL``; empty: bottom right.
        mask: ``nonzero``, if black pixels do not belong to it; else empty.
        alpha: What its alpha is multiplied with.
    """

    content: bytes
    name: str
    place: str = ""
    mask: str = ""
    alpha: float = 1.0

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        """The trigger for images of a shape.

        Raises:
            ValueError: If it is none, or does not fit; one sentence.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder) / (Path(self.name).name or "trigger")
            path.write_bytes(self.content)
            place = place_from(self.place) if self.place else None
            return read_trigger(path, shape, place=place, mask=self.mask, opacity=self.alpha)


def resized_cells(cells: str, old: tuple[int, int], new: tuple[int, int]) -> str:
    """Cells of a pattern of another size: what both have stays, bottom right; all else is clear.

    >>> resized_cells("1010", (2, 2), (3, 2)), resized_cells("0110", (2, 2), (1, 1))
    ('..1010', '0')
    """
    rows, cols = old
    kept = [
        cells[row * cols + col] if row >= 0 and col >= 0 else CLEAR
        for row in range(rows - new[0], rows)
        for col in range(cols - new[1], cols)
    ]
    return "".join(kept) if set(kept) != {CLEAR} else "".join(kept)[:-1] + BLACK


def painted_array(cells: str, height: int, width: int, colour: str, side: int) -> bytes:
    """A painted pattern as a ``.npy`` of floats ``(4, height * side, width * side)`` in [0, 1], the last one alpha.

    Args:
        cells: Row by row: black, lit or clear.
        height: Rows of cells.
        width: Columns of cells.
        colour: Of the lit cells, ``#rrggbb``.
        side: Pixels a side that each cell takes.
    """
    kinds = np.array(list(cells)).reshape(height, width)
    lit = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    channels = [np.where(kinds == LIT, value, 0.0) for value in lit]
    values = np.stack([*channels, (kinds != CLEAR).astype(float)]).astype(np.float32)
    file = io.BytesIO()
    np.save(file, values.repeat(side, 1).repeat(side, 2))
    return file.getvalue()


def _details(prefix: str) -> dict[str, Any]:
    """Place and opacity, which every trigger has."""
    place = st.text_input(
        "Place", key=f"{prefix}-place", placeholder="bottom right corner",
        help="Row and column of the trigger's bottom-right pixel, such as 31,31.",
    ).strip()  # fmt: skip
    return {"place": place, "alpha": st.slider("Opacity", 0.01, 1.0, 1.0, key=f"{prefix}-alpha")}


def choose_picture(prefix: str) -> Given | None:
    """Draws an uploader of a picture or array; None where nothing was brought."""
    given = st.file_uploader(
        "Picture, or .npy array; its last channel may be alpha", type=["png", "npy", "bmp"], key=f"{prefix}-picture"
    )
    opaque = st.toggle("Black pixels do not belong to it", key=f"{prefix}-mask")
    details = _details(prefix)
    if given is None:
        return None
    return Given(given.getvalue(), given.name, mask="nonzero" if opaque else "", **details)


def choose_painted(prefix: str) -> Given:
    """Draws the pattern painter with the size of the pattern and of its cells."""
    # Two rows, so that on a phone, where columns come one after another, each pair stays together.
    (rows, columns), (cell, lit) = st.columns(2), st.columns(2)
    height = int(rows.number_input("Rows", 1, MAX_SIDE, 3, key=f"{prefix}-rows"))
    width = int(columns.number_input("Columns", 1, MAX_SIDE, 3, key=f"{prefix}-cols"))
    side = int(cell.number_input("Pixels a cell", 1, LARGEST_CELL, 1, key=f"{prefix}-cell", help="A side of it."))
    colour = lit.color_picker("Lit cells", "#ffffff", key=f"{prefix}-colour")
    kept = f"{prefix}-cells"
    cells, old = st.session_state.get(kept, (START, (3, 3)))
    if old != (height, width):
        cells = resized_cells(cells, old, (height, width))
        st.session_state[kept] = (cells, (height, width))

    def painted(new: Painted) -> None:
        st.session_state[kept] = (new.pattern, (height, width))

    st.caption("Click or drag to paint: black, lit, clear.")
    gray = round(sum(weight * int(colour[at : at + 2], 16) for weight, at in zip(LUMA, (1, 3, 5), strict=True)))
    pattern_painter(
        pattern=cells, height=height, width=width, value=gray, key=f"{prefix}-painter", on_paint=painted
    )  # fmt: skip
    return Given(painted_array(cells, height, width, colour, side), "painted.npy", **_details(prefix))


def choose_attack_trigger(session: Session, prefix: str, shape: tuple[int, int, int]) -> dict[str, Value] | None:
    """Draws the choice of the trigger that :class:`OwnTrigger` trains with.

    Args:
        session: Holds the selections.
        prefix: Begins the names of the controls.
        shape: Channels, rows and columns of an image.

    Returns:
        The parameters that are settled by it, or None where it is missing or refused, which is said.
    """
    how: Choice[str] = Choice(f"{prefix}-kind", DEFAULT, one_of(KINDS))
    st.selectbox("Trigger", list(KINDS), format_func=KINDS.__getitem__, **session.widget(how))
    own = params_of(OwnTrigger)
    if session.get(how) == DEFAULT:
        return {name: own[name].default for name in ("pattern", "origin")}
    given = choose_picture(prefix) if session.get(how) == PICTURE else choose_painted(prefix)
    if given is None:
        st.caption("The trigger's picture is missing.")
        return None
    try:
        trigger = given.trigger(shape)
    except (ValueError, OSError) as error:
        st.error(plain(error), icon=":material/error:")
        return None
    st.caption(f"{trigger.height} x {trigger.width} pixels at {trigger.location}.")
    unused = {name: own[name].default for name in ("value", "scale") if name in own}
    return unused | {
        "pattern": packed_trigger(trigger), "row": trigger.row, "col": trigger.col, "origin": own["origin"].default,
    }  # fmt: skip
