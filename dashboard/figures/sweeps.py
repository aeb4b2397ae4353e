"""Plotly figures of results; plain functions, nothing of Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.metrics import Rate
from core.sweeps.appearance import AppearanceCurve, AppearanceMap
from core.sweeps.base import Counted
from core.sweeps.location import LocationMap
from core.sweeps.strength import StrengthCurve
from dashboard.figures.base import COLOURS, VALUE_TICKS, _faint, _legend, error_bars

__all__ = [
    "Curve",
    "StrengthLine",
    "appearance_curves",
    "appearance_map",
    "location_map",
    "max_shrink_curves",
    "strength_curves",
]

MANY = 100
"""Points of a line from which bars and dots would hide it."""


@dataclass(frozen=True)
class Curve:
    """One line of a figure."""

    name: str
    result: AppearanceCurve
    colour: str


def appearance_curves(curves: Sequence[Curve], trained: int | None, current: int) -> go.Figure:
    """Attack success rate against pixel value with 95% intervals (Fig. 5).

    Args:
        curves: What to draw; values not measured yet are left out.
        trained: Pixel value in training, marked with a dot on the first curve.
        current: Pixel value shown, marked with a line.
    """
    figure = go.Figure()
    for curve in curves:
        measured = curve.result.total > 0
        values = np.asarray(curve.result.values)[measured]
        low, high = (100 * end[measured] for end in curve.result.interval)
        rate = 100 * curve.result.rate[measured]
        _add_band(figure, values, low, high, curve.colour, curve.name)
        figure.add_scatter(
            x=values,
            y=rate,
            mode="lines",
            name=curve.name,
            legendgroup=curve.name,
            line={"color": curve.colour, "width": 2.5},
            customdata=np.stack([low, high, curve.result.hits[measured], curve.result.total[measured]], axis=1),
            hovertemplate="value %{x}: %{y:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f}, "
            "%{customdata[2]} of %{customdata[3]})<extra>%{fullData.name}</extra>",
        )
    if trained is not None and curves and trained in curves[0].result.values and curves[0].result.at(trained).total:
        figure.add_scatter(
            x=[trained],
            y=[100 * curves[0].result.at(trained).value],
            mode="markers",
            name=f"trained value ({trained})",
            marker={"size": 12, "color": curves[0].colour, "line": {"width": 2, "color": "white"}},
        )
    figure.add_vline(x=current, line={"dash": "dot", "width": 1.5, "color": COLOURS[2]})
    # Near a border the text would be cut off there.
    anchor = "left" if current < 32 else "right" if current > 224 else "center"
    figure.add_annotation(
        x=current, y=1, yref="paper", text=f"shown: {current}", showarrow=False, xanchor=anchor, yanchor="bottom"
    )
    figure.update_xaxes(title="pixel value of the trigger's non-black pixels", range=[-3, 258], tickvals=VALUE_TICKS)
    figure.update_yaxes(title="attack success rate (%)", range=[-3, 104])
    figure.update_layout(margin={"l": 10, "r": 10, "t": 24, "b": 10}, height=430, legend=_legend())
    return figure


def appearance_map(result: AppearanceMap, trained: tuple[int, int] | None, current: tuple[int, int]) -> go.Figure:
    """Attack success rate over pixel value and opacity; ``trained`` and ``current`` are (value, opacity in percent)."""
    figure = go.Figure(
        go.Heatmap(
            x=list(result.values),
            y=list(result.opacities),
            z=100 * result.rate,
            zmin=0,
            zmax=100,
            colorscale="Viridis",
            colorbar={"title": "ASR (%)"},
            customdata=np.stack([result.hits, result.total], axis=2),
            hovertemplate="value %{x}, opacity %{y} %: %{z:.1f} % "
            "(%{customdata[0]} of %{customdata[1]})<extra></extra>",
        )
    )
    marks = [(current, "square-open", "shown")] + ([(trained, "circle", "trained")] if trained else [])
    for (value, opacity), symbol, name in marks:
        colour = COLOURS[0] if symbol.endswith("open") else "white"
        marker = {"symbol": symbol, "size": 14, "color": colour, "line": {"width": 2.5, "color": COLOURS[0]}}
        figure.add_scatter(x=[value], y=[opacity], mode="markers", name=name, marker=marker)
    figure.update_xaxes(title="pixel value of the trigger's non-black pixels", tickvals=VALUE_TICKS)
    figure.update_yaxes(title="opacity (%)")
    figure.update_layout(margin={"l": 10, "r": 10, "t": 24, "b": 10}, height=380, legend=_legend())
    return figure


def _add_band(figure: go.Figure, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, group: str) -> None:
    """Adds 95% intervals as a faint band, which comes and goes with the line of its group."""
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), mode="none", fill="toself",
        fillcolor=_faint(colour), line_width=0, hoverinfo="skip", showlegend=False, legendgroup=group,
    )  # fmt: skip


@dataclass(frozen=True)
class StrengthLine:
    """One model in a figure over the strength of a transformation."""

    name: str
    result: StrengthCurve
    colour: str
    dash: str = "solid"


def strength_curves(
    lines: Sequence[StrengthLine],
    axis: str,
    current: float | None = None,
    *,
    with_clean: bool = True,
    trained: float | None = None,
    quantity: str = "attack success rate (%)",
) -> go.Figure:
    """Attack success rate, and clean accuracy, against the strength of a transformation (Tables 1, 3, 4; Fig. 13).

    Of more than :data:`MANY` points, the intervals are a band in place of bars.

    Args:
        lines: What to draw.
        axis: Name of the strength.
        current: Strength shown, marked with a line.
        with_clean: Whether to draw clean accuracy, thin and dashed, beside the success rate.
        trained: Largest strength that an enhanced attack was trained with, shaded up to there.
        quantity: What is drawn, where that is one quantity.
    """
    figure = go.Figure()
    for line in lines:
        drawn: list[tuple[str, Counted, str, float]] = [("ASR", line.result, line.dash, 2.5)]
        if with_clean:
            drawn.append(("clean accuracy", line.result.clean, "dash", 1.5))
        for what, counts, dash, width in drawn:
            measured = counts.total > 0
            strengths = np.asarray(line.result.strengths)[measured]
            low, high = (100 * end[measured] for end in counts.interval)
            rate = 100 * counts.rate[measured]
            name = f"{line.name}: {what}" if with_clean else line.name
            style: dict[str, Any] = {
                "mode": "lines+markers",
                "marker": {"size": 7 if what == "ASR" else 4},
                "error_y": error_bars(rate, low, high),
            }
            if len(strengths) > MANY:
                _add_band(figure, strengths, low, high, line.colour, name)
                style = {"mode": "lines"}
            figure.add_scatter(
                x=strengths,
                y=rate,
                name=name,
                legendgroup=name,
                line={"color": line.colour, "width": width, "dash": dash},
                **style,
                customdata=np.stack([low, high, counts.hits[measured], counts.total[measured]], axis=1),
                hovertemplate="%{x}: %{y:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f}, "
                "%{customdata[2]} of %{customdata[3]})<extra>%{fullData.name}</extra>",
            )
    if trained is not None:
        figure.add_vrect(x0=0, x1=trained, fillcolor=_faint(COLOURS[2]), line_width=0, layer="below")
        figure.add_annotation(
            x=trained / 2, y=1, yref="paper", text="trained with", showarrow=False, yanchor="bottom", font_size=14
        )
    if current is not None:
        figure.add_vline(x=current, line={"dash": "dot", "width": 1.5, "color": COLOURS[2]})
    figure.update_xaxes(title=axis)
    figure.update_yaxes(title="images (%)" if with_clean else quantity, range=[-3, 104])
    figure.update_layout(margin={"l": 10, "r": 10, "t": 24, "b": 10}, height=430, legend=_legend())
    return figure


def max_shrink_curves(lines: Sequence[tuple[str, str, str, Sequence[tuple[int, Rate]]]]) -> go.Figure:
    """Attack success rate against the largest shrink size an enhanced attack was trained with (Fig. 14).

    Args:
        lines: Name, colour, dash and (largest shrink size, rate) of each line.
    """
    figure = go.Figure()
    for name, colour, dash, points in lines:
        rates = [100 * rate.value for _, rate in points]
        ends = [tuple(100 * end for end in rate.interval) for _, rate in points]
        figure.add_scatter(
            x=[size for size, _ in points],
            y=rates,
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2.5, "dash": dash},
            error_y=error_bars(rates, [low for low, _ in ends], [high for _, high in ends]),
            customdata=[[*end, rate.hits, rate.total] for end, (_, rate) in zip(ends, points, strict=True)],
            hovertemplate="max %{x}: %{y:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f}, "
            "%{customdata[2]} of %{customdata[3]})<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title="largest shrink size in training (pixels)", dtick=1)
    figure.update_yaxes(title="attack success rate (%)", range=[-3, 104])
    figure.update_layout(margin={"l": 10, "r": 10, "t": 24, "b": 10}, height=400, legend=_legend())
    return figure


def location_map(result: LocationMap, trained: tuple[int, int] | None, title: str) -> go.Figure:
    """Attack success rate over trigger locations (Fig. 4), for files; the page itself draws on a canvas."""
    low, high = result.interval
    figure = go.Figure(
        go.Heatmap(
            x=list(result.cols),
            y=list(result.rows),
            z=100 * result.rate,
            zmin=0,
            zmax=100,
            colorscale="Viridis",
            colorbar={"title": "ASR (%)"},
            customdata=np.stack([100 * low, 100 * high, result.hits, result.total], axis=2),
            hovertemplate="row %{y}, column %{x}: %{z:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f}, "
            "%{customdata[2]} of %{customdata[3]})<extra></extra>",
        )
    )
    if trained is not None:
        marker = {"symbol": "square-open", "size": 14, "color": COLOURS[0], "line": {"width": 2.5}}
        figure.add_scatter(
            x=[trained[1]], y=[trained[0]], mode="markers", name="trained place", marker=marker, cliponaxis=False
        )
    cells = {"constrain": "domain", "showgrid": False, "zeroline": False}
    across, down = ([axis[0] - 0.5, axis[-1] + 0.5] for axis in (result.cols, result.rows))
    figure.update_xaxes(title="column of the trigger's bottom-right pixel", range=across, **cells)
    figure.update_yaxes(title="row of the trigger's bottom-right pixel", range=down[::-1], scaleanchor="x", **cells)
    figure.update_layout(title=title, width=640, height=640, legend=_legend())
    return figure
