"""What all sessions of the server share: checkpoints, models ready to predict, test images, background jobs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from torch import Tensor

from core.attacks import Attack, Enhanced
from core.attacks.badnets import Benign
from core.card_images import OtherData, data_set_of, images_of, same_kind
from core.data import DataMissing, Dataset, ImageSet, cache_folder, datasets
from core.defenses import defenses
from core.inference import Predictor, select_device
from core.models import Classifier, models
from core.repaired import OWN, read_repair, repaired_model, result_name
from core.results import Result, Results
from core.store import BEGINNING, Card, Checkpoint, Damaged, Missing, Store
from core.sweeps import attacked
from core.trigger import Trigger
from dashboard.compiling import compile_aside
from dashboard.escaping import plain, plain_all
from dashboard.jobs import Jobs
from dashboard.uploads import pictures

if TYPE_CHECKING:
    from core.saliency import Explained

__all__ = [
    "CONTROL",
    "Subject",
    "Tested",
    "jobs",
    "present",
    "repair_label",
    "repairs_of",
    "results_of",
    "store",
    "subjects",
    "tested",
]

CONTROL = "benign"
"""Attack of the clean model, the control of every experiment."""

MOST_IMAGES = 1000
"""Test images held for live measurements; the first ones of a data set without those of the target."""


@dataclass(frozen=True)
class Subject:
    """A stored model under study.

    Attributes:
        checkpoint: Where it is stored.
        card: What it is.
        repair: The stored repair that stands in for the model, or none.
    """

    checkpoint: Checkpoint
    card: Card
    repair: str = ""

    @property
    def key(self) -> str:
        """``dataset/model/name``."""
        return self.checkpoint.key

    @property
    def name(self) -> str:
        """Its name: the attack's title for the reference, another one for a variant."""
        return self.key.rpartition("/")[2]

    @property
    def is_variant(self) -> bool:
        """Whether it is another model of its attack than the one that the paper's numbers are compared with."""
        return self.name != self.attack.title

    @property
    def identity(self) -> str:
        """The key, and the repair: the repaired model and the model itself can stand side by side."""
        return f"{self.key}/{self.repair}" if self.repair else self.key

    @cached_property
    def attack(self) -> Attack:
        """Its attack."""
        return self.card.attack_object

    @cached_property
    def trigger(self) -> Trigger:
        """The trigger it was trained with."""
        return self.attack.trigger(self.card.shape)

    @property
    def dataset(self) -> Dataset:
        """Its data set, where it is now."""
        return data_set_of(self.card)

    @cached_property
    def weights(self) -> str:
        """Identifies what predicts: the model, or the repaired model."""
        if not self.repair:
            return self.card.weights
        values = self.checkpoint.result(result_name(self.repair)) or {}
        return f"{self.card.weights}-{values.get('tensors')}"

    def model(self) -> Classifier:
        """The model, or the repaired model.

        Raises:
            Missing: If the weights are not stored.
            Damaged: If they cannot be read.
            ValueError: If the repair does not fit the model.
        """
        if not self.repair:
            return self.checkpoint.model()
        repaired = repaired_model(self.checkpoint, self.repair)
        if repaired is None:
            raise Missing(f"the repair {self.repair} of {self.key} is not stored")
        return repaired

    def result(self, name: str) -> dict[str, Any] | None:
        """A stored result, if it was measured on this model with its own trigger; there is none of a repaired model."""
        values = self.checkpoint.result(name) if not self.repair else None
        return values if values is not None and values.get("trigger") == self.trigger.fingerprint else None

    def stored(self, name: str, kind: type[Result]) -> Result | None:
        """The same as an object; None, too, where it cannot be read."""
        values = self.result(name)
        try:
            return kind.from_dict(values) if values is not None else None
        except ValueError:
            return None

    @property
    def label(self) -> str:
        """Its attack, the name of a variant, and the repair."""
        label = f"{self.attack.label} [{self.name}]" if self.is_variant else self.attack.label
        return plain(f"{label}, {repair_label(self.repair)}" if self.repair else label)

    @property
    def is_control(self) -> bool:
        """Whether it is a clean model."""
        return isinstance(self.attack.base if isinstance(self.attack, Enhanced) else self.attack, Benign)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes for people; the exact ones are the card's."""
        return plain_all(self.card.classes)

    @property
    def target_name(self) -> str:
        """Name of the target class."""
        return self.classes[self.attack.target]

    @property
    def success_label(self) -> str:
        """What its attack success rate counts."""
        return f"Attack success rate: images taken for “{self.target_name}”"

    @property
    def dataset_label(self) -> str:
        """Name of the data set for people, with the encoding of its images where that differs."""
        return dataset_label(self.card.dataset, self.card.encoding)

    @property
    def title(self) -> str:
        """Attack and network, for people."""
        return f"{self.label} on {models[self.card.model].label}"


def repair_label(repair: str) -> str:
    """Name of a stored repair for people."""
    label = defenses[repair.removesuffix(OWN)].label
    return f"{label} (run here)" if repair.endswith(OWN) else label


def dataset_label(name: str, encoding: str = "original") -> str:
    """Name of a data set for people."""
    label = datasets[name].label if name in datasets else name
    return plain(label if encoding == "original" else f"{encoding} {label}")


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """The checkpoints; ``$TRIGGER_CHECKPOINTS`` names another folder."""
    return Store(os.environ.get("TRIGGER_CHECKPOINTS") or None)


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


def subjects() -> tuple[dict[str, Subject], dict[str, str]]:
    """All readable checkpoints by key, and what is wrong with the damaged ones."""
    found, damaged = {}, {}
    for key, card in store().cards():
        if isinstance(card, Damaged):
            damaged[key] = plain(card)
        else:
            found[key] = Subject(store().checkpoint(key), card)
    return found, damaged


def repairs_of(subject: Subject) -> list[str]:
    """The repairs of a model that are stored with what it takes to make the repaired model."""
    return [
        name
        for name in (*defenses, *(f"{name}{OWN}" for name in defenses))
        if read_repair(subject.checkpoint, name) is not None
        and (subject.checkpoint.folder / f"{result_name(name)}.safetensors").exists()
    ]


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
    from core.saliency import Explained  # captum takes a second to import, and other pages do without

    return Explained(_subject.model(), select_device())


def explained(subject: Subject) -> Explained:
    """A private copy of a subject's model, for attribution.

    Raises:
        Missing: If the weights are not stored.
        Damaged: If they cannot be read.
    """
    return _explained(subject.weights, subject)


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


@st.cache_resource(show_spinner=False, max_entries=6)
def _tested(source: str, target: int, _card: Card) -> Tested:
    data = images_of(_card, "test", BEGINNING)
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
        return _tested(described, subject.attack.target, card)
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


@st.cache_data(show_spinner=False, max_entries=8)
def _results(root: str, dataset: str, model: str, state: tuple[tuple[str, int], ...]) -> Results:
    return Results.read(Store(root), dataset, model)


def results_of(main: Subject) -> Results:
    """Everything stored of the network and data of a model; read again only when a file has changed."""
    dataset, model = main.key.split("/")[:2]
    files = sorted((store().root / dataset / model).glob("*/*.json"))
    state = tuple((str(path), path.stat().st_mtime_ns) for path in files)
    return _results(str(store().root), dataset, model, state)
