"""Menus that save what a page shows: figures and pictures in every format, numbers as CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard.figures.panels import SHEETS, Block, sheet_file
from dashboard.saving import figures as exported
from dashboard.saving.names import to_csv, to_json

__all__ = ["PLOT_CONFIG", "csv_button", "downloads", "picture_downloads"]

PLOT_CONFIG = {
    "displaylogo": False,
    # A picture would have the page's theme; "Save" has it in that of a paper.
    "modeBarButtonsToRemove": ["toImage", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
}
"""Plotly's toolbar."""


def csv_button(name: str, rows: Callable[[], list[list[object]]]) -> None:
    """A button that saves numbers as CSV; they are made when asked for."""
    _save(
        "Numbers (CSV)", f"{name}.csv", "text/csv", lambda: to_csv(rows()), icon=":material/download:", type="tertiary"
    )


def downloads(
    name: str, rows: Callable[[], list[list[object]]], figure: Callable[[], go.Figure], where: str = ""
) -> None:
    """A menu that offers a figure in every format and its numbers as CSV; each is made when asked for.

    Args:
        name: Name of the files, as :func:`dashboard.saving.names.file_name` makes it.
        rows: The numbers, as :mod:`dashboard.saving.tables` has them.
        figure: The figure as the page has it.
        where: Tells it from another menu of the page with the same name.
    """
    with st.popover("Save", icon=":material/download:", type="tertiary"):
        _save_numbers(name, rows, where)
        _save("Figure (HTML)", f"{name}.html", exported.MIME["html"], lambda: exported.to_html(figure(), name), where)
        if why := exported.cannot_draw():
            st.caption(why)
            return
        for kind in exported.DRAWN:
            _save(
                f"Figure ({kind.upper()})", f"{name}.{kind}", exported.MIME[kind],
                lambda kind=kind: exported.drawn(figure(), kind), where,  # type: ignore[misc]
            )  # fmt: skip


def picture_downloads(
    name: str, rows: Sequence[Sequence[Block]], numbers: Callable[[], list[list[object]]] | None = None
) -> None:
    """A menu that offers a grid of pictures in every format, and its numbers if it has any; each made when asked for.

    Args:
        name: Name of the files, as :func:`dashboard.saving.names.file_name` makes it.
        rows: The pictures.
        numbers: The numbers, as :mod:`dashboard.saving.tables` has them.
    """
    with st.popover("Save", icon=":material/download:", type="tertiary"):
        if numbers is not None:
            _save_numbers(name, numbers)
        for kind in SHEETS:
            _save(
                f"Pictures ({kind.upper()})", f"{name}.{kind}", exported.MIME[kind],
                lambda kind=kind: sheet_file(rows, kind, name),  # type: ignore[misc]
            )  # fmt: skip


def _save_numbers(name: str, rows: Callable[[], list[list[object]]], where: str = "") -> None:
    _save("Numbers (CSV)", f"{name}.csv", "text/csv", lambda: to_csv(rows()), where)
    _save("Numbers (JSON)", f"{name}.json", "application/json", lambda: to_json(rows()), where)


def _save(label: str, name: str, mime: str, make: Callable[[], str | bytes], where: str = "", **looks: Any) -> None:
    st.download_button(label, make, name, mime, key=f"save {where} {name}", on_click="ignore", **looks)
