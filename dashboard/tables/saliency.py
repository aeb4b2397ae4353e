"""Saliency methods against attacks: a table whose cells open the picture that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core.attribution.methods import methods
from core.models import models
from core.paper.claims.base import label_of
from core.params import params_of
from core.sweeps.saliency_methods import (
    CLEAN,
    FEWEST,
    MEASURES,
    RANDOMISED,
    TRAINED,
    MethodScores,
    SaliencyMethods,
    measured,
)
from dashboard.figures.saliency import method_map
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import method_rows
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session, one_of
from dashboard.tables.defenses import coloured
from dashboard.widgets.parameters import parameter_choice
from dashboard.widgets.save_menu import downloads

__all__ = ["TABLE_CHOICES", "draw_methods", "method_table"]

KINDS = {"attacked": "Attacked", "transformed": "Behind ShrinkPad"}
BEHIND = {"attacked": "", "transformed": " behind ShrinkPad"}
EXPLAINED = {TRAINED: "Backdoored", RANDOMISED: "Random weights", CLEAN: "Clean"}
MEASURE: Choice[str] = Choice("measure", "mass", one_of(MEASURES))
KIND: Choice[str] = Choice("images-of", "attacked", one_of(KINDS))
NETWORK: Choice[str] = Choice("explained", TRAINED, one_of(EXPLAINED))
TABLE_CHOICES = (MEASURE, KIND, NETWORK)
"""What the address says about the table."""
NO_BETTER = "No better, on attacked images, than"
TO_THE_TOP = "document.querySelector('[data-testid=\"stMain\"]').scrollTo({top: 0, behavior: 'smooth'})"

Compared = Sequence[tuple[Subject, SaliencyMethods]]


def _label(score: MethodScores) -> str:
    """Name of the method in few words; the caption says what it means."""
    return score.method_label if score.explain == "target" else f"{score.method_label} (FlashTorch's)"


def _column(subject: Subject) -> str:
    """Name of an attack in few words."""
    return subject.label if subject.is_variant else label_of(subject.attack.title)


def method_table(compared: Compared, measure: str, kind: str, network: str) -> pd.DataFrame:
    """One row per method, one column per attack, in percent.

    The last column names the controls that a method is no better than, and for which attacks.

    Args:
        compared: The attacks and what was measured of each.
        measure: One of :data:`core.sweeps.saliency_methods.MEASURES`.
        kind: ``attacked`` or ``transformed``.
        network: One of :data:`core.sweeps.saliency_methods.NETWORKS`.
    """
    rows: dict[str, dict[str, float]] = {}
    no_better: dict[str, dict[str, list[str]]] = {}
    for subject, stored in compared:
        for score in stored.scores:
            if score.network != network:
                continue
            row = rows.setdefault(_label(score), {})
            estimate = measured(MEASURES[measure], score.energies, kind)
            row[_column(subject)] = 100 * estimate.value if estimate is not None else float("nan")
            for control in stored.no_better_than(score, MEASURES[measure]):
                no_better.setdefault(_label(score), {}).setdefault(control, []).append(_column(subject))
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame = frame[[name for subject, _ in compared if (name := _column(subject)) in frame]]
    frame.index.name = "Method"
    if network == TRAINED:
        frame[NO_BETTER] = [_named(no_better.get(method, {}), len(frame.columns)) for method in frame.index]
    return frame


def _named(controls: Mapping[str, list[str]], count: int) -> str:
    """Each control with its attacks; these in few words where they are all of ``count``."""
    return "; ".join(
        f"{control} ({'all attacks' if len(attacks) == count > 1 else ', '.join(attacks)})"
        for control, attacks in controls.items()
    )


def _images_of(compared: Compared, measure: str, kind: str, network: str) -> str:
    """On how many images the numbers of a table are, and what is left out."""
    scores = [score for _, stored in compared for score in stored.scores if score.network == network]
    found = [measured(MEASURES[measure], score.energies, kind) for score in scores]
    counts = [one.images for one in found if one is not None]
    if not counts:
        return ""
    text = f", of {min(counts)} to {max(counts)} images" if min(counts) < max(counts) else f", of {max(counts)} images"
    return text + (f" (numbers of fewer than {FEWEST} are left out)" if len(counts) < len(scores) else "")


def _chosen(compared: Compared, frame: pd.DataFrame, cell: tuple[int, str]) -> tuple[MethodScores | None, Subject]:
    """What a cell of the table is of; no scores where that attack has none of this method."""
    row, column = cell
    subject, stored = next(pair for pair in compared if _column(pair[0]) == column)
    return next((score for score in stored.scores if _label(score) == frame.index[row]), None), subject


def draw_methods(session: Session, compared: Compared, choices: Mapping[str, Choice[str]]) -> None:
    """The table with its choices; a chosen cell shows its method on its attack.

    Args:
        session: Holds the selections.
        compared: The attacks and what was measured of each.
        choices: The selections that a cell sets: ``method``, ``model``, ``explain``, and ``transform``, to its default.
    """
    st.markdown("### Which method finds the trigger")
    with st.container(horizontal=True, gap="medium"):
        st.selectbox(
            "Measure", list(MEASURES), format_func=lambda n: MEASURES[n].label, width=240, **session.widget(MEASURE)
        )
        st.segmented_control(
            "Images", list(KINDS), format_func=lambda n: KINDS[n], required=True, **session.widget(KIND)
        )
        st.segmented_control(
            "Network explained",
            list(EXPLAINED),
            format_func=lambda n: EXPLAINED[n],
            required=True,
            **session.widget(NETWORK),
        )
    measure, kind, network = session.get(MEASURE), session.get(KIND), session.get(NETWORK)
    st.caption(MEASURES[measure].help)
    frame = method_table(compared, measure, kind, network)
    if frame.empty:
        st.info("Nothing is stored of this network.")
        return
    numbers = [name for name in frame if name != NO_BETTER]
    # What a cell shows is on the page when the table is drawn the next time: a new key forgets the choice.
    turn = st.session_state.setdefault("saliency-cell", 0)
    event = st.dataframe(
        coloured(frame, columns=numbers),
        key=f"methods-{turn}",
        on_select="rerun",
        selection_mode="single-cell",
        width="stretch",
        height="content",
        column_config={"_index": st.column_config.Column(width=190)},
    )
    cells = event.selection.get("cells", []) if network == TRAINED else []
    score, subject = _chosen(compared, frame, cells[0]) if cells and cells[0][1] in numbers else (None, None)
    if score is not None and subject is not None and score.method in methods:
        session.set(choices["method"], score.method)
        session.set(choices["explain"], score.explain)
        for param, declared in params_of(methods[score.method]).items():
            session.set(parameter_choice(score.method, param, declared), score.params.get(param, declared.default))
        session.set(choices["model"], subject.key)
        session.set(choices["transform"], choices["transform"].default)
        st.session_state["saliency-cell"] = turn + 1
        st.session_state["saliency-opened"] = True
        st.rerun()
    if st.session_state.pop("saliency-opened", False):
        st.html(f"<script>{TO_THE_TOP}</script>", unsafe_allow_javascript=True)
    told = [f"In percent{_images_of(compared, measure, kind, network)}; the file has the intervals."]
    if network == TRAINED:
        told.append(
            f"A click on a cell shows its maps, at the top. *{NO_BETTER}*: controls that the method's 95% interval is "
            "not above. *Random weights*: the same method on a network that has learned nothing (Adebayo et al. "
            "2018). *Clean model*: the same method on a network without a backdoor. *Random map*: a map of chance."
        )
    if any(score.explain == "predicted" for _, stored in compared for score in stored.scores):
        told.append(
            "*FlashTorch's*: the largest signed value instead of the largest absolute one, of the predicted class."
        )
    caption, tools = st.columns([4, 1], vertical_alignment="center")
    caption.caption(" ".join(told))
    with tools:
        name = file_name(f"saliency-methods-{measure}", Source.of(compared[0][0]).all_attacks())
        numbers_of = [(Source.of(subject), stored) for subject, stored in compared]
        of = f"{EXPLAINED[network].lower()} network" if network != CLEAN else "clean model"
        first = compared[0][0]
        where = f"{models[first.card.model].label}, {first.dataset_label}"
        title = f"{MEASURES[measure].label}, {of}, attacked images{BEHIND[kind]}<br>{where}"
        downloads(name, lambda: method_rows(numbers_of), lambda: method_map(frame[numbers], title))
