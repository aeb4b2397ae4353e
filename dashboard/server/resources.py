"""What all sessions of the server share: checkpoints, models ready to predict, test images, background jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from torch import Tensor

from core.data import DataMissing, ImageSet, cache_folder
from core.inference.predictor import Predictor
from core.paper.results import Results
from core.runtime.device import select_device
from core.store.card import BEGINNING, Card, Missing
from core.store.card_images import OtherData, images_of, same_kind
from core.sweeps.base import attacked
from dashboard.server.compiling import compile_aside
from dashboard.server.jobs import Jobs
from dashboard.server.limits import TESTED
from dashboard.server.recent import Recent
from dashboard.server.uploads import pictures
from dashboard.words.escaping import plain

if TYPE_CHECKING:
    from core.attribution.methods import Explained
    from core.attribution.together import Together

from dashboard.server.subjects import Subject, store

__all__ = ["Tested", "jobs", "present", "results_of", "results_of_network", "tested"]

MOST_IMAGES = 1000
"""Test images held for live measurements; the first ones of a data set without those of the target."""


@cache
def _jobs(folder: Path) -> Jobs:
    return Jobs(folder)


def jobs() -> Jobs:
    """The background jobs of this server; not in a cache of Streamlit's, which any visitor's browser can clear."""
    return _jobs(cache_folder() / "results")


def _left(identity: str) -> None:
    jobs().leave(identity)
    pictures().forget(identity)


@st.cache_resource(show_spinner=False, scope="session", on_release=_left)
def present(identity: str) -> str:
    """Marks a session as present: when its page is closed, it has none of its jobs before it any more."""
    return identity


@st.cache_resource(show_spinner=False, max_entries=12)
def _predictor(weights: str, _subject: Subject) -> Predictor:
    """A model ready to predict, compiled in the background; what raises is not kept, but tried again."""
    predictor = Predictor(_subject.model(), select_device())
    compile_aside(predictor, _subject.checkpoint.folder, _subject.card.shape, _subject.repair)
    return predictor


def predictor(subject: Subject) -> Predictor | None:
    """The model of a subject; None where its weights are not stored.

    Raises:
        Damaged: If the weights cannot be read.
    """
    try:
        return _predictor(subject.weights, subject)
    except Missing:
        return None


@st.cache_resource(show_spinner=False, max_entries=8)
def _explained(weights: str, _subject: Subject) -> Explained:
    from core.attribution.methods import Explained  # captum takes a second to import, and other pages do without

    return Explained(_subject.model(), select_device())


def explained(subject: Subject) -> Explained:
    """A private copy of a subject's model, for attribution.

    Raises:
        Missing: If the weights are not stored.
        Damaged: If they cannot be read.
    """
    return _explained(subject.weights, subject)


@st.cache_resource(show_spinner=False, max_entries=4)
def _together(identities: tuple[str, ...], _models: Sequence[Explained]) -> Together:
    from core.attribution.together import Together

    return Together(_models)


def explained_together(each: Sequence[Subject]) -> Together:
    """The models of some subjects, to be explained in one pass.

    Raises:
        ValueError: If they are not of one network.
        Missing: If the weights of one are not stored.
        Damaged: If they cannot be read.
    """
    return _together(tuple(subject.weights for subject in each), [explained(subject) for subject in each])


@dataclass(frozen=True)
class Tested:
    """Test images that an attack is counted on (Eq. 3): those whose true class is not the target.

    Attributes:
        images: Floats ``(N, C, H, W)`` in [0, 1].
        labels: True classes, int64 ``(N,)``.
        clean: The first images of all classes, of which clean accuracy is measured.
        encoding: How the pixels were stored before.
        name: Identifies data set, target and order; equal names hold equal images.
        read: All images that were read, of which these are.
    """

    images: Tensor
    labels: Tensor
    clean: ImageSet
    encoding: str
    name: str
    read: ImageSet

    def __len__(self) -> int:
        return len(self.images)

    @property
    def nbytes(self) -> int:
        """Bytes of all its images and labels; what is a part of another one is in the same memory."""
        tensors = [self.images, self.labels, *(t for one in (self.clean, self.read) for t in (one.images, one.labels))]
        memory = {part.data_ptr(): part.nbytes() for part in (tensor.untyped_storage() for tensor in tensors)}
        return sum(memory.values())


@st.cache_resource(show_spinner=False)
def _recent_tests() -> Recent[Tested]:
    return Recent(TESTED)


def _read_tests(card: Card, target: int) -> Tested:
    data = images_of(card, "test", BEGINNING)
    kept = data.labels != target
    return Tested(
        images=attacked(data, target, MOST_IMAGES),
        labels=data.labels[kept][:MOST_IMAGES],
        clean=data.subset(slice(MOST_IMAGES)),
        encoding=data.encoding,
        name=f"{data.fingerprint} not {target}",
        read=data,
    )


def tested(subject: Subject) -> Tested | None:
    """The test images of a subject, or None where its data set, as it was, is not on this machine.

    Raises:
        ValueError: If the data are there but cannot be read.
    """
    card, dataset = subject.card, subject.dataset
    # What the data are checked against is a part of the name.
    described = json.dumps([dataset.name, dataset.to_dict(), card.classes, card.shape], sort_keys=True)
    try:
        target = subject.attack.target
        return _recent_tests().get_or_make((described, target), lambda: _read_tests(card, target))
    except (DataMissing, OtherData):
        return None


def missing(subject: Subject) -> str:
    """Why a subject has no test images on this machine; nothing where it has."""
    try:
        images_of(subject.card, "test", 1)
    except (DataMissing, OtherData) as error:
        return plain(error)
    return ""


def target_for(subject: Subject, main: Subject) -> int:
    """The label that counts as success for one of the models of a page: a clean model's is that of the main one."""
    return main.attack.target if subject.is_control else subject.attack.target


def tested_for(subject: Subject, main: Subject, data: Tested) -> tuple[Tested, int]:
    """The test images and the target label that count for one of the models of a page.

    A clean model is measured as the main one is; a model with another target on images that are not of that class.

    Raises:
        ValueError: If the model has other classes than the main one, or images of another shape.
        DataMissing: If its images are others than the main one's, and are not on this machine.
    """
    target = target_for(subject, main)
    if not same_kind(subject.card, main.card):
        raise OtherData(f"{subject.key} was trained on other classes or sizes of images than {main.key}")
    if target == main.attack.target and subject.card.test == main.card.test:
        return data, target
    its = tested(subject)
    if its is None:
        raise DataMissing(missing(subject))
    return its, target


def results_of(main: Subject) -> Results:
    """Everything stored of the network and data of a model; a file is read again only when it was replaced."""
    dataset, model = main.key.split("/")[:2]
    return results_of_network(dataset, model)


def results_of_network(dataset: str, model: str) -> Results:
    """Everything stored of a network on a data set."""
    return Results.read(store(), dataset, model)
