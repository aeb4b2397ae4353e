"""The grid of runs that reproduces the paper: which models, which measurements of them, and for what.

A task is one training, sweep or repair. What it makes is stored beside the model, and a task whose result is stored is
done: so a grid that was interrupted goes on where it was, and nothing is trained or measured twice.

>>> from core.data import dataset_from
>>> tasks = grid(dataset_from("shapes10"), ["resnet20"], only=["fig4"])
>>> [task.id for task in tasks[:2]]
['shapes10/resnet20/benign training', 'shapes10/resnet20/benign location']
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from core.attacks import Attack, Enhanced, Enhancement, attack_from_dict, attacks
from core.attacks.consistent import Consistent
from core.data import Dataset, datasets
from core.defenses import Repair, defenses
from core.paper.ablation import SIZES, Training, training_of
from core.paper.claims.edges import CLEAN_MODEL
from core.paper.constants import GRAY, STANDARD, STRONGEST
from core.recipe import Recipe, recipe_for
from core.sweeps.repair import result_name
from core.sweeps.runner import (
    COUNTS,
    PHOTOGRAPHIC,
    out_of_sample_sweeps,
)

__all__ = ["ATTACKS", "PARTS", "Task", "grid"]

PARTS = (
    "table1",
    "table2",
    "table3",
    "table4",
    "table5",
    "fig1",
    "fig4",
    "fig5",
    "fig10",
    "fig11",
    "fig12",
    "fig13",
    "fig14",
    "sec5.3",
)
"""The tables and figures of the paper that a grid can make, and the control of Sec. 5.3 (black edges)."""

ATTACKS = (CLEAN_MODEL, GRAY, *STANDARD)
"""Registered names of the attacks of a grid, enhanced or not."""
TRAINING = "training"
SHRINKPAD = "strength-shrinkpad"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training, sweep or repair.

    Attributes:
        name: ``training``, or the name of the stored result: ``location``, ``strength-flip``, ``repair-fine-pruning``.
        dataset: The data set as ``{"name", "params"}``.
        model: Registered name of the network.
        attack: The attack, as in a card.
        recipe: Name of the recipe of the training.
        epochs: Epochs of the training; None as the recipe says.
        images: Test images of a sweep; 0 for all.
        seed: Seed of the training.
        as_in_paper: Whether a repair has the paper's settings, where they are more than the defaults.
        named: The model's name, where that is not the attack's title: of the paper's size in Fig. 14, ``badnets+max4``.
        replaces: Whether a stored model that was trained otherwise is trained anew.
        parts: Tables and figures that need it.
        needs: Tasks that come before it.
    """

    name: str
    dataset: dict[str, Any]
    model: str
    attack: dict[str, Any]
    recipe: str = "fast"
    epochs: int | None = None
    images: int = 0
    seed: int = 0
    as_in_paper: bool = False
    named: str = ""
    replaces: bool = False
    parts: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def attack_object(self) -> Attack:
        """The attack with its parameters."""
        return attack_from_dict(self.attack)

    @property
    def dataset_object(self) -> Dataset:
        """The data set with its parameters."""
        return datasets[self.dataset["name"]].from_dict(self.dataset["params"])

    @property
    def training_recipe(self) -> Recipe:
        """The recipe of its training."""
        recipe = recipe_for(self.recipe, self.model)
        return recipe if self.epochs is None else replace(recipe, epochs=self.epochs)

    @property
    def repair(self) -> Repair:
        """The repair of a task that is one."""
        defense = defenses[self.name.removeprefix("repair-")]
        return defense(**(defense.paper_settings if self.as_in_paper else {}))

    @property
    def key(self) -> str:
        """The model's checkpoint."""
        return f"{self.reference.rpartition('/')[0]}/{self.named}" if self.named else self.reference

    @property
    def reference(self) -> str:
        """The checkpoint of the attack's reference; mostly the model's own."""
        return f"{self.dataset_object.title}/{self.model}/{self.attack_object.title}"

    @property
    def trained(self) -> Training:
        """How its model is trained, but for the largest shrink size and the seed."""
        return training_of(self.attack_object, self.training_recipe.to_dict())

    @property
    def id(self) -> str:
        """Names the task among all others."""
        return f"{self.key} {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, and for another process."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**values, "parts": tuple(values["parts"]), "needs": tuple(values["needs"])})


