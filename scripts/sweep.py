"""Sweeps the trigger of a stored model over its locations (Fig. 4) or its pixel values (Fig. 5), a defense over its
strength (Tables 1 and 3 to 5, Fig. 13), measures what of the saliency falls on the trigger (Fig. 10), or how the attack
does on simulated photographs of prints, of test images (Fig. 11) and of pictures unlike them (Fig. 12).

    python scripts/sweep.py location --checkpoint cifar10/resnet20/badnets-gray
    python scripts/sweep.py appearance --checkpoint shapes10/resnet20/badnets --images 500 --json -
    python scripts/sweep.py strength --checkpoint cifar10/resnet20/blended --transform shrinkpad
    python scripts/sweep.py saliency --checkpoint cifar10/resnet20/blended --images 500
    python scripts/sweep.py saliency --checkpoint cifar10/resnet20/blended --methods all
    python scripts/sweep.py physical --checkpoint cifar10/resnet20/badnets+
    python scripts/sweep.py location --checkpoint shapes10/resnet20/badnets --width 5
    python scripts/sweep.py classes --checkpoint shapes10/resnet20/badnets

The result is stored beside the model, where the dashboard finds it, and a summary is printed. With a map of locations
comes what a drag of the trigger is answered with in the browser, `classes`: which class each of 256 images is taken for
at each place, and how often the clean model takes them for the target.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from command import Parser, add_common, add_data, name_data_anew, run, say, write_json
from tqdm import tqdm

from core import formatting
from core.attacks.badnets import Benign
from core.data.natural import INSTALL, NATURAL
from core.inference.predictor import Predictor
from core.metrics import BoundedRate, Rate
from core.models import Classifier
from core.paper.constants import DISTANCES, VALUES
from core.runtime.device import select_device
from core.store.card import Card
from core.store.card_images import images_of
from core.store.local import Checkpoint
from core.store.remote import open_store
from core.sweeps.adaptive import AdaptiveMap, looks_for
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.location import LocationMap
from core.sweeps.physical import PhysicalResult
from core.sweeps.place_classes import PlaceClasses
from core.sweeps.results import StoredResults
from core.sweeps.runner import (
    COUNTS,
    OUT_OF_SAMPLE_NATURAL,
    PHOTOGRAPHIC,
    Measured,
    Sweep,
    carry_out,
    out_of_sample_sweeps,
    store_examples,
)
from core.sweeps.saliency import Energy
from core.sweeps.saliency_examples import RESULT as EXAMPLES
from core.sweeps.saliency_methods import SaliencyMethods
from core.sweeps.strength import StrengthCurve
from core.transforms import transform_from_spec, transforms
from core.trigger import Trigger

ALL = "all"
METHODS = "saliency-methods"
PICTURES = {"out-of-sample": " of pictures of Shapes-10", OUT_OF_SAMPLE_NATURAL: f" of {NATURAL}"}


def summary(result: Any, trigger: Trigger, target: int) -> dict[str, Any]:
    """The numbers that decide the paper's claims: near the training location, at a few values, at every strength."""

    def entry(rate: Rate, **more: Any) -> dict[str, Any]:
        low, high = rate.interval
        return {**more, **rate.to_dict(), "rate": rate.value, "low": low, "high": high}

    numbers: dict[str, Any] = {}
    if isinstance(result, StrengthCurve):
        for strength in result.strengths:
            clean, success = result.at(strength)
            numbers[f"ASR at strength {strength:g}"] = entry(success, strength=strength)
            numbers[f"clean accuracy at strength {strength:g}"] = entry(clean, strength=strength)
            if (benign := result.benign_at(strength)) is not None:
                numbers[f"benign images taken for the target at {strength:g}"] = entry(benign, strength=strength)
        return numbers
    if isinstance(result, PhysicalResult):
        for group in dict.fromkeys(condition.group for condition in result.conditions):
            for name, (clean, success) in result.of(group).items():
                numbers[f"ASR, {group} {name}"] = entry(success, group=group, condition=name)
                if clean.total:
                    numbers[f"clean accuracy, {group} {name}"] = entry(clean, group=group, condition=name)
        for name, outcomes in result.outcomes.items():
            own = {"group": "range", "condition": name, "usable": True}
            known = result.kept is not None
            where = "where recognised" if known else "not taken for it anyway"
            numbers[f"ASR, range {name}, {where}"] = entry(outcomes.success, **own)
            if known:
                numbers[f"keeps its label, range {name}, {where}"] = entry(outcomes.keeping, **own)
        return numbers
    if isinstance(result, PlaceClasses):
        return summary(result.counts(target), trigger, target)
    if isinstance(result, LocationMap):
        numbers["at training location"] = entry(result.at(*trigger.location), location=list(trigger.location))
        for distance in DISTANCES:
            highest = result.highest_at_distance(trigger.location, distance)
            numbers[f"highest {distance} pixels away"] = entry(
                highest.rate, location=list(highest.location), places=highest.places
            )
        return numbers
    if isinstance(result, AppearanceCurve):
        return {f"at value {value}": entry(result.at(value), value=value) for value in VALUES}
    if isinstance(result, SaliencyMethods):
        return {
            f"{score.method} ({score.explain}, {score.network}), {kind}": getattr(score.energies, kind).to_dict()
            for score in result.scores
            for kind in ("attacked", "transformed")
        }
    return {name: getattr(result, name).to_dict() for name in ("attacked", "transformed")}


