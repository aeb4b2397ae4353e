"""How every attack fares on simulated photographs from many places (Fig. 11, 12), as a table that can be saved."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from core import formatting
from core.data.natural import INSTALL, NATURAL, SHIPPED, natural_available
from core.metrics import Rate
from core.paired import Paired
from core.paper.claims.base import label_of
from core.paper.claims.physical import SHAPES
from core.paper.constants import PHOTOGRAPHS
from core.paper.placements import Placement, placements
from core.physical import RANGES
from core.sweeps.physical import PhysicalResult
from core.sweeps.runner import OTHER_PICTURES
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import placement_rows
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session, one_of
from dashboard.widgets.save_menu import csv_button
from dashboard.words.escaping import plain

__all__ = ["draw_placements", "placement_table"]

OWN, NATURAL_PICTURES = "test-images", "natural"
PICTURES = {
    OWN: "Test images (Fig. 11)",
    OTHER_PICTURES: f"{SHAPES} (Fig. 12)",
    NATURAL_PICTURES: f"{NATURAL.capitalize()} (Fig. 12)",
}
PICTURE: Choice[str] = Choice("pictures", OWN, one_of(PICTURES))


def draw_placements(session: Session, main: Subject, subjects: Iterable[Subject]) -> None:
    """The table of all attacks on the main model's data and network, and what it is of."""
    st.markdown("### From many places, simulated: every photograph from one of its own")
    options = [name for name in PICTURES if name != OTHER_PICTURES or main.card.dataset != OTHER_PICTURES]
    if session.get(PICTURE) not in options:
        session.set(PICTURE, OWN)
    st.segmented_control(
        "Pictures", options, format_func=lambda name: PICTURES[name], required=True,
        label_visibility="collapsed", **session.widget(PICTURE),
    )  # fmt: skip
    kind = session.get(PICTURE)
    listed = {subject.name: subject for subject in subjects}
    found = {name: result for name, subject in listed.items() if (result := _stored(subject, kind)) is not None}
    rows = list(placements(found))
    if not rows:
        sweep = "physical" if kind == OWN else "out-of-sample"
        command = f"python scripts/sweep.py {sweep} --checkpoint {main.key}"
        packages = "" if kind != NATURAL_PICTURES or natural_available() else f" It needs their packages: `{INSTALL}`."
        st.info(f"No such photographs are stored; take them with: `{command}`.{packages}")
        return
    st.dataframe(placement_table(rows), hide_index=True, width="stretch", height="content", placeholder="")
    caption, tools = st.columns([4, 1], vertical_alignment="center")
    caption.caption(_caption(kind))
    with tools:
        name = file_name("photographs-from-many-places", Source.of(main).all_attacks())
        csv_button(name, lambda: placement_rows([(Source.of(listed[row.title]), row) for row in rows]))


def _stored(subject: Subject, kind: str) -> PhysicalResult | None:
    stored = subject.results
    if kind == NATURAL_PICTURES:
        return stored.out_of_sample_natural
    return stored.physical if kind == OWN else stored.out_of_sample


def placement_table(rows: Iterable[Placement]) -> pd.DataFrame:
    """One row per attack and range: rates in percent with their 95% intervals, all of simulated photographs."""
    table = []
    for row in rows:
        table.append(
            {
                "Attack": plain(label_of(row.title)),
                "Range": row.name,
                "n": row.outcomes.success.total,
                "ASR, simulated (%)": _shown(row.outcomes.success),
                "Keeps label, simulated (%)": _shown(row.outcomes.keeping) if row.keeps else "",
                "Above standard, simulated (points)": _above(row.beside),
                "Clean, simulated (%)": _shown(row.clean),
            }
        )
    return pd.DataFrame(table).loc[:, lambda frame: (frame != "").any()]


def _shown(rate: Rate) -> str:
    return formatting.with_interval(rate.value, rate.interval) if rate.total else ""


def _above(beside: Paired | None) -> str:
    if beside is None or not beside.total:
        return ""
    return f"{formatting.percent(beside.difference)} ({formatting.interval(beside.interval)}; n = {beside.total})"


def _caption(kind: str) -> str:
    places = "; ".join(f"{name}: {RANGES[name].label}" for name in PHOTOGRAPHS)
    counted = (
        "Counted are images whose benign photograph from the same place the model recognises"
        if kind == OWN
        else "Counted are pictures whose photograph without the trigger is not taken for the target"
    )
    text = (
        "Simulated; each photograph is from a place of its own, drawn from a range, the same for all attacks "
        f"({places}). {counted}; beside the standard attack, those that count for both. 95% intervals: Wilson, and of "
        "the differences, image by image, Newcombe's for pairs."
    )
    if kind != NATURAL_PICTURES:
        return text
    credits = ", ".join(f"{one.title} ({one.by}, {one.licence})" for one in SHIPPED)
    return (
        f"{text} The crops are of {len(SHIPPED)} photographs that scikit-image and scikit-learn ship: {credits}. "
        "Crops of one photograph are alike, so that no interval is narrower than that over the photographs."
    )
