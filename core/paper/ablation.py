"""Fig. 14: models of an enhanced attack that were trained alike but for the largest shrink size.

Only such models are compared. What is stored of other sizes, trained otherwise, is named and left out; so are sizes of
which nothing is stored.

>>> from core.paper.results import Results
>>> from core.store.local import Store
>>> Results.read(Store(), "shapes10", "resnet20").ablation()["badnets+"].epochs
3
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from core.attacks import Attack, Enhanced
from core.formatting import listed
from core.paper.constants import SHRINK
from core.params import Value
from core.recipe import Recipe
from core.runtime.frozen import FrozenDict
from core.store.card import Card
from core.sweeps.strength import StrengthCurve
from core.transforms.spatial import LARGEST

__all__ = ["SIZES", "Ablation", "Sized", "Training", "ablations", "training_of"]

SIZES = tuple(range(LARGEST + 1))
"""The largest shrink sizes of Fig. 14."""

Training = tuple[tuple[str, Value], ...]
"""What decides how a model was trained, but for the largest shrink size and the seed: names and values."""


def training_of(attack: Attack, recipe: Mapping[str, Value]) -> Training:
    """How a model is trained: the parameters of its standard attack, and its recipe.

    Args:
        attack: The attack, enhanced or not.
        recipe: The recipe's parameters; those that older cards lack are taken for the defaults.
    """
    base = attack.base if isinstance(attack, Enhanced) else attack
    told = {f"{base.name} {name}": value for name, value in base.to_dict().items()}
    # In the first cards there was only SGD.
    return tuple(sorted((told | Recipe().to_dict() | {"optimizer": "sgd"} | dict(recipe)).items()))


@dataclass(frozen=True)
class Sized:
    """One model of Fig. 14.

    Attributes:
        title: Title of its attack with the paper's size: ``badnets+``.
        size: Largest shrink size of its training, in pixels.
        training: How it was trained.
        curve: Its curve of ShrinkPad.
    """

    title: str
    size: int
    training: Training
    curve: StrengthCurve

    @classmethod
    def of(cls, card: Card, curve: StrengthCurve | None) -> Self | None:
        """The model of a card; None of one that differs in more than the size, or that was trained elsewhere."""
        attack = card.attack_object
        if curve is None or card.is_imported or not isinstance(attack, Enhanced) or not attack.enhancement.is_sized:
            return None
        training = training_of(attack, card.recipe["params"])
        return cls(f"{attack.base.title}+", attack.enhancement.max_shrink, training, curve)


@dataclass(frozen=True)
class Ablation:
    """What Fig. 14 compares of one enhanced attack.

    Attributes:
        training: How all of its models were trained.
        curves: Their curves of ShrinkPad, by the largest shrink size in pixels, ascending.
        others: Models of further sizes that were trained otherwise, by the size: they are not compared.
    """

    training: Training
    curves: Mapping[int, StrengthCurve]
    others: Mapping[int, Sized]

    @property
    def epochs(self) -> Value:
        """Epochs of the training of all that is compared."""
        return dict(self.training)["epochs"]

    @property
    def missing(self) -> tuple[int, ...]:
        """The sizes of which nothing is stored."""
        return tuple(size for size in SIZES if size not in self.curves and size not in self.others)

    @property
    def gaps(self) -> str:
        """What is missing, or was trained otherwise, in words; empty where all sizes are compared."""
        parts = [f"{_sizes(self.missing)} not measured"] if self.missing else []
        by_difference: dict[str, list[int]] = {}
        for size, model in self.others.items():
            by_difference.setdefault(self.difference(model), []).append(size)
        for difference, sizes in by_difference.items():
            parts.append(f"{_sizes(sizes)} left out (trained with {difference})")
        return listed(parts) if parts else ""

    def difference(self, other: Sized) -> str:
        """How another model was trained: ``16 instead of 6 epochs``."""
        own, found = dict(self.training), dict(other.training)
        parts = [
            f"{found.get(name)} instead of {own.get(name)} epochs"
            if name == "epochs"
            else f"{name.replace('_', ' ')} {found.get(name)} instead of {own.get(name)}"
            for name in sorted(own.keys() | found.keys())
            if found.get(name) != own.get(name)
        ]
        return listed(parts)


def _sizes(sizes: Iterable[int]) -> str:
    shown = [str(size) for size in sizes]
    return f"size {shown[0]} is" if len(shown) == 1 else f"sizes {listed(shown)} are"


def ablations(models: Iterable[Sized]) -> dict[str, Ablation]:
    """What Fig. 14 compares, by the title of the enhanced attack.

    Of models that were trained in several ways, those are compared of which there are most sizes; of as many, those
    with the paper's size, then those that were trained longer.

    Args:
        models: The models; of two of one size and one training, the last one counts.
    """
    by_title: dict[str, dict[Training, dict[int, Sized]]] = {}
    for model in models:
        by_title.setdefault(model.title, {}).setdefault(model.training, {})[model.size] = model
    found = {}
    for title, ways in by_title.items():
        ranked = sorted(ways.items(), key=lambda way: _rank(*way), reverse=True)
        training, own = ranked[0]
        others: dict[int, Sized] = {}
        for _, further in ranked[1:]:
            others |= {size: model for size, model in further.items() if size not in own and size not in others}
        curves = FrozenDict({size: own[size].curve for size in sorted(own)})
        found[title] = Ablation(training, curves, FrozenDict({size: others[size] for size in sorted(others)}))
    return found


def _rank(training: Training, models: Mapping[int, Sized]) -> tuple[int, bool, float, str]:
    epochs = dict(training)["epochs"]
    return len(models), SHRINK in models, float(epochs) if isinstance(epochs, int | float) else 0.0, str(training)
