"""Measures how fast sweeps, training and saliency are on this machine, as ratios to plainer ways, in one run.

    python scripts/benchmark.py --checkpoint shapes10/resnet20/badnets --json -

Five ways to a location map on the same model and images, taking turns:

    toolbox   one location after the other in float32, each with a Dataset, a DataLoader and stamping through PIL
    plain     one location after the other in float32, batched, the model as it was trained
    whole     the project's own path, a whole forward pass for every image at every location
    engine    the same, with what the trigger does not change computed once for each image
    adaptive  the same path, every location on as many images as its interval needs

With ``--networks vgg19,resnet34`` it times steps of their training instead, alone and beside a busy process, for the
batches of ``--batches``: images a second, their share of the measured bfloat16 matrix rate, page faults a step.

A map of equal guarantee has every location known to within 5 points: the first four need the number of images that
makes an exact 95% interval of any rate that narrow, the adaptive one takes as many as it takes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from command import Parser, add_common, run, say, write_json
from network_speed import network_lines, network_speeds
from PIL import Image
from timing import seconds_of, spread
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm
from training_speed import pictures_of, training_speeds

from core.attribution.methods import Explained, methods
from core.data import ImageSet
from core.inference.incremental import BEHIND, Located, predictions_at
from core.inference.predictor import Predictor
from core.metrics import clopper_pearson
from core.models import Classifier, models
from core.recipe import recipe_for
from core.runtime.device import select_device
from core.runtime.rates import matrix_rate, operations
from core.store.card import Card, environment
from core.store.card_images import images_of
from core.store.remote import open_store
from core.sweeps.adaptive import AdaptiveMap, adaptive_sweep
from core.sweeps.base import PASSES_PER_STEP, attacked
from core.sweeps.coarse_to_fine import coarse_to_fine
from core.sweeps.location import location_sweep
from core.sweeps.saliency import targets_of
from core.trigger import Trigger, stamp

WIDTH = 5.0
PLAIN_BATCH = 256
TRUTH_CELLS = 40  # locations whose rate on all test images decides the coverage


class Stamped(TorchDataset[tuple[Tensor, int]]):
    """Test images stamped one by one through PIL when they are asked for, as toolboxes do."""

    def __init__(self, images: Tensor, trigger: Trigger) -> None:
        self.images = pictures_of((images * 255).round().byte())
        pattern = (trigger.pattern * 255).round().byte().permute(1, 2, 0).numpy()
        alpha = (trigger.alpha.amax(0) * 255).round().byte().numpy()
        self.patch = Image.fromarray(pattern if pattern.shape[2] == 3 else pattern[:, :, 0])
        self.mask = Image.fromarray(alpha)
        self.corner = (trigger.col - trigger.width + 1, trigger.row - trigger.height + 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = self.images[index].copy()
        picture.paste(self.patch, self.corner, self.mask)
        array = np.array(picture)
        array = array if array.ndim == 3 else array[:, :, None]
        return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1).float().div(255), index


def loader(images: Tensor, trigger: Trigger) -> DataLoader[tuple[Tensor, int]]:
    """Batches of stamped images for one location."""
    return DataLoader(Stamped(images, trigger), batch_size=128)


def toolbox(model: Classifier, images: Tensor, trigger: Trigger, target: int, places: list[tuple[int, int]]) -> Tensor:
    """Hits at each place, one Dataset and one DataLoader for each."""
    hits = []
    for place in places:
        with torch.no_grad():
            batches = loader(images, trigger.at(*place))
            hits.append(sum(int((model(batch).argmax(1) == target).sum()) for batch, _ in batches))
    return torch.tensor(hits)


def loading_only(images: Tensor, trigger: Trigger, places: list[tuple[int, int]]) -> int:
    """The toolbox's way without the model: how many images it stamps and puts into batches."""
    return sum(len(batch) for place in places for batch, _ in loader(images, trigger.at(*place)))


def plain(
    model: Classifier,
    images: Tensor,
    trigger: Trigger,
    target: int,
    places: list[tuple[int, int]],
    batch: int = PLAIN_BATCH,
) -> Tensor:
    """Hits at each place, batched, with the model as it was trained."""
    hits = []
    with torch.no_grad():
        for place in places:
            parts = torch.split(stamp(images, trigger.at(*place)), batch)
            hits.append(sum(int((model(part).argmax(1) == target).sum()) for part in parts))
    return torch.tensor(hits)


