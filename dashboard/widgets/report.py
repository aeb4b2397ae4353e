"""The audit report of a model at the press of a button: made in a process of its own, then to be downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import streamlit as st

from core.audit.written import Written
from core.data import cache_folder
from core.workers.process import in_process
from dashboard.server.jobs import Job
from dashboard.server.owner import ask_for_owner, require_owner
from dashboard.server.resources import jobs
from dashboard.server.scheduler import waiting_file
from dashboard.server.subjects import Subject, store
from dashboard.state.session import Session
from dashboard.words.escaping import plain

__all__ = ["offer_report", "start_report"]

POLL_SECONDS = 1.0


def report_file(subject: Subject) -> Path:
    """Where the report of a model is kept."""
    return cache_folder() / "reports" / f"{subject.weights}.html"


def _key(subject: Subject) -> tuple[object, ...]:
    return "report", subject.key, subject.weights


def start_report(subject: Subject, by: str) -> Job[Written]:
    """Makes the report of a model, or finds the one being made; it goes on to its end, whoever leaves the page.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
    """
    require_owner(by, "making a report")
    return jobs().request(
        _key(subject), Written, partial(_write, subject.key, report_file(subject)), by,
        heavy=False, cached=False, to_end=True, anew=True,
    )  # fmt: skip


def _write(key: str, path: Path) -> Iterator[Written]:
    path.parent.mkdir(parents=True, exist_ok=True)
    yield from in_process(
        "core.audit.report:write_report",
        {"store": str(store().root), "key": key, "path": str(path)},
        Written(0.0, "starting, or waiting for another report"),
        alone=cache_folder() / "reports.lock",
        courtesy=waiting_file(),
    )


def offer_report(session: Session, subject: Subject) -> None:
    """A button that makes the report of a model, its progress, and the file once it is made."""
    if subject.repair or not ask_for_owner(session.identity, "making a report", "report"):
        return
    job: Job[Written] | None = jobs().find(_key(subject))
    running = job is not None and job.snapshot().running

    @st.fragment(key="report", run_every=POLL_SECONDS if running else None)
    def draw() -> None:
        snapshot = job.snapshot() if job is not None else None
        if running and snapshot is not None:
            if not snapshot.running:
                st.rerun()
            note = snapshot.result.note if snapshot.result is not None else "starting"
            st.progress(snapshot.done, plain(note))
            return
        help_text = (
            "One HTML file: numbers, figures and conclusions. What is not stored is measured, in a minute or two."
        )
        if st.button("Make an audit report", icon=":material/summarize:", help=help_text, width="stretch"):
            start_report(subject, session.identity)
            st.rerun()
        if snapshot is not None and snapshot.error:
            st.error(f"The report could not be made: {plain(snapshot.reason)}")
        elif snapshot is not None and snapshot.done == 1:
            name = f"audit-{subject.key.replace('/', '-')}.html"
            st.download_button(
                "Save the report", report_file(subject).read_bytes, name, "text/html", key="save report",
                icon=":material/download:", on_click="ignore", width="stretch",
            )  # fmt: skip

    draw()
