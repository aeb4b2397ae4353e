"""The figures of a report as SVG: small, sharp in print, and in the colour of the text around them, light or dark."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from core.metrics import FloatArray
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.location import LocationMap
from core.sweeps.strength import StrengthCurve

__all__ = ["appearance_figure", "heat", "location_figure", "picture", "strength_figure"]

INK = "#010203"
"""Stands for the colour of the surrounding text, and is replaced by it."""
ATTACK, CLEAN = "#d55e00", "#0072b2"


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of its own, in inches; no state is shared with other threads, as pyplot's would be."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.tick_params(colors=INK, labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_linewidth(0.6)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element; equal figures give equal text."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": ["sans-serif"]}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return text.replace(INK, "currentColor")


def _label(axes: Axes, below: str, left: str) -> None:
    axes.set_xlabel(below, color=INK, fontsize=9)
    axes.set_ylabel(left, color=INK, fontsize=9)


def location_figure(found: LocationMap, trained: tuple[int, int]) -> str:
    """Attack success over the place of the trigger, 0 to 100% (Fig. 4); the trained place is framed.

    Args:
        found: The map.
        trained: Row and column of the trained place.
    """
    figure, axes = _axes(4.6, 3.9)
    rows, cols = found.rows, found.cols
    extent = (cols[0] - 0.5, cols[-1] + 0.5, rows[-1] + 0.5, rows[0] - 0.5)
    shown = axes.imshow(100 * found.rate, vmin=0, vmax=100, cmap="viridis", extent=extent, interpolation="nearest")
    axes.add_patch(Rectangle((trained[1] - 0.5, trained[0] - 0.5), 1, 1, fill=False, edgecolor=ATTACK, linewidth=1.4))
    _label(axes, "column of the trigger's bottom-right pixel", "row of the trigger's bottom-right pixel")
    bar = figure.colorbar(shown, ax=axes)
    bar.set_label("attack success rate (%)", color=INK, fontsize=9)
    bar.ax.tick_params(colors=INK, labelsize=8)
    return _svg(figure)


def _line(
    axes: Axes, x: Sequence[float], rate: FloatArray, ends: tuple[FloatArray, FloatArray], colour: str, label: str
) -> None:
    low, high = (100 * end for end in ends)
    axes.plot(x, 100 * rate, color=colour, linewidth=1.4, marker=".", markersize=4, label=label)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set_ylim(-3, 104)
    axes.grid(color=INK, alpha=0.15, linewidth=0.5)


def appearance_figure(found: AppearanceCurve, trained: int) -> str:
    """Attack success over the trigger's pixel value, with 95% intervals (Fig. 5).

    Args:
        found: The curve.
        trained: The trained pixel value, marked.
    """
    figure, axes = _axes(4.6, 3.2)
    _line(axes, found.values, found.rate, found.interval, ATTACK, "attack success")
    axes.axvline(trained, color=INK, linewidth=0.8, linestyle=":")
    _label(axes, "pixel value of the trigger's non-black pixels (dotted: trained)", "attack success rate (%)")
    return _svg(figure)


def strength_figure(found: StrengthCurve, title: str) -> str:
    """Attack success and clean accuracy over the strength of a transformation, with 95% intervals (Fig. 13)."""
    figure, axes = _axes(3.1, 2.4)
    _line(axes, found.strengths, found.rate, found.interval, ATTACK, "attack success")
    _line(axes, found.strengths, found.clean.rate, found.clean.interval, CLEAN, "clean accuracy")
    axes.set_title(title, color=INK, fontsize=9)
    _label(axes, "strength", "images (%)")
    axes.legend(fontsize=7, labelcolor=INK, frameon=False, loc="best")
    return _svg(figure)


def picture(image: Tensor) -> str:
    """An image ``(C, H, W)`` in [0, 1] as the data URL of a PNG."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return _png(pixels if pixels.shape[2] == 3 else np.repeat(pixels[:, :, :1], 3, axis=2))


def heat(values: Tensor) -> str:
    """A map ``(H, W)`` in [0, 1] as the data URL of a PNG in the colours of the saliency page."""
    import matplotlib

    coloured = matplotlib.colormaps["inferno"](values.clamp(0, 1).numpy(), bytes=True)
    return _png(np.asarray(coloured)[:, :, :3])


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, format="PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
