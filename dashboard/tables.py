"""Tables of stored results: all attacks under all defenses, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd
import streamlit as st

from core.metrics import Rate
from core.models import models
from dashboard import figures
from dashboard.evaluated import ATTACKS, PAPER_MODELS, Evaluated, evaluated, siblings, transform_names
from dashboard.figures import COLOURS
from dashboard.resources import Subject, subjects

__all__ = ["coloured", "defense_tables", "rows_of", "table_of"]

FAMILIES = {
    "Spatial (Table 1)": ("flip", "shrinkpad"),
    "Noise (Table 3)": ("noise",),
    "Colour (Table 4)": ("hue", "contrast", "brightness", "saturation"),
}


def defense_tables(main: Subject) -> None:
    """All attacks of the main model's data and network under every transformation, sortable."""
    found, _ = subjects()
    titles = dict.fromkeys(["badnets-gray", *ATTACKS, main.attack.title])
    every = evaluated(siblings(found, main, list(titles)))
    st.markdown(f"### All attacks on {models[main.card.model].label}, {main.dataset_label}")
    if not every:
        st.info(f"Nothing is stored yet; measure it with: `python scripts/sweep.py strength --checkpoint {main.key}`")
        return
    family_column, view_column, tool_column = st.columns([5, 6, 2], vertical_alignment="bottom")
    family = family_column.segmented_control(
        "Transformations", list(FAMILIES), default=next(iter(FAMILIES)), key="family", required=True
    )
    view = view_column.segmented_control(
        "Show", ["Attack success rate", "Clean accuracy", "Both, beside the paper"], default="Attack success rate",
        key="view", required=True,
    )  # fmt: skip
    names = [name for name in transform_names() if name in FAMILIES[family or next(iter(FAMILIES))]]
    shown = [row for row in every if row.transform is None or row.transform.name in names]
    if view == "Both, beside the paper":
        st.dataframe(beside_the_paper(shown), hide_index=True, width="stretch", placeholder="")
    else:
        quantity: Callable[[Evaluated], Rate] = (lambda row: row.clean) if view == "Clean accuracy" else _success
        table = table_of(shown, quantity)
        st.dataframe(
            coloured(table, reverse=view == "Clean accuracy"), width="stretch", height="content", placeholder=""
        )
    low = min(rate.total for row in shown for rate in (row.clean, row.success))
    high = max(rate.total for row in shown for rate in (row.clean, row.success))
    widest = max(max(rate.interval) - min(rate.interval) for row in shown for rate in (row.clean, row.success))
    st.caption(
        f"Percent of {low} to {high} test images; the widest 95% interval is ±{50 * widest:.1f} points. A click on a "
        "column sorts by it."
    )
    with tool_column:
        st.download_button(
            "Numbers (CSV)",
            lambda: figures.to_csv(rows_of(every)),
            f"defenses-{main.card.dataset}-{main.card.model}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            type="tertiary",
        )


def _success(row: Evaluated) -> Rate:
    return row.success


def table_of(rows: Iterable[Evaluated], quantity: Callable[[Evaluated], Rate]) -> pd.DataFrame:
    """One row per defense and one column per attack, in percent."""
    cells: dict[str, dict[str, float]] = {}
    for row in rows:
        cells.setdefault(row.label, {})[row.subject.attack.label] = round(100 * quantity(row).value, 1)
    table = pd.DataFrame.from_dict(cells, orient="index")
    table.index.name = "Defense"
    return table


def coloured(table: pd.DataFrame, *, reverse: bool = False) -> object:
    """Cells tinted by how well the attack (or, reversed, how badly the clean accuracy) fares."""
    red, green, blue = (int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5))

    def tint(value: float) -> str:
        share = (100 - value if reverse else value) / 100
        return f"background-color: rgba({red},{green},{blue},{0.55 * share:.2f})" if pd.notna(value) else ""

    return table.style.map(tint).format("{:.1f}", na_rep="")


def beside_the_paper(rows: Sequence[Evaluated]) -> pd.DataFrame:
    """One row per defense and attack: our numbers with their interval, and the paper's by network."""
    listed = []
    for row in rows:
        low, high = row.success.interval
        entry: dict[str, object] = {
            "Defense": row.label,
            "Attack": row.subject.attack.label,
            "ASR": round(100 * row.success.value, 1),
            "ASR, 95% interval": f"{100 * low:.1f} to {100 * high:.1f}",
            "Clean": round(100 * row.clean.value, 1),
        }
        for model in PAPER_MODELS:
            number = row.paper.get(model)
            entry[f"Paper, {models[model].label}: ASR"] = number.success if number else None
            entry[f"Paper, {models[model].label}: clean"] = number.clean if number else None
        listed.append(entry)
    return pd.DataFrame(listed).dropna(axis=1, how="all")


def rows_of(rows: Iterable[Evaluated]) -> list[list[object]]:
    """One row per defense, attack and quantity with counts, rate and interval; the header comes first."""
    listed: list[list[object]] = [
        ["defense", "attack", "quantity", *figures.COUNT_COLUMNS, "paper_vgg19", "paper_resnet34"]
    ]
    for row in rows:
        for what, rate in (("attack success rate", row.success), ("clean accuracy", row.clean)):
            numbers = [row.paper.get(model) for model in PAPER_MODELS]
            paper = [(n.success if what.startswith("attack") else n.clean) if n else "" for n in numbers]
            low, high = rate.interval
            listed.append(
                [row.transform.spec if row.transform else "", row.subject.attack.title, what, rate.hits, rate.total,
                 round(rate.value, 6), round(low, 6), round(high, 6), *["" if p is None else p for p in paper]]
            )  # fmt: skip
    return listed
