"""Stored results of all defenses, as curves and as the rows of the paper's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.defenses import defenses
from core.metrics import Performance, Rate
from core.paper.constants import ATTACKS, paper_networks
from core.paper.numbers import PaperNumber, paper_number
from core.store.card_images import same_kind
from core.transforms import Transform, transforms
from dashboard.server.subjects import Subject

__all__ = [
    "NO_DEFENSE",
    "Evaluated",
    "evaluated",
    "repaired",
    "siblings",
    "strength_query",
    "transform_names",
    "transforms_offered",
    "unrepaired",
]

NO_DEFENSE = "No defense"
"""The row of a model that is attacked as it is; the paper's tables call it Standard."""


def strength_query(transform: Transform) -> dict[str, str]:
    """What of a link to the page *Defenses* says which transformation is shown, and at which strength."""
    return {"defense": transform.name, f"{transform.name}-strength": f"{transform.value:g}"}


def transform_names() -> list[str]:
    """Transformations with stored results: those that move pixels first, as in the paper."""
    names = [name for name in transforms if transforms[name].evaluated]
    return sorted(names, key=lambda name: (not transforms[name].spatial, name not in ("flip", "noise"), name))


def transforms_offered() -> list[str]:
    """All transformations: those with stored results first."""
    return [*transform_names(), *(name for name in transforms if not transforms[name].evaluated)]


def siblings(subjects: Mapping[str, Subject], main: Subject, titles: Sequence[str] = ATTACKS) -> list[Subject]:
    """The models of the same data and network with these names, in their order.

    Of a variant, those that differ from their defaults as it does come first: ``blended-target2`` beside
    ``badnets-target2``; where there is none, it is the reference.
    Models that only share the data set's name, and were trained on other classes or sizes, are left out.
    """
    front, base = main.key.removesuffix(main.name), main.name.partition("+")[0]
    differs = base.removeprefix(main.attack.name) if base.startswith(f"{main.attack.name}-") else ""
    keys = []
    for title in titles:
        first, plus, rest = title.partition("+")
        alike = f"{front}{first}{differs}{plus}{rest}"
        keys.append(alike if alike in subjects else front + title)
    there = [subjects[key] for key in dict.fromkeys(keys) if key in subjects]
    return [subject for subject in there if same_kind(subject.card, main.card)]


@dataclass(frozen=True)
class Evaluated:
    """One attack under one defense, with the paper's numbers for the same where it has any.

    Attributes:
        subject: The attacked model.
        transform: The defense, or None for no defense (:data:`NO_DEFENSE`).
        clean: Clean accuracy.
        success: Attack success rate.
        paper: The paper's numbers by network.
        repair: Name of the repair, where that is the defense.
        seconds: What the repair took; transformations take no training.
    """

    subject: Subject
    transform: Transform | None
    clean: Rate
    success: Rate
    paper: Mapping[str, PaperNumber]
    repair: str = ""
    seconds: float = 0.0

    @property
    def label(self) -> str:
        """Name of the defense, as in the tables."""
        if self.repair:
            return defenses[self.repair].label
        return self.transform.label if self.transform is not None else NO_DEFENSE

    @property
    def spec(self) -> str:
        """The defense as a text; nothing for none."""
        return self.repair or (self.transform.spec if self.transform is not None else "")


def evaluated(subjects: Iterable[Subject], names: Iterable[str] | None = None) -> list[Evaluated]:
    """What is stored of these models under these transformations (by default all), defense by defense.

    The defense of no strength is there once, as :data:`NO_DEFENSE`, and so is a Flip of every image alone.
    """
    rows: list[Evaluated] = []
    listed, names = list(subjects), list(names if names is not None else transform_names())
    curves = {(s.key, name): s.results.strength(name) for s in listed for name in names}
    for subject in listed:
        first = next((curve for name in names if (curve := curves[subject.key, name]) is not None), None)
        if first is not None:
            rows.append(_row(subject, None, first.at(first.strengths[0])))
    for name in names:
        cls = transforms[name]
        # A probability of less than 1 is for enhanced attacks; as a defense, every image is flipped.
        grid = sorted({strength for subject in listed for strength in cls.grid_for(subject.card.shape)})
        for strength in grid[-1:] if name == "flip" else grid[1:]:
            for subject in listed:
                curve = curves[subject.key, name]
                if curve is not None and strength in curve.strengths:
                    rows.append(_row(subject, cls().at(strength), curve.at(strength)))
    return rows


def repaired(subjects: Iterable[Subject]) -> list[Evaluated]:
    """What is stored of these models after every repair, on the half of the test set that no repair has seen."""
    rows = []
    listed = list(subjects)
    for name in defenses:
        for subject in listed:
            result = subject.results.repair(name)
            if result is not None:
                paper = _paper(subject, name)
                rows.append(Evaluated(subject, None, result.clean, result.success, paper, name, result.seconds))
    return rows


def unrepaired(subjects: Iterable[Subject]) -> list[Evaluated]:
    """The models without a repair, on the half of the test set that those which are stored were measured on."""
    rows = []
    for subject in subjects:
        result = next(iter(subject.results.repairs.values()), None)
        if result is not None:
            rows.append(_row(subject, None, Performance(result.clean_before, result.success_before)))
    return rows


def _paper(subject: Subject, defense: str) -> dict[str, PaperNumber]:
    numbers = {model: paper_number(model, subject.name, defense) for model in paper_networks(subject.card.model)}
    return {model: number for model, number in numbers.items() if number is not None}


def _row(subject: Subject, transform: Transform | None, rates: Performance) -> Evaluated:
    return Evaluated(subject, transform, *rates, _paper(subject, transform.spec if transform is not None else ""))
