"""Training of clean and backdoored classifiers: data stay on the device, augmentation and stamping are batched there.

Every draw of an epoch comes from generators derived from the seed and the epoch, so that a training that was
interrupted continues to the same weights as one that was not. The state is saved, whole or not at all, after every
epoch.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from core.attacks import Attack, attack_from_dict
from core.attacks.pgd import Surrogate, Surrogates
from core.data import Dataset, ImageSet, datasets
from core.inference.predictor import Predictor
from core.metrics import Performance, Rate, attack_success_rate, clean_accuracy
from core.models import Classifier, build_model, models
from core.naming import automatic_name, check_name, numbered, with_recipe
from core.recipe import Recipe, recipe_for
from core.runtime.atomic_files import sweep_up
from core.runtime.device import has_fast_bfloat16
from core.runtime.seeding import generator_for
from core.runtime.yielding import Courtesy
from core.schemas.base import damaged
from core.store.card import BEGINNING, Card, Damaged, Missing, environment
from core.store.local import Checkpoint, Store
from core.store.weights import rounded, weights_fingerprint
from core.training.allocator import kept_memory
from core.training.optimizer import Optimizer
from core.training.speeds import keep_speed
from core.training.state import (
    ABOUT,
    LOCK,
    PAUSE,
    STATE,
    Epoch,
    State,
    check_elsewhere,
    held,
    obey_pause,
    read_unfinished,
)
from core.training.step import Steps, pays
from core.trigger import Trigger, stamp

__all__ = ["Epoch", "Plan", "train", "with_free_name"]

# Test images on which every epoch is measured; the card's numbers use all of them.
WATCHED = 2000
# Seconds that an epoch must take for its speed to be kept.
WORTH_KEEPING = 2.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides the weights of a model, and its name.

    Attributes:
        dataset: The data set.
        model: Registered name of the network.
        attack: The attack, or none.
        recipe_name: Name of the recipe.
        recipe: The recipe, if it is not the one of that name.
        seed: Seed of every draw.
        name: The model's name, if it is not the automatic one.
        at: Where the data are, if not where the data set says: a folder that was moved since the training began. It
            decides nothing, and is no part of :meth:`to_dict`.
    """

    dataset: Dataset
    model: str
    attack: Attack
    recipe_name: str = "fast"
    recipe: Recipe | None = None
    seed: int = 0
    name: str = ""
    at: Dataset | None = None

    def __post_init__(self) -> None:
        if self.name == self.automatic_name:
            object.__setattr__(self, "name", "")
        elif self.name:
            check_name(self.name, self.attack)

    @property
    def source(self) -> Dataset:
        """The data set where it is."""
        return self.at or self.dataset

    @property
    def automatic_name(self) -> str:
        """The attack's title, and what differs from the default."""
        return automatic_name(self.attack, self.model, self.dataset, self.seed)

    @property
    def key(self) -> str:
        """``dataset/model/name``: where the checkpoint goes."""
        return f"{self.dataset.title}/{self.model}/{self.name or self.automatic_name}"

    @property
    def effective_recipe(self) -> Recipe:
        """The given recipe, or the named one."""
        return self.recipe or recipe_for(self.recipe_name, self.model)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON; two trainings with equal plans and data give equal weights on equal hardware.

        A name is in it only if it was given.
        """
        return {
            "dataset": {"name": self.dataset.name, "params": self.dataset.to_dict()},
            "model": self.model,
            "attack": self.attack.to_card(),
            "recipe": {"name": self.recipe_name, "params": self.effective_recipe.to_dict()},
            "seed": self.seed,
            **({"name": self.name} if self.name else {}),
        }

    def trains_like(self, values: Mapping[str, Any]) -> bool:
        """Whether a plan as JSON decides the same weights, whatever their name."""
        return {**values, "name": ""} == {**self.to_dict(), "name": ""}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If something is missing or not allowed.
        """
        try:
            dataset, recipe = values["dataset"], values["recipe"]
            return cls(
                dataset=datasets[dataset["name"]].from_dict(dataset["params"]),
                model=models[values["model"]].name,
                attack=attack_from_dict(values["attack"]),
                recipe_name=recipe["name"],
                recipe=Recipe.from_dict(recipe["params"]),
                seed=int(values["seed"]),
                name=values.get("name", ""),
            )
        except (KeyError, TypeError) as error:
            raise damaged(error, "a plan") from error


def with_free_name(plan: Plan, store: Store) -> Plan:
    """The plan under the first name that no stored model has, and no training that has not ended but its own.

    Where its own name is taken, what of the recipe differs is in the name too, and then a number.

    Raises:
        ValueError: If the store does not answer.
    """
    longer = with_recipe(plan.automatic_name, plan.recipe_name, plan.effective_recipe, plan.model)
    names = itertools.chain([plan.automatic_name, longer], (numbered(longer, n) for n in itertools.count(2)))
    for named in (replace(plan, name=name) for name in names):
        checkpoint = store.checkpoint(named.key)
        unfinished = read_unfinished(checkpoint.folder)
        if not checkpoint.exists and (unfinished is None or plan.trains_like(unfinished.plan)):
            break
    return named


