"""Sweeps the trigger of a stored model over its locations (Fig. 4) or its pixel values (Fig. 5), a defense over its
strength (Tables 1 and 3 to 5, Fig. 13), or measures what of the saliency falls on the trigger (Fig. 10).

    python scripts/sweep.py location --checkpoint cifar10/resnet20/badnets-gray
    python scripts/sweep.py appearance --checkpoint shapes10/resnet20/badnets --images 500 --json -
    python scripts/sweep.py strength --checkpoint cifar10/resnet20/blended --transform shrinkpad
    python scripts/sweep.py saliency --checkpoint cifar10/resnet20/blended --images 500
    python scripts/sweep.py location --checkpoint shapes10/resnet20/badnets --width 5

The result is stored beside the model, where the dashboard finds it, and a summary is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from command import Parser, add_common, run, say, write_json
from tqdm import tqdm

from core.adaptive import adaptive_sweep, looks_for
from core.attacks import Attack
from core.data import ImageSet
from core.energy import energy_sweep
from core.inference import Predictor, select_device
from core.metrics import Rate
from core.models import Classifier
from core.store import Card, Checkpoint, Store, environment
from core.strength import StrengthCurve, strength_sweep
from core.sweeps import AppearanceCurve, LocationMap, appearance_sweep, attacked, location_sweep
from core.transforms import Compose, Transform, transform_from_spec, transforms
from core.trigger import Trigger

SHOWN_VALUES = (0, 64, 128, 192, 255)
SHOWN_DISTANCES = (1, 2, 3)
SWEEPS = ("location", "appearance", "strength", "saliency")
# Images by default, 0 for all.
COUNTS = {"location": 1000, "appearance": 1000, "strength": 0, "saliency": 500}
ALL = "all"


@dataclass(frozen=True)
class Wanted:
    """One sweep: what is varied, and what is put before the model.

    Attributes:
        kind: ``location``, ``appearance`` or ``strength``.
        transform: What is varied in strength.
        before: What is put between stamping and the model in the other sweeps.
        width: Largest half width of a location's interval, in points, for an adaptive map; None for an exhaustive one.
    """

    kind: str
    transform: Transform | None = None
    before: Compose = field(default_factory=Compose)
    width: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the result is stored: not behind a defense, and maps only if they are exhaustive."""
        return not self.before.steps and self.width is None

    @property
    def name(self) -> str:
        """Name of the stored result."""
        return f"strength-{self.transform.name}" if self.transform is not None else self.kind

    def run(
        self, model: Classifier, predictor: Predictor, data: ImageSet, attack: Attack, limit: int | None
    ) -> Iterator[Any]:
        """The sweep over the first ``limit`` images (of other classes than the target where only those count)."""
        trigger, target = attack.trigger(data.shape), attack.target
        if self.kind == "saliency":
            from core.saliency import Explained, methods  # captum takes a second to import

            others = data.subset((data.labels != target).nonzero().squeeze(1)[:limit])
            explained, method = Explained(model, predictor.device), methods["gradient"]()
            before = transform_from_spec("shrinkpad:4")
            return energy_sweep(explained, others.floats(), others.labels, trigger, target, method, before)
        if self.transform is not None:
            return strength_sweep(predictor.predict, data.subset(slice(limit)), trigger, target, self.transform)
        images = attacked(data, target, limit)
        seeded = self.before.seeded() if self.before.steps else None
        predict, located = predictor.predict, predictor.located
        if self.kind == "appearance":
            return appearance_sweep(predict, images, trigger, target, before=seeded)
        if self.width is None:
            return location_sweep(predict, images, trigger, target, before=seeded, located=located)
        return adaptive_sweep(predict, images, trigger, target, width=self.width, before=seeded, located=located)


def summary(result: Any, trigger: Trigger) -> dict[str, Any]:
    """The numbers that decide the paper's claims: near the training location, at a few values, at every strength."""

    def entry(rate: Rate, **more: Any) -> dict[str, Any]:
        low, high = rate.interval
        return {**more, **rate.to_dict(), "rate": rate.value, "low": low, "high": high}

    if isinstance(result, StrengthCurve):
        found = {}
        for strength in result.strengths:
            clean, success = result.at(strength)
            found[f"ASR at strength {strength:g}"] = entry(success, strength=strength)
            found[f"clean accuracy at strength {strength:g}"] = entry(clean, strength=strength)
        return found
    if isinstance(result, LocationMap):
        found = {"at training location": entry(result.at(*trigger.location), location=list(trigger.location))}
        for distance in SHOWN_DISTANCES:
            rate, place = result.highest_at_distance(trigger.location, distance)
            found[f"highest {distance} pixels away"] = entry(rate, location=list(place))
        return found
    if isinstance(result, AppearanceCurve):
        return {f"at value {value}": entry(result.at(value), value=value) for value in SHOWN_VALUES}
    return {name: getattr(result, name).to_dict() for name in ("attacked", "transformed")}


def provenance(card: Card, trigger: Trigger, data: ImageSet, predictor: Predictor, seconds: float) -> dict[str, Any]:
    """What a stored result was measured with."""
    return {
        "target": card.attack_object.target,
        "trigger": trigger.fingerprint,
        "dataset": card.dataset,
        "encoding": data.encoding,
        "path": predictor.path,
        "seconds": round(seconds, 1),
        "environment": environment(predictor.device),
    }


