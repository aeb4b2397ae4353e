"""Figures while they are still being measured: pictures that change in place, where Plotly would blink.

They have the height and the axes of the figures in :mod:`dashboard.figures.sweeps` that take their place in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from core.metrics import FloatArray
from core.sweeps.appearance import AppearanceMap
from dashboard.figures.base import COLOURS, VALUE_TICKS
from dashboard.figures.html import svg_image
from dashboard.figures.sweeps import Curve, StrengthLine

__all__ = ["curves_sketch", "map_sketch", "strength_sketch"]

WIDTH, HEIGHT = 640, 430
GRAY = COLOURS[2]
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 46
# Viridis at 0, 20, ..., 100 %, as the finished map has it.
VIRIDIS = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37))


def curves_sketch(curves: Sequence[Curve], current: int) -> str:
    """Success rate against pixel value so far, as :func:`dashboard.figures.sweeps.appearance_curves` will draw it."""
    lines = [
        (curve.colour, "", np.asarray(curve.result.values, dtype=float), 100 * curve.result.rate) for curve in curves
    ]
    names = ", ".join(curve.name for curve in curves)
    axes = ("pixel value of the trigger's non-black pixels", "attack success rate (%)")
    return _sketch(lines, current, (0, 255), VALUE_TICKS, axes, names)


def strength_sketch(lines: Sequence[StrengthLine], current: float) -> str:
    """Success rate and clean accuracy against strength, as :func:`dashboard.figures.sweeps.strength_curves` has it."""
    strengths = lines[0].result.strengths
    drawn = []
    for line in lines:
        x = np.asarray(line.result.strengths)
        drawn.append((line.colour, "", x, 100 * line.result.rate))
        drawn.append((line.colour, ' stroke-dasharray="7 4"', x, 100 * line.result.clean.rate))
    names = ", ".join(line.name for line in lines)
    return _sketch(drawn, current, (min(strengths), max(strengths)), strengths, ("strength", "images (%)"), names)


def _sketch(
    lines: Sequence[tuple[str, str, FloatArray, FloatArray]],
    current: float,
    span: tuple[float, float],
    ticks: Iterable[float],
    axes: tuple[str, str],
    names: str,
) -> str:
    """Lines of (colour, dash, x, percent) over ``span``; what is not measured yet is nan and left out."""
    margin = 3 / 255 * (span[1] - span[0])

    def place(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - span[0] + margin) / (span[1] - span[0] + 2 * margin)

    parts = []
    for percent in range(0, 101, 20):
        y = f"{_y(percent):.1f}"
        ends = f'x1="{place(span[0]):.1f}" x2="{place(span[1]):.1f}" y1="{y}" y2="{y}"'
        parts.append(f'<line {ends} stroke="{GRAY}" stroke-opacity="0.35"/>')
        parts.append(_text(LEFT - 8, _y(percent) + 4, f"{percent}", "end"))  # the axis' numbers stand left of it
    parts += [_text(place(x), HEIGHT - BOTTOM + 20, f"{x:g}", "middle") for x in ticks]
    parts.append(_text((WIDTH + LEFT) / 2, HEIGHT - 6, axes[0], "middle"))
    parts.append(f'<g transform="rotate(-90 14 {HEIGHT / 2})">{_text(14, HEIGHT / 2, axes[1], "middle")}</g>')
    parts.append(
        f'<line x1="{place(current):.1f}" x2="{place(current):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
        f'stroke="{GRAY}" stroke-dasharray="2 3"/>'
    )
    for colour, dash, xs, percents in lines:
        known = ~np.isnan(percents)
        points = " ".join(f"{place(x):.1f},{_y(y):.1f}" for x, y in zip(xs[known], percents[known], strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"{dash}/>')
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'
    return svg_image(drawing, f"{names}, being measured", f"width:100%;height:{HEIGHT}px;object-fit:contain")


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


def _y(percent: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (percent + 3) / 107


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" fill="{GRAY}">{escape(text)}</text>'


def _viridis(share: float) -> str:
    place = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    index = min(int(place), len(VIRIDIS) - 2)
    part = place - index
    mixed = (round(a + part * (b - a)) for a, b in zip(VIRIDIS[index], VIRIDIS[index + 1], strict=True))
    return f"rgb({','.join(map(str, mixed))})"