def train(
    plan: Plan,
    store: Store,
    device: torch.device | str = "cpu",
    *,
    resume: bool = True,
    replacing: bool = False,
    surrogates: Store | None = None,
    courtesy: Courtesy | None = None,
    elsewhere: Path | None = None,
) -> Iterator[Epoch]:
    """Trains a model and stores its checkpoint (Eq. 2), yielding after every epoch.

    Args:
        plan: What to train.
        store: Where the checkpoint goes, and the state of an unfinished training.
        device: Where to train.
        resume: Continue an interrupted training of the same plan; otherwise begin again.
        replacing: Put the model in the place of one that came with the repository.
        surrogates: Where the separately trained models are that an attack names; by default in the same store.
        courtesy: Before every step, it rests while somebody waits.
        elsewhere: A file where the state is kept too, to go on with on another machine; it goes on from there where it
            is further, and removes it at the end.

    Yields:
        Every epoch, those of an interrupted training first. The checkpoint is stored before the last one is yielded.

    Raises:
        DataMissing: If the data set is not on this machine.
        Missing: If the attack names a surrogate that is not stored.
        ValueError: If the attack does not fit the data set, the file elsewhere is of another training, another process
            trains this model, a model that came with the repository is stored there, or one of another folder of the
            same name.
        Paused: If somebody has asked it to pause (:func:`core.training.state.ask_to_pause`).
        OSError: If the state or the checkpoint cannot be saved.
    """
    if not replacing and store.is_shipped(plan.key):
        raise ValueError(
            f"{plan.key} came with the repository and is not replaced: give this model another name, "
            "or replace it with scripts/train.py --replace"
        )
    data, test = plan.source.load("train"), plan.source.load("test")
    plan.attack.check_target(len(data.classes))
    _keep_other_folders(plan, store, test)
    if elsewhere is not None and resume:
        check_elsewhere(elsewhere, plan.to_dict())
    folder = store.checkpoint(plan.key).folder
    with held(folder, plan.to_dict()):
        where = torch.device(device)
        yield from _train(plan, data, test, store, where, resume, surrogates or store, courtesy, elsewhere)
    (folder / LOCK).unlink(missing_ok=True)


def _keep_other_folders(plan: Plan, store: Store, test: ImageSet) -> None:
    """Refuses to put a model in the place of one of other images that only have the same folder name."""
    try:
        card = store.checkpoint(plan.key).card()
    except (Missing, Damaged):
        return
    before, now = (getattr(dataset, "root", None) for dataset in (card.dataset_object, plan.source))
    # A folder that was moved, or has new images, is still the same one.
    if before != now and card.test != test.fingerprint:
        raise ValueError(f"{plan.key} is stored for the images of {before}; give the folder {now} another name")


def _train(
    plan: Plan,
    data: ImageSet,
    test: ImageSet,
    store: Store,
    device: torch.device,
    resume: bool,
    surrogates: Store,
    courtesy: Courtesy | None,
    elsewhere: Path | None,
) -> Iterator[Epoch]:
    """As :func:`train`, in a folder that is held."""
    poisoned = plan.attack.select(data.labels, generator_for(plan.seed, "select"))
    labels = plan.attack.relabel(data.labels, poisoned).to(device)
    data = plan.attack.prepare(data, poisoned, _surrogates(plan, surrogates, data, device), plan.seed).to(device)

    model = build_model(plan.model, classes=len(data.classes), channels=data.shape[0], seed=plan.seed)
    model.normalise.fit(data.images)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = plan.effective_recipe
    optimizer = Optimizer(model, recipe)
    described = replace(plan, name="").to_dict() | {"data": [data.fingerprint, test.fingerprint]}
    state = State(store.checkpoint(plan.key).folder / STATE, json.dumps(described, sort_keys=True), elsewhere)
    history = state.restore(model, optimizer) if resume else []
    yield from history[: recipe.epochs - 1]

    compiled = recipe.batch if pays(plan.model, recipe, len(data), device) else 0
    steps = Steps(plan.attack, model, optimizer, data, labels, poisoned.to(device), compiled=compiled)
    watched = test.subset(slice(WATCHED))
    begun = len(history)
    for number in range(begun, recipe.epochs):
        start, before = time.perf_counter(), history[-1].seconds if history else 0.0
        rested = courtesy.rested if courtesy is not None else 0.0
        with kept_memory():
            loss = _one_epoch(steps, plan, number, courtesy, state.path.parent)
        trained = time.perf_counter() - start
        computed = trained - (courtesy.rested - rested if courtesy is not None else 0.0)
        # The first epoch begins with compiling, and a very short one says nothing.
        if number > begun and computed >= WORTH_KEEPING:
            speed, is_compiled = len(data) / computed, steps.path == "compiled"
            keep_speed(speed, plan.model, plan.attack, recipe, data.shape, steps.device, compiled=is_compiled)
        clean, success = measure(model, watched, plan.attack.target, steps.trigger, device)
        seconds = before + time.perf_counter() - start
        history.append(Epoch(number + 1, recipe.epochs, loss, clean, success, seconds, len(data) / trained))
        state.save(model, optimizer, history)
        store.publish(plan.key)
        if number + 1 < recipe.epochs:
            yield history[-1]
    _finish(plan, store, model, test, steps, history)
    # In this order: without the state, what is left would be a training that has just begun.
    for name in (ABOUT, PAUSE):
        (state.path.parent / name).unlink(missing_ok=True)
    state.forget()
    sweep_up(state.path.parent)
    store.publish(plan.key)
    yield history[-1]


