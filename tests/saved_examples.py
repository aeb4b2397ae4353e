"""One example of every figure and of every table that the application saves, for the tests of what is saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.metrics import Rate
from core.paired import Paired
from core.paper.claims.base import label_of
from core.paper.comparison import Number
from core.paper.constants import ATTACKS
from core.paper.placements import Placement
from core.paper.results import Results
from core.sweeps.appearance import AppearanceCurve, AppearanceMap
from core.sweeps.location import LocationMap
from core.sweeps.outcomes import Outcomes
from core.sweeps.physical import PhysicalResult, conditions
from core.sweeps.saliency import Energies, Energy
from core.sweeps.saliency_methods import TRAINED, MethodScores, SaliencyMethods
from core.sweeps.strength import StrengthCurve
from core.training.state import Epoch
from dashboard.figures import physical as physical_figures
from dashboard.figures import repairs as repair_figures
from dashboard.figures import sweeps as figures
from dashboard.figures.base import COLOURS
from dashboard.figures.paper import Drawn, cost_figure, paper_figure, shrink_figure
from dashboard.figures.saliency import method_map
from dashboard.figures.sweeps import Curve, StrengthLine
from dashboard.saving import tables as saved_tables
from dashboard.saving.names import Source
from dashboard.views.trained import curves

SOURCE = Source("cifar10", "JPEG-re-encoded", "resnet20", "badnets", 128, 100)
LONG = "Consistent Attack (alpha 1, epsilon 64) on the network with a name that is far too long for a column"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CURVE = AppearanceCurve(np.array([0, 5, 9]), np.full(3, 10), (0, 128, 255))
STRENGTH = StrengthCurve(np.array([9, 4, 0]), np.full(3, 10), (0, 2, 4), np.array([9, 8, 7]), np.full(3, 10), 10)
SURFACE = AppearanceMap(
    np.arange(18).reshape(2, 9), np.full((2, 9), 20), (0, 32, 64, 96, 128, 160, 192, 224, 255), (50, 100)
)
MAP = LocationMap(np.arange(900).reshape(30, 30), np.full((30, 30), 900), tuple(range(2, 32)), tuple(range(2, 32)))
_YES = np.arange(9) < 8
PLACEMENT = Placement(
    "badnets+",
    "near",
    Outcomes(_YES, np.arange(9) < 3, np.arange(9) > 6, _YES, cut_from=3),
    Rate(8, 9),
    True,
    Paired(1, 4, 0, 3),
)
_COUNTS = np.arange(len(conditions())) % 9
_NINE = np.full(len(_COUNTS), 9)
PHOTOGRAPHS = PhysicalResult(_COUNTS, _NINE, conditions(), _COUNTS, _NINE, 9, 9 * len(_COUNTS))
ENERGIES = Energies(Energy(100, 0.3, 0.1, 0.01, 40), Energy(100, 0.2, 0.1, 0.01, 30), 100, 100)
METHODS = SaliencyMethods((MethodScores("gradient", {"reduction": "absolute"}, "target", TRAINED, ENERGIES),), 1)
SCORES = pd.DataFrame({"BadNets": [29.8, np.nan], LONG: [3.1, 44.1]}, index=["Feature ablation", "Guided Grad-CAM"])
NAMED = [("BadNets", PHOTOGRAPHS), ("BadNets+", PHOTOGRAPHS)]
RECORD = {
    "norms": [10.0 * (label + 1) for label in range(10)],
    "indices": [label / 3 for label in range(10)],
    "flagged": [0],
    "success": [0.99] * 10,
    "rounds": [12] * 10,
}
POINTS = [
    (f"Defense {number}", attack, seconds, Rate(40, 100), Rate(90, 100))
    for number, seconds in enumerate((0.0, 0.0, 3.0, 40.0, 400.0, 80.0, 7.0))
    for attack in ("BadNets", "Blended", "Consistent Attack")
]
EPOCHS = [Epoch(n, 8, 2 / n, Rate(60 + n, 100), Rate(80 + n, 100), 1.0, 1.0) for n in range(1, 9)]
RESULTS = Results("cifar10", "resnet20")


def all_figures() -> dict[str, go.Figure]:
    """A figure of every function that makes one, by the function's name, some more than once."""
    lines = [StrengthLine(name, STRENGTH, colour) for name, colour in zip(("BadNets", LONG), COLOURS, strict=False)]
    drawn = [Curve(name, CURVE, colour) for name, colour in zip(("BadNets", LONG, "Clean"), COLOURS, strict=True)]
    shrink = [(0, Rate(1, 10)), (4, Rate(9, 10))]
    paper = paper_figure("fig11", Results("cifar10", "resnet20", photographs={"badnets": PHOTOGRAPHS}))
    models = [Drawn(title, label_of(title), {"shrinkpad": STRENGTH}) for title in ATTACKS]
    cost, sizes = cost_figure(models), shrink_figure(models, 4)
    assert paper is not None
    assert cost is not None
    assert sizes is not None
    return {
        "appearance_curves": figures.appearance_curves(drawn, 128, 200),
        "appearance_curves of one": figures.appearance_curves(drawn[:1], None, 0),
        "appearance_map": figures.appearance_map(SURFACE, (128, 100), (0, 50)),
        "strength_curves": figures.strength_curves(lines, "ShrinkPad: size (pixels)", 2, trained=4),
        "max_shrink_curves": figures.max_shrink_curves([("BadNets+ behind ShrinkPad-4", COLOURS[0], "solid", shrink)]),
        "location_map": figures.location_map(MAP, (31, 31), f"{LONG}, JPEG-re-encoded CIFAR-10, behind ShrinkPad-4"),
        "method_map": method_map(SCORES, "Relevance mass accuracy, attacked images behind ShrinkPad"),
        "place_map": physical_figures.place_map(PHOTOGRAPHS, (1.1, 0.0)),
        "factor_bars": physical_figures.factor_bars(NAMED, "only", {"off": "not printed"}),
        "norms": repair_figures.norms(CLASSES, RECORD["norms"], RECORD["indices"], [0]),
        "cost_against_effect": repair_figures.cost_against_effect(POINTS),
        "paper_figure": paper,
        "cost_figure": cost,
        "shrink_figure": sizes,
        "curves": curves(tuple(EPOCHS)),
    }


