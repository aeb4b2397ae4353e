"""Figures as files for a paper: in a light theme whatever the page has, legible at the width of a column.

HTML needs nothing else. PNG, SVG and PDF are drawn by Kaleido in a Chrome or Chromium of this machine; where there is
none, :func:`cannot_draw` says so, and the HTML file has buttons that save it as SVG and PNG and print it.
"""

from __future__ import annotations

import json
import textwrap
import threading
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

__all__ = ["DRAWN", "MIME", "cannot_draw", "drawn", "for_paper", "to_html"]

DRAWN = ("png", "svg", "pdf")
"""Formats that need a browser on this machine."""
MIME = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "html": "text/html"}

# CSS pixels. In a column 84 mm wide, text of 15 px of a figure 420 px wide is 8.5 points high.
COLUMN, SCREEN = 420, 760
LOWEST = 290
SIZE = 15
FONT = {"family": "Arial, Helvetica, sans-serif", "size": SIZE, "color": "#1a1a1a"}
MARGIN = 12
# A character is about half as wide as the font is high; an entry of a legend has its mark beside the text.
CHARACTER, ENTRY, LINE = 0.52 * SIZE, 46, 1.35 * SIZE
PNG_SCALE = 4
_SAVING = Path(__file__).with_name("saving.js")
WAITING = 2
"""Figures that may wait while another one is drawn. More would keep all threads in which files are made waiting."""
_drawing, _asking = threading.Lock(), threading.BoundedSemaphore(1 + WAITING)


def for_paper(figure: go.Figure, width: int = COLUMN) -> go.Figure:
    """A figure as it is saved: light, nothing clipped, every category named, the legend below.

    Args:
        figure: A figure of a page; it stays as it is.
        width: Its width in CSS pixels.
    """
    made = go.Figure(figure)
    made.layout.template = pio.templates["plotly_white"]
    fits = max(12, int((width - 2 * MARGIN - ENTRY) / CHARACTER))
    listed = [trace for trace in made.data if trace.showlegend is not False and trace.name]
    for trace in listed:
        trace.name = _wrapped(trace.name, fits)
    legend = len(listed) > 1 or (len(listed) == 1 and len(made.data) > 1)
    title = _wrapped(made.layout.title.text or "", int(width / CHARACTER))
    top = MARGIN + (LINE * (title.count("<br>") + 1.6) if title else 0) + (LINE if _has_note(made) else 0)
    below = _legend_height([trace.name for trace in listed], width) if legend else 0
    # The page gives a plot more width than a column: a little less height keeps its shape.
    tall = max(0.8 * (made.layout.height or 430), LOWEST) if width == COLUMN else made.layout.height or 430
    if made.layout.yaxis.scaleanchor:
        tall = min(0.95 * width, 640)  # square cells
        made.update_yaxes(constrain="domain")
    height = round(tall + below + top)
    made.update_layout(
        width=width,
        height=height,
        autosize=False,
        font=FONT,
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin={"l": MARGIN, "r": MARGIN, "t": top, "b": MARGIN + below, "autoexpand": True},
        showlegend=legend,
        legend={
            "orientation": "h", "xref": "container", "x": 0.02, "xanchor": "left", "yref": "container", "y": 0.01,
            "yanchor": "bottom", "font": FONT, "title": {"text": ""}, "tracegroupgap": 0,
        },
        title={"text": title or None, "font": FONT, "x": 0.03, "xanchor": "left", "y": 1, "yanchor": "top"},
    )  # fmt: skip
    made.layout.title.pad = {"t": 1.5 * MARGIN}
    for axes in (made.update_xaxes, made.update_yaxes):
        axes(automargin=True, title_font=FONT, title_standoff=10, tickfont=FONT, linecolor="#444", gridcolor="#e2e5e8")
    for axis, values in (("xaxis", "x"), ("yaxis", "y")):
        names = _categories(made, values)
        if names:
            made.update_layout({axis: {"type": "category", "tickmode": "array", "tickvals": names, "ticktext": names}})
    if width == COLUMN and len(made.layout.xaxis.tickvals or ()) > 6 and not _categories(made, "x"):
        made.layout.xaxis.tickvals = made.layout.xaxis.tickvals[::2]
    made.update_annotations(font=FONT)
    made.update_traces(
        colorbar={"tickfont": FONT, "thickness": 14, "title": {"font": FONT, "side": "right"}},
        selector={"type": "heatmap"},
    )
    return made


