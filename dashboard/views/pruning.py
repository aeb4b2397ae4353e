"""Fine-Pruning on the page *Defenses*: both rates at any number of pruned channels (Table 1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from core import formatting
from core.defenses.fine_pruning import FinePruning, at_tolerances, features_of, order_of, pruned_predictions
from core.metrics import Rate
from core.sweeps.repair import Repaired
from core.sweeps.strength import StrengthCurve
from core.trigger import stamp
from dashboard.figures import sweeps as figures
from dashboard.figures.base import COLOURS
from dashboard.figures.html import Reading, rate_bars
from dashboard.figures.sweeps import StrengthLine
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import strength_rows
from dashboard.server.resources import Tested, jobs
from dashboard.server.subjects import Subject
from dashboard.state.session import Choice, Session, integer_in
from dashboard.widgets.controls import image_picker
from dashboard.widgets.live import draw_answers
from dashboard.widgets.save_menu import PLOT_CONFIG, downloads

__all__ = ["draw_pruning", "pruning_curve"]

STRIP = 10
MEASURED = 512  # images for a curve that is not stored


def pruning_curve(main: Subject, data: Tested | None, stored: Repaired | None) -> tuple[StrengthCurve, Tensor] | None:
    """Both rates with 0, 1, ..., all channels pruned, and the order: the stored one, or measured here.

    Args:
        main: The model.
        data: Test images to measure it on, or None where they are not on this machine.
        stored: A stored repair, or None; its curve counts before a measurement.

    Returns:
        A curve of ``channels + 1`` points and the order of pruning, int64 ``(channels,)``; None where nothing is
        stored and nothing can be measured.
    """
    if stored is not None and "hits" in stored.report:
        report = stored.report
        clean, total = (np.array(report[f"clean_{kind}"]) for kind in ("hits", "total"))
        hits, tried = np.array(report["hits"]), np.array(report["total"])
        strengths = tuple(float(count) for count in range(len(hits)))
        curve = StrengthCurve(hits, tried, strengths, clean, total, int(total[0]))
        return curve, torch.tensor(stored.record["order"])
    if data is None or not main.checkpoint.has_weights:
        return None
    known = st.session_state.get("pruning-curve")
    if known is None or known[0] != (main.weights, data.name):
        known = ((main.weights, data.name), _measure_pruning(main, data))
        st.session_state["pruning-curve"] = known
    measured: tuple[StrengthCurve, Tensor] = known[1]
    return measured


def _measure_pruning(main: Subject, data: Tested) -> tuple[StrengthCurve, Tensor]:
    model = main.model()
    clean = data.clean.subset(slice(MEASURED))
    with jobs().turnstile.interactive():
        asleep = features_of(model, clean.floats())
        awake = features_of(model, stamp(data.images[:MEASURED], main.trigger))
    order, head = order_of(asleep), model.head
    right = (pruned_predictions(asleep, head, order) == clean.labels).sum(1).numpy()
    hits = (pruned_predictions(awake, head, order) == main.attack.target).sum(1).numpy()
    strengths = tuple(float(count) for count in range(len(hits)))
    full = np.full(len(hits), len(asleep))
    return StrengthCurve(hits, np.full(len(hits), len(awake)), strengths, right, full, len(asleep)), order


def draw_pruning(
    session: Session, main: Subject, data: Tested | None, stored: Repaired | None, image: Choice[int]
) -> None:
    """The slider over the number of pruned channels, both rates there, the curves, and images with the answers."""
    known = pruning_curve(main, data, stored)
    if known is None:
        st.info("Nothing is stored, and nothing can be measured here.")
        return
    curve, order = known
    most = len(order)
    chosen = int(stored.record["pruned"]) if stored is not None else 0
    choice = Choice("pruned", chosen, integer_in(0, most))
    st.slider(f"Pruned channels of {most}", 0, most, **session.widget(choice))
    count = session.get(choice)
    clean, success = curve.at(count)
    st.html(
        rate_bars(
            [
                Reading(f"Attack success rate with {count} of {most} channels pruned", success, COLOURS[0]),
                Reading("Clean accuracy", clean, COLOURS[2]),
            ],
            f"pruned-{count}",
        )
    )
    lines = [StrengthLine(main.label, curve, COLOURS[0])]
    figure = figures.strength_curves(lines, f"pruned channels of the last block (of {most})", count)
    source = replace(Source.of(main), repair="fine-pruning")
    st.plotly_chart(figure, key="pruning-curve-figure", config=PLOT_CONFIG, width="stretch")
    note, tools = st.columns([3, 1.2], vertical_alignment="center")
    where = "the half of the test set that the repair has not seen" if stored is not None else "images measured here"
    decided = f" The repair itself prunes {chosen}, decided on clean images." if stored is not None else ""
    note.caption(f"{success.total} attacked and {clean.total} clean images, {where}, with 95% intervals.{decided}")
    with tools:
        downloads(
            file_name("pruned-channels", source),
            lambda: strength_rows([(source, curve)], lambda same, _: same, "pruned_channels"),
            lambda: figure,
        )
    if stored is not None:
        _draw_tolerances(stored)
    if data is not None and main.checkpoint.has_weights:
        start = session.get(image)
        images, labels = data.images[start : start + STRIP], data.labels[start : start + STRIP]
        stamped = stamp(images, main.trigger)
        model = main.model()
        with jobs().turnstile.interactive():
            answers = pruned_predictions(features_of(model, stamped), model.head, order)[count].tolist()
        draw_answers(main, stamped, labels, answers)
        image_picker(session, "First of the images", image, data)


def _draw_tolerances(stored: Repaired) -> None:
    """What the repair does when more or less of the clean accuracy may be lost."""
    try:
        cuts = at_tolerances(stored.record, stored.report)
    except ValueError:
        return
    own = stored.repair.tolerance if isinstance(stored.repair, FinePruning) else None
    st.markdown("**At other tolerances**")
    st.dataframe(
        {
            "Points that may be lost": [f"{cut.tolerance:g}{' (as run)' * (cut.tolerance == own)}" for cut in cuts],
            "Channels pruned": [cut.channels for cut in cuts],
            "Attack success rate (%)": [_percent(cut.success) for cut in cuts],
            "Clean accuracy (%)": [_percent(cut.clean) for cut in cuts],
        },
        hide_index=True,
        width="stretch",
        height="content",
    )
    st.caption("With 95% intervals, without fine-tuning. How much may be lost can decide whether the attack survives.")


def _percent(rate: Rate) -> str:
    low, high = rate.interval
    return formatting.with_interval(rate.value, (low, high))
