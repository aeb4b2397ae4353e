"""The report of an audit: one HTML file that needs nothing else, on a screen, dark or light, and on paper.

>>> from core.audit import audit
>>> from core.store import Store
>>> *_, last = audit(Store().checkpoint("shapes10/resnet20/badnets"))
>>> page = render(last.audit)
>>> "BadNets" in page and "http" not in page.replace("http://www.w3.org", "")
True
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from core import formatting
from core.audit import drawings
from core.audit.conclusion import conclusion
from core.audit.findings import COUNTS, Audit, audit, shown_strengths
from core.audit.written import Written
from core.defenses.neural_cleanse import NeuralCleanse
from core.metrics import Rate
from core.models import models
from core.runtime.atomic_files import write_atomically
from core.store.remote import open_store
from core.sweeps.saliency_methods import CONTROLS, MEASURES, TRAINED, Estimate, Measure, measured
from core.transforms import transforms
from core.transforms.spatial import ShrinkPad

__all__ = ["render", "write_report"]

_TEMPLATE = Path(__file__).with_name("report.html")
FIGURES = ("flip", "shrinkpad")
"""Transformations that are drawn, beside the table: those of the paper's tables."""


def render(found: Audit, at: datetime | None = None) -> str:
    """The report as HTML. All text from the card is escaped.

    Args:
        found: The audit.
        at: When it was made; by default now.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"rate": _rate, "interval": _interval, "estimate": _estimate, "bounds": _bounds}
    card = found.card
    trigger = card.attack_object.trigger(card.shape)
    figures: dict[str, Any] = {"location": None, "appearance": None}
    if found.location is not None:
        figures["location"] = Markup(drawings.location_figure(found.location, trigger.location))
    if found.appearance is not None:
        figures["appearance"] = Markup(drawings.appearance_figure(found.appearance, trigger.value))
    drawn = [
        Markup(drawings.strength_figure(found.strengths[name], transforms[name].title))
        for name in FIGURES
        if name in found.strengths
    ]
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        audit=found,
        card=card,
        target=card.classes[card.attack_object.target],
        facts=_facts(found),
        conclusion=conclusion(found),
        figures=figures,
        drawn=drawn,
        strengths=list(_strengths(found)),
        pictures=list(_pictures(found)),
        measures=_measures(found),
        methods=_methods(found),
        columns=[measure.label for measure in MEASURES.values()],
        area=found.energies.attacked.area if found.energies is not None else None,
        repairs=list(_repairs(found)),
        ways=[(name, rate) for _, name, rate in card.ways],
        counts=COUNTS,
        behind=ShrinkPad.sized(card.shape).label,
        at=f"{at or datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _rate(rate: Rate) -> str:
    return formatting.percent(rate.value, " %") if rate.total else "not measured"


def _interval(rate: Rate) -> str:
    return f"{formatting.interval(rate.interval)}, n = {rate.total}" if rate.total else ""


def _estimate(estimate: Estimate | None) -> str:
    return formatting.percent(estimate.value, " %") if estimate is not None else "not measured"


def _bounds(estimate: Estimate | None) -> str:
    return f"{formatting.interval((estimate.low, estimate.high))}, n = {estimate.images}" if estimate else ""


def _facts(found: Audit) -> list[tuple[str, str]]:
    """What the model is, as lines of a table."""
    card = found.card
    channels, height, width = card.shape
    trigger = card.attack_object.trigger(card.shape)
    lines = [
        ("Model", card.key),
        ("Network", models[card.model].label),
        ("Data", f"{card.dataset}, {card.encoding}, {len(card.classes)} classes, {channels} x {height} x {width}"),
        ("Attack", card.attack_object.label),
        ("Target label", card.classes[card.attack_object.target]),
        (
            "Trigger",
            f"{trigger.height} x {trigger.width} pixels, bottom right at row {trigger.row}, column {trigger.col}",
        ),
        ("Weights", f"fingerprint {card.weights}"),
        ("Recipe", ", ".join([card.recipe["name"], *(f"{k} = {v}" for k, v in card.recipe["params"].items())])),
    ]
    return [(name, value) for name, value in lines if value]


def _strengths(found: Audit) -> Iterator[tuple[str, list[tuple[str, Rate, Rate]]]]:
    """Transformations with a few strengths of each: label, clean accuracy, attack success rate."""
    for name, curve in found.strengths.items():
        rows = []
        for strength in shown_strengths(curve.strengths):
            clean, success = curve.at(strength)
            label = transforms[name]().at(strength).label if strength else "nothing in front"
            rows.append((label, clean, success))
        yield transforms[name].title, rows


def _pictures(found: Audit) -> Iterator[dict[str, str]]:
    if found.pictures is None:
        return
    shown = found.pictures
    for image, values, truth, predicted in zip(shown.images, shown.maps, shown.truth, shown.predicted, strict=True):
        yield {
            "image": drawings.picture(image), "map": drawings.heat(values), "truth": truth, "predicted": predicted
        }  # fmt: skip


def _measures(found: Audit) -> list[tuple[Measure, list[Estimate | None]]]:
    """What was measured of the saliency: on attacked images, and behind the transformation."""
    if found.energies is None:
        return []
    both = found.energies.attacked, found.energies.transformed
    rows = [(measure, [measure.of(energy) for energy in both]) for measure in MEASURES.values()]
    return [(measure, values) for measure, values in rows if any(value is not None for value in values)]


def _methods(found: Audit) -> list[tuple[str, list[tuple[Estimate | None, str]]]]:
    """Every saliency method on attacked images: its measures, and marks of the controls that it is no better than."""
    if found.methods is None:
        return []
    return [
        (
            score.label,
            [
                (
                    measured(measure, score.energies, "attacked"),
                    "".join(CONTROLS[name] for name in found.methods.no_better_than(score, measure)),
                )
                for measure in MEASURES.values()
            ],
        )
        for score in found.methods.scores
        if score.network == TRAINED
    ]


def _repairs(found: Audit) -> Iterator[dict[str, Any]]:
    for name, result in found.repairs.items():
        flagged: list[str] = []
        for record in [run.record for run in result.runs] or [result.record]:
            labels = [found.card.classes[label] for label in record.get("flagged", ())]
            flagged.append(", ".join(labels) or "none")
        yield {
            "label": result.repair.label, "clean": result.clean, "success": result.success,
            "before": result.success_before, "clean_before": result.clean_before, "seconds": result.seconds,
            "flagged": flagged if name == NeuralCleanse.name else [],
        }  # fmt: skip


def write_report(store: str, key: str, path: str, device: str = "auto") -> Iterator[Written]:
    """Audits a stored model and writes the report; its arguments can be handed to another process.

    Args:
        store: Folder or address of the store.
        key: The model in it.
        path: The file to write.
        device: Where to compute.

    Yields:
        How far it is; with the last one the file is there.

    Raises:
        Missing: If there is no such model.
        ValueError: If it is damaged, or the key is not allowed.
        OSError: If the file cannot be written.
    """
    for step in audit(open_store(store).checkpoint(key), device):
        if step.audit is None:
            yield Written(step.done, step.note)
        else:
            write_atomically(Path(path), render(step.audit).encode())
            yield Written(1.0)
