"""The paper's figures, drawn from what is stored of one network."""

from __future__ import annotations

import plotly.graph_objects as go

from core.defenses import defenses
from core.paper.claims.base import ENHANCED, STANDARD
from core.paper.comparison import Results
from core.transforms import transform_from_spec
from dashboard.figures import physical as physical_figures
from dashboard.figures import repairs as repair_figures
from dashboard.figures import sweeps as figures
from dashboard.figures.base import COLOURS
from dashboard.figures.sweeps import Curve, StrengthLine
from dashboard.tables.paper import attack_label

__all__ = ["paper_figure"]

GRAY = "badnets-gray"
# One per attack, standard and enhanced alike.
LINES = (COLOURS[0], COLOURS[1], "#009e73")
PHYSICAL = ("badnets", "badnets+")
# The transformations of Fig. 1, which take no time.
FREE = ("flip", "shrinkpad:1", "shrinkpad:2", "shrinkpad:3", "shrinkpad:4")


def paper_figure(name: str, results: Results) -> go.Figure | None:
    """A figure of the paper; None where nothing of it is stored, or it is no chart.

    Args:
        name: ``fig1``, ``fig4``, ``fig5``, ``fig11``, ``fig13`` or ``fig14``.
        results: What is stored.
    """
    make = {"fig1": _cost, "fig4": _location, "fig5": _appearance, "fig11": _photographs, "fig13": _shrink}
    return (make | {"fig14": _ablation})[name](results) if name in make or name == "fig14" else None


def _cost(results: Results) -> go.Figure | None:
    points = []
    for title in STANDARD:
        for spec in FREE:
            clean, success = (results.rate(title, spec, quantity) for quantity in ("clean", "asr"))
            if clean is not None and success is not None:
                points.append((transform_from_spec(spec).label, attack_label(title), 0.0, success, clean))
        for name, one in results.repairs.get(title, {}).items():
            points.append((defenses[name].label, attack_label(title), one.seconds, one.success, one.clean))
    return repair_figures.cost_against_effect(points) if points else None


def _location(results: Results) -> go.Figure | None:
    if GRAY not in results.maps:
        return None
    card = results.cards[GRAY]
    place = card.attack_object.trigger(card.shape).location
    return figures.location_map(results.maps[GRAY], place, attack_label(GRAY))


def _appearance(results: Results) -> go.Figure | None:
    if GRAY not in results.appearances:
        return None
    card = results.cards[GRAY]
    value = card.attack_object.trigger(card.shape).value
    curve = Curve(attack_label(GRAY), results.appearances[GRAY], COLOURS[0])
    return figures.appearance_curves([curve], value, value)


def _photographs(results: Results) -> go.Figure | None:
    named = [(attack_label(title), results.photographs[title]) for title in PHYSICAL if title in results.photographs]
    return physical_figures.factor_bars(named, "only", {"near": "near", "far": "far"}) if named else None


def _shrink(results: Results) -> go.Figure | None:
    lines = [
        StrengthLine(attack_label(title), results.curves[title]["shrinkpad"], LINES[position % 3], dash)
        for titles, dash in ((STANDARD, "dot"), (ENHANCED, "solid"))
        for position, title in enumerate(titles)
        if "shrinkpad" in results.curves.get(title, {})
    ]
    return figures.strength_curves(lines, "shrink size (pixels)", with_clean=False) if lines else None


def _ablation(results: Results) -> go.Figure | None:
    lines = []
    for title, curves in results.ablation().items():
        if len(curves) < 2:
            continue
        colour = LINES[ENHANCED.index(title) % 3] if title in ENHANCED else COLOURS[2]
        for strength, dash, what in ((0, "dot", "without a defense"), (4, "solid", "behind ShrinkPad-4")):
            points = [(size, curve.at(strength).success) for size, curve in curves.items()]
            lines.append((f"{attack_label(title)} {what}", colour, dash, points))
    return figures.max_shrink_curves(lines) if lines else None
