"""A repair carried out on a checkpoint: measured on the half of the test set it has not seen, timed, and stored."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch

from core.defenses import Material, Outcome, Repair, defense_from_dict, split_test
from core.inference import select_device
from core.metrics import Rate
from core.models import Classifier
from core.store import Checkpoint, environment
from core.training import measuring

__all__ = ["OWN", "Repaired", "read_repair", "repair_sweep", "repaired_model", "result_name"]

NOTHING = Rate(0, 0)

OWN = "-own"
"""Ends the name of a repair that was run beside the one that came with the repository, such as ``fine-pruning-own``."""


def result_name(defense: str) -> str:
    """Name of the stored result of a repair."""
    return f"repair-{defense}"


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
        try:
            rates = ("clean", "success", "clean_before", "success_before")
            made = cls(
                defense=values["defense"],
                done=float(values["done"]),
                note=str(values["note"]),
                seconds=float(values["seconds"]),
                record=dict(values["record"]),
                report=dict(values["report"]),
                **{name: Rate(int(values[name]["hits"]), int(values[name]["total"])) for name in rates},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a stored result is damaged: {error!r}") from error
        defense_from_dict(made.defense)
        return made


def repair_sweep(
    checkpoint: Checkpoint,
    defense: Repair,
    device: torch.device | str | None = None,
    *,
    seed: int = 0,
    own: bool = False,
) -> Iterator[Repaired]:
    """Repairs a stored model, measures what that did, and stores both beside it.

    Args:
        checkpoint: The model.
        defense: The repair.
        device: Where to compute; by default the best there is.
        seed: Seed of all draws.
        own: Store it under a name of its own (see :data:`OWN`), beside the stored repair of this kind.

    Yields:
        How far it is; the last one is complete, and stored.

    Raises:
        Missing: If the weights are not there.
        DataMissing: If the data set is not on this machine.
        ValueError: If another model was stored meanwhile.
        OSError: If the result cannot be stored.
    """
    device = torch.device(device) if device is not None else select_device()
    card, model = checkpoint.card(), checkpoint.model()
    attack = card.attack_object
    trigger = attack.trigger(card.shape)
    described = {"name": defense.name, "params": defense.to_dict()}
    yield Repaired(defense=described, done=0, note="loading the data")
    train, test = (card.dataset_object.load("train"), card.dataset_object.load("test"))
    validation, practical = split_test(test, 0)
    outcome: Outcome | None = None
    start = time.perf_counter()
    spent = 0.0
    for step in defense.run(model, Material(train, validation), device, seed):
        spent += time.perf_counter() - start
        outcome = step.outcome
        # The last percent is for measuring.
        yield Repaired(defense=described, done=0.99 * step.done, note=step.note, seconds=spent)
        start = time.perf_counter()
    if outcome is None:
        raise ValueError("the repair ended without a result")
    found = {}
    for when, measured in (("before", model), ("after", defense.build(model, outcome.state))):
        # Part by part: others may wait for the processor meanwhile.
        for found[when] in measuring(measured, practical, attack.target, trigger, device):
            yield Repaired(defense=described, done=0.99, note="measuring", seconds=spent)
    (clean_before, success_before), (clean, success) = found["before"], found["after"]
    result = Repaired(
        defense=described,
        done=1.0,
        seconds=round(float(outcome.record.get("seconds", spent)), 1),
        clean=clean,
        success=success,
        clean_before=clean_before,
        success_before=success_before,
        record=outcome.record,
        report=defense.report(model, outcome, practical, trigger, attack.target, device),
    )
    provenance = {"trigger": trigger.fingerprint, "encoding": test.encoding, "environment": environment(device)}
    name = result_name(f"{defense.name}{OWN}" if own else defense.name)
    checkpoint.save_result(name, result.to_dict() | provenance, outcome.state, model=model)
    yield result


def read_repair(checkpoint: Checkpoint, name: str) -> Repaired | None:
    """The stored result of a repair, also of one with an own name; None if there is none or it cannot be read."""
    values = checkpoint.result(result_name(name))
    try:
        return Repaired.from_dict(values) if values is not None else None
    except ValueError:
        return None


def repaired_model(checkpoint: Checkpoint, name: str) -> Classifier | None:
    """The repaired model, in evaluation mode on the CPU; None where the repair is not stored.

    Raises:
        Missing: If the weights of the model itself are not there.
        ValueError: If what is stored does not fit the model.
    """
    result, state = read_repair(checkpoint, name), checkpoint.tensors(result_name(name))
    if result is None or state is None:
        return None
    return result.repair.build(checkpoint.model(), state)
