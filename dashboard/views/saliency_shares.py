"""Part of the page *Saliency*: how much of the saliency falls on the trigger, over many images."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import formatting
from core.models import models
from core.paper.claims import judge_saliency
from core.paper.constants import ATTACKS
from core.sweeps.saliency import Energies, Energy
from core.workers.saliency import energies_in_background
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import energy_rows
from dashboard.server.jobs import Job
from dashboard.server.resources import Tested, jobs, tested_for
from dashboard.server.scheduler import waiting_file
from dashboard.server.subjects import Subject, store
from dashboard.state.session import Session
from dashboard.tables.claims import draw_verdicts
from dashboard.tables.rows import siblings
from dashboard.widgets.controls import one_sentence, progress_bar
from dashboard.widgets.page_head import say
from dashboard.widgets.saliency_maps import Asked
from dashboard.widgets.save_menu import csv_button
from dashboard.words.answers import saliency_answer
from dashboard.words.escaping import plain

__all__ = ["draw_energies"]

ENERGY_IMAGES = 500
POLL_SECONDS = 0.5


def stored_energies(subject: Subject, asked: Asked) -> Energies | None:
    """What is stored of a model for a choice, of the paper's method or of the comparison of all methods."""
    if asked.is_stored and subject.results.saliency is not None:
        return subject.results.saliency
    compared = subject.results.saliency_methods if asked.is_behind_shrinkpad else None
    if compared is None:
        return None
    return compared.of(asked.method.name, explain=asked.explain, params=asked.method.to_dict())


def _request(session: Session, subject: Subject, data: Tested | None, asked: Asked) -> Energies | Job[Energies] | None:
    """The stored shares, or a job that measures them where that is possible."""
    stored = stored_energies(subject, asked)
    if stored is not None or data is None or not subject.checkpoint.has_weights:
        return stored
    images = min(ENERGY_IMAGES, len(data))
    key = (
        "saliency", subject.weights, subject.trigger.fingerprint, data.name, images, asked.method.name,
        sorted(asked.method.to_dict().items()), asked.explain, asked.before.spec,
    )  # fmt: skip
    return jobs().request(
        key,
        Energies,
        lambda: energies_in_background(
            str(store().root), subject.key, asked.method, asked.before, images=images, repair=subject.repair,
            explain=asked.explain, courtesy=waiting_file(),
        ),
        session.identity,
        heavy=False,
    )  # fmt: skip


def draw_energies(
    session: Session,
    found: dict[str, Subject],
    main: Subject,
    data: Tested | None,
    asked: Asked,
    answer: DeltaGenerator,
) -> None:
    """How much of the saliency falls on the trigger, over many images."""
    st.markdown(f"### Share of the saliency inside the trigger: {models[main.card.model].label}, {main.dataset_label}")
    listed = siblings(found, main, [*ATTACKS, main.name])
    lacking = [subject for subject in listed if stored_energies(subject, asked) is None]
    wanted = st.session_state.get("energies-measured") == _identity(asked) or asked.is_stored
    if lacking and data is not None and not wanted:
        some = "" if len(lacking) == len(listed) else f" of {', '.join(subject.label for subject in lacking)}"
        st.caption(f"Not stored{some} for this choice. {ENERGY_IMAGES} images of each attack can be measured here.")
        if st.button("Measure", icon=":material/play_arrow:"):
            st.session_state["energies-measured"] = _identity(asked)
            st.rerun()
    requested = []
    for subject in listed:
        tested_images = tested_for(subject, main, data)[0] if wanted and data is not None else None
        requested.append((subject, _request(session, subject, tested_images, asked)))
    running = tuple(request for _, request in requested if isinstance(request, Job))
    jobs().leave(session.identity, running)
    polling = any(job.snapshot().running for job in running)

    @st.fragment(key="energies", run_every=POLL_SECONDS if polling else None)
    @one_sentence
    def table() -> None:
        for job in running:
            if job.snapshot().error:
                st.error(f"The shares could not be measured: {plain(job.snapshot().error)}")
        if polling and not any(job.snapshot().running for job in running):
            st.rerun()
        so_far = [
            (subject, request.snapshot().result if isinstance(request, Job) else request)
            for subject, request in requested
        ]
        measured = [(subject, energies) for subject, energies in so_far if energies is not None and energies.seen]
        _say_answer(answer, main, measured, asked.before.label)
        if measured:
            _draw_table(main, measured, asked)
            if asked.is_stored and not polling:
                by_title = {subject.name: energies for subject, energies in measured if not subject.is_variant}
                draw_verdicts("What the paper says about it (Sec. 5.4)", judge_saliency(by_title))
        elif asked.is_stored and not polling:
            st.info(f"Nothing is stored; measure it with: `python scripts/sweep.py saliency --checkpoint {main.key}`")
        if polling:
            done = [job.snapshot().done for job in running]
            progress_bar(sum(done) / len(done), running, "stop-energies")

    table()


