"""Tables of stored results: all attacks under all defenses, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd
import streamlit as st

from core import formatting
from core.metrics import Rate
from core.models import models
from core.paper.constants import ATTACKS, GRAY, PAPER_MODELS
from dashboard.figures.base import COLOURS
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import evaluated_rows
from dashboard.server.subjects import Subject, subjects
from dashboard.state.session import Choice, Session, one_of
from dashboard.tables.rows import NO_DEFENSE, Evaluated, evaluated, repaired, siblings, unrepaired
from dashboard.widgets.save_menu import csv_button

__all__ = ["REPAIRS", "coloured", "defense_tables", "one_decimal", "table_of"]

OTHERS, REPAIRS = "others", "repairs"
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "spatial": ("Spatial (Table 1)", ("flip", "shrinkpad")),
    "noise": ("Noise (Table 3)", ("noise",)),
    "colour": ("Colour (Table 4)", ("hue", "contrast", "brightness", "saturation")),
    OTHERS: ("Others", ()),
    REPAIRS: ("Repairs (Table 1)", ()),
}


SUCCESS, CLEAN, BOTH = "success", "clean", "both"
VIEWS = {SUCCESS: "Attack success rate", CLEAN: "Clean accuracy", BOTH: "Both, and the paper's"}
FAMILY: Choice[str] = Choice("family", "spatial", one_of(FAMILIES))
VIEW: Choice[str] = Choice("show", SUCCESS, one_of(VIEWS))


def family_of(row: Evaluated) -> str:
    """The family of a defense; a transformation that the paper does not have is among the others."""
    if row.repair or row.transform is None:
        return REPAIRS
    return next((family for family, (_, names) in FAMILIES.items() if row.transform.name in names), OTHERS)


def defense_tables(session: Session, main: Subject, family: str | None = None) -> None:
    """All attacks of the main model's data and network under every defense, sortable.

    Args:
        session: Holds the selections.
        main: Says which data and network.
        family: The family of defenses that is shown, or None to let the user choose.
    """
    readable, _ = subjects()
    titles = dict.fromkeys([GRAY, *ATTACKS, main.name])
    listed = siblings(readable, main, list(titles))
    every = evaluated(listed) + repaired(listed)
    st.markdown(f"### All attacks on {models[main.card.model].label}, {main.dataset_label}")
    if not every:
        st.info(f"Nothing is stored yet; measure it with: `python scripts/sweep.py strength --checkpoint {main.key}`")
        return
    options = [family for family in FAMILIES if family in {"spatial", *map(family_of, every)}]
    if session.get(FAMILY) not in options:
        session.set(FAMILY, options[0])
    if family is None:
        st.segmented_control(
            "Defenses",
            options,
            format_func=lambda name: FAMILIES[name][0],
            required=True,
            **session.widget(FAMILY),
        )
    st.segmented_control(
        "Show", list(VIEWS), format_func=lambda view: VIEWS[view], required=True, **session.widget(VIEW)
    )
    family, view = family or session.get(FAMILY), session.get(VIEW)
    # A repair is measured on the half of the test set that it has not seen, so that no defense is too, beside it.
    standard = unrepaired(listed) if family == REPAIRS else [row for row in every if row.label == NO_DEFENSE]
    shown = standard + [row for row in every if row.label != NO_DEFENSE and family_of(row) == family]
    if view == BOTH:
        compared = beside_the_paper(shown)
        numbers = [name for name in compared if pd.api.types.is_numeric_dtype(compared[name])]
        st.dataframe(one_decimal(compared, *numbers), hide_index=True, width="stretch", placeholder="")
    else:
        quantity: Callable[[Evaluated], Rate] = (lambda row: row.clean) if view == CLEAN else _success
        table = table_of(shown, quantity)
        st.dataframe(coloured(table, reverse=view == CLEAN), width="stretch", height="content", placeholder="")
    which = "the half of the test set that no repair has seen" if family == REPAIRS else "the test set"
    counted = [_counts(getattr(row, what).total for row in shown) for what in ("clean", "success")]
    widest = max(max(rate.interval) - min(rate.interval) for row in shown for rate in (row.clean, row.success))
    caption, tools = st.columns([4, 1], vertical_alignment="center")
    caption.caption(
        f"Stored, on {which}: clean accuracy in percent of {counted[0]} images, attack success of the {counted[1]} "
        "that are not of the target class; what is measured now is on the first of them. The widest 95% interval is "
        f"±{formatting.percent(widest / 2)} points. A click on a column sorts by it."
        + (" The paper's numbers are for CIFAR-10 and its own settings." if view == BOTH else "")
    )
    with tools:
        csv_button(file_name("defenses", Source.of(main).all_attacks()), lambda: evaluated_rows(every))


def _counts(totals: Iterable[int]) -> str:
    """Numbers of images, of one size or from the fewest to the most."""
    counts = set(totals)
    return f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"


def _success(row: Evaluated) -> Rate:
    return row.success


def table_of(rows: Iterable[Evaluated], quantity: Callable[[Evaluated], Rate]) -> pd.DataFrame:
    """One row per defense and one column per attack, in percent."""
    cells: dict[str, dict[str, float]] = {}
    for row in rows:
        cells.setdefault(row.label, {})[row.subject.label] = round(100 * quantity(row).value, 1)
    table = pd.DataFrame.from_dict(cells, orient="index")
    table.index.name = "Defense"
    return table


def coloured(table: pd.DataFrame, *, reverse: bool = False, columns: Sequence[str] | None = None) -> object:
    """Cells, by default all, tinted by how well the attack (or, reversed, how badly the clean accuracy) fares."""
    red, green, blue = (int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5))

    def tint(value: float) -> str:
        share = (100 - value if reverse else value) / 100
        return f"background-color: rgba({red},{green},{blue},{0.55 * share:.2f})" if pd.notna(value) else ""

    where = list(table.columns) if columns is None else list(columns)
    return table.style.map(tint, subset=where).format(formatting.number, na_rep="", subset=where)


def one_decimal(table: pd.DataFrame, *columns: str) -> object:
    """A table whose measured columns have one decimal each, whole numbers too."""
    return table.style.format({name: formatting.number for name in columns if name in table}, na_rep="")


def beside_the_paper(rows: Sequence[Evaluated]) -> pd.DataFrame:
    """One row per defense and attack: our numbers with their interval, and the paper's by network."""
    listed = []
    for row in rows:
        entry: dict[str, object] = {
            "Defense": row.label,
            "Attack": row.subject.label,
            "ASR": round(100 * row.success.value, 1),
            "ASR, 95% interval": formatting.interval(row.success.interval),
            "Clean": round(100 * row.clean.value, 1),
        }
        for model in PAPER_MODELS:
            number = row.paper.get(model)
            entry[f"Paper, {models[model].label}: ASR"] = number.success if number else None
            entry[f"Paper, {models[model].label}: clean"] = number.clean if number else None
        listed.append(entry)
    return pd.DataFrame(listed).dropna(axis=1, how="all")