def engine(
    predictor: Predictor,
    images: Tensor,
    trigger: Trigger,
    target: int,
    places: list[tuple[int, int]],
    located: Located | None = None,
) -> tuple[Tensor, int]:
    """Hits at each place along the path that every sweep of the project takes, and its forward passes until then."""
    wanted = torch.tensor(places)
    for found in location_sweep(predictor.predict, images, trigger, target, located=located):
        rows, cols = wanted[:, 0] - found.rows[0], wanted[:, 1] - found.cols[0]
        if bool((torch.from_numpy(found.total)[rows, cols] > 0).all()):
            break
    return torch.from_numpy(found.hits)[rows, cols], int(found.total.sum())


def images_of_equal_guarantee() -> int:
    """Images that make an exact 95% interval of any rate no wider than 5 points either way."""
    total = 100
    while True:
        low, high = clopper_pearson(total // 2, total, 0.05)
        if high - low <= 2 * WIDTH / 100:
            return total
        total += 1


def ratio(above: list[float], below: list[float]) -> dict[str, float]:
    """How many times as much, turn by turn."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def location_maps(
    model: Classifier, predictor: Predictor, card: Card, test: ImageSet, options: argparse.Namespace
) -> dict[str, Any]:
    """The five ways to a map, taking turns."""
    attack = card.attack_object
    trigger, target, device = attack.trigger(card.shape), attack.target, predictor.device
    images = attacked(test, target)
    some = images[: options.images]
    places = coarse_to_fine(*trigger.places(*card.shape[1:]), trigger.location)[: options.places]
    few = places[: max(2, len(places) // 8)]
    rates: dict[str, list[float]] = {"toolbox": [], "plain": [], "whole": [], "engine": [], "adaptive": []}
    adaptive_seconds, adaptive_passes, differences, covered = [], [], [], []
    predictor.predict(some)
    model, here = model.to(device), some.to(device)
    truth = _truth(predictor, images, trigger, target, options.seed)
    for turn in tqdm(range(options.turns), desc="turns", unit="turn"):
        toolbox_seconds, _ = seconds_of(lambda: toolbox(model, some, trigger, target, few), device)
        loading, _ = seconds_of(lambda: loading_only(some, trigger, few), device)
        rates["toolbox"].append(len(few) * len(some) / toolbox_seconds)
        seconds, slow = seconds_of(lambda: plain(model, here, trigger, target, few, options.plain_batch), device)
        rates["plain"].append(len(few) * len(some) / seconds)
        for name, located in (("whole", None), ("engine", predictor.located)):
            seconds, (fast, passes) = seconds_of(
                partial(engine, predictor, some, trigger, target, places, located), device
            )
            rates[name].append(passes / seconds)
            differences.append(float((slow - fast[: len(few)]).abs().max()) / len(some))
        start = time.perf_counter()
        found = last_of(
            adaptive_sweep(
                predictor.predict,
                images,
                trigger,
                target,
                width=WIDTH,
                located=predictor.located,
                seed=options.seed + turn,
            )
        )
        adaptive_seconds.append(time.perf_counter() - start)
        adaptive_passes.append(int(found.total.sum()))
        rates["adaptive"].append(adaptive_passes[-1] / adaptive_seconds[-1])
        low, high = found.interval
        for (row, col), rate in truth.items():
            i, j = row - found.rows[0], col - found.cols[0]
            covered.append(bool(low[i, j] <= rate <= high[i, j]))
    needed = images_of_equal_guarantee()
    cells = found.hits.size
    maps = {name: [cells * needed / rate for rate in rates[name]] for name in ("toolbox", "plain", "whole", "engine")}
    maps["adaptive"] = adaptive_seconds

    return {
        "images": len(some),
        "images_of_equal_guarantee": needed,
        "cells": cells,
        "passes_per_second": {name: spread(values) for name, values in rates.items()},
        "seconds_to_a_map": {name: spread(values) for name, values in maps.items()},
        "adaptive_passes": spread([float(passes) for passes in adaptive_passes]),
        "ratios": {
            "engine_over_plain": ratio(maps["plain"], maps["engine"]),
            "engine_over_whole": ratio(maps["whole"], maps["engine"]),
            "engine_over_toolbox": ratio(maps["toolbox"], maps["engine"]),
            "adaptive_over_plain": ratio(maps["plain"], maps["adaptive"]),
        },
        "toolbox_loading_share": loading / toolbox_seconds,
        "engine_shares": engine_shares(predictor, some, trigger, places),
        "max_cell_difference": max(differences),
        "coverage": float(np.mean(covered)),
        "coverage_cells": len(covered),
    }


def _truth(
    predictor: Predictor, images: Tensor, trigger: Trigger, target: int, seed: int
) -> dict[tuple[int, int], float]:
    """The rate on all test images at some places."""
    rows, cols = trigger.places(images.shape[2], images.shape[3])
    every = [(row, col) for row in rows for col in cols]
    chosen = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))[:TRUTH_CELLS].tolist()
    found = {}
    for index in tqdm(chosen, desc="rates on all test images", unit="place"):
        predicted = predictions_at(predictor.predict, images, trigger.at(*every[index]))
        found[every[index]] = float((predicted == target).float().mean())
    return found


def engine_shares(
    predictor: Predictor, images: Tensor, trigger: Trigger, places: list[tuple[int, int]]
) -> dict[str, float]:
    """Where the engine's time goes: shares by kind; nothing where it makes whole passes or computes elsewhere."""
    at, each = predictor.located(images, trigger), max(1, PASSES_PER_STEP // len(images))
    steps = [places[start : start + each] for start in range(0, len(places), each)]
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        seconds, _ = seconds_of(lambda: [at(step) for step in steps], predictor.device)
    events = {event.key: event for event in profiled.key_averages()}
    if BEHIND not in events or predictor.device.type == "cuda":
        return {}
    kinds = {"early convolutions": "conv", "cutting windows out and putting them back": "index"}
    spent = {BEHIND: float(events.pop(BEHIND).cpu_time_total)}
    for kind, part in kinds.items():
        spent[kind] = sum(float(event.self_cpu_time_total) for name, event in events.items() if part in name)
    return {kind: microseconds / 1e6 / seconds for kind, microseconds in spent.items()}


def last_of(results: Iterator[AdaptiveMap]) -> AdaptiveMap:
    """The complete map."""
    *_, last = results
    return last


def batch_speeds(
    model: Classifier, card: Card, images: Tensor, sizes: list[int], turns: int, device: torch.device
) -> dict[str, float]:
    """Passes a second of graphs compiled for batches of several sizes, the best of their turns."""
    predictors = {size: Predictor(model, device, batch=size).compile(card.shape) for size in sizes}
    found = dict.fromkeys(sizes, 0.0)
    for _ in range(turns):
        for size, predictor in predictors.items():
            seconds, _ = seconds_of(partial(predictor.predict, images), predictor.device)
            found[size] = max(found[size], len(images) / seconds)
    return {str(size): speed for size, speed in found.items()}


def saliency_seconds(model: Classifier, test: ImageSet, device: torch.device) -> float:
    """Seconds of the vanilla gradient of one image, warm, median of twenty."""
    explained, method = Explained(model, device), methods["gradient"]()
    image, label = test.floats(torch.tensor([0])), test.labels[:1]
    wanted = targets_of("true", label, label, 0)
    times = [seconds_of(lambda: method(explained, image, wanted), device)[0] for _ in range(25)]
    return statistics.median(times[5:])


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="shapes10/resnet20/badnets", metavar="DATASET/MODEL/ATTACK")
    parser.add_argument(
        "--images", type=int, default=256, help="images per location of the first three ways (default 256)"
    )
    parser.add_argument("--places", type=int, default=48, help="locations that the engine is timed on (default 48)")
    parser.add_argument("--turns", type=int, default=3, help="how often each way has its turn (default 3)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw (default 0)")
    parser.add_argument(
        "--plain-batch",
        type=int,
        default=PLAIN_BATCH,
        help=f"images at once in the plain loop (default {PLAIN_BATCH})",
    )
    parser.add_argument("--batches", default="", metavar="N,N", help="also time graphs compiled for such batches")
    parser.add_argument(
        "--networks", default="", metavar="NAMES", help="instead time steps of training of these networks"
    )
    parser.add_argument("--no-training", action="store_true", help="leave the training speed out")
    add_common(parser)
    options = parser.parse_args()
    for name in ("images", "places", "turns", "plain_batch"):
        if getattr(options, name) < 1:
            raise ValueError(f"{name} = {getattr(options, name)} is not allowed: an integer from 1 up")
    sizes = [int(size) for size in options.batches.split(",") if size.strip().isdecimal() and int(size) > 0]
    if options.batches and len(sizes) != options.batches.count(",") + 1:
        raise ValueError(f"batches = {options.batches!r} is not allowed: integers from 1 up with commas between")
    if options.networks:
        names = [models[name.strip()].name for name in options.networks.split(",")]
        speeds = network_speeds(
            names, sizes or [recipe_for("short", names[0]).batch], 2 + options.turns, options.device
        )
        say(options, "\n".join(network_lines(speeds)))
        write_json(options.json, {"networks": [asdict(one) for one in speeds]})
        return
    checkpoint = open_store(options.store).checkpoint(options.checkpoint)
    card, model = checkpoint.card(), checkpoint.model()
    device = select_device(options.device)
    test = images_of(card, "test")
    predictor = Predictor(model, device).compile(card.shape)
    flops = operations(model, card.shape)
    matrix = {
        name: matrix_rate(dtype, device) for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32))
    }
    found = location_maps(model, predictor, card, test, options)
    speed = found["passes_per_second"]["whole"]["median"]
    found |= {
        "key": options.checkpoint,
        "path": predictor.path,
        "environment": environment(device),
        "operations_per_pass": flops,
        "matrix_rate": matrix,
        "matrix_share": speed * flops / matrix[str(predictor.dtype).removeprefix("torch.")],
        "dtype": str(predictor.dtype).removeprefix("torch."),
        "saliency_seconds": saliency_seconds(checkpoint.model(), test, device),
    }
    if sizes:
        found["passes_per_second_by_batch"] = batch_speeds(
            model, card, test.floats(slice(1024)), sizes, options.turns, device
        )
    if not options.no_training:
        training = training_speeds(card, device, options.turns)
        speeds = training["images_per_second"]
        found["training_images_per_second"] = {name: spread(values) for name, values in speeds.items()}
        found["training_convolution_share"] = training["convolution_share"]
        for name in ("plain", "toolbox"):
            found["ratios"][f"recipe_over_{name}_training"] = ratio(speeds["recipe"], speeds[name])
    say(options, text_of(found))
    write_json(options.json, found)


