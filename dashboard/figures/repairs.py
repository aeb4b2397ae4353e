"""Plotly figures of repairs; plain functions, nothing of Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from core import formatting
from core.metrics import Rate
from dashboard.figures.base import COLOURS, error_bars

__all__ = ["cost_against_effect", "norms"]

# Defenses on a log axis: what takes no time stands at its left end.
NOTHING = 0.1
SYMBOLS = ("circle", "diamond", "square", "cross", "triangle-up", "x")
PALETTE = ("#d1495b", "#0072b2", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#7a5195", "#8a8f98")


def norms(
    classes: Sequence[str], sizes: Sequence[float], indices: Sequence[float | str], flagged: Sequence[int]
) -> go.Figure:
    """Size of every label's reversed trigger as bars; flagged labels stand out.

    Args:
        classes: Class names.
        sizes: L1 norm of each mask, in pixels.
        indices: Anomaly index of each; a text where it is infinite.
        flagged: Labels that were flagged.
    """
    colours = [COLOURS[0] if label in flagged else COLOURS[1] for label in range(len(classes))]
    figure = go.Figure(
        go.Bar(
            x=list(classes),
            y=list(sizes),
            marker_color=colours,
            text=[formatting.number(float(index)) for index in indices],
            textposition="outside",
            cliponaxis=False,
            customdata=[f"{float(index):.2f}" for index in indices],
            hovertemplate="%{x}: %{y:.1f} pixels, index %{customdata}<extra></extra>",
        )
    )
    figure.update_yaxes(title="size of the mask (pixels)")
    figure.update_xaxes(title="class, with its anomaly index")
    figure.update_layout(margin={"l": 10, "r": 10, "t": 30, "b": 10}, height=340)
    return figure


def cost_against_effect(points: Sequence[tuple[str, str, float, Rate, Rate]]) -> go.Figure:
    """Attack success that is left against the seconds that a defense takes (Fig. 1).

    Args:
        points: Defense, attack, seconds, attack success rate and clean accuracy of each.
    """
    figure = go.Figure()
    attacks = list(dict.fromkeys(attack for _, attack, *_ in points))
    for number, defense in enumerate(dict.fromkeys(name for name, *_ in points)):
        same = [point for point in points if point[0] == defense]
        rates = [100 * success.value for *_, success, _ in same]
        ends = [[100 * end for end in success.interval] for *_, success, _ in same]
        figure.add_scatter(
            x=[max(seconds, NOTHING) for _, _, seconds, _, _ in same],
            y=rates,
            mode="markers",
            name=defense,
            marker={
                "size": 12,
                "color": PALETTE[number % len(PALETTE)],
                "symbol": [SYMBOLS[attacks.index(attack) % len(SYMBOLS)] for _, attack, *_ in same],
            },
            error_y=error_bars(rates, [low for low, _ in ends], [high for _, high in ends]),
            customdata=[[attack, seconds, 100 * clean.value, hit.total] for _, attack, seconds, hit, clean in same],
            hovertemplate="%{customdata[0]}: %{y:.1f} % of %{customdata[3]}, %{customdata[1]:.1f} s, "
            "clean accuracy %{customdata[2]:.1f} %<extra>%{fullData.name}</extra>",
        )
    for number, attack in enumerate(attacks):
        marker = {"size": 10, "color": COLOURS[2], "symbol": f"{SYMBOLS[number % len(SYMBOLS)]}-open"}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=attack, marker=marker)
    ticks = [NOTHING, 1, 10, 100, 1000]
    figure.update_xaxes(title="seconds", type="log", tickvals=ticks, ticktext=["none", "1", "10", "100", "1000"])
    figure.update_yaxes(title="attack success rate (%)", range=[-3, 104])
    figure.update_layout(margin={"l": 10, "r": 10, "t": 24, "b": 10}, height=460)
    return figure
