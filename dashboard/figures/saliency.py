"""Saliency methods against attacks as a figure: one cell for each, with its number."""

from __future__ import annotations

from textwrap import wrap

import pandas as pd
import plotly.graph_objects as go

__all__ = ["method_map"]


WIDE, LINES = 12, 4
"""Characters of a line of an attack's name, and its lines; what is more is cut."""


def method_map(table: pd.DataFrame, title: str) -> go.Figure:
    """Numbers in percent, methods from top to bottom and attacks from left to right.

    Args:
        table: One row per method, one column per attack; nan where nothing is stored.
        title: What the numbers are.
    """
    figure = go.Figure(
        go.Heatmap(
            x=["<br>".join(wrap(str(name), WIDE, max_lines=LINES, placeholder=" …")) for name in table.columns],
            y=[str(name) for name in table.index],
            z=table.to_numpy(dtype=float),
            zmin=0,
            zmax=100,
            colorscale="Viridis",
            colorbar={"title": "%", "thickness": 12},
            texttemplate="%{z:.1f}",
            xgap=2,
            ygap=2,
            hovertemplate="%{y}, %{x}: %{z:.1f} %<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", tickangle=-40)
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(title=title, height=120 + 16 * LINES + 34 * len(table))
    return figure