def _wrapped(text: str, characters: int) -> str:
    return "<br>".join(textwrap.wrap(text.replace("<br>", " "), max(characters, 12)))


def _has_note(figure: go.Figure) -> bool:
    """Whether a note stands above the plot."""
    return any(note.yref == "paper" and note.y == 1 for note in figure.layout.annotations)


def _legend_height(names: list[str], width: int) -> float:
    """Height of a legend that has its entries in columns of one width."""
    widest = max(CHARACTER * max(map(len, name.split("<br>"))) + ENTRY for name in names)
    columns = max(1, int((width - 2 * MARGIN) // widest))
    rows = [names[start : start + columns] for start in range(0, len(names), columns)]
    return LINE * sum(max(name.count("<br>") + 1 for name in row) for row in rows) + MARGIN


def _categories(figure: go.Figure, values: str) -> list[str]:
    """Names along an axis, in their order; none where it has numbers."""
    categories = [entry for trace in figure.data for entry in (trace[values] if trace[values] is not None else ())]
    return list(dict.fromkeys(categories)) if categories and all(isinstance(entry, str) for entry in categories) else []


def to_html(figure: go.Figure, name: str) -> str:
    """A figure as one HTML file that needs no network, with buttons that save it.

    Args:
        figure: A figure of a page.
        name: Name of the files that its buttons save, without the ending.
    """
    column = for_paper(figure)
    saved = {"figure": json.loads(column.to_json()), "name": name, "scale": PNG_SCALE}
    script = f"const saved = {json.dumps(saved)};\n{_SAVING.read_text(encoding='utf-8')}".replace("</", "<\\/")
    text: str = for_paper(figure, SCREEN).to_html(
        include_plotlyjs=True,
        full_html=True,
        post_script=script,
        config={"displaylogo": False, "modeBarButtonsToRemove": ["toImage", "select2d", "lasso2d"]},
    )
    return text.replace("<head>", f"<head><title>{name}</title>", 1)


@cache
def cannot_draw() -> str:
    """Why this machine cannot draw :data:`DRAWN`, in one sentence; nothing where it can."""
    try:
        import kaleido  # noqa: F401 - whether it is there
        from choreographer.browsers.chromium import Chromium
    except ImportError:
        return (
            "PNG, SVG and PDF need the package kaleido, `pip install kaleido`; the HTML file has buttons for them, too."
        )
    if Chromium.find_browser(skip_local=False) is None:
        return (
            "PNG, SVG and PDF need Chrome or Chromium on the machine that runs the application, `plotly_get_chrome` "
            "fetches it; the HTML file has buttons for them, too."
        )
    return ""


def drawn(figure: go.Figure, kind: str) -> bytes:
    """A figure as PNG, SVG or PDF.

    Args:
        figure: A figure of a page.
        kind: One of :data:`DRAWN`.

    Raises:
        ValueError: If it is none of them, this machine cannot draw it, or too many are being drawn.
    """
    if kind not in DRAWN:
        raise ValueError(f"kind = {kind!r} is not allowed: {', '.join(DRAWN)}")
    if why := cannot_draw():
        raise ValueError(why)
    options: dict[str, Any] = {"scale": PNG_SCALE} if kind == "png" else {}
    if not _asking.acquire(blocking=False):
        raise ValueError("Too many figures are being drawn at the moment; ask again in some seconds.")
    try:
        with _drawing:  # one browser at a time, however many ask
            made = for_paper(figure)
            # The size is said once more: not every version takes it from the figure.
            size = {"width": made.layout.width, "height": made.layout.height}
            content: bytes = pio.to_image(made, format=kind, **size, **options)
    finally:
        _asking.release()
    return content
