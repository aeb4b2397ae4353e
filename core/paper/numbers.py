"""The paper's own numbers (Li et al. 2020, Tables 1 to 5), to stand beside measured ones.

All but the seconds are percentages for CIFAR-10 as the tables print them; a number that the text has lost is absent.
Transformations are written as :func:`core.transforms.transform_from_spec` reads them, repairs by their names, and
``""`` is no defense ("Standard").

>>> paper_number("vgg19", "blended", "shrinkpad:2")
PaperNumber(table=1, model='vgg19', attack='blended', defense='shrinkpad:2', clean=88.6, success=40.8)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from core.defenses import defenses
from core.paper.constants import PAPER_MODELS, STANDARD, TABLE_5
from core.transforms import transform_from_spec

__all__ = ["PaperNumber", "paper_number", "paper_numbers", "paper_seconds"]


@dataclass(frozen=True)
class PaperNumber:
    """One cell of a table.

    Attributes:
        table: Number of the table.
        model: Registered name of the network.
        attack: Title of the attack, with ``+`` where it is enhanced.
        defense: Text of the transformation, or name of the repair.
        clean: Clean accuracy in percent; None where the table has none.
        success: Attack success rate in percent.
    """

    table: int
    model: str
    attack: str
    defense: str
    clean: float | None
    success: float


# Table 1: clean and ASR of BadNets, Blended, Consistent on VGG-19, then on ResNet-34.
_TABLE_1 = """
-           91.9 100  91.5 100  91.3 95.6  94.1 100  93.1 100  93.1 98.7
fine-pruning   91.3 0.7 83.6 0.2 72.6 0.1  92.1 0   91.9 0.3 92.0 18.9
neural-cleanse 83.3 0.6 90.6 0.4 86.4 0.7  91.4 0.7 91.4 0.5 91.2 1.4
auto-encoder   86.4 2.1 86.0 1.7 85.4 2.3  87.5 2.7 87.2 1.9 88.4 2.1
flip        91.0 1.1  91.1 0.9  90.5 95.7  93.6 0.8  92.8 0.8  92.3 98.8
shrinkpad:1 88.1 91.8 88.0 94.8 88.0 93.2  90.9 58.1 90.4 50.0 90.8 64.0
shrinkpad:2 88.7 22.7 88.6 40.8 88.1 67.1  92.1 14.9 90.9 18.2 90.5 24.2
shrinkpad:3 88.7 2.6  88.2 10.1 88.2 19.8  90.7 6.5  90.7 6.5  90.3 11.1
shrinkpad:4 87.6 1.6  88.3 1.8  87.5 3.7   91.4 1.5  90.6 1.8  89.9 4.8
"""

# Table 2: seconds on a GTX 1080, VGG-19 and ResNet-34; the text has one number for the auto-encoder.
_TABLE_2 = """
fine-pruning   400 600
neural-cleanse 30000 80000
auto-encoder   2000 -
"""

# Tables 3 and 4, ResNet-34: transformation, its strengths, then clean and ASR of one attack at each.
_TABLE_3 = """
noise 5 10 15 20
badnets    91.2 100  79.8 100  58.1 100  36.4 100
blended    90.8 100  81.4 100  64.5 99.9 46.0 99.5
consistent 90.9 98.7 81.9 99.1 65.1 99.4 44.6 99.6
"""
_TABLE_4 = """
hue 0.1 0.2 0.3 0.4
badnets    93.2 100  91.6 100  89.4 100  88.5 100
blended    92.1 100  89.8 100  88   100  86.9 100
consistent 91.9 98.7 89.2 98.8 87.2 99   85.8 99.1
contrast 0.1 0.2 0.3 0.4
badnets    94.2 100  94.0 100  93.8 100  93.7 100
blended    92.9 100  92.9 100  92.8 100  92.6 100
consistent 93.0 98.5 92.8 97.9 92.6 97.5 92.4 96.4
brightness 0.1 0.2 0.3 0.4
badnets    94.1 100  93.9 100  93.7 100  93.4 100
blended    93.0 100  92.9 99.8 92.7 99.0 92.4 98.4
consistent 93.0 98.1 92.9 96.4 92.6 94.5 91.9 92.6
saturation 0.1 0.2 0.3 0.4
badnets    94.1 100  94.1 100  94.1 100  94.0 100
blended    93.1 100  93.1 100  93.0 100  93.0 100
consistent 93.0 98.7 93.0 98.8 93.0 98.7 92.8 98.7
"""

# Table 5: ASR without defense, under Flip, ShrinkPad-2 and ShrinkPad-4, on VGG-19, then on ResNet-34. The standard
# attacks' rows repeat Table 1; of the row of BadNets+ the text has kept one number.
_TABLE_5 = """
badnets+    100.0 - - - - - - -
blended+    99.9 99.9 100.0 98.7 100.0 100.0 100.0 99.5
consistent+ 86.0 86.3 97.2 90.9 96.4 97.3 97.4 98.7
"""


@cache
def paper_numbers() -> tuple[PaperNumber, ...]:
    """Every number, in the order of the tables."""
    numbers = []
    for line in _TABLE_1.split("\n"):
        if line:
            name, *cells = line.split()
            pairs = zip(cells[::2], cells[1::2], strict=True)
            places = [(model, attack) for model in PAPER_MODELS for attack in STANDARD]
            for (model, attack), (clean, success) in zip(places, pairs, strict=True):
                numbers.append(
                    PaperNumber(1, model, attack, _spec("" if name == "-" else name), float(clean), float(success))
                )
    for table, text in ((3, _TABLE_3), (4, _TABLE_4)):
        name, strengths = "", [""]
        for line in text.strip().split("\n"):
            head, *cells = line.split()
            if head not in STANDARD:
                name, strengths = head, cells
                continue
            for strength, clean, success in zip(strengths, cells[::2], cells[1::2], strict=True):
                defense = _spec(f"{name}:{strength}")
                numbers.append(PaperNumber(table, "resnet34", head, defense, float(clean), float(success)))
    for line in _TABLE_5.strip().split("\n"):
        attack, *cells = line.split()
        columns = [(model, defense) for model in PAPER_MODELS for defense in TABLE_5]
        for (model, defense), cell in zip(columns, cells, strict=True):
            if cell != "-":
                numbers.append(PaperNumber(5, model, attack, _spec(defense), None, float(cell)))
    return tuple(numbers)


def paper_number(model: str, attack: str, defense: str) -> PaperNumber | None:
    """The paper's number for a network, an attack and a transformation, or None."""
    return _by_place().get((model, attack, _spec(defense)))


@cache
def _by_place() -> dict[tuple[str, str, str], PaperNumber]:
    return {(number.model, number.attack, number.defense): number for number in reversed(paper_numbers())}


def paper_seconds(model: str, defense: str) -> float | None:
    """About the paper's training time of a defense (Table 2): 0 of a transformation, None where there is no number."""
    if defense not in defenses:
        return 0.0
    for line in _TABLE_2.strip().split("\n"):
        name, *cells = line.split()
        seconds = dict(zip(PAPER_MODELS, cells, strict=True)).get(model, "-")
        if name == defense and seconds != "-":
            return float(seconds)
    return None


def _spec(defense: str) -> str:
    return defense if defense in defenses else transform_from_spec(defense).spec
