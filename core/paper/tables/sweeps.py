"""Tables of models and of what was swept on them: places, values, strengths, saliency."""

from __future__ import annotations

from collections.abc import Iterator

from core import formatting
from core.paper.ablation import SIZES
from core.paper.claims.edges import CLEAN_MODEL
from core.paper.constants import (
    DISTANCES,
    ENHANCED,
    PAPER_MODELS,
    POISONED_ONLY,
    SHRINK,
    SHRINKPAD_LABEL,
    VALUES,
)
from core.paper.numbers import paper_number
from core.paper.tables.base import Models, Row, Table, pair, paper_pair, percent, results_by_network
from core.sweeps.results import StoredResults
from core.sweeps.saliency_methods import CONTROLS, MEASURES, TRAINED
from core.sweeps.strength import StrengthCurve
from core.transforms import transform_from_spec


def models(checkpoints: Models) -> Iterator[Row]:
    """What every model is and can do, from its card."""
    yield ["model", "clean accuracy", "attack success rate", "recipe", "epochs"]
    for checkpoint, card in checkpoints:
        name, epochs = card.recipe["name"], card.recipe["params"].get("epochs", "")
        optimizer = card.recipe["params"].get("optimizer", "sgd")
        rates = percent(card.clean_accuracy), percent(card.attack_success_rate)
        if card.is_imported:
            yield [checkpoint.key, *rates, "imported", ""]
            continue
        yield [checkpoint.key, *rates, f"{name} ({optimizer})", str(epochs)]


def location(checkpoints: Models) -> Iterator[Row]:
    """Fig. 4: the rate at the training location, and the highest at some distances from it."""
    away = (f"highest {d} pixel{'s' if d > 1 else ''} away (of so many places)" for d in DISTANCES)
    yield ["model", "at the training location", *away]
    for checkpoint, card in checkpoints:
        result = StoredResults(checkpoint).location
        if result is not None:
            place = card.attack_object.trigger(card.shape).location
            highest = [result.highest_at_distance(place, distance) for distance in DISTANCES]
            shown = [f"{percent(far.rate)} of {far.places}" for far in highest]
            yield [f"{checkpoint.key} (n = {result.total.max()})", percent(result.at(*place)), *shown]


def appearance(checkpoints: Models) -> Iterator[Row]:
    """Fig. 5: the rate at some pixel values."""
    yield ["model", *(f"value {value}" for value in VALUES)]
    for checkpoint, _ in checkpoints:
        result = StoredResults(checkpoint).appearance
        if result is not None:
            shown = (percent(result.at(value), interval=False) for value in VALUES)
            yield [f"{checkpoint.key} (n = {result.total.max()})", *shown]


def behind(specs: tuple[str, ...]) -> Table:
    """A table of the attack success rate and the clean accuracy under some defenses, the paper's rows beside ours."""

    def table(checkpoints: Models) -> Iterator[Row]:
        labels = [transform_from_spec(spec).label for spec in specs]
        yield ["ASR / clean accuracy (%)", "n", "Standard", *labels]
        papers: dict[str, None] = {}
        for checkpoint, card in checkpoints:
            curves = StoredResults(checkpoint).strengths
            steps = [transform_from_spec(spec).steps[0] for spec in specs]
            if not all(step.name in curves and step.value in curves[step.name].strengths for step in steps):
                continue
            first = curves[steps[0].name]
            pairs = [first.at(first.strengths[0]), *(curves[step.name].at(step.value) for step in steps)]
            cells = [pair(success, clean) for clean, success in pairs]
            yield [checkpoint.key, str(pairs[0][1].total), *cells]
            if card.dataset == "cifar10":
                papers[card.attack_object.title] = None
        for title in papers:
            for model in PAPER_MODELS:
                numbers = [paper_number(model, title, spec) for spec in ("", *specs)]
                if any(numbers):
                    yield [f"*paper*: {model}/{title}", "", *map(paper_pair, numbers)]

    return table


