"""Measures how fast sweeps, training and saliency are on this machine, as ratios to plainer ways, in one run.

    python scripts/benchmark.py --checkpoint shapes10/resnet20/badnets --json -

Five ways to a location map on the same model and images, taking turns:

    toolbox   one location after the other in float32, each with a Dataset, a DataLoader and stamping through PIL
    plain     one location after the other in float32, batched, the model as it was trained
    whole     the project's own path, a whole forward pass for every image at every location
    engine    the same, with what the trigger does not change computed once for each image
    adaptive  the same path, every location on as many images as its interval needs

With ``--networks vgg19,resnet34`` it times steps of their training instead, alone and beside a busy process, for the
batches of ``--batches``: images a second, their share of the measured matrix rate, page faults a step.

A map of equal guarantee has every location known to within 5 points: the first four need the number of images that
makes an exact 95% interval of any rate that narrow, the adaptive one takes as many as it takes.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from command import Parser, add_common, run, say, write_json
from map_speed import PLAIN_BATCH, location_maps, ratio
from network_speed import network_lines, network_speeds
from timing import seconds_of, spread
from torch import Tensor
from training_speed import training_speeds

from core.attribution.methods import Explained, methods
from core.data import ImageSet
from core.inference.predictor import Predictor
from core.models import Classifier, models
from core.recipe import recipe_for
from core.runtime.device import select_device
from core.runtime.machine_speed import matrix_rate, operations
from core.store.card import Card, environment
from core.store.card_images import images_of
from core.store.remote import open_store
from core.sweeps.saliency import targets_of


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
