"""What a page answers, in one sentence made from the numbers that it shows; it says so where nothing is measured."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from core.metrics import Performance, Rate
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.saliency import Energies
from core.trigger import Trigger
from dashboard.lessons.words import Amount
from dashboard.server.subjects import Subject
from dashboard.tables.rows import Evaluated

__all__ = [
    "appearance_answer",
    "cost_answer",
    "defense_answer",
    "enhanced_answer",
    "own_photograph_answer",
    "paper_answer",
    "photographs_answer",
    "poisoning_answer",
    "repair_answer",
    "saliency_answer",
    "sheet_answer",
]

HALF = 0.5


def _clean_model(main: Subject, hit: Rate, where: str) -> str:
    return (
        f"This model has no backdoor: {where} it takes {Amount.of(hit)} of the images with the trigger for "
        f"“{main.target_name}”."
    )


def _against(now: Rate, before: Rate | None) -> str:
    """A rate beside what it was, where that is known; whether it changed is judged by what is written."""
    written = f"{Amount.of(now)}"
    if before is None or not before.total:
        return written
    was = f"{Amount.of(before)}"
    return f"{written} (unchanged)" if written == was else f"{written} instead of {was}"


def appearance_answer(main: Subject, shown: Trigger, now: Rate, curve: AppearanceCurve | None, behind: str = "") -> str:
    """How often the backdoor fires as the trigger looks now, against the trigger of training.

    Args:
        main: The model.
        shown: The trigger as it looks now.
        now: Success rate with it.
        curve: Success rate by pixel value, all else as shown; None where it is not known.
        behind: The defense in front, or nothing.
    """
    trained, front = main.trigger, f"Behind {behind}, " if behind else ""
    if not now.total:
        return "How often the backdoor fires with this trigger is not measured here."
    if main.is_control:
        return _clean_model(main, now, f"behind {behind}" if behind else "with this trigger")
    changes = []
    if shown.layout != trained.layout:
        changes.append("another pattern")
    if shown.value != trained.value:
        changes.append(f"pixel value {shown.value} instead of {trained.value}")
    if shown.opacity != trained.opacity:
        changes.append(f"opacity {shown.opacity}% instead of {trained.opacity}%")
    if shown.location != trained.location:
        changes.append("the trigger at another place")
    before = main.card.attack_success_rate if (changes or behind) and not main.repair else None
    if changes:
        return _sentence(
            f"{front}with {', '.join(changes)} the backdoor fires on {_against(now, before)} of the images."
        )
    sentence = f"{front}with the trigger of training the backdoor fires on {_against(now, before)} of the images"
    return _sentence(f"{sentence}{_half(curve, trained.value)}.")


def _half(curve: AppearanceCurve | None, trained: int) -> str:
    """Up to which darker value the attack fails on half of the images."""
    if curve is None or not curve.total.all() or not any(value < trained for value in curve.values):
        return ""
    failing = None
    for value in sorted(curve.values):
        if value >= trained or curve.at(value).value >= HALF:
            break
        failing = value
    if failing is None:
        return "; it does so on half of them or more however dark the trigger is"
    return f"; at pixel value {failing} or less, on fewer than half of them"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _both(main: Subject, said: str, clean: Rate, hit: Rate, before: Performance | None) -> str:
    """``said`` and what it does to both rates."""
    if not hit.total or not clean.total:
        return f"{said}: what it does to this attack is not measured here."
    was = before or (Rate(0, 0), Rate(0, 0))
    right = f"the model is right on {_against(clean, was[0])} of the clean images"
    if main.is_control:
        return (
            f"{said}: this model has no backdoor and takes {Amount.of(hit)} of the images with the trigger for "
            f"“{main.target_name}”; {right}."
        )
    return f"{said}: the backdoor fires on {_against(hit, was[1])} of the images with the trigger; {right}."


def defense_answer(main: Subject, defense: str, clean: Rate, hit: Rate, before: Performance | None) -> str:
    """What a transformation in front of the model does to both rates; ``before`` has them without it."""
    return _both(main, f"With {defense} in front of the model", clean, hit, before)


def repair_answer(main: Subject, repair: str, after: Performance | None, before: Performance | None) -> str:
    """What a repair does to clean accuracy and success rate; ``after`` is None where it was not run."""
    if after is None:
        return f"Whether {repair} removes this backdoor is not measured with these settings: run it below."
    return _both(main, f"After {repair}", *after, before)


def cost_answer(rows: Sequence[Evaluated]) -> str:
    """The best defense that needs no training beside the best that does, by the mean success rate they leave."""
    by_defense: dict[str, list[Evaluated]] = {}
    for row in rows:
        if row.success.total and row.spec:
            by_defense.setdefault(row.label, []).append(row)
    parts = []
    for free, what in ((True, "needs no training"), (False, "takes {:.0f} seconds of it")):
        listed = {
            name: (
                fmean(row.success.value for row in its_rows),
                fmean(row.seconds for row in its_rows),
                len(its_rows),
            )
            for name, its_rows in by_defense.items()
            if all((row.seconds == 0) is free for row in its_rows)
        }
        if listed:
            name = min(listed, key=lambda defense: listed[defense][0])
            left, seconds, attacks = listed[name]
            mean = f" (mean of {attacks} attacks)" if attacks > 1 else ""
            parts.append(f"{name} {what.format(seconds)} and leaves the backdoor firing on {Amount(left, 1)}{mean}")
    if not parts:
        return "What the defenses cost is not measured here."
    return f"{'; of the repairs, '.join(parts)}." if len(parts) == 2 else f"{parts[0]}."


def enhanced_answer(rows: Sequence[Evaluated], base: str) -> str:
    """Standard against enhanced behind the strongest ShrinkPad of the table.

    Args:
        rows: The table.
        base: Title of the standard attack.
    """
    behind = [row for row in rows if row.transform is not None and row.transform.name == "shrinkpad"]
    pairs = {(row.subject.attack.title, row.spec): row for row in behind if row.success.total}
    both = [row for (title, spec), row in pairs.items() if title == base and (f"{base}+", spec) in pairs]
    if not both:
        return "Whether the enhanced attack gets past ShrinkPad is not measured here."
    standard = max(both, key=lambda row: row.transform.value if row.transform is not None else 0.0)
    enhanced = pairs[f"{base}+", standard.spec]
    return (
        f"Behind {standard.label} the backdoor of {standard.subject.label} fires on {Amount.of(standard.success)} of "
        f"the images, that of {enhanced.subject.label}, which was trained with it, on {Amount.of(enhanced.success)}."
    )


def saliency_answer(measured: Sequence[tuple[Subject, Energies]], label: str) -> str:
    """How often the most salient pixel is on the trigger, as attacked and behind a transformation.

    Args:
        measured: The attacks that the sentence is about, the one under study first.
        label: The transformation.
    """
    known = [(s, e) for s, e in measured if e.attacked.count and e.transformed.count]
    if not known:
        return "How often the network looks at the trigger is not measured here."
    subject, energies = known[0]
    sentence = (
        f"The pixel that matters most to {subject.label} is on the trigger in "
        f"{Amount.of(energies.attacked.peak_rate)} of the attacked images, behind {label} in "
        f"{Amount.of(energies.transformed.peak_rate)}"
    )
    for other, its_energies in known[1:2]:
        rates = Amount.of(its_energies.attacked.peak_rate), Amount.of(its_energies.transformed.peak_rate)
        sentence += f"; to {other.label} in {rates[0]} and {rates[1]}"
    return f"{sentence}."


def photographs_answer(measured: Sequence[tuple[Subject, Rate]]) -> str:
    """How often the backdoor fires on photographs as they are set, by attack."""
    known = [(subject, rate) for subject, rate in measured if rate.total]
    if not known:
        return "How often the backdoor fires on photographs of prints is not measured here."
    parts = [f"{subject.label} on {Amount.of(rate)}" for subject, rate in known]
    shares = ", ".join(parts)
    return f"Printed and photographed like this (simulated), the backdoor fires on this share of the images: {shares}."


def sheet_answer(subject: Subject, benign: int, attacked: int) -> str:
    """What is on a printable sheet, and what it is for.

    Args:
        subject: The model whose trigger is printed.
        benign: How many of its images have no trigger.
        attacked: How many have one.
    """
    return (
        f"Images on the sheet: {benign} benign, {attacked} with the trigger of {subject.label}. Does a photograph of "
        f"the print still make the model say “{subject.target_name}”?"
    )


def own_photograph_answer(said: Sequence[tuple[Subject, int]]) -> str:
    """What each model says about the user's photograph, and whether that is its attacker's target.

    Args:
        said: The models with the label that each answers.
    """
    if not said:
        return "Bring a photograph of the printed sheet, or any picture, and see what the models say about it."
    each = []
    for subject, label in said:
        end = ", the attacker's target" if label == subject.attack.target else ""
        each.append(f"{subject.label} says “{subject.classes[label]}”{end}")
    return f"About this picture, {'; '.join(each)}."


def poisoning_answer(attack: str, poisoned: int, images: int, target: str) -> str:
    """What the attack does to the training set.

    Args:
        attack: Its name.
        poisoned: Training images that it poisons.
        images: All training images.
        target: Name of the target class.
    """
    if not poisoned:
        return f"{attack}: none of the {images:,} training images is poisoned."
    share = Amount(poisoned / images, images)
    return (
        f"{attack} puts its trigger on {poisoned:,} of the {images:,} training images ({share}), so that the model "
        f"learns to answer “{target}” to the trigger."
    )


def paper_answer(holding: int, judged: int, near: int, measured: int) -> str:
    """How much of the paper is found again, of what was measured."""
    if not judged and not measured:
        return "Nothing of the paper is measured for this network yet."
    return (
        f"{holding} of the {judged} statements of the paper that could be judged hold here, and {near} of the "
        f"{measured} rates that were measured are within 5 points of the paper's."
    )