def measure(
    sweep: Sweep, checkpoint: Checkpoint, model: Classifier, predictor: Predictor, limit: int | None, replace: bool
) -> dict[str, Any]:
    """Runs one sweep and returns it with its summary."""
    card = checkpoint.card()
    attack = sweep.foreign or card.attack_object
    measured: Measured | None = None
    with tqdm(
        total=100, unit="%", desc=f"{checkpoint.key} {sweep.name}", bar_format="{l_bar}{bar}| {elapsed}<{remaining}"
    ) as bar:
        for measured in carry_out(sweep, checkpoint, model, predictor, limit, replace=replace):
            bar.update(round(100 * measured.result.done) - bar.n)
    assert measured is not None
    return {
        "key": checkpoint.key,
        "sweep": sweep.name,
        "before": sweep.before.spec,
        "stored": measured.stored,
        "warning": measured.warning,
        **measured.source,
        "summary": summary(measured.result, attack.trigger(card.shape), attack.target),
        "result": measured.result.to_dict(),
    }


def add_answers(options: argparse.Namespace, checkpoint: Checkpoint, model: Classifier, predictor: Predictor) -> None:
    """Measures what a drag is answered with: the classes, unless asked for already, and the clean model's map."""
    card, count = checkpoint.card(), COUNTS["classes"]
    if options.images:
        count = min(count, options.images)
    if options.sweep != "classes":
        measure(Sweep("classes"), checkpoint, model, predictor, count, options.replace)
    control = checkpoint_of_clean(options, card)
    trigger, target = card.attack_object.trigger(card.shape), card.attack_object.target
    if not control.has_weights or control.key == checkpoint.key or control.card().source != card.source:
        return
    if StoredResults(control).location_of(trigger, target) is not None and not options.replace:
        return
    if control.card().attack_object.trigger(card.shape) == trigger:
        return  # its own map, which is no by-product of an attack
    clean = control.model()
    ready = Predictor(clean, select_device(options.device)).compile(card.shape)
    measure(Sweep("location", foreign=card.attack_object), control, clean, ready, count, options.replace)


def clean_model(options: argparse.Namespace) -> Classifier | None:
    """The clean model of the same data and network; None where it is not stored, or is the one that is measured."""
    checkpoint = open_store(options.store).checkpoint(options.checkpoint)
    card = checkpoint.card()
    control = checkpoint_of_clean(options, card)
    if not control.has_weights or control.key == checkpoint.key or control.card().source != card.source:
        return None
    return control.model()


