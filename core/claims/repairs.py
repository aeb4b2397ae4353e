"""Sec. 5.1: defenses that repair the model or purify its input (Tables 1 and 2), and what Neural Cleanse flags."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from core.claims.base import STANDARD, STOPPED, WANG, Claim, Verdict, decided, judge, label_of
from core.claims.intervals import Decided, below
from core.defenses import defenses
from core.defenses.fine_pruning import at_tolerances
from core.metrics import Rate
from core.repaired import Repaired

__all__ = ["TOLERANCES", "judge_repairs"]

REPAIRS_STOP = Claim(
    "repairs-stop",
    "5.1",
    "Fine-Pruning, Neural Cleanse and the Auto-Encoder perform like the transformations in most cases: they stop the "
    "standard attacks.",
    "In more than half of the cases, each one attack after one repair, the success rate is below 20%; so at each "
    "tolerance of Fine-Pruning from 3 to 20 points. Of several runs of a repair the mean rate counts.",
    "The state-of-the-art defense methods show similar performance with the proposed method in most cases.",
)
NO_TRAINING = Claim(
    "no-training-time",
    "5.1",
    "The compared defenses need training or optimisation, the transformations need none.",
    "Each of the three repairs took time on every attack. A transformation has nothing to be trained, so that its "
    "training time is 0 by construction.",
    "… note that the compared defense methods require additional training or optimization, while the proposed method "
    "only involves an extra simple transformation of the image in the inference process.",
)
CLEANSE_FLAGS = Claim(
    "cleanse-flags-target",
    "V-B",
    "Neural Cleanse finds the attack: it flags the target label, and no other.",
    "In every run the anomaly index of the target, and of no other label, is above 2 with a mask smaller than the "
    "median.",
    source=WANG,
)
CLEANSE_SPARES_CLEAN = Claim(
    "cleanse-spares-clean",
    "V-B",
    "Neural Cleanse flags nothing on a clean model.",
    "In no run has a label of the clean model a mask smaller than the median with an anomaly index above 2.",
    source=WANG,
)
PRUNING, CLEANSE, AUTO_ENCODER = "fine-pruning", "neural-cleanse", "auto-encoder"
COMPARED = (PRUNING, CLEANSE, AUTO_ENCODER)
TOLERANCES = (3.0, 5.0, 7.0, 10.0, 20.0)
"""Points of clean accuracy on the validation half that Fine-Pruning may lose, at which its case is judged."""

Repairs = Mapping[str, Repaired]
"""Repairs of one model by their names."""


def judge_repairs(measured: Mapping[str, Repairs], targets: Mapping[str, int]) -> list[Verdict]:
    """The statements about the compared defenses; those on what Neural Cleanse flags are of Wang et al. (2019).

    Args:
        measured: Stored repairs by the attack's title and the repair's name.
        targets: Target labels by the attack's title.
    """
    full = {title: found for title, found in measured.items() if set(COMPARED) <= set(found)}
    flagged = {title: (found[CLEANSE], targets[title]) for title, found in measured.items() if CLEANSE in found}
    return [
        _stops(full),
        judge(
            NO_TRAINING,
            full,
            STANDARD,
            lambda found: all(found[name].seconds > 0 for name in COMPARED),
            lambda found: {f"{defenses[name].label}, s": found[name].seconds for name in COMPARED},
        ),
        _flags(CLEANSE_FLAGS, flagged, STANDARD, lambda flagged, target: flagged == [target]),
        _flags(CLEANSE_SPARES_CLEAN, flagged, ("benign",), lambda flagged, _: not flagged),
    ]
