"""The numbers behind every figure and table as rows of a file; :mod:`dashboard.saving.names` has their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.defenses import defenses
from core.metrics import BoundedRate, Rate
from core.paper.comparison import Number
from core.paper.constants import PAPER_MODELS, SHRINK, SHRINKPAD
from core.paper.placements import Placement
from core.paper.results import Results
from core.store.card import Card
from core.sweeps.appearance import AppearanceCurve, AppearanceMap
from core.sweeps.location import LocationMap
from core.sweeps.physical import PhysicalResult
from core.sweeps.saliency import Energies, Energy
from core.sweeps.saliency_methods import MEASURES, SaliencyMethods
from core.sweeps.strength import StrengthCurve
from core.training.state import Epoch
from dashboard.saving.names import ACCURACY, SUCCESS, Entry, Mean, Source, table
from dashboard.tables.rows import Evaluated

__all__ = [
    "appearance_map_rows",
    "appearance_rows",
    "energy_rows",
    "evaluated_rows",
    "factor_rows",
    "location_rows",
    "max_shrink_rows",
    "method_rows",
    "norm_rows",
    "number_rows",
    "place_rows",
    "placement_rows",
    "strength_rows",
    "training_rows",
]

Rows = list[list[object]]
NORMAL = "95% normal"
MASS, POINTING = MEASURES["mass"].label, MEASURES["pointing"].label
AREA = "share of the image under the trigger"
BENIGN = "benign images taken for the target"
QUANTITIES = {"asr": SUCCESS, "clean": ACCURACY, "share": MASS, "seconds": "seconds", "benign": BENIGN}


def location_rows(source: Source, result: LocationMap) -> Rows:
    """One row per location of the trigger's bottom-right pixel."""
    cells = ((i, j, row, col) for i, row in enumerate(result.rows) for j, col in enumerate(result.cols))
    return table(("row", "col"), [(source, (row, col), SUCCESS, _cell(result, i, j)) for i, j, row, col in cells])


def appearance_rows(curves: Iterable[tuple[Source, AppearanceCurve]]) -> Rows:
    """One row per model and pixel value."""
    return table(
        (),
        [
            (replace(source, value=value), (), SUCCESS, Rate(int(curve.hits[i]), int(curve.total[i])))
            for source, curve in curves
            for i, value in enumerate(curve.values)
        ],
    )


def appearance_map_rows(source: Source, result: AppearanceMap) -> Rows:
    """One row per opacity and pixel value."""
    return table(
        (),
        [
            (replace(source, value=value, opacity=opacity), (), SUCCESS, _cell(result, i, j))
            for i, opacity in enumerate(result.opacities)
            for j, value in enumerate(result.values)
        ],
    )


def _cell(result: LocationMap | AppearanceMap, i: int, j: int) -> Rate:
    return Rate(int(result.hits[i, j]), int(result.total[i, j]))


def strength_rows(
    curves: Iterable[tuple[Source, StrengthCurve]],
    defended: Callable[[Source, float], Source],
    strength: str = "strength",
) -> Rows:
    """One row per model, strength and quantity.

    Args:
        curves: What each is of, and its rates.
        defended: What the rates at a strength are of.
        strength: Name of the column of the strength.
    """
    entries: list[Entry] = []
    for source, curve in curves:
        for at in curve.strengths:
            clean, success = curve.at(at)
            there = defended(source, at)
            entries += [(there, (at,), SUCCESS, success), (there, (at,), ACCURACY, clean)]
            if (benign := curve.benign_at(at)) is not None:
                entries.append((there, (at,), BENIGN, benign))
    return table((strength,), entries)