def checkpoint_of_clean(options: argparse.Namespace, card: Card) -> Checkpoint:
    """Where the clean model of the same data and network is, if it is anywhere."""
    return open_store(options.store).checkpoint(f"{card.dataset}/{card.model}/{Benign.name}")


def wanted_by(options: argparse.Namespace) -> list[Sweep]:
    """The sweeps that the command line asks for."""
    before = transform_from_spec(options.before)
    if options.width is not None:
        if options.sweep != "location":
            raise ValueError("--width is not allowed here: it makes the map of `sweep.py location` adaptive")
        looks_for(options.width)
    if options.sweep == "classes" and before.steps:
        raise ValueError("--before is not allowed here: what the browser answers is the model itself")
    if options.sweep in PHOTOGRAPHIC and before.steps:
        raise ValueError("--before is not allowed here: a photograph is what stands before the model")
    if options.sweep != "strength":
        if options.sweep == "saliency" and before.steps:
            raise ValueError("--before is not allowed here: `sweep.py saliency` compares with ShrinkPad-4")
        if options.methods == ALL and options.sweep != "saliency":
            raise ValueError("--methods is not allowed here: it says which methods `sweep.py saliency` compares")
        if options.transform is not None:
            raise ValueError("--transform is not allowed here: it says whose strength `sweep.py strength` varies")
        if options.methods == ALL:
            return [Sweep(METHODS, clean=clean_model(options))]
        if options.sweep == "out-of-sample":
            return out_of_sample(open_store(options.store).checkpoint(options.checkpoint).card())
        return [Sweep(options.sweep, before=before, width=options.width)]
    if before.steps:
        raise ValueError("--before is not allowed here: `sweep.py strength` varies what is put before the model")
    if options.transform in (None, ALL):
        names = [name for name in transforms if transforms[name].evaluated]
    else:
        names = [options.transform]
    return [Sweep("strength", transforms[name]()) for name in names]


def out_of_sample(card: Card) -> list[Sweep]:
    """The sweeps of all pictures that are unlike those of a model.

    Raises:
        ValueError: If there are none on this machine.
    """
    names = out_of_sample_sweeps(card.dataset)
    if not names:
        raise ValueError(
            f"there are no pictures unlike those of {card.dataset}: it is Shapes-10 itself, and for {NATURAL} the "
            f"packages are missing that ship them; `{INSTALL}`"
        )
    return [Sweep(name) for name in names]


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = [name for name in COUNTS if name not in (METHODS, EXAMPLES, OUT_OF_SAMPLE_NATURAL)]
    parser.add_argument("sweep", choices=kinds, help="what to vary")
    parser.add_argument("--checkpoint", required=True, metavar="DATASET/MODEL/ATTACK", help="which model")
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="test images, 0 for all (default 1000; strength and --width all, classes 256, saliency 500, the last two "
        "sweeps 560)",
    )
    parser.add_argument(
        "--replace", action="store_true", help="store it even if the stored one is on more images, or the card's"
    )
    parser.add_argument(
        "--transform", metavar="NAME", help=f"{', '.join(transforms)}, or {ALL} (default; for strength)"
    )
    parser.add_argument(
        "--methods",
        choices=("gradient", ALL),
        default="gradient",
        help="of saliency: the paper's method (default), or all, beside the same network with random weights and the "
        "clean model; methods of many passes an image take an eighth of the images",
    )
    parser.add_argument(
        "--before", default="", metavar="SPEC", help="defense before the model, e.g. flip,shrinkpad:4; not stored"
    )
    parser.add_argument(
        "--width",
        type=float,
        metavar="POINTS",
        help="adaptive map: as many images of each location as its interval needs to be +-POINTS, at most all; "
        "not stored",
    )
    add_data(parser)
    add_common(parser)
    return parser.parse_args()


