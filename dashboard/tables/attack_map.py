"""Every attack against every transformation: what an attacker who expects one defense makes of the others.

A row is an attack, by what it was trained with; a column is a transformation of the input at a strength. A cell is a
link to the live page with that attack behind that transformation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import urlencode

import streamlit as st

from core import formatting
from core.attacks import Enhanced
from core.metrics import Rate
from core.models import models
from core.transforms import transforms
from dashboard.figures.base import COLOURS
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import evaluated_rows
from dashboard.server.subjects import Subject
from dashboard.tables.rows import NO_DEFENSE, Evaluated, evaluated, strength_query, transforms_offered
from dashboard.widgets.save_menu import csv_button

__all__ = ["attack_map", "draw_attack_map", "map_html"]

Cells = Mapping[str, Mapping[str, Evaluated]]


def attacked_models(subjects: Iterable[Subject], main: Subject) -> list[Subject]:
    """The attacked models of the main one's data and network: standard attacks first, then what they became."""
    front = main.key.rpartition("/")[0] + "/"
    listed = [subject for subject in subjects if subject.key.startswith(front) and not subject.is_control]
    return sorted(listed, key=lambda subject: (isinstance(subject.attack, Enhanced), subject.key))


def attack_map(subjects: Iterable[Subject]) -> Cells:
    """What is stored of some models, by the model's key and the defense: none, and each at its default strength.

    ShrinkPad has its other even strengths too, which is what the enhanced attacks differ in.
    """
    listed = list(subjects)
    names = transforms_offered()
    wanted = {NO_DEFENSE}
    for subject in listed:
        wanted |= {transforms[name].sized(subject.card.shape).label for name in names}
        wanted |= {transforms["shrinkpad"]().at(size).label for size in (2, 6, 8)}
    cells: dict[str, dict[str, Evaluated]] = {subject.key: {} for subject in listed}
    for row in evaluated(listed, names):
        if row.label in wanted:
            cells[row.subject.key][row.label] = row
    return {key: found for key, found in cells.items() if found}


def map_html(cells: Cells) -> str:
    """HTML of the map; each cell is tinted by its rate and links to the page *Trigger location*."""
    columns = list(dict.fromkeys(label for found in cells.values() for label in found))
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    rows = []
    for found in cells.values():
        subject = next(iter(found.values())).subject
        drawn = "".join(_cell(found.get(column)) for column in columns)
        rows.append(f'<tr><th scope="row">{escape(subject.label)}</th>{drawn}</tr>')
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'{STYLE}<div class="ts-attacks">{table}</div>'


def _cell(row: Evaluated | None) -> str:
    if row is None:
        return "<td></td>"
    page, query = "location", {"model": row.subject.key}
    if row.transform is not None and not row.subject.checkpoint.has_weights:  # only its curve can be shown
        page, query = "defenses", query | strength_query(row.transform)
    elif row.spec:
        query["before"] = row.spec
    rate: Rate = row.success
    says = f"{row.subject.label}, {row.label}: {rate}"
    tint = f"background: color-mix(in srgb, {COLOURS[0]} {60 * rate.value:.0f}%, transparent)"
    link = f'<a href="{page}?{escape(urlencode(query))}" target="_self" title="{escape(says)}">'
    return f'<td style="{tint}">{link}{formatting.percent(rate.value)}</a></td>'


def draw_attack_map(subjects: Iterable[Subject], main: Subject) -> None:
    """The map of all attacks on the main model's data and network; nothing where nothing is stored."""
    cells = attack_map(attacked_models(subjects, main))
    if not cells:
        return
    st.markdown(f"### Every attack against every transformation: {models[main.card.model].label}, {main.dataset_label}")
    st.html(map_html(cells))
    rows = [row for found in cells.values() for row in found.values()]
    totals = sorted({row.success.total for row in rows})
    caption, tools = st.columns([4, 1], vertical_alignment="center")
    caption.caption(
        f"Attack success rate in percent, of {' to '.join(map(str, totals))} images; rows are attacks by what they "
        "were trained with, columns what stands in front of the model. A click on a number opens the live page."
    )
    with tools:
        csv_button(file_name("attack-map", Source.of(main).all_attacks()), lambda: evaluated_rows(rows))


STYLE = """
<style>
.ts-attacks {overflow-x: auto}
.ts-attacks table {border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums}
.ts-attacks th {font-weight: 500; padding: .2rem .5rem; text-align: left; white-space: nowrap}
.ts-attacks thead th {white-space: normal; vertical-align: bottom; min-width: 4rem}
.ts-attacks tbody th {position: sticky; left: 0; background: var(--st-background-color, Canvas)}
.ts-attacks td {padding: 0; text-align: right; border: 1px solid rgba(128, 128, 128, .25)}
.ts-attacks a {display: block; padding: .25rem .5rem; color: inherit; text-decoration: none}
.ts-attacks a:hover, .ts-attacks a:focus-visible {text-decoration: underline}
</style>
"""
