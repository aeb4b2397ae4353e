"""The models of the store as the pages show them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from core.attacks import Attack, Enhanced
from core.attacks.badnets import Benign
from core.data import Dataset, datasets
from core.defenses import defenses
from core.models import Classifier, models
from core.recipe import RECIPES
from core.store.card import Card, Damaged, Missing
from core.store.card_images import data_set_of
from core.store.local import Checkpoint, Store
from core.sweeps.repair import OWN, result_name
from core.sweeps.results import StoredResults, repaired_model
from core.trigger import Trigger
from dashboard.words.escaping import plain, plain_all

__all__ = ["CONTROL", "Subject", "repair_label", "repairs_of", "store", "subjects"]

CONTROL = "benign"
"""Attack of the clean model, the control of every experiment."""


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
        return f"{self.card.weights}-{StoredResults(self.checkpoint).repair_tensors(self.repair)}"

    def model(self) -> Classifier:
        """The model, or the repaired model.

        Raises:
            Missing: If the weights are not stored.
            Damaged: If they cannot be read.
            ValueError: If the repair does not fit the model, or another model has taken this one's place meanwhile.
        """
        if self.repair:
            repaired = repaired_model(self.checkpoint, self.repair)
            if repaired is None:
                raise Missing(f"the repair {self.repair} of {self.key} is not stored")
            return repaired
        card, model = self.checkpoint.card_and_model()
        if card.weights != self.card.weights:  # the page would take its answers for those of the one before
            raise ValueError(f"{self.key} has just been replaced by another model; show the page again")
        return model

    def reproducing(self, part: str) -> list[str]:
        """The command that makes what is missing of a table or figure of the paper, for its data, network and recipe.

        Args:
            part: One of :data:`core.reproduction.tasks.PARTS`.
        """
        recipe = self.card.recipe["name"]
        command = ["python", "scripts/reproduce.py", "--dataset", self.dataset.spec, "--models", self.card.model]
        command += ["--recipe", recipe] if recipe in RECIPES and recipe != "fast" else []
        return [*command, "--only", part]

    @property
    def results(self) -> StoredResults:
        """What is stored of it; nothing is of a repaired model, as the results are of the model itself."""
        return StoredResults(None if self.repair else self.checkpoint)

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


def subjects() -> tuple[dict[str, Subject], dict[str, str]]:
    """All readable checkpoints by key, and what is wrong with the damaged ones."""
    readable, damaged = {}, {}
    for key, card in store().cards():
        if isinstance(card, Damaged):
            damaged[key] = plain(card)
        else:
            readable[key] = Subject(store().checkpoint(key), card)
    return readable, damaged


def repairs_of(subject: Subject) -> list[str]:
    """The repairs of a model that are stored with what it takes to make the repaired model."""
    stored = StoredResults(subject.checkpoint)
    return [
        name
        for name in (*defenses, *(f"{name}{OWN}" for name in defenses))
        if stored.repair(name) is not None and (subject.checkpoint.folder / f"{result_name(name)}.safetensors").exists()
    ]