def max_shrink_rows(results: Results) -> Rows:
    """One row per enhanced attack, largest shrink size in training and defense (Fig. 14), with how it was trained."""
    entries: list[Entry] = []
    for title, ablation in results.ablation().items():
        source = _reference(results.cards, title, results)
        models = [(size, ablation.training, curve) for size, curve in ablation.curves.items()]
        models += [(size, model.training, model.curve) for size, model in ablation.others.items()]
        for size, training, curve in sorted(models, key=lambda model: model[0]):
            own = (size, dict(training)["epochs"], training == ablation.training)
            for defense, strength in (("", 0), (SHRINKPAD, SHRINK)):
                entries.append((replace(source, defense=defense), own, SUCCESS, curve.at(strength).success))
    return table(("largest_shrink_in_training", "epochs", "compared"), entries)


def _reference(cards: Mapping[str, Card], title: str, results: Results) -> Source:
    """The model with a title, as far as it is known."""
    if title in cards:
        return Source.of_card(cards[title])
    encoding = next((card.encoding for card in cards.values()), "")
    return Source(results.dataset, encoding, results.model, title)


def factor_rows(named: Sequence[tuple[Source, PhysicalResult]]) -> Rows:
    """One row per model, condition of the photographs and quantity."""
    entries: list[Entry] = []
    for source, result in named:
        for group in dict.fromkeys(condition.group for condition in result.conditions):
            for condition, (clean, success) in result.of(group).items():
                entries.append((source, (group, condition), SUCCESS, success))
                if clean.total:  # not of the map
                    entries.append((source, (group, condition), ACCURACY, clean))
    return table(("group", "condition"), entries)


def placement_rows(rows: Iterable[tuple[Source, Placement]]) -> Rows:
    """Rows of every model and range of places: the rates, and the difference to the standard attack."""
    entries: list[Entry] = []
    for source, row in rows:
        rates = {f"{SUCCESS}, benign photograph recognised": row.outcomes.success}
        if row.keeps:
            rates |= {
                "taken for what it shows, benign photograph recognised": row.outcomes.keeping,
                ACCURACY: row.clean,
            }
        entries += [(source, (row.name,), what, _dependent(rate)) for what, rate in rates.items()]
        if row.beside is not None and row.beside.total:
            difference = Mean(row.beside.difference, row.beside.total, row.beside.interval, "95% paired")
            entries.append((source, (row.name,), "success rate above the standard attack's", difference))
    return table(("simulated_photographs_from",), entries)


def _dependent(rate: Rate) -> Rate | Mean:
    """A rate; of crops, whose interval is not that of a number of trials, a mean with its own."""
    if isinstance(rate, BoundedRate):
        return Mean(rate.value, rate.total, rate.interval, "95% over photographs")
    return rate


def place_rows(named: Sequence[tuple[Source, Mapping[tuple[float, float], Rate]]]) -> Rows:
    """One row per model and place of the camera."""
    return table(
        ("distance", "yaw_degrees"),
        [(source, place, SUCCESS, rate) for source, places in named for place, rate in places.items()],
    )


def evaluated_rows(rows: Iterable[Evaluated]) -> Rows:
    """One row per defense, attack and quantity, with the seconds of training it takes and the paper's numbers."""
    entries: list[Entry] = []
    for row in rows:
        source = replace(Source.of(row.subject), repair=row.repair, defense="" if row.repair else row.spec)
        for what, rate in ((SUCCESS, row.success), (ACCURACY, row.clean)):
            numbers = [row.paper.get(model) for model in PAPER_MODELS]
            paper = [(number.success if what == SUCCESS else number.clean) if number else None for number in numbers]
            own = (row.seconds, *("" if number is None else number for number in paper))
            entries.append((source, own, what, rate))
    return table(("seconds", *(f"paper_{model}_percent" for model in PAPER_MODELS)), entries)