def grid(
    dataset: Dataset,
    models: Sequence[str],
    *,
    only: Collection[str] = (),
    attacks_only: Collection[str] = (),
    recipe: str = "fast",
    epochs: int | None = None,
    images: int = 500,
    limit: int = 0,
    shrinks: Sequence[int] = SIZES,
    seed: int = 0,
    as_in_paper: bool = False,
    replacing: bool = False,
    stored: Mapping[str, Attack] | None = None,
) -> list[Task]:
    """The tasks that make the tables and figures for some networks, each after those it needs; Fig. 14 comes last.

    Args:
        dataset: The data set.
        models: Registered names of the networks.
        only: Tables and figures; none for all.
        attacks_only: Some of :data:`ATTACKS`; none for all.
        recipe: Name of the recipe of every training.
        epochs: Epochs of every training; None as the recipe says.
        images: Test images of maps, curves over the pixel value and saliency; 0 for all.
        limit: Largest number of test images of any sweep; 0 for no limit.
        shrinks: Largest shrink sizes of Fig. 14.
        seed: Seed of every training.
        as_in_paper: Whether repairs have the paper's settings.
        replacing: Whether models of Fig. 14 that are stored but were trained otherwise are trained anew.
        stored: Standard attacks with other parameters than the defaults, as :func:`stored_attacks` finds them.

    Raises:
        ValueError: If there is no such table or figure, or no such attack.
    """
    for what, given, allowed in (("part", only, PARTS), ("attack", attacks_only, ATTACKS)):
        for one in given:
            if one not in allowed:
                raise ValueError(f"{what} = {one!r} is not allowed: one of {', '.join(allowed)}")
    base = Task(
        name=TRAINING,
        dataset={"name": dataset.name, "params": dataset.to_dict()},
        model="",
        attack={},
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        as_in_paper=as_in_paper,
    )
    wanted = set(only or PARTS)
    by_id: dict[str, Task] = {}
    for model in models:
        for attack, results in _results_of(model, shrinks, dataset.name, stored or {}):
            results = {name: parts & wanted for name, parts in results.items() if parts & wanted}
            if not results or attack.name not in (attacks_only or ATTACKS):
                continue
            training = replace(base, model=model, attack=attack.to_card())
            if isinstance(attack, Enhanced) and results.get(SHRINKPAD) == {"fig14"}:
                name = attack.sized_title
                training = replace(training, named=name if name != attack.title else "", replaces=replacing)
            _add(by_id, training, results)
    tasks = [replace(task, images=_images(task.name, images, limit)) for task in by_id.values()]
    return sorted(tasks, key=lambda task: task.parts == ("fig14",))


def _images(name: str, images: int, limit: int) -> int:
    """How many test images a sweep takes; 0 for all."""
    wanted = 0 if name.startswith("strength-") else images
    if wanted and name in PHOTOGRAPHIC:
        wanted = max(wanted, COUNTS[name])  # so that at least 500 are attacked
    return min((count for count in (wanted, limit) if count), default=0)


def _results_of(
    model: str, shrinks: Sequence[int], dataset: str, stored: Mapping[str, Attack]
) -> Iterator[tuple[Attack, dict[str, set[str]]]]:
    """Every attack of the paper with the results it needs, and the tables and figures that need each."""
    maps = {"location": {"fig4"}, "appearance": {"fig5"}}
    yield attacks[CLEAN_MODEL](), maps | {result_name("neural-cleanse"): {"table1"}, SHRINKPAD: {"sec5.3"}}
    yield attacks[GRAY](), maps
    repairs = {result_name(name): {"table1", "table2", "fig1"} for name in defenses}
    strengths = {
        "strength-flip": {"table1", "table5", "fig1"},
        SHRINKPAD: {"table1", "table5", "fig1"},
        "strength-noise": {"table3"},
        **{f"strength-{name}": {"table4"} for name in STRONGEST if name != "noise"},
    }
    saliency = {"saliency": {"fig10"}}
    for name in STANDARD:
        attack = stored.get(f"{model}/{name}") or attacks[name].for_model(model)
        # The paper photographs BadNets alone; whether the others stand it is asked of each as well.
        photographs = {"physical": {"fig11"}, **{sweep: {"fig12"} for sweep in out_of_sample_sweeps(dataset)}}
        yield attack, maps | strengths | saliency | repairs | photographs
        enhanced = {SHRINKPAD: strengths[SHRINKPAD] | {"fig13", "sec5.3"}}
        yield Enhanced(base=attack), maps | strengths | enhanced | saliency | repairs | photographs
        # As Eq. 8 has it: what Sec. 5.3 sets beside it transforms the benign images too.
        poisoned_only = Enhanced(base=attack, enhancement=Enhancement(benign_too=False))
        yield poisoned_only, {"strength-flip": {"sec5.3"}, SHRINKPAD: {"sec5.3"}}
        for size in shrinks:
            yield Enhanced(base=attack, enhancement=Enhancement(max_shrink=size)), {SHRINKPAD: {"fig14"}}


def _add(by_id: dict[str, Task], training: Task, results: Mapping[str, set[str]]) -> None:
    """Adds a training, its results, and before them the training of what the attack is made with."""
    attack = training.attack_object
    base = attack.base if isinstance(attack, Enhanced) else attack
    needs: tuple[str, ...] = ()
    if isinstance(base, Consistent):
        model, title = base.surrogate.split("/")[-2:]
        surrogate = replace(training, model=model, attack=attacks[title]().to_card(), named="", replaces=False)
        by_id.setdefault(surrogate.id, surrogate)
        needs = (surrogate.id,)
    parts = tuple(part for part in PARTS if any(part in wanted for wanted in results.values()))
    training = replace(training, needs=needs, parts=parts)
    by_id[training.id] = training
    for name, wanted in results.items():
        result = replace(
            training, name=name, parts=tuple(part for part in PARTS if part in wanted), needs=(training.id,)
        )
        by_id[result.id] = result