def _one_epoch(steps: Steps, plan: Plan, epoch: int, courtesy: Courtesy | None, folder: Path) -> float:
    """Trains one epoch and returns its mean loss; ends where a request to pause lies in the folder."""
    recipe, count = plan.effective_recipe, len(steps.data)
    generator = generator_for(plan.seed, "epoch", epoch, device=steps.device)
    order = torch.randperm(count, generator=generator, device=steps.device)
    batches = torch.split(order, recipe.batch)
    losses = torch.zeros((), device=steps.device)
    steps.model.train()
    for number, index in enumerate(batches):
        if courtesy is not None:
            courtesy.rest()
        rate = recipe.learning_rate(epoch * len(batches) + number, len(batches))
        losses += steps.take(index, rate, generator) * len(index)
        obey_pause(folder)
    return float(losses) / count


def _surrogates(plan: Plan, store: Store, data: ImageSet, device: torch.device) -> Surrogates:
    """Finds the separately trained models that an attack names."""

    def find(name: str) -> Surrogate:
        checkpoint = store.beside(plan.dataset.title, name)
        card = checkpoint.card()
        if (card.classes, card.shape) != (data.classes, data.shape):
            what = "classes" if card.classes != data.classes else "sizes of images"
            raise ValueError(f"surrogate = {name!r} is not allowed: it has other {what} than {plan.dataset.title}")
        model = checkpoint.model(device).to(memory_format=torch.channels_last)
        model.requires_grad_(False)

        def logits(images: Tensor) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
                result: Tensor = model(images)
            return result

        return Surrogate(logits, card.weights, device)

    return find


def measure(model: Classifier, data: ImageSet, target: int, trigger: Trigger, device: torch.device) -> Performance:
    """Clean accuracy and attack success rate (Eq. 3) of a model, on all images of a set."""
    rates = Performance(Rate(0, 0), Rate(0, 0))
    for rates in measuring(model, data, target, trigger, device):  # noqa: B007 - the last is of all images
        pass
    return rates


def measuring(
    model: Classifier, data: ImageSet, target: int, trigger: Trigger, device: torch.device
) -> Iterator[Performance]:
    """As :func:`measure`, with the rates so far after every 1024 images, of large ones fewer."""
    predictor = Predictor(model, device)
    clean, success = Rate(0, 0), Rate(0, 0)
    for part in data.parts():
        images = part.floats().to(device)
        clean += clean_accuracy(predictor.predict(images), part.labels)
        success += attack_success_rate(predictor.predict(stamp(images, trigger)), part.labels, target)
        yield Performance(clean, success)


def _finish(
    plan: Plan,
    store: Store,
    model: Classifier,
    test: ImageSet,
    steps: Steps,
    history: list[Epoch],
) -> Checkpoint:
    """Measures the model as it will be stored, on the whole test set, and stores it."""
    state = rounded(model)
    stored = build_model(plan.model, classes=len(test.classes), channels=test.shape[0], seed=0)
    stored.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    clean, success = measure(stored, test, plan.attack.target, steps.trigger, steps.device)
    described, name = plan.to_dict(), plan.name or plan.automatic_name
    card = Card(
        dataset=plan.dataset.title,
        source={"name": plan.source.name, "params": plan.source.to_dict()},
        encoding=test.encoding,
        classes=test.classes,
        shape=test.shape,
        model=plan.model,
        attack=described["attack"],
        recipe=described["recipe"],
        seed=plan.seed,
        weights=weights_fingerprint(state),
        test=test.fingerprint,
        beginning=test.subset(slice(BEGINNING)).fingerprint,
        clean_accuracy=clean,
        attack_success_rate=success,
        seconds=round(history[-1].seconds, 1),
        history=tuple(_entry(epoch) for epoch in history),
        environment=environment(steps.device) | {"training": steps.path},
        name="" if name == plan.attack.title else name,
    )
    return store.save(stored, card)


def _entry(epoch: Epoch) -> dict[str, Any]:
    values = asdict(epoch)
    values.pop("epochs")
    return values | {name: round(values[name], 4) for name in ("loss", "seconds", "images_per_second")}