def _number(table: str, defense: str, attack: str = "badnets", quantity: str = "asr", **rest: Any) -> Number:
    return Number(table=table, model="resnet20", attack=attack, defense=defense, quantity=quantity, **rest)


def all_tables() -> dict[str, list[list[object]]]:
    """A table of every function that makes one, by the function's name."""
    numbers = [
        _number("table1", "shrinkpad:4", paper=5.0, paper_model="vgg19", ours=4.0, n=100, low=2.0, high=8.0),
        _number("table2", "fine-pruning", attack="", quantity="seconds", paper=100.0, ours=4.0, over="badnets blended"),
        _number("fig5", "pixel value 64", ours=50.0, n=10, low=24.0, high=76.0),
    ]
    return {
        "location_rows": saved_tables.location_rows(SOURCE, MAP),
        "appearance_rows": saved_tables.appearance_rows([(SOURCE, CURVE)]),
        "appearance_map_rows": saved_tables.appearance_map_rows(SOURCE, SURFACE),
        "strength_rows": saved_tables.strength_rows([(SOURCE, STRENGTH)], lambda source, _: source),
        "max_shrink_rows": saved_tables.max_shrink_rows(RESULTS),
        "factor_rows": saved_tables.factor_rows([(SOURCE, PHOTOGRAPHS)]),
        "place_rows": saved_tables.place_rows([(SOURCE, physical_figures.places_of(PHOTOGRAPHS))]),
        "placement_rows": saved_tables.placement_rows([(SOURCE, PLACEMENT)]),
        "evaluated_rows": saved_tables.evaluated_rows([]),
        "energy_rows": saved_tables.energy_rows([(SOURCE, ENERGIES)], "shrinkpad:4"),
        "method_rows": saved_tables.method_rows([(SOURCE, METHODS)]),
        "norm_rows": saved_tables.norm_rows(SOURCE, CLASSES, RECORD),
        "training_rows": saved_tables.training_rows(SOURCE, EPOCHS),
        "number_rows": saved_tables.number_rows(numbers, RESULTS),
    }
