"""A repair carried out on a checkpoint: measured on the half of the test set it has not seen, timed, and stored."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch

from core.data import ImageSet
from core.defenses import Material, Outcome, Repair, defense_from_dict, split_test
from core.metrics import Performance, Rate
from core.models import Classifier
from core.runtime.device import select_device
from core.schemas import base, repairs
from core.schemas.base import checked
from core.store.card import Card, environment
from core.store.card_images import images_of, other_images
from core.store.local import Checkpoint
from core.store.remote import open_store
from core.training.trainer import measuring
from core.trigger import Trigger

__all__ = [
    "OWN",
    "Repaired",
    "SeedRun",
    "repair_sweep",
    "result_name",
    "stored_repair_sweep",
]

NOTHING = Rate(0, 0)
UNMEASURED = Performance(NOTHING, NOTHING)
RATES = ("clean", "success", "clean_before", "success_before")

OWN = "-own"
"""Ends the name of a repair that was run beside the one that came with the repository, such as ``fine-pruning-own``."""


def result_name(defense: str) -> str:
    """Name of the stored result of a repair."""
    return f"repair-{defense}"


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """One of several runs of a repair that differ in nothing but the seed.

    Attributes:
        seed: Seed of all draws.
        seconds: Seconds it took, without measuring.
        clean: Clean accuracy afterwards, on the practical test set.
        success: Attack success rate afterwards, on the same.
        record: What the repair says about the model.
    """

    seed: int
    seconds: float
    clean: Rate
    success: Rate
    record: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: repairs.SeedRun) -> Self:
        """A run as a stored result has it."""
        rates = {name: _rate(getattr(stored, name)) for name in RATES[:2]}
        return cls(seed=stored.seed, seconds=stored.seconds, record=stored.record, **rates)


def _rate(stored: base.Rates) -> Rate:
    return Rate(stored.hits, stored.total)


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair did to a model; the keys of ``repair-<name>.json``.

    Attributes:
        defense: The repair as ``{"name", "params"}``.
        done: Share of the work, 0 to 1.
        note: What it is doing.
        seconds: Seconds it took, without measuring; for what was trained before for another model, the seconds then.
        clean: Clean accuracy afterwards, on the practical test set.
        success: Attack success rate afterwards, on the same.
        clean_before: Clean accuracy of the model as it was, on the same.
        success_before: Its attack success rate.
        record: What the repair says about the model.
        report: What else was measured on the practical test set.
        runs: The same repair with several seeds; the first is the one that all of the above is of. Empty in results
            that were stored before there were any.
        warning: What is to be said if the test images are not those that the card's rates were measured on.
    """

    defense: dict[str, Any]
    done: float
    note: str = ""
    seconds: float = 0.0
    clean: Rate = NOTHING
    success: Rate = NOTHING
    clean_before: Rate = NOTHING
    success_before: Rate = NOTHING
    record: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    runs: tuple[SeedRun, ...] = ()
    warning: str = ""

    @property
    def repair(self) -> Repair:
        """The repair with its parameters."""
        return defense_from_dict(self.defense)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`; further keys are left aside.

        Raises:
            ValueError: If it is damaged.
        """
        stored = checked(repairs.Repair, values)
        made = cls(
            defense=stored.defense.model_dump(),
            done=stored.done,
            note=stored.note,
            seconds=stored.seconds,
            record=stored.record,
            report=stored.report,
            warning=stored.warning,
            runs=tuple(SeedRun.of(run) for run in stored.runs),
            **{name: _rate(getattr(stored, name)) for name in RATES},
        )
        defense_from_dict(made.defense)
        return made


def repair_sweep(
    checkpoint: Checkpoint,
    defense: Repair,
    device: torch.device | str | None = None,
    *,
    seed: int = 0,
    more_seeds: Sequence[int] = (),
    replace: bool = False,
    own: bool = False,
) -> Iterator[Repaired]:
    """Repairs a stored model, measures what that did, and stores both beside it.

    Args:
        checkpoint: The model.
        defense: The repair.
        device: Where to compute; by default the best there is.
        seed: Seed of all draws.
        more_seeds: Further seeds: the same repair is run again with each, and what these runs found is stored with the
            result, whose repaired model stays that of ``seed``.
        replace: Replace a stored result even if it is of the card's test images, and those here are others.
        own: Store it under a name of its own (see :data:`OWN`), beside the stored repair of this kind.

    Yields:
        How far it is; the last one is complete, and stored. With further seeds what is known is stored after each.

    Raises:
        Missing: If the weights are not there.
        DataMissing: If the data set is not on this machine.
        OtherData: If it has other classes or another shape than the model was trained on.
        ValueError: If a stored result is of other test images than those here, another model was stored meanwhile, or
            two seeds are equal.
        OSError: If the result cannot be stored.
    """
    seeds = (seed, *more_seeds)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds = {seeds} is not allowed: each seed once")
    device = torch.device(device) if device is not None else select_device()
    card, model = checkpoint.card(), checkpoint.model()
    attack = card.attack_object
    described: dict[str, Any] = {"name": defense.name, "params": defense.to_dict()}
    yield Repaired(defense=described, done=0, note="loading the data")
    test = images_of(card, "test")
    name = result_name(f"{defense.name}{OWN}" if own else defense.name)
    _keep_other_results(checkpoint, card, test, name, replace)
    validation, practical = split_test(test, 0)
    material = Material(images_of(card, "train"), validation)
    workshop = _Workshop(defense, model, material, practical, attack.trigger(card.shape), attack.target, device)
    provenance = {
        "trigger": workshop.trigger.fingerprint,
        "encoding": test.encoding,
        "environment": environment(device),
        "test": test.fingerprint,
    }
    before = UNMEASURED
    for so_far in workshop.measuring(model):
        before = so_far
        yield Repaired(defense=described, done=0, note="measuring the model as it is")
    result: Repaired | None = None
    tensors: dict[str, torch.Tensor] = {}
    for number, current in enumerate(seeds):
        run = None
        for step in workshop.running(current):
            done, note = (number + step.done) / len(seeds), f"seed {current}, " if more_seeds else ""
            yield Repaired(defense=described, done=done, note=note + step.note, seconds=step.seconds)
            run = step
        if run is None or run.outcome is None:
            raise ValueError("the repair ended without a result")
        if result is None:
            tensors = run.outcome.state
            result = workshop.repaired(described, before, run, other_images(card, test))
        result = dataclasses.replace(result, runs=(*result.runs, run.stored(current)))
        checkpoint.save_result(name, result.to_dict() | provenance, tensors, model=model)
    assert result is not None
    yield result


@dataclass(frozen=True, kw_only=True)
class _Run:
    """How far one run of a repair is; the last one has all.

    Attributes:
        done: Share of the run, 0 to 1.
        note: What it is doing.
        seconds: Seconds spent on the repair so far, without measuring.
        outcome: What the repair found out, once it has.
        after: Clean accuracy and attack success rate afterwards, as far as they are measured.
    """

    done: float
    note: str
    seconds: float
    outcome: Outcome | None = None
    after: Performance = UNMEASURED

    @property
    def stored_seconds(self) -> float:
        """Seconds of the repair as they are stored; of what was trained before for another model, those of then."""
        record = self.outcome.record if self.outcome is not None else {}
        return round(float(record.get("seconds", self.seconds)), 1)

    def stored(self, seed: int) -> SeedRun:
        """The finished run as it is stored."""
        assert self.outcome is not None
        return SeedRun(
            seed=seed,
            seconds=self.stored_seconds,
            clean=self.after.clean,
            success=self.after.success,
            record=self.outcome.record,
        )


@dataclass(frozen=True)
class _Workshop:
    """What every run of a repair is given, and what it is measured on: the half of the test set it does not see."""

    defense: Repair
    model: Classifier
    material: Material
    practical: ImageSet
    trigger: Trigger
    target: int
    device: torch.device

    def measuring(self, model: Classifier) -> Iterator[Performance]:
        """Both rates of a model so far, part by part: others may wait for the processor meanwhile."""
        return measuring(model, self.practical, self.target, self.trigger, self.device)

    def running(self, seed: int) -> Iterator[_Run]:
        """Carries the repair out with one seed, and measures what is left."""
        run = _Run(done=0, note="", seconds=0.0)
        start = time.perf_counter()
        for step in self.defense.run(self.model, self.material, self.device, seed):
            seconds = run.seconds + time.perf_counter() - start
            # The last percent is for measuring.
            run = _Run(done=0.99 * step.done, note=step.note, seconds=seconds, outcome=step.outcome)
            yield run
            start = time.perf_counter()
        if run.outcome is None:
            return
        for so_far in self.measuring(self.defense.build(self.model, run.outcome.state)):
            run = dataclasses.replace(run, done=0.99, note="measuring", after=so_far)
            yield run

    def repaired(self, described: dict[str, Any], before: Performance, run: _Run, warning: str) -> Repaired:
        """The first run as a result, with what else the repair says, measured on images that it has not seen."""
        outcome = run.outcome
        assert outcome is not None
        return Repaired(
            defense=described,
            done=1.0,
            seconds=run.stored_seconds,
            clean=run.after.clean,
            success=run.after.success,
            clean_before=before.clean,
            success_before=before.success,
            record=outcome.record,
            report=self.defense.report(self.model, outcome, self.practical, self.trigger, self.target, self.device),
            warning=warning,
        )


def stored_repair_sweep(store: str, key: str, defense: Mapping[str, Any], own: bool) -> Iterator[Repaired]:
    """As :func:`repair_sweep`, with arguments that can be handed to another process (:mod:`core.workers.process`).

    Args:
        store: Folder or address of the store.
        key: The model in it.
        defense: The repair as ``{"name", "params"}``.
        own: Store it under a name of its own.
    """
    yield from repair_sweep(open_store(store).checkpoint(key), defense_from_dict(defense), own=own)


def _keep_other_results(checkpoint: Checkpoint, card: Card, test: ImageSet, name: str, replace: bool) -> None:
    """Refuses to put what is measured on other images in the place of a stored result, before anything is computed."""
    stored, warning = checkpoint.result(name), other_images(card, test)
    if warning and stored is not None and not replace and stored.get("test", card.test) != test.fingerprint:
        raise ValueError(f"{warning} than the stored {name}, which stays (--replace replaces it)")
