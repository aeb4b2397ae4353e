"""Figures while they are still being measured: plain HTML that updates in place, where Plotly would blink.

They have the height and the axes of the figures in :mod:`dashboard.figures` that take their place in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from core.sweeps import AppearanceMap
from dashboard.figures import Curve

__all__ = ["curves_sketch", "map_sketch"]

WIDTH, HEIGHT = 640, 430
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 46
# Viridis at 0, 20, ..., 100 %, as the finished map has it.
VIRIDIS = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37))


def curves_sketch(curves: Sequence[Curve], current: int) -> str:
    """Success rate against pixel value so far, as :func:`dashboard.figures.appearance_curves` will draw it."""
    parts = [
        _line(0, 255, y, "currentColor", 0.15)
        + _text(LEFT - 8, _y(y) + 4, f"{y}", "end")  # the axis' numbers stand left of it
        for y in range(0, 101, 20)
    ]
    parts += [_text(_x(x), HEIGHT - BOTTOM + 20, f"{x}", "middle") for x in range(0, 257, 32)]
    parts.append(_text((WIDTH + LEFT) / 2, HEIGHT - 6, "pixel value of the trigger's lit pixels", "middle"))
    parts.append(
        f'<g transform="rotate(-90 14 {HEIGHT / 2})">{_text(14, HEIGHT / 2, "attack success rate (%)", "middle")}</g>'
    )
    parts.append(
        f'<line x1="{_x(current):.1f}" x2="{_x(current):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="currentColor" '
        'stroke-opacity="0.6" stroke-dasharray="2 3"/>'
    )
    for curve in curves:
        measured = curve.result.total > 0
        rates = 100 * curve.result.rate[measured]
        values = np.asarray(curve.result.values)[measured]
        points = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in zip(values, rates, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{curve.colour}" stroke-width="2.5"/>')
    names = ", ".join(curve.name for curve in curves)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" height="{HEIGHT}" preserveAspectRatio="xMidYMid meet" '
        f'role="img" aria-label="{escape(names)}, being measured">{"".join(parts)}</svg>'
    )


def map_sketch(result: AppearanceMap) -> str:
    """Success rate over pixel value and opacity so far; cells that are not measured yet stay empty."""
    cells = []
    for i in reversed(range(len(result.opacities))):
        for j in range(len(result.values)):
            colour = _viridis(float(result.rate[i, j])) if result.total[i, j] else "transparent"
            cells.append(f'<div style="background:{colour}"></div>')
    style = (
        f"display:grid;grid-template-columns:repeat({len(result.values)},1fr);height:300px;margin:24px 90px 40px 60px"
    )
    return f'<div style="{style}" role="img" aria-label="map, being measured">{"".join(cells)}</div>'


def _x(value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value + 3) / 261


def _y(percent: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (percent + 3) / 107


def _line(low: float, high: float, percent: float, colour: str, opacity: float) -> str:
    y = f"{_y(percent):.1f}"
    return (
        f'<line x1="{_x(low):.1f}" x2="{_x(high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-opacity="{opacity}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" fill="currentColor" '
        f'fill-opacity="0.75">{escape(text)}</text>'
    )


def _viridis(share: float) -> str:
    place = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    index = min(int(place), len(VIRIDIS) - 2)
    part = place - index
    mixed = (round(a + part * (b - a)) for a, b in zip(VIRIDIS[index], VIRIDIS[index + 1], strict=True))
    return f"rgb({','.join(map(str, mixed))})"