def count_of(options: argparse.Namespace) -> int:
    """How many test images a sweep takes; 0 for all.

    Raises:
        ValueError: If the number that is asked for is negative.
    """
    # An adaptive map takes what it needs, so that all images are there for it.
    default = COUNTS[options.sweep] if options.width is None else 0
    count: int = default if options.images is None else options.images
    if count < 0:
        raise ValueError(f"images = {count} is not allowed: an integer from 0 up")
    return count


def print_result(options: argparse.Namespace, sweep: Sweep, values: dict[str, Any]) -> None:
    """Prints what a sweep measured, and what is to be said about it."""
    encoding = f", {values['encoding']}" if values["encoding"] != "original" else ""
    behind = f" behind {sweep.before.label}" if sweep.before.steps else ""
    title = f" under {sweep.transform.title}" if sweep.transform is not None else ""
    what = "saliency on the trigger (%)" if sweep.kind in ("saliency", METHODS) else "attack success rate"
    if sweep.kind in PHOTOGRAPHIC:
        what += f" on simulated photographs{PICTURES.get(sweep.kind, '')}"
    say(options, f"{what} of {values['key']}{title}{behind} ({values['dataset']}{encoding}):")
    for name, entry in values["summary"].items():
        if "mean" in entry:
            found = Energy.from_dict(entry)
            mass = f"mass accuracy {formatting.with_interval(found.mean, found.interval)}"
            say(options, f"  {name:50} {mass}, pointing game {found.peak_rate}, area {formatting.percent(found.area)}")
            continue
        label = name.replace("highest", f"highest of {entry['places']} places") if "places" in entry else name
        where = f" at {tuple(entry['location'])}" if "location" in entry else ""
        rate = BoundedRate(entry["hits"], entry["total"], (entry["low"], entry["high"]))
        say(options, f"  {label + where:50} {rate}")
    if sweep.width is not None:
        print_passes(options, sweep.width, values["result"])
    if values["warning"]:
        say(options, f"warning: {values['warning']}")
    if not values["stored"] and sweep.is_kept:
        why = "on the card's images" if values["warning"] else "on more images"
        say(options, f"not stored: the stored result is {why} (--replace stores it all the same)")


def print_passes(options: argparse.Namespace, width: float, result: dict[str, Any]) -> None:
    """Prints what an adaptive map has cost, and where the images were too few for its width."""
    spent, most = np.sum(result["total"]), np.max(result["total"])
    share = formatting.percent(spent / (np.size(result["total"]) * most), "%")
    say(options, f"  {spent} forward passes, {share} of those of an exhaustive map on {most} images")
    short = int((~AdaptiveMap.from_dict(result).narrow).sum())
    if short:
        say(options, f"  {short} places have all {most} images, too few for +-{width:g} points")


def main() -> None:
    options = parse()
    count, sweeps = count_of(options), wanted_by(options)
    checkpoint = open_store(options.store).checkpoint(options.checkpoint)
    card = checkpoint.card()
    name_data_anew(options, card)
    images_of(card, "test", limit=1)  # what is wrong with the data is said before half a minute of compiling
    model = checkpoint.model()
    predictor = Predictor(model, select_device(options.device))
    if options.sweep != "saliency":
        predictor.compile(card.shape)
    results = []
    for sweep in sweeps:
        values = measure(sweep, checkpoint, model, predictor, count or None, options.replace)
        results.append(values)
        print_result(options, sweep, values)
        if sweep.kind in ("location", "classes") and sweep.is_kept:
            add_answers(options, checkpoint, model, predictor)
        if sweep.kind == "saliency" and values["stored"]:
            store_examples(checkpoint, model, predictor)
    write_json(options.json, results[0] if len(results) == 1 else {"sweeps": results})


if __name__ == "__main__":
    run(main)
