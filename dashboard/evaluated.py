"""Stored results of transformation-based defenses, as curves and as the rows of the paper's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.metrics import Rate
from core.paper import PaperNumber, paper_number
from core.strength import StrengthCurve
from core.transforms import Transform, transforms
from dashboard.resources import Subject

__all__ = ["ATTACKS", "Evaluated", "evaluated", "siblings", "stored_strength", "transform_names"]

ATTACKS = ("badnets", "badnets+", "blended", "blended+", "consistent", "consistent+")
"""The six attacks of Table 5."""

PAPER_MODELS = ("vgg19", "resnet34")


def transform_names() -> list[str]:
    """Transformations with stored results: those that move pixels first, as in the paper."""
    names = [name for name in transforms if transforms[name].evaluated]
    return sorted(names, key=lambda name: (not transforms[name].spatial, name not in ("flip", "noise"), name))


def stored_strength(subject: Subject, name: str) -> StrengthCurve | None:
    """The stored curve of a model under a transformation, if it was measured with its own trigger."""
    values = subject.checkpoint.result(f"strength-{name}")
    if values is None or values.get("trigger") != subject.trigger.fingerprint:
        return None
    try:
        return StrengthCurve.from_dict(values)
    except ValueError:
        return None


def siblings(found: Mapping[str, Subject], main: Subject, titles: Sequence[str] = ATTACKS) -> list[Subject]:
    """The models of the same data and network whose attacks have these titles, in their order."""
    keys = ["/".join([*main.key.split("/")[:2], title]) for title in titles]
    return [found[key] for key in keys if key in found]


@dataclass(frozen=True)
class Evaluated:
    """One attack under one defense, with the paper's numbers for the same where it has any.

    Attributes:
        subject: The attacked model.
        transform: The defense, or None for no defense ("Standard").
        clean: Clean accuracy.
        success: Attack success rate.
        paper: The paper's numbers by network.
    """

    subject: Subject
    transform: Transform | None
    clean: Rate
    success: Rate
    paper: Mapping[str, PaperNumber]

    @property
    def label(self) -> str:
        """Name of the defense, as in the tables."""
        return self.transform.label if self.transform is not None else "Standard"


def evaluated(subjects: Iterable[Subject], names: Iterable[str] | None = None) -> list[Evaluated]:
    """What is stored of these models under these transformations (by default all), defense by defense.

    The defense of no strength is there once, as "Standard", and so is a Flip of every image alone.
    """
    found: list[Evaluated] = []
    listed, names = list(subjects), list(names if names is not None else transform_names())
    curves = {(s.key, name): stored_strength(s, name) for s in listed for name in names}
    for subject in listed:
        first = next((curve for name in names if (curve := curves[subject.key, name]) is not None), None)
        if first is not None:
            found.append(_row(subject, None, first.at(first.strengths[0])))
    for name in names:
        cls = transforms[name]
        # A probability of less than 1 is for enhanced attacks; as a defense, every image is flipped.
        for strength in cls.grid[-1:] if name == "flip" else cls.grid[1:]:
            for subject in listed:
                curve = curves[subject.key, name]
                if curve is not None and strength in curve.strengths:
                    found.append(_row(subject, cls().at(strength), curve.at(strength)))
    return found


def _row(subject: Subject, transform: Transform | None, rates: tuple[Rate, Rate]) -> Evaluated:
    spec, title = transform.spec if transform is not None else "", subject.attack.title
    numbers = {model: paper_number(model, title, spec) for model in PAPER_MODELS}
    return Evaluated(subject, transform, *rates, {model: n for model, n in numbers.items() if n is not None})
