"""Every number of the paper's tables beside ours, and ours of what its figures show.

>>> from core.store.local import Store
>>> numbers = compared(Results.read(Store(), "shapes10", "resnet20"))
>>> {number.table for number in numbers} >= {"table1", "fig4"}
True
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from core.data.natural import NATURAL
from core.defenses import defenses
from core.metrics import Rate
from core.paper.claims.edges import CLEAN_MODEL
from core.paper.claims.physical import SHAPES
from core.paper.constants import (
    DISTANCES,
    ENHANCED,
    PHOTOGRAPHS,
    POISONED_ONLY,
    SHRINK,
    SHRINKPAD,
    SHRINKPAD_LABEL,
    TABLE_5,
    VALUES,
    paper_networks,
)
from core.paper.numbers import paper_numbers, paper_seconds
from core.paper.results import Results

__all__ = ["Number", "compared"]


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of the paper, or one that decides what it says, beside ours.

    Attributes:
        table: ``table1`` to ``table5``, ``fig4``, ``fig5``, ``fig10`` to ``fig14``, ``sec5.3``.
        model: Registered name of the network that was measured.
        attack: Title of the attack.
        defense: Text of the transformation, name of the repair, or nothing; in figures, what is varied.
        quantity: ``clean``, ``asr``, ``share`` or ``benign`` (benign images taken for the target) in percent, or
            ``seconds``.
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


def compared(results: Results) -> list[Number]:
    """Every number of the paper's tables beside ours, and ours of what its figures show.

    A network that the paper has is beside its own numbers, another one beside those of both of the paper's.
    """
    networks = paper_networks(results.model)
    return [
        *_tables(results, networks),
        *_seconds(results, networks),
        *_locations(results),
        *_appearances(results),
        *_saliency(results),
        *_photographs(results),
        *_shrink_sizes(results),
        *_largest_shrinks(results),
        *_edges(results),
    ]


def _measured(rate: Rate | None) -> dict[str, Any]:
    """What a rate gives a :class:`Number`."""
    if rate is None or rate.total == 0:
        return {}
    low, high = rate.interval
    return {"ours": 100 * rate.value, "n": rate.total, "low": 100 * low, "high": 100 * high}


def _success(results: Results, table: str, attack: str, what: str, rate: Rate) -> Number:
    """An attack success rate that a figure shows."""
    return Number(table=table, model=results.model, attack=attack, defense=what, quantity="asr", **_measured(rate))


def _tables(results: Results, networks: tuple[str, ...]) -> Iterator[Number]:
    """Tables 1, 3, 4 and 5; what the paper measured on another network alone has our number without one beside it."""
    seen = set()
    for number in sorted(paper_numbers(), key=lambda number: number.model not in networks):
        for quantity, paper in (("clean", number.clean), ("asr", number.success)):
            cell = number.table, number.attack, number.defense, quantity
            is_own = number.model in networks
            if paper is None or (not is_own and cell in seen):
                continue
            seen.add(cell)
            yield Number(
                table=f"table{number.table}",
                model=results.model,
                attack=number.attack,
                defense=number.defense,
                quantity=quantity,
                paper=paper if is_own else None,
                paper_model=number.model if is_own else "",
                **_measured(results.rate(number.attack, number.defense, quantity)),
            )


def _seconds(results: Results, networks: tuple[str, ...]) -> Iterator[Number]:
    """Table 2: see :meth:`core.paper.results.Results.seconds`."""
    for network in networks:
        for name in defenses:
            spent = results.seconds(name)
            yield Number(
                table="table2",
                model=results.model,
                attack="",
                defense=name,
                quantity="seconds",
                paper=paper_seconds(network, name),
                paper_model=network,
                ours=spent.mean if spent else None,
                over=" ".join(spent.attacks) if spent else "",
            )


def _locations(results: Results) -> Iterator[Number]:
    """Fig. 4: at the training location, and the highest at some distances from it."""
    for title, result in results.maps.items():
        place = results.cards[title].attack_object.trigger(results.cards[title].shape).location
        yield _success(results, "fig4", title, "training location", result.at(*place))
        for distance in DISTANCES:
            rate, _, places = result.highest_at_distance(place, distance)
            what = f"highest of {places} places {distance} pixel{'s' * (distance > 1)} away"
            yield _success(results, "fig4", title, what, rate)


def _appearances(results: Results) -> Iterator[Number]:
    """Fig. 5: at some pixel values."""
    for title, curve in results.appearances.items():
        for value in VALUES:
            yield _success(results, "fig5", title, f"pixel value {value}", curve.at(value))


def _saliency(results: Results) -> Iterator[Number]:
    """Fig. 10: the share of the saliency on the trigger."""
    for title, energies in results.energies.items():
        for what, energy in (("attacked", energies.attacked), (f"behind {SHRINKPAD_LABEL}", energies.transformed)):
            low, high = energy.interval
            yield Number(
                table="fig10",
                model=results.model,
                attack=title,
                defense=what,
                quantity="share",
                ours=100 * energy.mean,
                n=energy.count,
                low=100 * low,
                high=100 * high,
            )


def _photographs(results: Results) -> Iterator[Number]:
    """Fig. 11 and 12, simulated: from near and from far, at the presets and over the ranges."""
    for table, what, photographs in (
        ("fig11", "", results.photographs),
        ("fig12", f"{SHAPES}, ", results.other_pictures),
        ("fig12", f"{NATURAL}, ", results.natural_pictures),
    ):
        for title, result in photographs.items():
            for name, (_, rate) in result.of("preset").items():
                if name in PHOTOGRAPHS:
                    yield _success(results, table, title, f"{what}{name}", rate)
            for name, outcomes in result.outcomes.items():
                yield _success(results, table, title, f"{what}{name}, over its range", outcomes.success)


def _shrink_sizes(results: Results) -> Iterator[Number]:
    """Fig. 13: enhanced attacks under ShrinkPad of every size."""
    for title in ENHANCED:
        curve = results.curves.get(title, {}).get("shrinkpad")
        if curve is not None:
            for size in curve.strengths:
                yield _success(results, "fig13", title, f"shrinkpad:{size:g}", curve.at(size).success)


def _largest_shrinks(results: Results) -> Iterator[Number]:
    """Fig. 14: enhanced attacks that were trained with other largest shrink sizes; how, where that is not compared."""
    for title, ablation in results.ablation().items():
        models = [(largest, "", curve) for largest, curve in ablation.curves.items()]
        models += [(size, f" ({ablation.difference(model)})", model.curve) for size, model in ablation.others.items()]
        for largest, trained, curve in sorted(models, key=lambda model: model[0]):
            for what, size in (("without defense", 0), (f"behind {SHRINKPAD_LABEL}", SHRINK)):
                what = f"max shrink {largest}{trained}, {what}"
                yield _success(results, "fig14", title, what, curve.at(size).success)


def _edges(results: Results) -> Iterator[Number]:
    """Sec. 5.3: attacks with and without benign images transformed in training, and benign images behind ShrinkPad."""
    for title in (CLEAN_MODEL, *(title for pair in zip(POISONED_ONLY, ENHANCED, strict=True) for title in pair)):
        curves = results.curves.get(title, {})
        for spec in TABLE_5 if title in POISONED_ONLY and "shrinkpad" in curves else ():
            if (rate := results.rate(title, spec, "asr")) is not None:
                yield _success(results, "sec5.3", title, spec, rate)
        for size in (0, SHRINK):
            curve = curves.get("shrinkpad")
            if curve is not None and size in curve.strengths and (rate := curve.benign_at(size)) is not None:
                yield Number(
                    table="sec5.3",
                    model=results.model,
                    attack=title,
                    defense=SHRINKPAD if size else "",
                    quantity="benign",
                    **_measured(rate),
                )
