"""Sec. 5.1: defenses that repair the model or purify its input (Tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping

from core.claims.base import STANDARD, Claim, Verdict, judge
from core.defenses import defenses
from core.repaired import Repaired

__all__ = ["judge_repairs"]

REPAIRS_STOP = Claim(
    "repairs-stop",
    "5.1",
    "Fine-Pruning, Neural Cleanse and the Auto-Encoder perform like the transformations: they stop every standard "
    "attack.",
    "After each of them the success rate is below 20%.",
)
CLEANSE_FLAGS = Claim(
    "cleanse-flags-target",
    "5.1",
    "Neural Cleanse finds the attack: it flags the target label, and no other.",
    "The anomaly index of the target, and of no other label, is above 2 with a mask smaller than the median.",
)
CLEANSE_SPARES_CLEAN = Claim(
    "cleanse-spares-clean",
    "5.1",
    "Neural Cleanse flags nothing on a clean model.",
    "No label of the clean model has a mask smaller than the median with an anomaly index above 2.",
)
CLEANSE = "neural-cleanse"

Repairs = Mapping[str, Repaired]
"""Repairs of one model by their names."""


def judge_repairs(measured: Mapping[str, Repairs], targets: Mapping[str, int]) -> list[Verdict]:
    """The statements about the compared defenses.

    Args:
        measured: Stored repairs by the attack's title and the repair's name.
        targets: Target labels by the attack's title.
    """
    full = {title: found for title, found in measured.items() if set(defenses) <= set(found)}
    flagged = {title: (found[CLEANSE], targets[title]) for title, found in measured.items() if CLEANSE in found}

    def numbers(found: tuple[Repaired, int]) -> dict[str, float]:
        record = found[0].record
        shown = {label: float(record["indices"][label]) for label in sorted({*record["flagged"], found[1]})}
        return {f"label {label}'s index": value for label, value in shown.items()}

    return [
        judge(
            REPAIRS_STOP,
            full,
            STANDARD,
            lambda found: all(found[name].success.interval[1] < 0.2 for name in defenses),
            lambda found: {f"{defenses[name].label}, %": 100 * found[name].success.value for name in defenses},
        ),
        judge(
            CLEANSE_FLAGS,
            flagged,
            STANDARD,
            lambda found: list(found[0].record["flagged"]) == [found[1]],
            numbers,
        ),
        judge(
            CLEANSE_SPARES_CLEAN,
            flagged,
            ("benign",),
            lambda found: not found[0].record["flagged"],
            numbers,
        ),
    ]