def _say_answer(place: DeltaGenerator, main: Subject, measured: list[tuple[Subject, Energies]], behind: str) -> None:
    """The page's sentence: the attack under study, and its standard or enhanced partner."""
    partner = main.attack.title.partition("+")[0]
    ordered = sorted(measured, key=lambda pair: pair[0].key != main.key)
    both = [pair for pair in ordered if pair[0].key == main.key or pair[0].attack.title in (partner, f"{partner}+")]
    say(place, saliency_answer(both, behind))


def _draw_table(main: Subject, measured: list[tuple[Subject, Energies]], asked: Asked) -> None:
    """The table of shares with what its words mean, and its file."""
    st.table(energy_table(measured, asked.before.label), width="stretch")
    counts = [energies.seen for _, energies in measured]
    images = " to ".join(map(str, sorted({min(counts), max(counts)})))
    caption, tools = st.columns([4, 1], vertical_alignment="center")
    caption.caption(
        f"In percent with 95% intervals, {images} images. *Pointing game*: how often the most salient pixel is on the "
        "trigger, or next to it (Zhang et al. 2018). *Mass accuracy*: how much of the saliency falls on the "
        "trigger, on average (Arras et al. 2022). *Area*: how much of the image the trigger covers, which is the "
        "mass accuracy of a map that ignores it. The file has the other measures too."
    )
    with tools:
        numbers = [(Source.of(subject), energies) for subject, energies in measured]
        name = file_name(f"saliency-{asked.method.name}", Source.of(main).all_attacks())
        csv_button(name, lambda: energy_rows(numbers, asked.before.spec))


def _identity(asked: Asked) -> str:
    return repr((asked.method, asked.explain, asked.before.spec))


def energy_table(measured: list[tuple[Subject, Energies]], label: str) -> pd.DataFrame:
    """One row per attack: two measures with their intervals, attacked and transformed, beside the trigger's area."""

    def cell(energy: Energy) -> str:
        return formatting.with_interval(energy.mean, energy.interval) if energy.count else ""

    def peak(energy: Energy) -> str:
        rate = energy.peak_rate
        return formatting.with_interval(rate.value, rate.interval) if energy.count else ""

    table = pd.DataFrame(
        {
            "Pointing game, attacked image": [peak(energies.attacked) for _, energies in measured],
            f"Pointing game, {label}": [peak(energies.transformed) for _, energies in measured],
            "Mass accuracy, attacked image": [cell(energies.attacked) for _, energies in measured],
            f"Mass accuracy, {label}": [cell(energies.transformed) for _, energies in measured],
            "Area, attacked image": [formatting.percent(energies.attacked.area) for _, energies in measured],
            f"Area, {label}": [formatting.percent(energies.transformed.area) for _, energies in measured],
        },
        index=[subject.label for subject, _ in measured],
    )
    table.index.name = "Attack"
    return table
