"""Cost against effect on the page *Defenses*: seconds of training against what is left of the attack (Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.defenses import defenses
from core.formatting import listed
from core.models import models
from core.paper.constants import FREE, STANDARD, paper_networks
from core.paper.numbers import paper_seconds
from core.paper.results import Results
from core.transforms import transform_from_spec
from dashboard.figures.paper import Drawn, cost_figure
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import evaluated_rows
from dashboard.server.resources import results_of
from dashboard.server.subjects import Subject, subjects
from dashboard.tables.defenses import one_decimal
from dashboard.tables.paper import attack_label
from dashboard.tables.rows import evaluated, repaired, siblings
from dashboard.widgets.page_head import say
from dashboard.widgets.save_menu import PLOT_CONFIG, downloads
from dashboard.words.answers import cost_answer

__all__ = ["draw_cost"]

SHOWN = {transform_from_spec(spec).spec for spec in FREE}


def draw_cost(main: Subject, answer: DeltaGenerator) -> None:
    """Draws the part of the page about cost; what it answers goes into the place ``answer``."""
    readable, _ = subjects()
    standard = siblings(readable, main, STANDARD)
    rows = [row for row in evaluated(standard, ("flip", "shrinkpad")) if row.spec in SHOWN] + repaired(standard)
    say(answer, cost_answer(rows))
    where = f"{models[main.card.model].label}, {main.dataset_label}"
    st.markdown(f"### Cost against effect (Fig. 1): {where}")
    if not any(row.repair for row in rows):
        st.info(
            "No repair is stored for these attacks; make one with: "
            f"`python scripts/defend.py all --checkpoint {main.key}`"
        )
    figure = cost_figure(Drawn(s.attack.title, s.label, s.results.strengths, s.results.repairs) for s in standard)
    if figure is None:
        return
    file = file_name("cost", Source.of(main).all_attacks())
    st.plotly_chart(figure, key="cost", config=PLOT_CONFIG, width="stretch")
    note, tools = st.columns([4, 1], vertical_alignment="center")
    note.caption(
        "Standard attacks. Seconds of training or optimisation that a defense needs, on a logarithmic axis that begins "
        "with none; bars are 95% intervals. Repairs are measured on the half of the test set that they have not seen, "
        "transformations on all of it. Down and left is better."
    )
    with tools:
        downloads(file, lambda: evaluated_rows(rows), lambda: figure)
    st.markdown(f"### Training time (Table 2): {where}")
    free = [name for name in ("Flip", "ShrinkPad") if any(row.label.startswith(name) for row in rows)]
    table = time_table(results_of(main), free)
    if len(table):
        numbers = [name for name in table if name not in ("Defense", "Attacks")]
        st.dataframe(one_decimal(table, *numbers), hide_index=True, width="stretch", height="content", placeholder="")
        st.caption(
            f"Mean over the standard attacks, {listed(map(attack_label, STANDARD))}; the column says which are stored. "
            "The paper's times are for its networks on a GTX 1080; the ratio is the paper's over ours."
        )


def time_table(results: Results, free: Sequence[str] = ()) -> pd.DataFrame:
    """One row per repair: our mean seconds, the paper's by network, and how many times ours go into them.

    Args:
        results: What is stored.
        free: Names of transformations, which take no training.
    """
    # A network of the paper stands beside its own numbers, as everywhere.
    networks = paper_networks(results.model)
    rows = []
    for name in defenses:
        seconds = results.seconds(name)
        if seconds is None:
            continue
        entry: dict[str, object] = {
            "Defense": defenses[name].label,
            "Seconds here": round(seconds.mean, 1),
            "Attacks": listed(map(attack_label, seconds.attacks)),
        }
        for model in networks:
            paper = paper_seconds(model, name)
            entry[f"Paper, {models[model].label}"] = paper
            ratio = paper / seconds.mean if paper and seconds.mean else None
            entry[f"Ratio, {models[model].label}"] = round(ratio, 1) if ratio else None
        rows.append(entry)
    for name in free:
        zeros: dict[str, object] = {f"Paper, {models[model].label}": 0.0 for model in networks}
        rows.append({"Defense": name, "Seconds here": 0.0} | zeros)
    return pd.DataFrame(rows)
