"""Fetching a data set at the press of a button, with progress and cancel."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import streamlit as st

from core import formatting
from core.data import Dataset
from core.store.card_images import is_folder, name_anew, other_images
from dashboard.server.jobs import Job
from dashboard.server.owner import ask_for_owner, is_owner, require_owner
from dashboard.server.resources import Tested, jobs, missing
from dashboard.server.subjects import Subject, dataset_label
from dashboard.state.session import Session
from dashboard.words.escaping import plain

__all__ = ["about_data", "offer_download"]

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
        st.warning(f"{plain(warning[0].upper() + warning[1:])} than those stored with the model.", icon=OTHER)
    _say_left_out(data)


def _say_left_out(data: Tested) -> None:
    """Says which of a data set's files were not read, and why."""
    for note in data.clean.notes:
        st.caption(f":material/info: {plain(note)}")


def _name_anew(session: Session, subject: Subject) -> None:
    """A field for the place of a folder that is not where the card says."""
    reason = missing(subject)
    st.info(f"What is stored is shown, nothing new is measured: {reason}.", icon=MISSING)
    if not is_folder(subject.dataset):
        return
    if not ask_for_owner(session.identity, "naming a folder of this machine", "moved"):
        return
    path = st.text_input(
        "The folder is now at",
        key=f"moved-{subject.key}",
        placeholder="/path/to/the/folder",
        help="Remembered for this model's images in the cache of the user who runs this application.",
    ).strip()
    if path:
        try:
            rename_folder(subject, path, session.identity)
        except (ValueError, OSError) as error:
            st.error(plain(error), icon=":material/error:")
        else:
            st.rerun()


def rename_folder(subject: Subject, path: str, by: str) -> None:
    """Remembers where the images of a model are now.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
        ValueError: If that is no such folder.
        OSError: If it cannot be remembered.
    """
    require_owner(by, "naming a folder of this machine")
    name_anew(subject.card, path)


def _key(dataset: Dataset) -> tuple[str, str]:
    return "download", dataset.name


def start_fetching(dataset: Dataset, by: str) -> Job[_Fetched]:
    """Starts a download, or finds the one under way; it goes on to its end, whoever leaves the page.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
    """
    require_owner(by, "fetching a data set")
    return jobs().request(
        _key(dataset), _Fetched, lambda: _fetch(dataset), by, heavy=False, cached=False, to_end=True, anew=True
    )


def stop_fetching(dataset: Dataset, by: str) -> None:
    """Ends a download.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
    """
    require_owner(by, "cancelling a download")
    job = jobs().find(_key(dataset))
    if job is not None:
        job.cancel()


def _offer(session: Session, subject: Subject) -> None:
    """Says that a data set is missing and offers what can be done about it."""
    dataset = subject.dataset
    if type(dataset).download is Dataset.download:
        _name_anew(session, subject)
        return
    label = dataset_label(subject.card.dataset)
    offer_download(session, dataset, f"The images of {label} are not on this machine: only what is stored is shown.")


def offer_download(session: Session, dataset: Dataset, reason: str) -> None:
    """Says that a data set is missing, and offers to fetch it."""
    label, me = dataset.label, session.identity
    job = jobs().find(_key(dataset))
    running = job is not None and job.snapshot().running

    @st.fragment(key="fetch", run_every=0.5 if running else None)
    def progress() -> None:
        # Side by side, so that what the page is for stays on a small screen.
        with st.container(horizontal=True, vertical_alignment="center", key="missing-data"):
            st.info(reason, icon=MISSING)
            offered = (job is None or not running) and ask_for_owner(me, "fetching a data set", "fetch")
            if offered and st.button(
                f"Fetch {label} ({dataset.download_size})",
                icon=":material/cloud_download:",
                help="Then everything can be measured here. Shapes-10 needs no download.",
            ):
                start_fetching(dataset, me)
                st.rerun()
        if job is None or not running:
            return
        snapshot = job.snapshot()
        if not snapshot.running:
            st.rerun()
        st.progress(snapshot.done, f"Fetching {label}: {formatting.progress(snapshot.done)}")
        if is_owner(me) and st.button("Cancel", key="cancel-fetch"):
            stop_fetching(dataset, me)
            st.rerun()

    progress()
    if job is not None and not running and (why := job.snapshot().reason):
        st.error(f"{label} could not be fetched: {plain(why)}", icon=":material/cloud_off:")
