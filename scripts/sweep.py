"""Sweeps the trigger of a stored model over its locations (Fig. 4) or its pixel values (Fig. 5).

    python scripts/sweep.py location --checkpoint cifar10/resnet20/badnets-gray
    python scripts/sweep.py appearance --checkpoint shapes10/resnet20/badnets --images 500 --json -

The result is stored beside the model, where the dashboard finds it, and a summary is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from command import Parser, add_common, run, say, write_json
from tqdm import tqdm

from core.data import ImageSet
from core.inference import Predictor, select_device
from core.metrics import Rate
from core.store import Card, Checkpoint, Store, environment
from core.sweeps import AppearanceCurve, LocationMap, appearance_sweep, attacked, location_sweep
from core.trigger import Trigger

SHOWN_VALUES = (0, 64, 128, 192, 255)
SHOWN_DISTANCES = (1, 2, 3)
SWEEPS = ("location", "appearance")


def sweep(
    kind: str, predictor: Predictor, data: ImageSet, trigger: Trigger, target: int, limit: int | None
) -> Iterator[Any]:
    """The sweep called ``kind`` over the first ``limit`` non-target images."""
    images = attacked(data, target, limit)
    function = location_sweep if kind == "location" else appearance_sweep
    return iter(function(predictor.predict, images, trigger, target))


def summary(kind: str, result: LocationMap | AppearanceCurve, trigger: Trigger) -> dict[str, Any]:
    """The numbers that decide the paper's claim: near the training location, or at a few pixel values."""

    def entry(rate: Rate, **more: Any) -> dict[str, Any]:
        low, high = rate.interval
        return {**more, **rate.to_dict(), "rate": rate.value, "low": low, "high": high}

    if isinstance(result, LocationMap):
        found = {"at training location": entry(result.at(*trigger.location), location=list(trigger.location))}
        for distance in SHOWN_DISTANCES:
            rate, place = result.highest_at_distance(trigger.location, distance)
            found[f"highest {distance} pixels away"] = entry(rate, location=list(place))
        return found
    return {f"at value {value}": entry(result.at(value), value=value) for value in SHOWN_VALUES}


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
        return int(np.max(counts.get("total", 0)))

    return stored is None or images(values) >= images(stored)


def measure(kind: str, checkpoint: Checkpoint, limit: int | None, device: str, replace: bool) -> dict[str, Any]:
    """Runs one sweep and returns it with its summary; stores it, unless more images are behind the stored one."""
    card = checkpoint.card()
    predictor = Predictor(checkpoint.model(), select_device(device)).compile(card.shape)
    data = card.dataset_object.load("test")
    trigger = card.attack_object.trigger(card.shape)
    start = time.perf_counter()
    result: Any = None
    with tqdm(
        total=100, unit="%", desc=f"{checkpoint.key} {kind}", bar_format="{l_bar}{bar}| {elapsed}<{remaining}"
    ) as bar:
        for result in sweep(kind, predictor, data, trigger, card.attack_object.target, limit):
            bar.update(round(100 * result.done) - bar.n)
    source = provenance(card, trigger, data, predictor, time.perf_counter() - start)
    kept = replace or is_better(result.to_dict(), checkpoint.result(kind))
    if kept:
        checkpoint.save_result(kind, result.to_dict() | source)
    return {
        "key": checkpoint.key,
        "sweep": kind,
        "stored": kept,
        **source,
        "summary": summary(kind, result, trigger),
        "result": result.to_dict(),
    }


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", choices=SWEEPS, help="what to vary")
    parser.add_argument("--checkpoint", required=True, metavar="DATASET/MODEL/ATTACK", help="which model")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="test images, 0 for all (default 1000)")
    parser.add_argument("--replace", action="store_true", help="store it even if the stored one is on more images")
    add_common(parser)
    options = parser.parse_args()
    if options.images < 0:
        raise ValueError(f"images = {options.images} is not allowed: an integer from 0 up")
    values = measure(
        options.sweep,
        Store(options.store).checkpoint(options.checkpoint),
        options.images or None,
        options.device,
        options.replace,
    )
    encoding = f", {values['encoding']}" if values["encoding"] != "original" else ""
    say(options, f"attack success rate of {values['key']} ({values['dataset']}{encoding}):")
    for name, found in values["summary"].items():
        where = f" at {tuple(found['location'])}" if "location" in found else ""
        say(options, f"  {name + where:42} {Rate(found['hits'], found['total'])}")
    if not values["stored"]:
        say(options, "not stored: the stored result is on more images (--replace stores it all the same)")
    write_json(options.json, values)


if __name__ == "__main__":
    run(main)