def energy_rows(measured: Iterable[tuple[Source, Energies]], behind: str) -> Rows:
    """A row per attack, kind of image and measure of how well the maps find the trigger, and the trigger's area.

    Args:
        measured: What each is of, and its shares.
        behind: Text of the transformation that the second kind of image is behind.
    """

    def entries() -> Iterator[Entry]:
        for source, energies in measured:
            for there, energy in (
                (source, energies.attacked),
                (replace(source, defense=behind), energies.transformed),
            ):
                yield there, (), AREA, Mean(energy.area, energy.count) if energy.count else None
                yield from ((there, (), label, value) for label, value in _measures_of(energy))

    return table((), entries())


def _measures_of(energy: Energy) -> Iterator[tuple[str, Mean | Rate]]:
    """Names and values of the measures that were taken."""
    for measure in MEASURES.values():
        if (found := measure.of(energy)) is not None:
            value, low, high, images, hits = found
            yield measure.label, Mean(value, images, (low, high), NORMAL) if hits is None else Rate(hits, images)


def method_rows(measured: Iterable[tuple[Source, SaliencyMethods]]) -> Rows:
    """One row per attack, saliency method, network, kind of image and measure, with its interval."""

    def entries() -> Iterator[Entry]:
        for source, stored in measured:
            for score in stored.scores:
                own = score.method, score.params.get("reduction", ""), score.explain, score.network
                behind = (
                    (source, score.energies.attacked),
                    (replace(source, defense="shrinkpad"), score.energies.transformed),
                )
                for there, energy in behind:
                    yield from ((there, own, label, value) for label, value in _measures_of(energy))

    return table(("method", "reduction", "explained_class", "explained_network"), entries())


def norm_rows(source: Source, classes: Sequence[str], record: Mapping[str, Any]) -> Rows:
    """One row per label of Neural Cleanse: its reversed trigger, and what it reaches on clean images."""
    entries: list[Entry] = []
    for label, name in enumerate(classes):
        index = round(float(record["indices"][label]), 4)
        own = (name, record["norms"][label], index, label in record["flagged"], record["rounds"][label])
        entries.append((source, own, "images taken for the label", Mean(record["success"][label])))
    return table(("label", "norm_pixels", "anomaly_index", "flagged", "rounds"), entries)


def training_rows(source: Source, history: Iterable[Epoch]) -> Rows:
    """One row per epoch and quantity."""
    entries: list[Entry] = []
    for epoch in history:
        own = (epoch.epoch, round(epoch.loss, 6))
        entries += [(source, own, SUCCESS, epoch.attack_success_rate), (source, own, ACCURACY, epoch.clean_accuracy)]
    return table(("epoch", "loss"), entries)


def number_rows(numbers: Iterable[Number], results: Results) -> Rows:
    """Every number of the paper beside ours; a mean over several attacks names them all as its model."""
    entries: list[Entry] = []
    for number in numbers:
        source = _reference(results.cards, number.attack or number.over.replace(" ", " and "), results)
        varied = number.table.startswith("fig") and number.table != "fig13"  # then it is no defense that the text names
        if not varied:
            is_repair = number.defense in defenses
            source = replace(source, repair=number.defense * is_repair, defense=number.defense * (not is_repair))
        seconds = number.quantity == "seconds"
        paper = "" if number.paper is None else number.paper
        ours = number.ours if seconds and number.ours is not None else ""
        own = (number.table, number.defense if varied else "", number.paper_model)
        shown = ("", paper, ours) if seconds else (paper, "", "")
        entries.append((source, (*own, *shown), QUANTITIES[number.quantity], None if seconds else _measured(number)))
    return table(
        ("paper_table", "condition", "paper_network", "paper_percent", "paper_seconds", "measured_seconds"), entries
    )


def _measured(number: Number) -> Rate | Mean | None:
    """What was measured: counts, where it is a rate of one model's."""
    if number.ours is None:
        return None
    if number.quantity != "share" and not number.over and number.n:
        return Rate(round(number.ours * number.n / 100), number.n)
    ends = (number.low / 100, number.high / 100) if number.low is not None and number.high is not None else None
    return Mean(number.ours / 100, number.n, ends, NORMAL if ends is not None else "")
