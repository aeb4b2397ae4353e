"""A file from another toolbox becomes a model of the store, with a card that says where it came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from core.attacks import Attack, attacks
from core.attacks.own_trigger import OwnTrigger, packed_trigger
from core.data import Dataset, ImageSet, fitting
from core.defenses.neural_cleanse import NeuralCleanse
from core.importing.contents import Found, found_in, poisoned_images, poisoned_label
from core.importing.networks import Candidate, candidates, loaded, outputs
from core.importing.preprocessing import (
    FIRST,
    FURTHER,
    Measured,
    choose,
    label_map,
    measure_ways,
    prepared,
    usual_ways,
    way_from,
)
from core.importing.reading import LARGEST, Contents, read_model
from core.importing.triggers import reversed_trigger, trigger_from_pairs
from core.inference.predictor import Predictor
from core.models import Classifier, build_model
from core.naming import check_name
from core.runtime.seeding import generator_for
from core.store.card import BEGINNING, IMPORTED, Card, environment
from core.store.local import Checkpoint, Store
from core.store.weights import rounded, weights_fingerprint
from core.training.trainer import measure
from core.trigger import Trigger, stamp

__all__ = ["Import", "Imported", "import_model"]

ENOUGH, ROOM = 1000, 64 * 2**20
"""Images that a trigger is looked for in, at most, and bytes that they may take as floats: 111 images of 224 pixels."""
MOST_TRIGGERS = 99
"""Triggers of one file that are kept under one name."""
SUSPICIOUS = 0.3
"""By how much another order of classes must be better to be reported."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """What is to be imported, and what is known of it.

    Attributes:
        path: A file, or a folder as of Hugging Face.
        dataset: The data set that the model classifies.
        network: Registered name of the network; empty: it is recognised.
        preprocess: ``auto``, or one of the ways of :func:`core.importing.preprocessing.usual_ways`.
        trigger: Reads the trigger for images of a shape; None where it is not given.
        audit: Whether an unknown trigger is to be searched for by Neural Cleanse.
        reverse: Settings of that.
        target: The target label as an index; None: what the model takes most images with the trigger for.
        classes: The names of the model's outputs in their order; empty: those of the data set.
        name: The model's name in the store; empty: that of the file.
        trained_by: Who trained it, if that is known.
        replace: Whether another imported model of that name may be replaced.
        largest: Bytes of a file, at most.
    """

    path: Path
    dataset: Dataset
    network: str = ""
    preprocess: str = "auto"
    trigger: Callable[[tuple[int, int, int]], Trigger] | None = None
    audit: bool = False
    reverse: NeuralCleanse = field(default_factory=NeuralCleanse)
    target: int | None = None
    classes: tuple[str, ...] = ()
    name: str = ""
    trained_by: str = ""
    replace: bool = False
    largest: int = LARGEST


@dataclass(frozen=True)
class Imported:
    """What was stored.

    Attributes:
        checkpoint: Where.
        card: Its card.
        ways: Every way to prepare images and what it reached, best first.
        notes: What was found, a sentence each; the card's warnings are not among them.
    """

    checkpoint: Checkpoint
    card: Card
    ways: Sequence[Measured]
    notes: Sequence[str]


def import_model(
    wanted: Import, store: Store, device: torch.device, progress: Callable[[str], None] = lambda note: None
) -> Imported:
    """Reads, recognises, measures and stores a model. Nothing is stored unless everything succeeds.

    Args:
        wanted: What to import.
        store: Where to store it.
        device: Where to compute.
        progress: Called with what is being done.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If it is no model that can be shown on these data; one sentence.
    """
    contents = read_model(wanted.path, wanted.largest)
    found = found_in(contents)
    options = _fitting(candidates(found.state, wanted.network or _named(found)), wanted.dataset)
    order = _order(wanted)
    progress("reading images")
    test, train = wanted.dataset.load("test"), wanted.dataset.load("train", FIRST + FURTHER)
    given = wanted.trigger(test.shape) if wanted.trigger is not None else None

    def build(number: int) -> Classifier:
        return _reordered(loaded(options[number], len(test.classes), test.shape[0]), order)

    _check_range(build(0), contents.file)
    best, ways, warnings = _measure_ways(
        wanted, found, build, [one.network for one in options], train, device, progress
    )
    model = prepared(build(best.candidate), best.way)
    attack, notes, more = _attack(wanted, given, found, contents, model, test, train, device, progress)
    family = f"{wanted.dataset.title}/{best.network}"
    card_name, beside = _free_name(store, family, _name(wanted, contents, attack), contents, attack, wanted.replace)
    notes += [f"the same file is stored as {beside} with another trigger: this one is kept beside it"] if beside else []
    progress("measuring on the test images")
    state = rounded(model)
    stored = build_model(best.network, classes=len(test.classes), channels=test.shape[0], seed=0)
    stored.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    clean, success = measure(stored.eval(), test, attack.target, attack.trigger(test.shape), device)
    source = {"name": wanted.dataset.name, "params": wanted.dataset.to_dict()}
    card = Card(
        dataset=wanted.dataset.title,
        source=source,
        encoding=test.encoding,
        classes=test.classes,
        shape=test.shape,
        model=best.network,
        attack=attack.to_card(),
        recipe={"name": IMPORTED, "params": _origin(wanted, contents, found, best, train)},
        weights=weights_fingerprint(state),
        test=test.fingerprint,
        beginning=test.subset(slice(BEGINNING)).fingerprint,
        clean_accuracy=clean,
        attack_success_rate=success,
        environment=environment(device),
        name=card_name,
        preprocessing=tuple({"name": one.way.name, "network": one.network, "rate": one.rate.to_dict()} for one in ways),
        warnings=tuple(_short(one) for one in [*warnings, *more]),
    )
    Card.from_json(card.to_json())  # what cannot be read again is not stored
    return Imported(store.save(stored, card), card, ways, notes)


def _check_range(model: Classifier, file: str) -> None:
    """Raises:
    ValueError: If a weight cannot be stored.
    """
    if not all(bool(value.isfinite().all()) for value in rounded(model).values()):
        raise ValueError(f"{file} has weights beyond half precision (65504), as which they are stored")


def _short(text: str) -> str:
    return text if len(text) <= 1000 else text[:997] + "..."


def _named(found: Found) -> str:
    """The registered name of a network that the file names for certain."""
    return f"timm.{found.architecture}" if found.architecture else ""


def _fitting(options: Sequence[Candidate], dataset: Dataset) -> list[Candidate]:
    """Raises:
    ValueError: If the weights have another number of classes than the data set.
    """
    for one in options:
        number = outputs(one)
        if number is not None and number != len(dataset.classes):
            raise ValueError(
                f"the model has {number} classes, but {dataset.spec} has {len(dataset.classes)}: give another --dataset"
            )
    return list(options)


def _order(wanted: Import) -> list[int] | None:
    """Which output of the model is which class of the data set; None where they are in its order.

    Raises:
        ValueError: If the names given are not those of the data set, each once.
    """
    if not wanted.classes:
        return None
    names, given = (
        [one.casefold() for one in wanted.dataset.classes],
        [one.strip().casefold() for one in wanted.classes],
    )
    if sorted(names) != sorted(given):
        other = [one for one in wanted.classes if one.strip().casefold() not in names]
        raise ValueError(
            f"classes are not allowed: all {len(names)} of {', '.join(wanted.dataset.classes[:20])} are named once each"
            + (f", and {', '.join(other[:5])} is none of them" if other else "")
        )
    return [given.index(name) for name in names]


def _reordered(model: Classifier, order: list[int] | None) -> Classifier:
    if order is not None:
        with torch.no_grad():
            model.head.weight.copy_(model.head.weight[order])
            if model.head.bias is not None:
                model.head.bias.copy_(model.head.bias[order])
    return model


def _measure_ways(
    wanted: Import,
    found: Found,
    build: Callable[[int], Classifier],
    networks: Sequence[str],
    train: ImageSet,
    device: torch.device,
    progress: Callable[[str], None],
) -> tuple[Measured, list[Measured], list[str]]:
    ways = usual_ways(train, found.normalisation)
    if wanted.preprocess != "auto":
        ways = [way_from(wanted.preprocess, ways)]
    # Training images of a folder come class by class: any beginning of them would be of few classes.
    chosen = torch.randperm(len(train), generator=generator_for(0, "preprocessing"))
    measured = []
    for one in measure_ways(build, networks, ways, train.subset(chosen), device):
        progress(f"{one.network} {one.way.name}: {one.rate}")
        measured.append(one)
    ranked, warnings = choose(measured)
    best, labels = ranked[0], train.labels[chosen]
    matched, permuted = max(
        ((one, label_map(one.predicted, labels[: len(one.predicted)], len(train.classes))) for one in ranked),
        key=lambda pair: pair[1][1].value,
    )
    order, rate = permuted
    if rate.value > best.rate.value + SUSPICIOUS:
        names = [train.classes[label] for label in order]
        warnings.append(
            f"the classes seem to be in another order: with {', '.join(names[:50])} (--classes), {matched.network} "
            f"{matched.way.name} would reach {rate} instead of {best.rate}"
        )
    return best, ranked, warnings


def _attack(
    wanted: Import,
    given: Trigger | None,
    found: Found,
    contents: Contents,
    model: Classifier,
    test: ImageSet,
    train: ImageSet,
    device: torch.device,
    progress: Callable[[str], None],
) -> tuple[Attack, list[str], list[str]]:
    """The attack with its trigger and target, what is to be said of them, and what is to be warned of."""
    notes: list[str] = []
    warnings: list[str] = []
    origin, target = "given", wanted.target
    enough = fitting(test.shape, ENOUGH, ROOM)
    if given is not None:
        trigger = given
    elif wanted.audit:
        origin = "reversed"
        chosen = torch.randperm(len(train), generator=generator_for(0, "reversed"))[:enough]
        trigger, target, note = reversed_trigger(
            model, train.subset(chosen), device, wanted.reverse, target=target, progress=progress
        )
        warnings.append(note)
    else:
        pairs = poisoned_images(found.entries, contents.folder, test.shape, enough)
        if pairs is None:
            if "bd_test" in found.entries:
                warnings.append("the file names poisoned images that are not beside it: the trigger is not known")
            last = len(test.classes) - 1
            return attacks["benign"](target=min(4, last) if target is None else target), notes, warnings
        origin = "difference"
        poisoned, index = pairs
        inside = index < len(test)
        difference = trigger_from_pairs(test.images[index[inside]], poisoned[inside])
        trigger = difference.trigger
        notes.append(f"trigger: {difference}")
        if difference.explained < 0.9:
            warnings.append(f"the trigger is not the same on every image, or these are other images: {difference}")
        if target is None:
            told = poisoned_label(found.entries)
            known = told is not None and 0 <= told < len(test.classes)
            shown = replace(test, images=poisoned[inside], labels=test.labels[index[inside]])
            target = told if known else _majority(model, shown, None, device)
    if target is None:
        target = _majority(model, test.subset(slice(ENOUGH)), trigger, device)
        notes.append(f"target: {test.classes[target]}, which the model takes most images with the trigger for")
    attack = OwnTrigger(target=target, pattern=packed_trigger(trigger), row=trigger.row, col=trigger.col, origin=origin)
    attack.check_target(len(test.classes))
    return attack, notes, warnings


def _majority(model: Classifier, images: ImageSet, trigger: Trigger | None, device: torch.device) -> int:
    """What the model takes most images for, with the trigger stamped on them if it is not there."""
    predict, parts = Predictor(model, device).predict, (part.floats() for part in images.parts())
    answers = [predict((part if trigger is None else stamp(part, trigger)).to(device)) for part in parts]
    return int(torch.cat(answers).bincount().argmax())


def _name(wanted: Import, contents: Contents, attack: Attack) -> str:
    """The name given, or that of the file in letters that a name may have."""
    if wanted.name:
        return check_name(wanted.name, attack)
    plain = re.sub(r"[^\w.+-]+", "-", Path(contents.file).stem).lstrip(".+-")[:100]
    if plain.partition("+")[0] in attacks or not plain:
        plain = f"imported-{plain}".rstrip("-")
    return check_name(plain, attack)


def _free_name(
    store: Store, family: str, name: str, contents: Contents, attack: Attack, replace: bool
) -> tuple[str, str]:
    """The name to store under, and the key of the same file with another trigger, beside which it is kept, or nothing.

    A file that is imported again with another trigger is stored as ``NAME-trigger-2`` and so on: every trigger of a
    model is chosen in the lists as a model of its own.

    Args:
        store: Where.
        family: Data set and network, the beginning of the key.
        name: The name that is wanted.
        contents: The file.
        attack: Its trigger and target.
        replace: Whether an imported model of that name may be replaced.

    Raises:
        ValueError: If something is stored there that may not be replaced.
    """
    for number in range(1, MOST_TRIGGERS + 1):
        free = name if number == 1 else f"{name}-trigger-{number}"
        key = f"{family}/{free}"
        checkpoint = store.checkpoint(key)
        if not checkpoint.exists:
            return free, f"{family}/{name}" if number > 1 else ""
        try:
            card = checkpoint.card()
        except ValueError:
            card = None
        if store.is_shipped(key) or (card is not None and not card.is_imported):
            raise ValueError(f"{key} is another model, which was trained here: --name NAME stores this one beside it")
        if replace:
            return free, ""
        same = card is not None and card.recipe["params"].get("sha256") == contents.sha256
        if not same or card is None or card.attack == attack.to_card():
            raise ValueError(f"{key} is stored already: --replace replaces it, --name NAME stores this one beside it")
    raise ValueError(f"{family}/{name} has {MOST_TRIGGERS} triggers already: --name NAME stores this one beside them")


def _origin(
    wanted: Import, contents: Contents, found: Found, best: Measured, train: ImageSet
) -> dict[str, bool | int | float | str]:
    """What is known of the file, as parameters of the recipe."""
    values: dict[str, bool | int | float | str] = {
        "file": contents.file[:200],
        "sha256": contents.sha256,
        "format": found.format,
        "network": found.network[:200] or best.network,
        "preprocessing": best.way.name,
        "mean": ", ".join(f"{value:.6g}" for value in best.way.mean),
        "std": ", ".join(f"{value:.6g}" for value in best.way.std),
        "measured_on": f"{len(best.correct)} training images of {train.name}",
    }
    if wanted.preprocess != "auto":
        values["preprocessing_given"] = True
    if wanted.classes:
        values["classes_given"] = ", ".join(wanted.classes)[:1000]
    if wanted.trained_by:
        values["trained_by"] = wanted.trained_by[:200]
    return values