def is_better(values: dict[str, Any], stored: dict[str, Any] | None) -> bool:
    """Whether a result is on at least as many images as the stored one."""

    def images(counts: Any) -> int:
        return int(np.max(counts.get("total", counts.get("seen", 0))))

    return stored is None or images(values) >= images(stored)


def measure(
    wanted: Wanted, checkpoint: Checkpoint, model: Classifier, predictor: Predictor, limit: int | None, replace: bool
) -> dict[str, Any]:
    """Runs one sweep and returns it with its summary.

    It is stored, unless more images are behind the stored one, or a defense was put before the model.
    """
    card = checkpoint.card()
    data = card.dataset_object.load("test")
    trigger = card.attack_object.trigger(card.shape)
    start = time.perf_counter()
    result: Any = None
    with tqdm(
        total=100, unit="%", desc=f"{checkpoint.key} {wanted.name}", bar_format="{l_bar}{bar}| {elapsed}<{remaining}"
    ) as bar:
        for result in wanted.run(model, predictor, data, card.attack_object, limit):
            bar.update(round(100 * result.done) - bar.n)
    source = provenance(card, trigger, data, predictor, time.perf_counter() - start)
    kept = wanted.is_kept and (replace or is_better(result.to_dict(), checkpoint.result(wanted.name)))
    if kept:
        checkpoint.save_result(wanted.name, result.to_dict() | source)
    return {
        "key": checkpoint.key,
        "sweep": wanted.name,
        "before": wanted.before.spec,
        "stored": kept,
        **source,
        "summary": summary(result, trigger),
        "result": result.to_dict(),
    }


def wanted_by(options: argparse.Namespace) -> list[Wanted]:
    """The sweeps that the command line asks for."""
    before = transform_from_spec(options.before)
    if options.width is not None:
        if options.sweep != "location":
            raise ValueError("--width is not allowed here: it makes the map of `sweep.py location` adaptive")
        looks_for(options.width)
    if options.sweep != "strength":
        if options.sweep == "saliency" and before.steps:
            raise ValueError("--before is not allowed here: `sweep.py saliency` compares with ShrinkPad-4")
        if options.transform is not None:
            raise ValueError("--transform is not allowed here: it says whose strength `sweep.py strength` varies")
        return [Wanted(options.sweep, before=before, width=options.width)]
    if before.steps:
        raise ValueError("--before is not allowed here: `sweep.py strength` varies what is put before the model")
    if options.transform in (None, ALL):
        names = [name for name in transforms if transforms[name].evaluated]
    else:
        names = [options.transform]
    return [Wanted("strength", transforms[name]()) for name in names]


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", choices=SWEEPS, help="what to vary")
    parser.add_argument("--checkpoint", required=True, metavar="DATASET/MODEL/ATTACK", help="which model")
    parser.add_argument(
        "--images", type=int, metavar="N", help="test images, 0 for all (default 1000; strength all, saliency 500)"
    )
    parser.add_argument("--replace", action="store_true", help="store it even if the stored one is on more images")
    parser.add_argument(
        "--transform", metavar="NAME", help=f"{', '.join(transforms)}, or {ALL} (default; for strength)"
    )
    parser.add_argument(
        "--before", default="", metavar="SPEC", help="defense before the model, e.g. flip,shrinkpad:4; not stored"
    )
    parser.add_argument(
        "--width",
        type=float,
        metavar="POINTS",
        help="adaptive map: as many images of each location as its interval needs to be +-POINTS; not stored",
    )
    add_common(parser)
    options = parser.parse_args()
    count = COUNTS[options.sweep] if options.images is None else options.images
    if count < 0:
        raise ValueError(f"images = {count} is not allowed: an integer from 0 up")
    sweeps = wanted_by(options)
    checkpoint = Store(options.store).checkpoint(options.checkpoint)
    card = checkpoint.card()
    model = checkpoint.model()
    predictor = Predictor(model, select_device(options.device))
    if options.sweep != "saliency":
        predictor.compile(card.shape)
    found = []
    for wanted in sweeps:
        values = measure(wanted, checkpoint, model, predictor, count or None, options.replace)
        found.append(values)
        encoding = f", {values['encoding']}" if values["encoding"] != "original" else ""
        behind = f" behind {wanted.before.label}" if wanted.before.steps else ""
        title = f" under {wanted.transform.title}" if wanted.transform is not None else ""
        what = "share of the saliency inside the trigger" if wanted.kind == "saliency" else "attack success rate"
        say(options, f"{what} of {values['key']}{title}{behind} ({values['dataset']}{encoding}):")
        for name, one in values["summary"].items():
            if "mean" in one:
                say(options, f"  {name:42} {one['mean']:.1%} (n = {one['count']}, area {one['area']:.1%})")
                continue
            where = f" at {tuple(one['location'])}" if "location" in one else ""
            say(options, f"  {name + where:42} {Rate(one['hits'], one['total'])}")
        if wanted.width is not None:
            spent, most = np.sum(values["result"]["total"]), np.max(values["result"]["total"])
            share = spent / (np.size(values["result"]["total"]) * most)
            say(options, f"  {spent} forward passes, {share:.1%} of those of an exhaustive map on {most} images")
        if not values["stored"] and wanted.is_kept:
            say(options, "not stored: the stored result is on more images (--replace stores it all the same)")
    write_json(options.json, found[0] if len(found) == 1 else {"sweeps": found})


if __name__ == "__main__":
    run(main)
