"""All stored results as tables, which ``scripts/summary.py`` puts into the READMEs.

>>> "headline" in TABLES
True
"""

from __future__ import annotations

import re

from core.paper.claims.base import LI
from core.paper.constants import SPATIAL, VALUE_SHIFTS
from core.paper.tables.base import Models, Row, Table, readable
from core.paper.tables.claims import claims_of, headline
from core.paper.tables.photographs import factors, other_pictures, physical, presets
from core.paper.tables.repairs import flagged, repairs, times, tolerances
from core.paper.tables.sweeps import (
    appearance,
    behind,
    edges,
    location,
    max_shrink,
    models,
    saliency,
    saliency_methods,
)

__all__ = ["TABLES", "Models", "Row", "Table", "readable", "without_ablation"]


def without_ablation(table: Table) -> Table:
    """A table without the models that differ only in the largest shrink size; they have a table of their own."""
    return lambda checkpoints: table([model for model in checkpoints if not re.search(r"\+max\d+$", model[0].key)])


TABLES: dict[str, Table] = {
    "headline": without_ablation(headline),
    "models": without_ablation(models),
    "location": without_ablation(location),
    "appearance": without_ablation(appearance),
    "spatial": without_ablation(behind(SPATIAL)),
    "values": without_ablation(behind(VALUE_SHIFTS)),
    "repairs": without_ablation(repairs),
    "tolerances": without_ablation(tolerances),
    "times": without_ablation(times),
    "flagged": without_ablation(flagged),
    "max-shrink": max_shrink,
    "edges": without_ablation(edges),
    "saliency": without_ablation(saliency),
    "saliency-mass": without_ablation(saliency_methods("mass")),
    "saliency-rank": without_ablation(saliency_methods("rank")),
    "physical": without_ablation(physical),
    "other-pictures": without_ablation(other_pictures),
    "presets": without_ablation(presets),
    "factors": without_ablation(factors),
    "claims": without_ablation(claims_of(lambda source: source == LI)),
    "claims-of-others": without_ablation(claims_of(lambda source: source != LI)),
}
