"""The paper's figures, drawn from what is stored of one network.

Fig. 1 and Fig. 13 are drawn of any models, as pages show them of variants too; the others of the paper's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import plotly.graph_objects as go

from core.defenses import defenses
from core.paper.constants import (
    ATTACKS,
    ENHANCED,
    FREE,
    GRAY,
    PHOTOGRAPHED,
    PHOTOGRAPHS,
    SHRINK,
    SHRINKPAD_LABEL,
    STANDARD,
)
from core.paper.results import Results
from core.sweeps.repair import Repaired
from core.sweeps.strength import StrengthCurve
from core.transforms import transform_from_spec
from dashboard.figures import physical as physical_figures
from dashboard.figures import repairs as repair_figures
from dashboard.figures import sweeps as figures
from dashboard.figures.base import COLOURS
from dashboard.figures.sweeps import Curve, StrengthLine
from dashboard.tables.paper import attack_label

__all__ = ["Drawn", "ablation_gaps", "cost_figure", "paper_figure", "shrink_figure"]

# One per attack, standard and enhanced alike.
LINES = (COLOURS[0], COLOURS[1], "#009e73")


@dataclass(frozen=True)
class Drawn:
    """One model in a figure of several.

    Attributes:
        title: Title of its attack.
        label: Its name for people.
        curves: Its curves over the strength of transformations, by the transformation's name.
        repairs: Its repairs by their names.
    """

    title: str
    label: str
    curves: Mapping[str, StrengthCurve] = field(default_factory=dict)
    repairs: Mapping[str, Repaired] = field(default_factory=dict)


def cost_figure(models: Iterable[Drawn]) -> go.Figure | None:
    """Fig. 1: what is left of attacks against the seconds that a defense takes; None where nothing is stored.

    Args:
        models: The attacked models; with their curves Flip and ShrinkPad are drawn, which take none.
    """
    listed = list(models)
    points = []
    for spec in FREE:
        step = transform_from_spec(spec).steps[0]
        for model in listed:
            curve = model.curves.get(step.name)
            if curve is not None and step.value in curve.strengths:
                clean, success = curve.at(step.value)
                points.append((step.label, model.label, 0.0, success, clean))
    for name in defenses:
        for model in listed:
            repaired = model.repairs.get(name)
            if repaired is not None:
                points.append((defenses[name].label, model.label, repaired.seconds, repaired.success, repaired.clean))
    return repair_figures.cost_against_effect(points) if points else None


def shrink_figure(models: Iterable[Drawn], trained: int | None = None) -> go.Figure | None:
    """Fig. 13: attack success under ShrinkPad of every size; None where nothing is stored.

    Args:
        models: The attacked models; enhanced ones are drawn solid, standard ones dotted, in the same colour.
        trained: Largest shrink size of the enhanced ones' training, which is marked.
    """
    lines = [
        StrengthLine(model.label, model.curves["shrinkpad"], colour_of(model.title), "solid" if plus else "dot")
        for model in models
        for plus in ("+" in model.title,)
        if "shrinkpad" in model.curves
    ]
    if not lines:
        return None
    return figures.strength_curves(lines, "shrink size (pixels)", with_clean=False, trained=trained)


def colour_of(title: str) -> str:
    """The colour of an attack, standard and enhanced alike; gray of one that the paper has not."""
    base = title.partition("+")[0]
    return LINES[STANDARD.index(base)] if base in STANDARD else COLOURS[2]


def paper_figure(name: str, results: Results) -> go.Figure | None:
    """A figure of the paper; None where nothing of it is stored, or it is no chart.

    Args:
        name: ``fig1``, ``fig4``, ``fig5``, ``fig11``, ``fig13`` or ``fig14``.
        results: What is stored.
    """
    make = {"fig1": _cost, "fig4": _location, "fig5": _appearance, "fig11": _photographs, "fig13": _shrink}
    return (make | {"fig14": _ablation})[name](results) if name in make or name == "fig14" else None


def ablation_gaps(results: Results) -> str:
    """What Fig. 14 lacks, attack by attack in sentences; empty where it is whole."""
    found = results.ablation()
    gaps = {title: found[title].gaps if title in found else "no size is measured" for title in ENHANCED}
    return " ".join(f"{attack_label(title)}: {gap}." for title, gap in gaps.items() if gap)


def _drawn(results: Results, titles: Iterable[str]) -> list[Drawn]:
    """The models of these attacks."""
    return [
        Drawn(title, attack_label(title), results.curves.get(title, {}), results.repairs.get(title, {}))
        for title in titles
    ]


def _cost(results: Results) -> go.Figure | None:
    return cost_figure(_drawn(results, STANDARD))


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
    named = [
        (attack_label(title), results.photographs[title]) for title in PHOTOGRAPHED if title in results.photographs
    ]
    return physical_figures.factor_bars(named, "only", {name: name for name in PHOTOGRAPHS}) if named else None


def _shrink(results: Results) -> go.Figure | None:
    there = any(title in results.cards for title in ENHANCED)
    return shrink_figure(_drawn(results, ATTACKS), SHRINK if there else None)


def _ablation(results: Results) -> go.Figure | None:
    lines = []
    for title, ablation in results.ablation().items():
        if len(ablation.curves) < 2:
            continue
        for size, dash, what in ((0, "dot", "without a defense"), (SHRINK, "solid", f"behind {SHRINKPAD_LABEL}")):
            points = [(largest, curve.at(size).success) for largest, curve in ablation.curves.items()]
            name = f"{attack_label(title)} {what} ({ablation.epochs} epochs)"
            lines.append((name, colour_of(title), dash, points))
    return figures.max_shrink_curves(lines) if lines else None
