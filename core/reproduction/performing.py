"""The tasks of a grid at work: what of it is stored, what is left, and each carried out.

A task whose result is stored is done: so a grid that was interrupted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from core import formatting
from core.attacks import Attack, Enhanced
from core.data import Dataset
from core.inference.predictor import Predictor
from core.models import Classifier
from core.paper.ablation import training_of
from core.paper.constants import STANDARD
from core.recipe import recipe_of
from core.reproduction.tasks import SHRINKPAD, TRAINING, Task
from core.store.card import Card, Damaged, Missing
from core.store.card_images import data_set_of, images_of
from core.store.local import Checkpoint, Store
from core.sweeps.repair import repair_sweep
from core.sweeps.runner import PHOTOGRAPHIC, Sweep, carry_out, store_examples
from core.training.trainer import Plan, train
from core.transforms import transforms

__all__ = ["Progress", "pending", "perform", "stored_attacks"]

WORTH_COMPILING = 1000  # test images


def stored_attacks(dataset: Dataset, models: Sequence[str], store: Store) -> dict[str, Attack]:
    """The standard attacks that the references in a store were trained with, by ``model/attack``.

    What is set beside a reference, in Fig. 14 and Sec. 5.3, has its parameters, which need not be the defaults.
    """
    found: dict[str, Attack] = {}
    for model in models:
        for name in STANDARD:
            for title in (name, f"{name}+"):  # the enhanced reference counts where both are there
                card = _card(store.checkpoint(f"{dataset.title}/{model}/{title}"))
                attack = card.attack_object if card is not None and not card.is_imported else None
                base = attack.base if isinstance(attack, Enhanced) else attack
                if base is not None and base.name == name:
                    found[f"{model}/{name}"] = base
    return found


def pending(tasks: Sequence[Task], store: Store) -> list[Task]:
    """The tasks whose results are not stored, and the trainings that they need; those of weights included."""
    left = [task for task in tasks if task.name != TRAINING and not _has_result(task, store)]
    needed = {need for task in left for need in task.needs}
    for task in reversed(tasks):
        if task.name != TRAINING:
            continue
        checkpoint = _checkpoint(task, store)
        is_stored = _is_stored(task, checkpoint)
        if not is_stored or (task.id in needed and not checkpoint.has_weights):
            left.append(task)
            needed.update(task.needs)
    ids = {task.id for task in left}
    return [task for task in tasks if task.id in ids]


def _card(checkpoint: Checkpoint) -> Card | None:
    try:
        return checkpoint.card()
    except (Missing, Damaged):
        return None


def _checkpoint(task: Task, store: Store) -> Checkpoint:
    """Where the model of a task is, or is to be.

    For the model of the paper's size in Fig. 14, the reference stands in where it was trained in the very same way.
    """
    own = store.checkpoint(task.key)
    if task.named and not own.exists:
        reference = store.checkpoint(task.reference)
        card = _card(reference)
        if card is not None and _is_of(task, card):
            return reference
    return own


def _is_of(task: Task, card: Card) -> bool:
    """Whether a model was trained as a task says, whatever its seed."""
    return not card.is_imported and training_of(card.attack_object, card.recipe["params"]) == task.trained


def _is_stored(task: Task, checkpoint: Checkpoint) -> bool:
    """Whether the model of a task is there, and need not be trained anew."""
    card = _card(checkpoint)
    return card is not None and (not task.replaces or _is_of(task, card))


def _has_result(task: Task, store: Store) -> bool:
    """Whether a result is stored; of photographs, one with what became of every image over a range."""
    checkpoint = _checkpoint(task, store)
    result = checkpoint.result(task.name)
    if result is None or not _is_stored(task, checkpoint):
        return False
    if task.name in PHOTOGRAPHIC and not result.get("outcomes"):
        return False
    # Older curves do not say how many benign images are taken for the target.
    return task.name != SHRINKPAD or "sec5.3" not in task.parts or result.get("benign_hits") is not None


@dataclass(frozen=True)
class Progress:
    """How far a task is: ``done`` from 0 to 1, and what it is doing."""

    done: float
    note: str = ""


def perform(task: Task, store: Store, device: torch.device) -> Iterator[Progress]:
    """Carries a task out, unless its result is stored.

    Args:
        task: What to do.
        store: Where the models are and results go.
        device: Where to compute.

    Yields:
        How far it is.

    Raises:
        Missing: If a model is missing that a task before it makes.
        DataMissing: If the data set is not on this machine.
        OtherData: If it has other classes or another shape than a stored model was trained on.
        OSError: If the result cannot be stored.
    """
    checkpoint = _checkpoint(task, store)
    if task.name == TRAINING:
        is_stored = _is_stored(task, checkpoint)
        if is_stored and checkpoint.has_weights:
            return
        again = is_stored and checkpoint.key == task.key  # only its results are stored here
        plan = _plan_of(checkpoint.card()) if again else _plan(task)
        for epoch in train(plan, store, device, replacing=again or (task.replaces and not is_stored)):
            yield Progress(epoch.epoch / epoch.epochs, f"clean {formatting.percent(epoch.clean_accuracy.value, '%')}")
    elif _has_result(task, store):
        return
    elif task.name.startswith("repair-"):
        for step in repair_sweep(checkpoint, task.repair, device):
            yield Progress(step.done, step.note)
    else:
        varied = task.name.startswith("strength-")
        sweep = Sweep("strength", transforms[task.name.removeprefix("strength-")]()) if varied else Sweep(task.name)
        model, predictor = _ready(checkpoint.folder.as_posix(), checkpoint.card().weights, checkpoint.key, str(device))
        stored = False
        for measured in carry_out(sweep, checkpoint, model, predictor, task.images or None):
            stored = measured.stored
            yield Progress(measured.result.done)
        if task.name == "saliency" and stored:
            store_examples(checkpoint, model, predictor)


def _plan(task: Task) -> Plan:
    """The training of a task."""
    return Plan(
        dataset=task.dataset_object,
        model=task.model,
        attack=task.attack_object,
        recipe_name=task.recipe,
        recipe=task.training_recipe,
        seed=task.seed,
        name=task.key.rpartition("/")[2],  # whatever the seed: the reference of this store
    )


def _plan_of(card: Card) -> Plan:
    """The training of a stored model once more, whatever the grid's recipe and seed.

    Raises:
        Missing: If the model was trained elsewhere.
    """
    if card.is_imported:
        raise Missing(f"the weights of {card.key} are not stored here; make them with: {card.command}")
    plan = Plan.from_dict({**card.plan, "name": card.key.rpartition("/")[2]})
    return replace(plan, at=data_set_of(card), recipe=recipe_of(card.recipe["params"]))


@lru_cache(maxsize=1)
def _ready(folder: str, weights: str, key: str, device: str) -> tuple[Classifier, Predictor]:
    """The model of a checkpoint and its fast form; the sweeps of one model come one after the other."""
    checkpoint = Checkpoint(Path(folder), key)
    card = checkpoint.card()
    images = len(images_of(card, "test", WORTH_COMPILING))
    model = checkpoint.model()
    predictor = Predictor(model, device)
    # Compiling takes a few seconds to half a minute, which a few thousand predictions are not worth.
    if images == WORTH_COMPILING:
        predictor.compile(card.shape)
    return model, predictor
