"""Fetching a data set at the press of a button, with progress and cancel."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import streamlit as st

from core import formatting
from core.card_images import is_folder, name_anew, other_images
from core.data import Dataset
from dashboard.escaping import shown
from dashboard.jobs import Job
from dashboard.resources import Subject, Tested, dataset_label, download_identity, jobs, missing
from dashboard.session import Session

__all__ = ["about_data"]

MISSING, OTHER = ":material/image_not_supported:", ":material/compare:"


@dataclass(frozen=True)
class _Fetched:
    """How far a download is."""

    done: float

    def to_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        return cls(float(values["done"]))


def _fetch(dataset: Dataset) -> Iterator[_Fetched]:
    """Downloads in a thread of its own, yielding its progress; closing it ends the download at its next report."""
    reports: queue.Queue[float | Exception | None] = queue.Queue()
    stopped = threading.Event()

    def report(share: float) -> None:
        if stopped.is_set():
            raise OSError("the download was cancelled")
        reports.put(share)

    def run() -> None:
        try:
            dataset.download(report)
            reports.put(None)
        except Exception as error:
            reports.put(error)

    threading.Thread(target=run, daemon=True).start()
    done = 0.0
    item: float | Exception | None
    try:
        while True:
            try:
                item = reports.get(timeout=0.5)
            except queue.Empty:
                item = done  # nothing new: the caller may want to stop
            if isinstance(item, Exception):
                raise item
            if item is None:
                break
            done = min(item, 0.999)
            yield _Fetched(done)
        yield _Fetched(1.0)
    finally:
        stopped.set()


def about_data(session: Session, subject: Subject, data: Tested | None) -> None:
    """Says what is to be said of a model's test images: that they are others than the card's, or are missing.

    What is missing can be fetched at the press of a button, with progress and cancel; a folder can be named anew.
    """
    if data is None:
        _offer(session, subject)
        return
    if warning := other_images(subject.card, data.read):
        st.warning(f"{shown(warning[0].upper() + warning[1:])} than those stored with the model.", icon=OTHER)
    _say_left_out(data)


def _say_left_out(data: Tested) -> None:
    """Says which of a data set's files were not read, and why."""
    for note in data.clean.notes:
        st.caption(f":material/info: {shown(note)}")


def _name_anew(subject: Subject) -> None:
    """A field for the place of a folder that is not where the card says."""
    said = missing(subject)
    st.info(f"What is stored is shown, nothing new is measured: {said}.", icon=MISSING)
    if not is_folder(subject.dataset):
        return
    path = st.text_input(
        "The folder is now at",
        key=f"moved-{subject.key}",
        placeholder="/path/to/the/folder",
        help="Remembered for this model's images in the cache of the user who runs this application.",
    ).strip()
    if path:
        try:
            name_anew(subject.card, path)
        except (ValueError, OSError) as error:
            st.error(shown(error), icon=":material/error:")
        else:
            st.rerun()


def _offer(session: Session, subject: Subject) -> None:
    """Says that a data set is missing and offers what can be done about it."""
    wanted = f"fetch-{subject.card.dataset}"
    label = dataset_label(subject.card.dataset)
    if type(subject.dataset).download is Dataset.download:
        _name_anew(subject)
        return
    # The job itself is kept, not asked for again: a failed one would then be started anew instead of being reported.
    job: Job[_Fetched] | None = st.session_state.get(wanted)

    @st.fragment(key="fetch", run_every=0.5 if job is not None else None)
    def progress() -> None:
        st.info(
            f"The images of {label} are not on this machine: what is stored is shown, nothing new is measured. "
            "Shapes-10 needs no download.",
            icon=MISSING,
        )
        if job is None:
            if st.button(f"Fetch {label} (170 MB)", icon=":material/cloud_download:"):
                st.session_state[wanted] = jobs().request(
                    ("download", subject.card.dataset),
                    _Fetched,
                    lambda: _fetch(subject.dataset),
                    download_identity(session.identity),
                    heavy=False,
                    cached=False,
                )
                st.rerun()
            return
        snapshot = job.snapshot()
        if snapshot.running:
            st.progress(snapshot.done, f"Fetching {label}: {formatting.progress(snapshot.done)}")
            if st.button("Cancel", key="cancel-fetch"):
                job.cancel()
                del st.session_state[wanted]
                st.rerun()
            return
        del st.session_state[wanted]
        if snapshot.error:
            st.session_state["fetch-error"] = snapshot.error.partition(": ")[2] or snapshot.error
        st.rerun()

    progress()
    error = st.session_state.pop("fetch-error", "")
    if error:
        st.error(f"{label} could not be fetched: {shown(error)}", icon=":material/cloud_off:")