def max_shrink(checkpoints: Models) -> Iterator[Row]:
    """Fig. 14: enhanced attacks by the largest shrink size they were trained with."""
    yield [f"ASR (%) / behind {SHRINKPAD_LABEL}", "epochs", *(f"max {size}" for size in SIZES)]
    for name, results in results_by_network(checkpoints).items():
        for title, ablation in results.ablation().items():
            if len(ablation.curves) > 1:
                shown = {n: _both_ends(curve) for n, curve in ablation.curves.items()}
                for size, other in ablation.others.items():
                    shown[size] = f"*({_both_ends(other.curve)}: {ablation.difference(other)})*"
                yield [f"{name}/{title}", f"{ablation.epochs}", *(shown.get(n, "") for n in SIZES)]


def _both_ends(curve: StrengthCurve) -> str:
    """Attack success rates without ShrinkPad, and behind that of the size that the paper trains with."""
    return pair(*(curve.at(size).success for size in (0, SHRINK)))


def edges(checkpoints: Models) -> Iterator[Row]:
    """Sec. 5.3: benign images of other classes that are taken for the target behind ShrinkPad, without any trigger."""
    sizes = (0, 2, SHRINK, 6, 8)
    yield [
        "benign images taken for the target (%)",
        "epochs",
        "n",
        *("without" if not size else f"ShrinkPad-{size}" for size in sizes),
        f"ASR behind {SHRINKPAD_LABEL} (%)",
    ]
    for checkpoint, card in checkpoints:
        title, curve = card.attack_object.title, StoredResults(checkpoint).strength("shrinkpad")
        if curve is None or title not in (CLEAN_MODEL, *POISONED_ONLY, *ENHANCED) or checkpoint.key != card.key:
            continue
        if not checkpoint.key.endswith(f"/{title}") or not set(sizes) <= set(curve.strengths):
            continue
        rates = [curve.benign_at(size) for size in sizes]
        shown = [percent(rate) if rate is not None else "" for rate in rates]  # older curves have not counted them
        success = "" if title == CLEAN_MODEL else percent(curve.at(SHRINK).success)
        epochs = str(card.recipe["params"].get("epochs", ""))
        yield [checkpoint.key, epochs, str(curve.total.max()), *shown, success]


def saliency(checkpoints: Models) -> Iterator[Row]:
    """Fig. 10 as numbers: share of the saliency inside the trigger, and of the image that the trigger covers."""
    head = [
        "relevance mass accuracy",
        "n",
        "attacked",
        f"behind {SHRINKPAD_LABEL}",
        "area",
        "area behind it",
    ]
    yield [*head, "pointing game", f"behind {SHRINKPAD_LABEL}"]
    for checkpoint, _ in checkpoints:
        result = StoredResults(checkpoint).saliency
        if result is not None:
            kinds = (result.attacked, result.transformed)
            halves = [formatting.percent((kind.interval[1] - kind.interval[0]) / 2) for kind in kinds]
            shares = [
                f"{formatting.percent(kind.mean, '%')} (±{half})" for kind, half in zip(kinds, halves, strict=True)
            ]
            areas = [formatting.percent(kind.area, "%") for kind in kinds]
            peaks = [percent(kind.peak_rate) for kind in kinds]
            yield [checkpoint.key, str(result.seen), *shares, *areas, *peaks]


def saliency_methods(measure: str) -> Table:
    """A table of what every saliency method gives on every attack, in one of the measures of localisation.

    Args:
        measure: One of :data:`core.sweeps.saliency_methods.MEASURES`.
    """

    def table(checkpoints: Models) -> Iterator[Row]:
        stored = [(checkpoint, StoredResults(checkpoint).saliency_methods) for checkpoint, _ in checkpoints]
        found = [(checkpoint.key, methods) for checkpoint, methods in stored if methods is not None]
        rows: dict[str, dict[str, str]] = {}
        for key, methods in found:
            for score in methods.scores:
                if score.network != TRAINED:
                    continue
                taken = MEASURES[measure].of
                pair = [taken(energy) for energy in (score.energies.attacked, score.energies.transformed)]
                shown = " / ".join(formatting.percent(one.value) if one is not None else "" for one in pair)
                marks = "".join(CONTROLS[name] for name in methods.no_better_than(score, MEASURES[measure]))
                rows.setdefault(score.label, {})[key] = shown + marks
        keys = [key for key, _ in found]
        yield [f"{MEASURES[measure].label} (%), attacked / behind {SHRINKPAD_LABEL}", *keys]
        for label, cells in rows.items():
            yield [label, *(cells.get(key, "") for key in keys)]

    return table
