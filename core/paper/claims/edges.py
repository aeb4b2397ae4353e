"""Sec. 5.3: whether the black edges of ShrinkPad become a trigger of their own, with no trigger in the image.

What is counted are benign images of other classes that are taken for the target behind ShrinkPad. Any model errs more
on a shrunk image, so that two comparisons decide: with the same model without ShrinkPad, and with the clean model
behind the same ShrinkPad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.formatting import listed
from core.metrics import Rate
from core.paper.claims.base import LIMITED, Claim, Verdict, judge, label_of
from core.paper.claims.curves import Curves
from core.paper.claims.intervals import Decided, drops_by_more, every
from core.paper.constants import ENHANCED, POISONED_ONLY, SHRINK, SHRINKPAD_LABEL
from core.sweeps.strength import StrengthCurve

__all__ = ["CLEAN_MODEL", "Edges", "edges_of", "judge_edges"]

CLEAN_MODEL = "benign"
"""Title of the clean model."""
TRAINED = tuple(range(1, SHRINK + 1))
"""Shrink sizes that the enhanced attacks were trained with and that make edges."""
_RULE = (
    "Behind ShrinkPad of each size from 1 to 4, the share of the benign images of other classes that are taken for the "
    "target is {} than without it {} than that of the clean model behind the same."
)

EDGES_TRIGGER = Claim(
    "edges-trigger",
    "5.3",
    "If only poisoned images are transformed in training, the black edges of ShrinkPad may become a trigger.",
    _RULE.format("more than 10 points higher", "and"),
    "For example, the zero-padding in ShrinkPad may probably create a new backdoor activated by the black edges of the "
    "image.",
)
EDGES_EXCLUDED = Claim(
    "edges-excluded",
    "5.3",
    "If benign images are transformed in training too, the black edges of ShrinkPad are no trigger.",
    _RULE.format("at most 10 points higher", "or"),
    "This modification is to exclude the possibility that the transformation itself creates a new backdoor.",
)


@dataclass(frozen=True)
class Edges:
    """Curves of ShrinkPad that have the benign images counted: of an attacked model, and of the clean one.

    Attributes:
        attacked: Of the attacked model.
        clean: Of the clean model, for the same target.
    """

    attacked: StrengthCurve
    clean: StrengthCurve

    def benign(self, size: float) -> Rate:
        """Benign images of other classes that the attacked model takes for the target behind ShrinkPad of a size."""
        return _counted(self.attacked, size)

    def control(self, size: float) -> Rate:
        """The same of the clean model."""
        return _counted(self.clean, size)

    def trigger(self, size: float) -> Decided:
        """Whether black edges alone are a trigger: more than 10 points above both comparisons."""
        behind = self.benign(size)
        return every(drops_by_more(behind, other, LIMITED) for other in (self.benign(0), self.control(size)))


def edges_of(curves: Mapping[str, Curves], targets: Mapping[str, int], title: str) -> Edges | None:
    """What decides about an attack; None where one of its curves, or its counts of benign images, are missing.

    Args:
        curves: Curves by the attack's title and the transformation's name.
        targets: Target labels by the attack's title.
        title: Title of the attack.
    """
    found = [curves.get(one, {}).get("shrinkpad") for one in (title, CLEAN_MODEL)]
    if targets.get(title) != targets.get(CLEAN_MODEL):
        return None
    attacked, clean = (
        curve if curve is not None and curve.benign is not None and {0, *TRAINED} <= set(curve.strengths) else None
        for curve in found
    )
    return Edges(attacked, clean) if attacked is not None and clean is not None else None


def judge_edges(measured: Mapping[str, Curves], targets: Mapping[str, int]) -> list[Verdict]:
    """The two statements about black edges: where only poisoned images are transformed, and where benign ones are too.

    Args:
        measured: Curves by the attack's title and the transformation's name; the clean model's among them.
        targets: Target labels by the attack's title.
    """
    there = {
        title: edges
        for title in (*POISONED_ONLY, *ENHANCED)
        if (edges := edges_of(measured, targets, title)) is not None
    }

    def trigger(edges: Edges) -> dict[str, Decided]:
        return {f"ShrinkPad-{size}": edges.trigger(size) for size in TRAINED}

    def no_trigger(edges: Edges) -> dict[str, Decided]:
        return {name: None if found is None else not found for name, found in trigger(edges).items()}

    return [
        judge(EDGES_TRIGGER, there, POISONED_ONLY, trigger, _numbers, reason=_reason(there, POISONED_ONLY)),
        judge(EDGES_EXCLUDED, there, ENHANCED, no_trigger, _numbers, reason=_reason(there, ENHANCED)),
    ]


def _reason(there: Mapping[str, Edges], wanted: Sequence[str]) -> str:
    missing = [*(label_of(title) for title in wanted if title not in there), "the clean model"]
    return (
        f"benign images behind ShrinkPad were not counted of {listed(missing)}; `python "
        "scripts/reproduce.py --only sec5.3 --epochs N`, with the data set, network and recipe, trains what is missing "
        "and counts them"
    )


def _numbers(edges: Edges) -> dict[str, float]:
    shown = {"benign images without ShrinkPad, %": edges.benign(0)}
    shown |= {f"behind ShrinkPad-{size}, %": edges.benign(size) for size in TRAINED}
    shown |= {f"clean model behind {SHRINKPAD_LABEL}, %": edges.control(SHRINK)}
    shown |= {f"attacked images behind {SHRINKPAD_LABEL}, %": edges.attacked.at(SHRINK).success}
    return {name: 100 * rate.value for name, rate in shown.items()}


def _counted(curve: StrengthCurve, size: float) -> Rate:
    rate = curve.benign_at(size)
    assert rate is not None  # edges_of takes no other curve
    return rate
