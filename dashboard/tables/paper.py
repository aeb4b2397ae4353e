"""The paper's numbers beside ours as tables, each with a link to the page that shows ours live."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlencode

import pandas as pd

from core import formatting
from core.defenses import defenses
from core.formatting import listed
from core.models import models
from core.paper.claims.base import label_of
from core.paper.comparison import Number
from core.paper.constants import PHOTOGRAPHS, STANDARD
from core.physical import PRESETS
from core.transforms import transform_from_spec
from dashboard.figures.base import COLOURS
from dashboard.tables.rows import NO_DEFENSE, strength_query
from dashboard.words.escaping import plain

__all__ = ["FAR", "agreement", "attack_label", "link_of", "mean_label", "number_table", "tinted"]

FAR = 20.0
"""Points of difference at which a cell has the full colour."""

QUANTITIES = {
    "asr": "ASR (%)",
    "clean": "Clean (%)",
    "share": "Share in trigger (%)",
    "seconds": "Seconds",
    "benign": "Benign images taken for the target (%)",
}
MEASURED, DIFFERENCE = "Measured", "Difference"


def attack_label(title: str) -> str:
    """An attack's title for people."""
    return plain(label_of(title))


def mean_label(titles: Sequence[str]) -> str:
    """Says what a mean is over."""
    return f"mean of {listed(map(attack_label, titles))}" if titles else "mean"


def _defense_label(number: Number) -> str:
    if number.table.startswith("fig") and not number.defense.startswith("shrinkpad"):
        return number.defense
    if number.defense in defenses:
        return defenses[number.defense].label
    return transform_from_spec(number.defense).label if number.defense else NO_DEFENSE


def link_of(number: Number, dataset: str) -> str:
    """The page and state that show a number live, as a link relative to any page; empty where there is none."""
    if not number.attack:
        return "defenses?" + urlencode({"model": f"{dataset}/{number.model}/{STANDARD[0]}", "part": "cost"})
    query = {"model": f"{dataset}/{number.model}/{number.attack}"}
    if number.table == "fig4":
        return "/?" + urlencode(query)  # the page that opens first has no name
    if number.table == "fig5":
        return "appearance?" + urlencode(query | {"value": number.defense.rpartition(" ")[2]})
    if number.table == "fig10":
        return "saliency?" + urlencode(query)
    if number.table in ("fig11", "fig12"):
        words = number.defense.replace(",", " ").split()
        camera = PRESETS[next(name for name in PHOTOGRAPHS if name in words)].to_dict()
        changed = {name: value for name, value in camera.items() if value != getattr(PRESETS["near"], name)}
        return "physical?" + urlencode(query | {f"cam-{n.replace('_', '-')}": v for n, v in changed.items()})
    if number.table == "fig14":
        return "enhanced?" + urlencode({"model": f"{dataset}/{number.model}/{number.attack}"})
    if number.defense in defenses:
        return "defenses?" + urlencode(query | {"part": "repairs", "with": number.defense})
    # No defense is one of no strength.
    step = transform_from_spec(number.defense or "shrinkpad:0").steps[0]
    return "defenses?" + urlencode(query | strength_query(step))


def number_table(numbers: Iterable[Number], dataset: str) -> pd.DataFrame:
    """One row per attack, defense and quantity: the paper's numbers by network, ours, and how far they are apart.

    The difference is from the nearer of the paper's numbers.
    """
    rows: dict[tuple[str, ...], dict[str, object]] = {}
    for number in numbers:
        place = (number.table, number.attack, number.defense, number.quantity)
        row = rows.setdefault(
            place,
            {
                "Attack": attack_label(number.attack) if number.attack else mean_label(number.over.split()),
                "Defense": _defense_label(number),
                "Quantity": QUANTITIES[number.quantity],
            },
        )
        if number.paper_model:
            row[f"Paper, {models[number.paper_model].label}"] = number.paper
        row[MEASURED] = number.ours
        row["95% interval"] = (
            f"{formatting.number(number.low)} to {formatting.number(number.high)}" if number.low is not None else None
        )
        row["n"] = number.n
        nearer = [d for d in (row.get(DIFFERENCE), number.difference) if isinstance(d, float)]
        row[DIFFERENCE] = min(nearer, key=abs) if nearer else None
        row["Live"] = link_of(number, dataset) if number.ours is not None else None
    table = pd.DataFrame(list(rows.values()))
    last = [name for name in (MEASURED, DIFFERENCE, "95% interval", "n", "Live") if name in table]
    return table[[*(name for name in table if name not in last), *last]].dropna(axis=1, how="all")


def tinted(table: pd.DataFrame) -> object:
    """The table with the measured numbers tinted by how far they are from the paper's."""
    red, green, blue = (int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5))

    def tint(row: pd.Series) -> list[str]:
        apart = abs(row[DIFFERENCE]) if DIFFERENCE in row and pd.notna(row[DIFFERENCE]) else 0.0
        share = 0.0 if row["Quantity"] == QUANTITIES["seconds"] else min(apart / FAR, 1.0)
        colour = f"background-color: rgba({red},{green},{blue},{0.55 * share:.2f})"
        return [colour if name in (MEASURED, DIFFERENCE) and share else "" for name in row.index]

    shown = [name for name in table if pd.api.types.is_numeric_dtype(table[name]) and name != "n"]
    formats: dict[str, Callable[[float], str] | str] = dict.fromkeys(shown, formatting.number)
    formats |= {DIFFERENCE: formatting.signed} if DIFFERENCE in table else {}
    whole = {"n": "{:.0f}"} if "n" in table else {}
    return table.style.apply(tint, axis=1).format(formats | whole, na_rep="")


def agreement(numbers: Sequence[Number]) -> tuple[int, int, int]:
    """How many of the paper's rates there are, how many were measured, and how many of these are within 5 points.

    Where the paper has two networks, and ours is another, the nearer of its two numbers counts.
    """
    nearest: dict[tuple[str, ...], float | None] = {}
    for number in numbers:
        if number.paper is None or number.quantity == "seconds":
            continue
        place = (number.table, number.attack, number.defense, number.quantity)
        apart = abs(number.difference) if number.difference is not None else None
        before = nearest.get(place)
        nearest[place] = min((d for d in (before, apart) if d is not None), default=None)
    measured = [apart for apart in nearest.values() if apart is not None]
    return len(nearest), len(measured), sum(apart <= 5 for apart in measured)
