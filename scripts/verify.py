"""Measures the stored numbers of every checkpoint again and fails where they differ.

    python scripts/verify.py                      # all checkpoints whose weights and data are on this machine
    python scripts/verify.py --only shapes10 --cells 20

The rates of the card are measured on the whole test set, a random sample of the cells of stored maps and curves on the
images they were measured on. Counts may differ by ``--tolerance`` of the images: other processors round bfloat16
differently.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from command import Parser, add_common, add_data, name_data_anew, run, say, write_json
from tqdm import tqdm

from core.data import DataMissing, ImageSet
from core.defenses import split_test
from core.inference.predictor import Predictor
from core.metrics import Rate
from core.runtime.device import select_device
from core.runtime.seeding import generator_for
from core.store.card import Damaged, Missing
from core.store.card_images import images_of, other_images
from core.store.local import Checkpoint
from core.store.remote import open_store
from core.sweeps.base import attacked, success_at
from core.sweeps.results import StoredResults, repaired_model
from core.sweeps.strength import strength_sweep
from core.training.trainer import measure
from core.transforms import transforms

DIFFERENT = 1


@dataclass(frozen=True)
class Comparison:
    """A stored number and the same measured again."""

    key: str
    what: str
    stored: Rate
    again: Rate

    def agrees(self, tolerance: float) -> bool:
        """Whether n is the same and the counts differ by at most a share ``tolerance`` of it."""
        near = abs(self.stored.hits - self.again.hits) <= tolerance * self.stored.total
        return self.stored.total == self.again.total and near


def compare(checkpoint: Checkpoint, cells: int, device: torch.device, *, whole: bool = True) -> Iterator[Comparison]:
    """Measures a checkpoint's card, ``cells`` random cells of each stored sweep, and its repairs.

    Args:
        checkpoint: What to measure again.
        cells: How many cells of each map and curve; a tenth as many strengths and repairs.
        device: Where to compute.
        whole: Whether to measure what takes the whole test set: all but the cells of maps and curves.

    Raises:
        DataMissing: If the test set that its rates were measured on is not on this machine.
        OtherData: If its data have other classes or another shape than it was trained on.
        Missing: If its weights are not stored.
        Damaged: If a file cannot be read.
    """
    card = checkpoint.card()
    data = images_of(card, "test")
    if warning := other_images(card, data):
        raise DataMissing(warning)
    model = checkpoint.model()
    attack = card.attack_object
    trigger = attack.trigger(card.shape)
    if whole:
        clean, success = measure(model, data, attack.target, trigger, device)
        yield Comparison(checkpoint.key, "clean accuracy", card.clean_accuracy, clean)
        yield Comparison(checkpoint.key, "attack success rate", card.attack_success_rate, success)
    predictor = Predictor(model, device)
    for what, trigger_there, stored in _cells(checkpoint, cells):
        images = attacked(data, attack.target, stored.total)
        again = success_at(predictor.predict, images, trigger_there, attack.target)
        yield Comparison(checkpoint.key, what, stored, again)
    if whole:
        yield from _strengths(checkpoint, cells, predictor, data)
        yield from _repairs(checkpoint, cells, data, device)


def _repairs(checkpoint: Checkpoint, cells: int, data: ImageSet, device: torch.device) -> Iterator[Comparison]:
    """A random sample of the repaired models, on the half of the test set that they were measured on."""
    attack, (_, practical) = checkpoint.card().attack_object, split_test(data)
    trigger = attack.trigger(checkpoint.card().shape)
    stored = StoredResults(checkpoint).repairs
    names = list(stored)
    generator = generator_for(0, "verify repairs", checkpoint.key)
    for index in torch.randperm(len(names), generator=generator)[: -(-cells // 10)].tolist():
        name = names[index]
        model = repaired_model(checkpoint, name)
        if model is None:
            raise Damaged(f"{checkpoint.key}: the tensors of the repair {name} are missing or damaged")
        clean, success = measure(model, practical, attack.target, trigger, device)
        yield Comparison(checkpoint.key, f"clean accuracy after {name}", stored[name].clean, clean)
        yield Comparison(checkpoint.key, f"attack success rate after {name}", stored[name].success, success)


def _strengths(checkpoint: Checkpoint, cells: int, predictor: Predictor, data: ImageSet) -> Iterator[Comparison]:
    """A random sample of the strengths of the stored sweeps of transformations."""
    attack = checkpoint.card().attack_object
    trigger = attack.trigger(checkpoint.card().shape)
    curves = StoredResults(checkpoint).strengths
    points = [(name, strength) for name, curve in curves.items() for strength in curve.strengths]
    generator = generator_for(0, "verify strengths", checkpoint.key)
    # A point takes the whole test set, many times the images of a cell.
    for index in torch.randperm(len(points), generator=generator)[: -(-cells // 10)].tolist():
        name, strength = points[index]
        images = data.subset(slice(curves[name].images))
        *_, again = strength_sweep(
            predictor.predict, images, trigger, attack.target, transforms[name](), strengths=[strength]
        )
        what = ("clean accuracy", "attack success rate")
        for kind, old, new in zip(what, curves[name].at(strength), again.at(strength), strict=True):
            yield Comparison(checkpoint.key, f"{kind} under {name} {strength:g}", old, new)


def _cells(checkpoint: Checkpoint, cells: int) -> Iterator[tuple[str, Any, Rate]]:
    """A random sample of the cells of the stored sweeps: a name, the trigger, the stored rate."""
    trigger = checkpoint.card().attack_object.trigger(checkpoint.card().shape)
    generator = generator_for(0, "verify", checkpoint.key)
    stored = StoredResults(checkpoint)
    location, curve = stored.location, stored.appearance
    if location is not None:
        for index in torch.randperm(location.hits.size, generator=generator)[:cells].tolist():
            row, col = location.rows[index // len(location.cols)], location.cols[index % len(location.cols)]
            yield f"location ({row}, {col})", trigger.at(row, col), location.at(row, col)
    if curve is not None:
        for index in torch.randperm(len(curve.values), generator=generator)[:cells].tolist():
            value = curve.values[index]
            yield f"pixel value {value}", trigger.with_value(value / 255), curve.at(value)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="PREFIX", help="only checkpoints whose name begins so")
    parser.add_argument("--cells", type=int, default=10, metavar="N", help="cells of each sweep (default 10)")
    parser.add_argument("--tolerance", type=float, default=0.01, help="allowed difference, share of n (default 0.01)")
    add_data(parser)
    add_common(parser)
    options = parser.parse_args()
    if options.cells < 0:
        raise ValueError(f"cells = {options.cells} is not allowed: an integer from 0 up")
    if not 0 <= options.tolerance <= 1:
        raise ValueError(f"tolerance = {options.tolerance:g} is not allowed: 0 to 1")
    device, store = select_device(options.device), open_store(options.store)
    keys = [key for key in store.keys() if key.startswith(options.only)]  # noqa: SIM118 - not a dictionary
    if not keys:
        raise ValueError(f"there is no checkpoint whose name begins with {options.only!r} in {store.root}")
    for key in keys if options.data is not None else ():
        name_data_anew(options, store.checkpoint(key).card())
    comparisons: list[Comparison] = []
    problems: list[str] = []
    left_out: list[str] = []
    for key in tqdm(keys, unit="model"):
        try:
            comparisons += compare(store.checkpoint(key), options.cells, device)
        except (DataMissing, Missing) as error:
            left_out.append(f"{key}: not verified: {error}")
            say(options, left_out[-1])
        except Damaged as error:
            problems.append(str(error))
        except ValueError as error:
            problems.append(f"{key}: {error}")
    problems += [
        f"{one.key}: {one.what}: stored {one.stored}, now {one.again}"
        for one in comparisons
        if not one.agrees(options.tolerance)
    ]
    say(options, "\n".join([*problems, f"{len(comparisons)} numbers measured again, {len(problems)} problems"]))
    write_json(options.json, {"measured": len(comparisons), "problems": problems, "not_verified": left_out})
    if problems:
        sys.exit(DIFFERENT)


if __name__ == "__main__":
    run(main)
