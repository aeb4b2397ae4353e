"""Everything that is stored of one network on one data set, as the paper's numbers, curves and claims.

>>> from core.store.local import Store
>>> results = Results.read(Store(), "shapes10", "resnet20")
>>> {number.table for number in results.numbers()} >= {"table1", "fig4"}
True
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Protocol, Self, TypeVar

from core.attacks import Enhanced, Enhancement
from core.defenses import defenses
from core.metrics import Rate
from core.models import models
from core.paper.claims import (
    Verdict,
    judge_ablation,
    judge_defenses,
    judge_physical,
    judge_repairs,
    judge_saliency,
    judge_sensitivity,
)
from core.paper.claims.base import ENHANCED, LI, STANDARD
from core.paper.claims.physical import PHOTOGRAPHS
from core.paper.numbers import paper_numbers, paper_seconds
from core.store.card import Card, Damaged
from core.store.local import Checkpoint, Store
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.location import LocationMap
from core.sweeps.physical import PhysicalResult
from core.sweeps.repair import Repaired, read_repair
from core.sweeps.saliency import Energies
from core.sweeps.strength import StrengthCurve
from core.transforms import transform_from_spec, transforms

__all__ = ["DISTANCES", "PAPER_MODELS", "VALUES", "Number", "Results", "Seconds", "read_result"]

PAPER_MODELS = ("vgg19", "resnet34")
VALUES = (0, 64, 128, 192, 255)
DISTANCES = (1, 2, 3)


class _Stored(Protocol):
    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self: ...


Result = TypeVar("Result", bound=_Stored)


def read_result(checkpoint: Checkpoint, name: str, kind: type[Result]) -> Result | None:
    """A stored result, or None where there is none that can be read."""
    values = checkpoint.result(name)
    try:
        return kind.from_dict(values) if values is not None else None
    except ValueError:
        return None


def _is_whole(result: object, card: Card) -> bool:
    """Whether a result has all places that the paper's numbers and claims are about."""
    if isinstance(result, AppearanceCurve):
        return set(VALUES) <= set(result.values)
    if isinstance(result, LocationMap):
        rows, cols = card.attack_object.trigger(card.shape).places(*card.shape[1:])
        return (result.rows, result.cols) == (tuple(rows), tuple(cols)) and result.done == 1
    return True


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of the paper, or one that decides what it says, beside ours.

    Attributes:
        table: ``table1`` to ``table5``, ``fig4``, ``fig5``, ``fig10`` to ``fig14``.
        model: Registered name of the network that was measured.
        attack: Title of the attack.
        defense: Text of the transformation, name of the repair, or nothing; in figures, what is varied.
        quantity: ``clean``, ``asr`` or ``share`` in percent, or ``seconds``.
        paper: The paper's number; None where it has none, or the text has lost it.
        paper_model: The network that the paper's number is of.
        ours: What was measured; None where it was not.
        n: Images it was measured on; None of seconds.
        low: Lower end of the 95% interval, in percent.
        high: Upper end.
        over: Titles of the attacks that a mean is over, with spaces between; empty of what is no mean.
    """

    table: str
    model: str
    attack: str
    defense: str
    quantity: str
    paper: float | None = None
    paper_model: str = ""
    ours: float | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None
    over: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        return self.ours - self.paper if self.ours is not None and self.paper is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Seconds:
    """What a repair takes (Table 2).

    Attributes:
        mean: Mean seconds over the attacks, and over the runs of each.
        attacks: Titles of the attacks.
    """

    mean: float
    attacks: tuple[str, ...]


def _rate(rate: Rate | None) -> dict[str, Any]:
    """What a rate gives a :class:`Number`."""
    if rate is None or rate.total == 0:
        return {}
    low, high = rate.interval
    return {"ours": 100 * rate.value, "n": rate.total, "low": 100 * low, "high": 100 * high}


@dataclass(frozen=True)
class Results:
    """The stored results of one network on one data set, by the attack's title.

    Attributes:
        dataset: Name of the data set.
        model: Registered name of the network.
        cards: The models.
        maps: Maps over the location.
        appearances: Curves over the pixel value.
        curves: Curves over the strength of transformations, by the transformation's name.
        repairs: Repairs by their names.
        energies: What of the saliency falls on the trigger.
        photographs: Success on photographs of prints.
        strange: Success on photographs of printed pictures of another data set.
    """

    dataset: str
    model: str
    cards: Mapping[str, Card] = field(default_factory=dict)
    maps: Mapping[str, LocationMap] = field(default_factory=dict)
    appearances: Mapping[str, AppearanceCurve] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, StrengthCurve]] = field(default_factory=dict)
    repairs: Mapping[str, Mapping[str, Repaired]] = field(default_factory=dict)
    energies: Mapping[str, Energies] = field(default_factory=dict)
    photographs: Mapping[str, PhysicalResult] = field(default_factory=dict)
    strange: Mapping[str, PhysicalResult] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store, dataset: str, model: str) -> Self:
        """Reads what is stored; damaged models and results are left out, and models that are no reference."""
        found = cls(dataset, model, {}, {}, {}, {}, {}, {}, {}, {})
        for key, card in store.cards():
            if isinstance(card, Damaged) or (card.dataset, card.model) != (dataset, model):
                continue
            # What is called otherwise is a variant, or a copy that somebody made by hand.
            if key != f"{dataset}/{model}/{card.attack_object.title}":
                continue
            found._add(store.checkpoint(key), card)
        return found

    def _add(self, checkpoint: Checkpoint, card: Card) -> None:
        title = card.attack_object.title
        self.cards[title] = card  # type: ignore[index]
        kinds: tuple[tuple[str, Any, Any], ...] = (
            ("location", LocationMap, self.maps),
            ("appearance", AppearanceCurve, self.appearances),
            ("saliency", Energies, self.energies),
            ("physical", PhysicalResult, self.photographs),
            ("out-of-sample", PhysicalResult, self.strange),
        )
        for name, kind, where in kinds:
            result = read_result(checkpoint, name, kind)
            if result is not None and _is_whole(result, card):
                where[title] = result
        curves = {name: read_result(checkpoint, f"strength-{name}", StrengthCurve) for name in transforms}
        curves = {name: curve for name, curve in curves.items() if curve is not None and 0 in curve.strengths}
        self.curves[title] = curves  # type: ignore[index]
        repairs = {name: read_repair(checkpoint, name) for name in defenses}
        self.repairs[title] = {name: one for name, one in repairs.items() if one is not None}  # type: ignore[index]

    def ablation(self) -> dict[str, dict[int, StrengthCurve]]:
        """Fig. 14: curves of ShrinkPad by enhanced attack, e.g. ``badnets+``, and its largest shrink size."""
        found: dict[str, dict[int, StrengthCurve]] = {}
        for title, card in self.cards.items():
            attack, curve = card.attack_object, self.curves[title].get("shrinkpad")
            if curve is None or not isinstance(attack, Enhanced):
                continue
            size = attack.enhancement.max_shrink
            if (
                4 in curve.strengths
                and title == Enhanced(base=attack.base, enhancement=Enhancement(max_shrink=size)).title
            ):
                found.setdefault(f"{attack.base.title}+", {})[size] = curve
        return {title: dict(sorted(curves.items())) for title, curves in found.items()}

    def verdicts(self) -> list[Verdict]:
        """What the stored results say about every claim: the paper's own in its order, then those of others."""
        maps = {
            title: (found, self.cards[title].attack_object.trigger(self.cards[title].shape).location)
            for title, found in self.maps.items()
        }
        targets = {title: card.attack_object.target for title, card in self.cards.items()}
        judged = [
            *judge_sensitivity(maps, self.appearances, models[self.model].stride if self.model in models else 0),
            *judge_repairs(self.repairs, targets),
            *judge_defenses(self.curves),
            *judge_saliency(self.energies),
            *judge_physical(self.photographs, self.strange),
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
        found = {title: self.repairs[title][repair] for title in STANDARD if repair in self.repairs.get(title, {})}
        spent = [fmean([run.seconds for run in one.runs] or [one.seconds]) for one in found.values()]
        return Seconds(fmean(spent), tuple(found)) if found else None

    def rate(self, attack: str, defense: str, quantity: str) -> Rate | None:
        """A measured rate: ``clean`` or ``asr`` of an attack under a transformation or repair, or without."""
        if defense in defenses:
            repaired = self.repairs.get(attack, {}).get(defense)
            return None if repaired is None else repaired.clean if quantity == "clean" else repaired.success
        curves = self.curves.get(attack, {})
        if not defense:
            curve = next(iter(curves.values()), None)
            if curve is None:
                card = self.cards.get(attack)
                return (
                    None if card is None else card.clean_accuracy if quantity == "clean" else card.attack_success_rate
                )
            pair = curve.at(curve.strengths[0])
        else:
            step = transform_from_spec(defense).steps[0]
            curve = curves.get(step.name)
            if curve is None or step.value not in curve.strengths:
                return None
            pair = curve.at(step.value)
        return pair.clean if quantity == "clean" else pair.success

    def numbers(self) -> list[Number]:
        """Every number of the paper's tables beside ours, and ours of what its figures show.

        A network that the paper has is beside its own numbers, another one beside those of both of the paper's.
        """
        models = (self.model,) if self.model in PAPER_MODELS else PAPER_MODELS
        return [*self._tables(models), *self._seconds(models), *self._figures()]

    def _tables(self, models: tuple[str, ...]) -> Iterator[Number]:
        for one in paper_numbers():
            if one.model not in models:
                continue
            for quantity, paper in (("clean", one.clean), ("asr", one.success)):
                if paper is None:
                    continue
                yield Number(
                    table=f"table{one.table}",
                    model=self.model,
                    attack=one.attack,
                    defense=one.defense,
                    quantity=quantity,
                    paper=paper,
                    paper_model=one.model,
                    **_rate(self.rate(one.attack, one.defense, quantity)),
                )

    def _seconds(self, models: tuple[str, ...]) -> Iterator[Number]:
        """Table 2: see :meth:`seconds`."""
        for paper_model in models:
            for name in defenses:
                spent = self.seconds(name)
                yield Number(
                    table="table2",
                    model=self.model,
                    attack="",
                    defense=name,
                    quantity="seconds",
                    paper=paper_seconds(paper_model, name),
                    paper_model=paper_model,
                    ours=spent.mean if spent else None,
                    over=" ".join(spent.attacks) if spent else "",
                )

    def _figures(self) -> Iterator[Number]:
        def number(table: str, attack: str, what: str, rate: Rate, quantity: str = "asr") -> Number:
            return Number(table=table, model=self.model, attack=attack, defense=what, quantity=quantity, **_rate(rate))

        for title, found in self.maps.items():
            place = self.cards[title].attack_object.trigger(self.cards[title].shape).location
            yield number("fig4", title, "training location", found.at(*place))
            for distance in DISTANCES:
                rate, _, places = found.highest_at_distance(place, distance)
                what = f"highest of {places} places {distance} pixel{'s' * (distance > 1)} away"
                yield number("fig4", title, what, rate)
        for title, curve in self.appearances.items():
            for value in VALUES:
                yield number("fig5", title, f"pixel value {value}", curve.at(value))
        for title, energies in self.energies.items():
            for what, energy in (("attacked", energies.attacked), ("behind ShrinkPad-4", energies.transformed)):
                low, high = energy.interval
                yield Number(
                    table="fig10",
                    model=self.model,
                    attack=title,
                    defense=what,
                    quantity="share",
                    ours=100 * energy.mean,
                    n=energy.count,
                    low=100 * low,
                    high=100 * high,
                )
        for table, photographs in (("fig11", self.photographs), ("fig12", self.strange)):
            for title, result in photographs.items():
                for what, (_, rate) in result.of("preset").items():
                    if what in PHOTOGRAPHS:
                        yield number(table, title, what, rate)
        for title in ENHANCED:
            shrinkpad = self.curves.get(title, {}).get("shrinkpad")
            for strength in shrinkpad.strengths if shrinkpad is not None else ():
                assert shrinkpad is not None
                yield number("fig13", title, f"shrinkpad:{strength:g}", shrinkpad.at(strength).success)
        for title, sizes in self.ablation().items():
            for size, shrinkpad in sizes.items():
                for what, strength in (("without defense", 0), ("behind ShrinkPad-4", 4)):
                    yield number("fig14", title, f"max shrink {size}, {what}", shrinkpad.at(strength).success)