def text_of(found: dict[str, Any]) -> str:
    """The results for people."""

    def shown(values: dict[str, float], digits: int = 1) -> str:
        return f"{values['median']:.{digits}f} ({values['low']:.{digits}f} to {values['high']:.{digits}f})"

    where = f"{found['environment']['device']}, {found['environment']['threads']} threads"
    lines = [f"{found['key']} on {where}; {found['path']}"]
    for name, values in found["passes_per_second"].items():
        seconds = found["seconds_to_a_map"][name]
        lines.append(f"  {name:9} {shown(values, 0)} passes/s, {shown(seconds)} s to a map of equal guarantee")
    for name, values in found["ratios"].items():
        lines.append(f"  {name.replace('_', ' '):21} {shown(values)}")
    rates = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in found["matrix_rate"].items())
    share = f"{found['matrix_share']:.0%} of that of {found['dtype']}, in which they compute"
    lines.append(f"  matrix product, GFLOP/s {rates}; whole passes run at {share}")
    lines.append(f"  a toolbox's loop spends {found['toolbox_loading_share']:.0%} of its time on stamping and batches")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["engine_shares"].items())
    lines += [f"  the engine's time: {shares}"] if shares else []
    lines += [
        f"  largest difference of a cell between engine and plain {100 * found['max_cell_difference']:.2f} points",
        f"  adaptive intervals cover {found['coverage']:.1%} of {found['coverage_cells']} rates on all test images",
    ]
    lines.append(f"  vanilla gradient of one image {1000 * found['saliency_seconds']:.1f} ms")
    for size, speed in found.get("passes_per_second_by_batch", {}).items():
        lines.append(f"  compiled for batches of {size}: {speed:.0f} passes/s")
    for name, values in found.get("training_images_per_second", {}).items():
        lines.append(f"  training, {name:9} {shown(values, 0)} images/s")
    if "training_convolution_share" in found:
        lines.append(f"  convolutions take {found['training_convolution_share']:.0%} of the recipe's training")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
