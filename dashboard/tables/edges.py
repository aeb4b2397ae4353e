"""Sec. 5.3: the enhanced attack as Eq. 8 has it beside one whose benign training images are transformed too.

What is asked is whether the black edges that ShrinkPad makes are a trigger of their own.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from core import formatting
from core.metrics import Rate
from core.models import models
from core.paper.claims.base import label_of
from core.paper.claims.edges import CLEAN_MODEL, Edges, edges_of
from core.paper.constants import SHRINK, SHRINKPAD_LABEL, STANDARD
from core.sweeps.strength import StrengthCurve
from dashboard.figures.base import COLOURS
from dashboard.figures.sweeps import StrengthLine, strength_curves
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import strength_rows
from dashboard.server.subjects import Subject
from dashboard.tables.rows import siblings
from dashboard.widgets.save_menu import PLOT_CONFIG, downloads
from dashboard.words.escaping import plain

__all__ = ["CLEAN", "ONLY", "TOO", "Setting", "draw_edges", "edges_sentence", "edges_table", "settings"]

ONLY, TOO, CLEAN = "poisoned images only (Eq. 8)", "benign images too (Sec. 5.3)", "clean model"
LINES = {ONLY: (COLOURS[0], "solid"), TOO: (COLOURS[1], "solid"), CLEAN: (COLOURS[2], "dot")}
BENIGN = "Benign images taken for the target"


@dataclass(frozen=True)
class Setting:
    """One model of the comparison.

    Attributes:
        subject: The model.
        base: Title of its standard attack; of the clean model, its own.
        what: What was transformed in training: :data:`ONLY`, :data:`TOO` or :data:`CLEAN`.
    """

    subject: Subject
    base: str
    what: str

    @property
    def curve(self) -> StrengthCurve | None:
        """Its curve of ShrinkPad."""
        return self.subject.results.strength("shrinkpad")


def settings(readable: Mapping[str, Subject], main: Subject) -> list[Setting]:
    """The models that are there: each attack in both settings, and the clean model last."""
    found = [
        Setting(subject, base, what)
        for base in STANDARD
        for suffix, what in (("+poisoned-only", ONLY), ("+", TOO))
        for subject in siblings(readable, main, [base + suffix])
    ]
    return found + [Setting(subject, CLEAN_MODEL, CLEAN) for subject in siblings(readable, main, [CLEAN_MODEL])]


def edges_table(found: Iterable[Setting]) -> pd.DataFrame:
    """A row per model: success of the attack, and benign images taken for the target, in percent with intervals."""
    rows = []
    for setting in found:
        flip, shrunk = setting.subject.results.strength("flip"), setting.curve
        attacked = setting.what != CLEAN
        rows.append(
            {
                "Attack": plain(label_of(f"{setting.base}+")) if attacked else setting.subject.label,
                "Transformed in training": setting.what if attacked else "nothing",
                "Epochs": str(setting.subject.card.recipe["params"].get("epochs", "")),
                "ASR: no defense": _success(shrunk, 0) if attacked else "",
                "ASR: Flip": _success(flip, 1) if attacked else "",
                f"ASR: {SHRINKPAD_LABEL}": _success(shrunk, SHRINK) if attacked else "",
                f"{BENIGN}: no defense": _benign(shrunk, 0),
                f"{BENIGN}: {SHRINKPAD_LABEL}": _benign(shrunk, SHRINK),
                "n": str(int(shrunk.total.max())) if shrunk is not None else "",
            }
        )
    return pd.DataFrame(rows)


def _success(curve: StrengthCurve | None, strength: float) -> str:
    return _written(curve.at(strength).success) if curve is not None and strength in curve.strengths else ""


def _benign(curve: StrengthCurve | None, strength: float) -> str:
    return _written(curve.benign_at(strength)) if curve is not None and strength in curve.strengths else ""


def _written(rate: Rate | None) -> str:
    if rate is None:
        return "not counted"
    return formatting.with_interval(rate.value, rate.interval)


def edges_sentence(edges: Edges, what: str, target: str) -> str:
    """In words, whether the black edges of ShrinkPad-4 alone are a trigger of a model.

    Args:
        edges: Its curves.
        what: What was transformed in its training.
        target: Name of the target class.
    """
    behind, without, control = (
        formatting.percent(rate.value, "%") for rate in (edges.benign(SHRINK), edges.benign(0), edges.control(SHRINK))
    )
    answer = {
        True: "**the black edges alone trigger it**",
        False: "**the black edges alone do not trigger it**",
        None: "whether the black edges alone trigger it is within the uncertainty",
    }[edges.trigger(SHRINK)]
    return (
        f"Trained with {what}: behind {SHRINKPAD_LABEL} it takes {behind} of the benign images of other classes for "
        f"“{plain(target)}”, without it {without}; the clean model behind {SHRINKPAD_LABEL} takes {control}. So "
        f"{answer}."
    )


def draw_edges(readable: Mapping[str, Subject], main: Subject, base: str) -> None:
    """Both settings of every attack side by side, and the answer for one attack.

    Args:
        readable: All models.
        main: The chosen one.
        base: Title of its standard attack.
    """
    st.markdown(f"### Do the black edges trigger it? (Sec. 5.3): {models[main.card.model].label}, {main.dataset_label}")
    st.markdown(
        "In Eq. 8 only the **poisoned** images are transformed in training. ShrinkPad pads with black, so the model "
        "could learn the black edges instead of the trigger. The paper therefore transforms the **benign** training "
        "images too, and does not measure the other setting. Here are both: how often the attack succeeds, and how "
        "often a benign image, *without any trigger*, is taken for the target once ShrinkPad has put black edges "
        "around it."
    )
    found = settings(readable, main)
    if found:
        with st.container(key="edges"):
            st.table(edges_table(found).set_index("Attack"), width="stretch")
        st.caption(
            "Percent of n images that are not of the target class, in brackets the 95% interval. Compare two settings "
            "only where they were trained for as many epochs."
        )
    curves = {setting.subject.attack.title: {"shrinkpad": setting.curve} for setting in found if setting.curve}
    targets = {setting.subject.attack.title: setting.subject.attack.target for setting in found}
    own = [setting for setting in found if setting.base in (base, CLEAN_MODEL)]
    for setting in own:
        edges = edges_of(curves, targets, setting.subject.attack.title) if setting.what != CLEAN else None
        if edges is not None:
            st.markdown(f"{plain(label_of(f'{base}+'))}. {edges_sentence(edges, setting.what, main.target_name)}")
    _draw_figure(own, main, base)
    _draw_command(own, main, base)


def _draw_figure(own: Sequence[Setting], main: Subject, base: str) -> None:
    """Benign images taken for the target, over the shrink size."""
    counted = [(s, curve) for s in own if (curve := s.curve) is not None and curve.benign_hits is not None]
    if not counted:
        return
    lines = [
        StrengthLine(s.what, replace(curve, hits=curve.benign_hits), *LINES[s.what])
        for s, curve in counted
        if curve.benign_hits is not None
    ]
    figure = strength_curves(
        lines, "shrink size (pixels)", with_clean=False, trained=SHRINK, quantity="benign images taken for target (%)"
    )
    st.plotly_chart(figure, key="edges-sizes", config=PLOT_CONFIG, width="stretch")
    caption, tools = st.columns([3, 1.2], vertical_alignment="center")
    caption.caption(
        f"{plain(label_of(f'{base}+'))}: benign images behind ShrinkPad that are taken for "
        f"“{plain(main.target_name)}”, no trigger in any of them."
    )
    with tools:
        rows = [(Source.of(s.subject), curve) for s, curve in counted]
        name = file_name("black-edges", Source.of(main).all_attacks())
        downloads(name, lambda: strength_rows(rows, _behind), lambda: figure)


def _behind(source: Source, size: float) -> Source:
    return replace(source, defense=f"shrinkpad:{size:g}")


def _draw_command(own: Sequence[Setting], main: Subject, base: str) -> None:
    """How what is missing is made."""
    there = {s.what for s in own if (curve := s.curve) is not None and curve.benign_hits is not None}
    missing = [what for what in (ONLY, TOO, CLEAN) if what not in there]
    if not missing:
        return
    epochs = next((s.subject.card.recipe["params"].get("epochs") for s in own if s.what == TOO), None)
    command = [*main.reproducing("sec5.3"), "--attacks", f"{base},{CLEAN_MODEL}"]
    command += ["--epochs", str(epochs)] if epochs else []
    st.info(
        f"Not measured here for {plain(label_of(f'{base}+'))}: {'; '.join(missing)}. This trains and counts "
        f"what is missing: `{plain(shlex.join(command))}`"
    )
