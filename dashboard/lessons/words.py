"""What the texts of a lesson can say: names in braces, and how measured numbers are written in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from string import Formatter

from core import formatting
from core.metrics import Rate

__all__ = ["FACTS", "FORMATS", "Amount", "Unmeasured", "fill", "names_in"]

FACTS = {
    "target": "the class that the attacker wants",
    "truth": "the true class of the shown image",
    "attack": "name of the attack",
    "dataset": "name of the data set",
    "network": "name of the network",
    "accuracy": "clean accuracy of the attacked model, as stored",
    "accuracy_clean": "clean accuracy of the model without a backdoor, as stored",
    "asr_trained": "attack success rate of the model with its own trigger, as stored",
}
"""Names that every text of a lesson may use, with what they stand for."""

FORMATS = {"": "a percentage", "n": "hits and number of images", "of100": "a whole number of a hundred"}
"""How a number can be written: ``{name}``, ``{name:n}``, ``{name:of100}``."""


class Unmeasured(LookupError):
    """A number that a sentence needs is neither stored nor measured here."""


@dataclass(frozen=True)
class Amount:
    """A share in [0, 1] of some images, written as a percentage.

    Attributes:
        share: The share.
        count: Number of images it was measured on; 0 where it was set, not measured.
        hits: Images that it counts, or None where it is a mean.

    >>> amount = Amount.of(Rate(7, 500))
    >>> f"{amount}, {amount:n}, {amount:of100} of 100"
    '1.4%, 7 of 500 images, 1 of 100'
    >>> f"{Amount.of(Rate(8999, 9000))}, {Amount.of(Rate(1, 9000))}, {Amount.of(Rate(500, 500))}"
    'over 99.9%, under 0.1%, 100%'
    """

    share: float
    count: int
    hits: int | None = None

    @classmethod
    def of(cls, rate: Rate) -> Amount:
        """The amount of a rate.

        Raises:
            Unmeasured: If the rate is of no images.
        """
        if not rate.total:
            raise Unmeasured("a rate of no images")
        return cls(rate.value, rate.total, rate.hits)

    @property
    def percent(self) -> float:
        """In percent."""
        return 100 * self.share

    def __format__(self, spec: str) -> str:
        if spec == "n":
            return f"{self.hits} of {self.count} images" if self.hits is not None else f"mean of {self.count} images"
        if spec == "of100":
            return f"{self.percent:.0f}"
        rounded = formatting.number(self.percent)
        if rounded == "100.0" and self.share < 1:
            return "over 99.9%"
        if rounded == "0.0" and self.share > 0:
            return "under 0.1%"
        return rounded.removesuffix(".0") + "%"


def names_in(template: str) -> list[tuple[str, str]]:
    """The names in braces and how each is to be written.

    Raises:
        ValueError: If the braces are not closed.

    >>> names_in("{asr_here:n} of {target}")
    [('asr_here', 'n'), ('target', '')]
    """
    try:
        return [(name, spec or "") for _, name, spec, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"its braces are wrong: {error}") from None


def check(template: str, allowed: Collection[str]) -> list[str]:
    """What is wrong with a template: one clause for each name or format that is not allowed."""
    try:
        found = names_in(template)
    except ValueError as error:
        return [str(error)]
    wrong = [
        f"{{{name}}} is not known; known: {', '.join(sorted(allowed))}" for name, _ in found if name not in allowed
    ]
    known = ", ".join(f"{{name:{spec}}}" for spec in FORMATS if spec)
    return wrong + [f"{{{name}:{spec}}} is not known; known: {known}" for name, spec in found if spec not in FORMATS]


def fill(template: str, values: Mapping[str, object]) -> str:
    """The template with the names replaced.

    Raises:
        Unmeasured: If a value is missing.

    >>> fill("{asr_here} ({asr_here:n})", {"asr_here": Amount.of(Rate(1, 4))})
    '25% (1 of 4 images)'
    """
    try:
        return template.format_map(values)
    except KeyError as error:
        raise Unmeasured(str(error)) from None
