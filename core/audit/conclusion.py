"""Three sentences on a model, made from the numbers of its audit: each says a rate, and by which rule it was chosen."""

from __future__ import annotations

import numpy as np

from core.audit.findings import Audit
from core.defenses.neural_cleanse import NeuralCleanse
from core.formatting import percent
from core.metrics import Rate
from core.transforms import transforms

__all__ = ["COST", "HALF", "Stopper", "best_stopper", "conclusion"]

HALF = 0.5
COST = 0.05
"""Largest loss of clean accuracy at which a transformation counts as a defense in the second sentence."""


class Stopper:
    """The transformation that leaves least of the attack at an affordable cost.

    Attributes:
        label: Its name with its strength.
        success: Attack success rate that is left.
        clean: Clean accuracy with it.
        lost: Clean accuracy without it minus that with it.
    """

    def __init__(self, label: str, success: Rate, clean: Rate, lost: float) -> None:
        self.label, self.success, self.clean, self.lost = label, success, clean, lost


def best_stopper(found: Audit) -> Stopper | None:
    """Of all measured transformations that cost at most :data:`COST` of clean accuracy, the one that stops most.

    Of equal ones the one that costs less. The rate is the lowest of several, and so a little better than what further
    images would give.
    """
    best: Stopper | None = None
    for name, curve in found.strengths.items():
        if 0 not in curve.strengths:
            continue
        without = curve.at(0).clean.value
        for strength in curve.strengths[1:]:
            clean, success = curve.at(strength)
            lost = without - clean.value
            if lost > COST or not success.total:
                continue
            if best is None or (success.value, lost) < (best.success.value, best.lost):
                best = Stopper(transforms[name]().at(strength).label, success, clean, lost)
    return best


def conclusion(found: Audit) -> list[str]:
    """What the numbers say: where the backdoor fires, what stops it, and what gives it away.

    Args:
        found: The audit.

    Returns:
        Three sentences; one about something that is not known says so.
    """
    return [_where(found), _what_stops(found), _what_shows(found)]


def _target(found: Audit) -> str:
    return f"“{found.card.classes[found.card.attack_object.target]}”"


def _where(found: Audit) -> str:
    home = found.at_home
    begin = (
        f"With the trigger as it was trained, {_of(home)} of the images of other classes are taken for {_target(found)}"
    )
    if found.location is None:
        return f"{begin}; how that depends on its place is not known."
    place = found.card.attack_object.trigger(found.card.shape).location
    rates = found.location.rate
    measured = int(np.isfinite(rates).sum())
    fires = int((rates[np.isfinite(rates)] >= HALF).sum())
    sentence = f"{begin}; on at least half of them at {fires} of {measured} places"
    try:
        moved = found.location.highest_at_distance(place, 1)
    except ValueError:
        return f"{sentence}."
    return f"{sentence}, and one pixel away on at most {_of(moved.rate)}."


def _what_stops(found: Audit) -> str:
    best = best_stopper(found)
    allowed = percent(COST, " points", 0)
    if best is None:
        sentence = (
            f"No transformation that was measured costs less than {allowed} of clean accuracy"
            if found.strengths
            else "What a transformation of the input would change is not known"
        )
    else:
        change = f"costs {percent(best.lost)} points" if best.lost > 0 else "costs nothing"
        sentence = (
            f"Of the transformations that cost at most {allowed} of clean accuracy, {best.label} stops most: it leaves "
            f"{_of(best.success)}, and {change}"
        )
    if found.appearance is None:
        return f"{sentence}."
    rates, values = found.appearance.rate, found.appearance.values
    weak = [value for value, rate in zip(values, rates.tolist(), strict=True) if rate < HALF]
    if not weak:
        return f"{sentence}; no pixel value of the trigger brings it below half of the images."
    darker = [value for value in values if value <= max(weak)]
    if set(darker) == set(weak):
        return f"{sentence}; with a trigger of pixel value {max(weak)} or darker the backdoor fires on fewer than half."
    return f"{sentence}; it fires on fewer than half at {len(weak)} of {len(values)} pixel values of the trigger."


def _what_shows(found: Audit) -> str:
    if found.energies is None or not found.energies.attacked.count:
        seen = "Where the network looks is not known"
    else:
        peak = found.energies.attacked.peak_rate
        seen = f"On {_of(peak)} of the attacked images the pixel that matters most to the network is on the trigger"
    cleansed = found.repairs.get(NeuralCleanse.name)
    if cleansed is None:
        return f"{seen}; Neural Cleanse was not run."
    runs = [run.record for run in cleansed.runs] or [cleansed.record]
    target = found.card.attack_object.target
    right = sum(target in record.get("flagged", ()) for record in runs)
    wrong = {label for record in runs for label in record.get("flagged", ()) if label != target}
    sentence = f"{seen}; Neural Cleanse flags the target label in {right} of {len(runs)} runs"
    names = ", ".join(f"“{found.card.classes[label]}”" for label in sorted(wrong) if label < len(found.card.classes))
    return f"{sentence}, and also {names}." if names else f"{sentence}, and no other."


def _of(rate: Rate) -> str:
    """A rate with its interval, short enough for a sentence."""
    if not rate.total:
        return "an unknown share"
    low, high = rate.interval
    return f"{percent(rate.value, '%')} ({percent(low)} to {percent(high)}, n = {rate.total})"
