"""Everything that is stored of one network on one data set, and what it says about the paper's claims.

>>> from core.store.local import Store
>>> results = Results.read(Store(), "shapes10", "resnet20")
>>> sorted(results.ablation())
['badnets+', 'blended+', 'consistent+']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Self, TypeVar

from core.attacks import Enhanced
from core.data.natural import NATURAL
from core.defenses import defenses
from core.metrics import Performance, Rate
from core.models import models
from core.paper.ablation import Ablation, Sized, ablations
from core.paper.claims import (
    Verdict,
    judge_ablation,
    judge_defenses,
    judge_edges,
    judge_physical,
    judge_repairs,
    judge_saliency,
    judge_sensitivity,
)
from core.paper.claims.base import LI
from core.paper.claims.physical import SHAPES
from core.paper.constants import SHRINK, STANDARD, VALUES
from core.runtime.frozen import FrozenDict
from core.store.card import Card, Damaged
from core.store.local import Store
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.location import LocationMap
from core.sweeps.physical import PhysicalResult
from core.sweeps.repair import Repaired
from core.sweeps.results import StoredResults
from core.sweeps.saliency import Energies
from core.sweeps.strength import StrengthCurve
from core.transforms import transform_from_spec

__all__ = ["Results", "Seconds"]

R = TypeVar("R")


@dataclass(frozen=True)
class Seconds:
    """What a repair takes (Table 2).

    Attributes:
        mean: Mean seconds over the attacks, and over the runs of each.
        attacks: Titles of the attacks.
    """

    mean: float
    attacks: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """The stored results of one network on one data set, by the attack's title.

    Attributes:
        dataset: Name of the data set.
        model: Registered name of the network.
        cards: The models.
        maps: Maps over all locations.
        appearances: Curves over the pixel value, with all of the values that numbers are given of.
        curves: Curves over the strength of transformations, by the transformation's name; each begins without it.
        repairs: Repairs by their names.
        energies: What of the saliency falls on the trigger.
        photographs: Success on photographs of prints.
        other_pictures: Success on photographs of printed pictures of another data set.
        sized: Enhanced attacks by the largest shrink size of their training, the references among them (Fig. 14).
        natural_pictures: Success on photographs of printed crops of photographs.
    """

    dataset: str
    model: str
    cards: Mapping[str, Card] = field(default_factory=FrozenDict)
    maps: Mapping[str, LocationMap] = field(default_factory=FrozenDict)
    appearances: Mapping[str, AppearanceCurve] = field(default_factory=FrozenDict)
    curves: Mapping[str, Mapping[str, StrengthCurve]] = field(default_factory=FrozenDict)
    repairs: Mapping[str, Mapping[str, Repaired]] = field(default_factory=FrozenDict)
    energies: Mapping[str, Energies] = field(default_factory=FrozenDict)
    photographs: Mapping[str, PhysicalResult] = field(default_factory=FrozenDict)
    other_pictures: Mapping[str, PhysicalResult] = field(default_factory=FrozenDict)
    sized: tuple[Sized, ...] = ()
    natural_pictures: Mapping[str, PhysicalResult] = field(default_factory=FrozenDict)

    @classmethod
    def read(cls, store: Store, dataset: str, model: str) -> Self:
        """Reads what is stored; damaged models and results are left out, and models that are no reference."""
        cards: dict[str, Card] = {}
        stored: dict[str, StoredResults] = {}
        sized: list[Sized | None] = []
        for key, card in store.cards():
            if isinstance(card, Damaged) or (card.dataset, card.model) != (dataset, model):
                continue
            attack, results = card.attack_object, StoredResults(store.checkpoint(key))
            # What is called otherwise is a variant, or a copy that somebody made by hand.
            if key == f"{dataset}/{model}/{attack.title}":
                cards[attack.title], stored[attack.title] = card, results
            elif not isinstance(attack, Enhanced) or key != f"{dataset}/{model}/{attack.sized_title}":
                continue
            sized.append(Sized.of(card, _shrinkpad_curve(results)))

        def each(read: Callable[[StoredResults], R | None]) -> FrozenDict:
            """What is there of one kind of result, by the attack's title."""
            return FrozenDict(
                {title: result for title, results in stored.items() if (result := read(results)) is not None}
            )

        maps = {title: result for title, result in each(lambda results: results.location).items()
                if _has_every_place(result, cards[title])}  # fmt: skip
        return cls(
            dataset,
            model,
            cards=FrozenDict(cards),
            maps=FrozenDict(maps),
            appearances=each(_whole_appearance),
            curves=each(_curves),
            repairs=each(lambda results: FrozenDict(results.repairs)),
            energies=each(lambda results: results.saliency),
            photographs=each(lambda results: results.physical),
            other_pictures=each(lambda results: results.out_of_sample),
            sized=tuple(one for one in sized if one is not None),
            natural_pictures=each(lambda results: results.out_of_sample_natural),
        )

    def ablation(self) -> dict[str, Ablation]:
        """Fig. 14: what is compared of each enhanced attack, by its title, e.g. ``badnets+``."""
        return ablations(self.sized)

    def verdicts(self) -> list[Verdict]:
        """What the stored results say about every claim: the paper's own in its order, then those of others."""
        maps = {
            title: (result, self.cards[title].attack_object.trigger(self.cards[title].shape).location)
            for title, result in self.maps.items()
        }
        targets = {title: card.attack_object.target for title, card in self.cards.items()}
        judged = [
            *judge_sensitivity(maps, self.appearances, models[self.model].stride if self.model in models else 0),
            *judge_repairs(self.repairs, targets),
            *judge_defenses(self.curves),
            *judge_edges(self.curves, targets),
            *judge_saliency(self.energies),
            *judge_physical(self.photographs, {SHAPES: self.other_pictures, NATURAL: self.natural_pictures}),
            *judge_ablation(self.ablation()),
        ]
        return sorted(judged, key=lambda verdict: (verdict.claim.source != LI, verdict.claim.section))

    def seconds(self, repair: str) -> Seconds | None:
        """The mean training time of a repair over the three standard attacks (Table 2), or those of them it was run on.

        Args:
            repair: Name of the repair.

        Returns:
            The mean, or None where it was run on none of them.
        """
        measured = {title: self.repairs[title][repair] for title in STANDARD if repair in self.repairs.get(title, {})}
        spent = [fmean([run.seconds for run in repair.runs] or [repair.seconds]) for repair in measured.values()]
        return Seconds(fmean(spent), tuple(measured)) if measured else None

    def rate(self, attack: str, defense: str, quantity: str) -> Rate | None:
        """A measured rate.

        Args:
            attack: Title of the attack.
            defense: Text of a transformation, name of a repair, or nothing for none.
            quantity: ``clean`` for the clean accuracy, ``asr`` for the attack success rate.

        Returns:
            The rate, or None where it was not measured.
        """
        if defense in defenses:
            repaired = self.repairs.get(attack, {}).get(defense)
            return None if repaired is None else repaired.clean if quantity == "clean" else repaired.success
        curves = self.curves.get(attack, {})
        if not defense:
            # Every curve begins without one, and the card has it too: what was measured on most images counts.
            card = self.cards.get(attack)
            found = [curve.at(curve.strengths[0]) for curve in curves.values()]
            found += [Performance(card.clean_accuracy, card.attack_success_rate)] if card is not None else []
            rates = [one.clean if quantity == "clean" else one.success for one in found]
            return max(rates, key=lambda rate: rate.total, default=None)
        step = transform_from_spec(defense).steps[0]
        curve = curves.get(step.name)
        if curve is None or step.value not in curve.strengths:
            return None
        at = curve.at(step.value)
        return at.clean if quantity == "clean" else at.success


def _has_every_place(result: LocationMap, card: Card) -> bool:
    """Whether a map is complete: numbers and claims are about all places."""
    rows, cols = card.attack_object.trigger(card.shape).places(*card.shape[1:])
    return (result.rows, result.cols) == (tuple(rows), tuple(cols)) and result.done == 1


def _whole_appearance(stored: StoredResults) -> AppearanceCurve | None:
    """The curve over the pixel value, if it has all of the values that numbers are given of."""
    curve = stored.appearance
    return curve if curve is not None and set(VALUES) <= set(curve.values) else None


def _shrinkpad_curve(stored: StoredResults) -> StrengthCurve | None:
    """The curve of ShrinkPad, if it has both points that Fig. 14 shows."""
    curve = stored.strength("shrinkpad")
    return curve if curve is not None and {0, SHRINK} <= set(curve.strengths) else None


def _curves(stored: StoredResults) -> FrozenDict:
    """The curves over the strength of transformations that begin without any."""
    return FrozenDict({name: curve for name, curve in stored.strengths.items() if 0 in curve.strengths})
