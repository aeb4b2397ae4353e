"""Plotly figures of the physical attack: success over distance and angle, and factor by factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.metrics import Rate
from core.sweeps.physical import PhysicalResult
from dashboard.figures.base import COLOURS, error_bars
from dashboard.words.photographs import factor_word

__all__ = ["factor_bars", "place_map", "places_of"]

# One line per group of conditions in the figure over factors.
_GAP = 0.38


def places_of(result: PhysicalResult) -> dict[tuple[float, float], Rate]:
    """The rate at every (distance, yaw) that was measured."""
    places = {}
    for i, condition in enumerate(result.conditions):
        if condition.group == "map" and result.total[i]:
            places[condition.camera.distance, condition.camera.yaw] = Rate(int(result.hits[i]), int(result.total[i]))
    return places


def place_map(result: PhysicalResult, current: tuple[float, float] | None) -> go.Figure:
    """Attack success rate over distance and viewing angle; every cell can be clicked.

    Args:
        result: With conditions of the group ``map``.
        current: Distance and yaw that are shown, framed where they are on the map.
    """
    places = places_of(result)
    distances = sorted({condition.camera.distance for condition in result.conditions if condition.group == "map"})
    yaws = sorted({condition.camera.yaw for condition in result.conditions if condition.group == "map"})
    rates = np.full((len(distances), len(yaws)), np.nan)
    for (distance, yaw), rate in places.items():
        rates[distances.index(distance), yaws.index(yaw)] = 100 * rate.value
    across, down = [f"{yaw:g}°" for yaw in yaws], [f"{distance:g}" for distance in distances]
    figure = go.Figure(
        go.Heatmap(
            x=across,
            y=down,
            z=rates,
            zmin=0,
            zmax=100,
            colorscale="Viridis",
            colorbar={"title": "ASR,<br>simulated (%)", "thickness": 12},
            texttemplate="%{z:.0f}",
            xgap=2,
            ygap=2,
            hoverinfo="skip",
        )
    )
    # Plotly reports clicks on points, not on cells of a heatmap: every cell has an invisible point.
    listed = [(f"{yaw:g}°", f"{distance:g}", distance, yaw, rate) for (distance, yaw), rate in places.items()]
    figure.add_scatter(
        x=[yaw for yaw, *_ in listed],
        y=[distance for _, distance, *_ in listed],
        mode="markers",
        marker={"size": 34, "opacity": 0, "symbol": "square"},
        customdata=[
            [distance, yaw, 100 * rate.value, *(100 * end for end in rate.interval), rate.hits, rate.total]
            for _, _, distance, yaw, rate in listed
        ],
        hovertemplate="distance %{customdata[0]}, turned by %{customdata[1]}°: %{customdata[2]:.1f} % "
        "(%{customdata[3]:.1f} to %{customdata[4]:.1f}, %{customdata[5]} of %{customdata[6]})<extra></extra>",
        showlegend=False,
    )
    if current is not None and current[0] in distances and current[1] in yaws:
        i, j = distances.index(current[0]), yaws.index(current[1])
        box = {"x0": j - 0.5, "x1": j + 0.5, "y0": i - 0.5, "y1": i + 0.5}
        figure.add_shape(type="rect", **box, line={"color": COLOURS[0], "width": 3})
    figure.update_xaxes(title="sheet turned to the side (yaw)", type="category", constrain="domain")
    figure.update_yaxes(title="distance", type="category")
    figure.update_layout(margin={"l": 10, "r": 10, "t": 10, "b": 10}, height=330, dragmode=False)
    return figure


def factor_bars(named: Sequence[tuple[str, PhysicalResult]], group: str, ends: Mapping[str, str]) -> go.Figure:
    """Attack success rate under every condition of a group, one bar per model, with 95% intervals.

    Args:
        named: Models with their results.
        group: ``only`` or ``without``.
        ends: Presets that stand above the factors, with what they are called here.
    """
    figure = go.Figure()
    for (name, result), colour in zip(named, COLOURS, strict=False):
        listed = {ends[preset]: rate for preset, (_, rate) in result.of("preset").items() if preset in ends}
        listed |= {factor_word(factor): rate for factor, (_, rate) in result.of(group).items()}
        values = [100 * rate.value for rate in listed.values()]
        spread = [tuple(100 * end for end in rate.interval) for rate in listed.values()]
        figure.add_bar(
            y=list(listed),
            x=values,
            name=name,
            orientation="h",
            marker_color=colour,
            width=_GAP,
            error_x=error_bars(values, [low for low, _ in spread], [high for _, high in spread], 1.2),
            customdata=[[*end, rate.hits, rate.total] for end, rate in zip(spread, listed.values(), strict=True)],
            hovertemplate="%{y}: %{x:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f}, "
            "%{customdata[2]} of %{customdata[3]})<extra>%{fullData.name}</extra>",
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="attack success rate, simulated photographs (%)", range=[0, 104])
    figure.update_layout(
        barmode="group",
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        height=480,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0},
    )
    return figure
