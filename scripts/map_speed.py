"""Ways to a location map, timed against each other: a toolbox's loop, a plain loop, and the location engine."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from timing import seconds_of, spread
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm
from training_speed import pictures_of

from core.data import ImageSet
from core.inference.incremental import BEHIND, Located, predictions_at
from core.inference.predictor import Predictor
from core.metrics import clopper_pearson
from core.models import Classifier
from core.store.card import Card
from core.sweeps.adaptive import AdaptiveMap, adaptive_sweep
from core.sweeps.base import PASSES_PER_STEP, attacked
from core.sweeps.coarse_to_fine import coarse_to_fine
from core.sweeps.location import location_sweep
from core.trigger import Trigger, stamp

__all__ = ["PLAIN_BATCH", "WIDTH", "engine", "engine_shares", "location_maps", "plain", "ratio", "toolbox"]

WIDTH = 5.0
PLAIN_BATCH = 256
TRUTH_CELLS = 40  # locations whose rate on all test images decides the coverage
WAYS = ("toolbox", "plain", "whole", "engine", "adaptive")


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


def toolbox(
    model: Classifier, images: Tensor, trigger: Trigger, target: int, places: Sequence[tuple[int, int]]
) -> Tensor:
    """Hits at each place, one Dataset and one DataLoader for each."""
    hits = []
    for place in places:
        with torch.no_grad():
            batches = loader(images, trigger.at(*place))
            hits.append(sum(int((model(batch).argmax(1) == target).sum()) for batch, _ in batches))
    return torch.tensor(hits)


def loading_only(images: Tensor, trigger: Trigger, places: Sequence[tuple[int, int]]) -> int:
    """The toolbox's way without the model: how many images it stamps and puts into batches."""
    return sum(len(batch) for place in places for batch, _ in loader(images, trigger.at(*place)))


def plain(
    model: Classifier,
    images: Tensor,
    trigger: Trigger,
    target: int,
    places: Sequence[tuple[int, int]],
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
    places: Sequence[tuple[int, int]],
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


@dataclass
class Turns:
    """What was timed in the turns so far: passes a second of every way, and what tells that they count the same."""

    rates: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in WAYS})
    adaptive_seconds: list[float] = field(default_factory=list)
    adaptive_passes: list[int] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    loading_share: float = 0.0
    cells: int = 0

    def add_fixed(
        self,
        model: Classifier,
        predictor: Predictor,
        some: Tensor,
        trigger: Trigger,
        target: int,
        places: Sequence[tuple[int, int]],
        plain_batch: int,
    ) -> None:
        """A turn of the ways that take the same images at every place; the slow ones take an eighth of the places."""
        device, few = predictor.device, places[: max(2, len(places) // 8)]
        here = some.to(device)
        toolbox_seconds, _ = seconds_of(lambda: toolbox(model, some, trigger, target, few), device)
        loading, _ = seconds_of(lambda: loading_only(some, trigger, few), device)
        self.loading_share = loading / toolbox_seconds
        self.rates["toolbox"].append(len(few) * len(some) / toolbox_seconds)
        seconds, slow = seconds_of(lambda: plain(model, here, trigger, target, few, plain_batch), device)
        self.rates["plain"].append(len(few) * len(some) / seconds)
        for name, located in (("whole", None), ("engine", predictor.located)):
            seconds, (fast, passes) = seconds_of(
                partial(engine, predictor, some, trigger, target, places, located), device
            )
            self.rates[name].append(passes / seconds)
            self.differences.append(float((slow - fast[: len(few)]).abs().max()) / len(some))

    def add_adaptive(
        self,
        predictor: Predictor,
        images: Tensor,
        trigger: Trigger,
        target: int,
        truth: Mapping[tuple[int, int], float],
        seed: int,
    ) -> None:
        """A turn of the adaptive map, and whether its intervals cover the rates on all images."""
        start = time.perf_counter()
        sweep = adaptive_sweep(
            predictor.predict, images, trigger, target, width=WIDTH, located=predictor.located, seed=seed
        )
        adaptive = last_of(sweep)
        self.adaptive_seconds.append(time.perf_counter() - start)
        self.adaptive_passes.append(int(adaptive.total.sum()))
        self.rates["adaptive"].append(self.adaptive_passes[-1] / self.adaptive_seconds[-1])
        self.cells = adaptive.hits.size
        low, high = adaptive.interval
        for (row, col), rate in truth.items():
            i, j = row - adaptive.rows[0], col - adaptive.cols[0]
            self.covered.append(bool(low[i, j] <= rate <= high[i, j]))

    def to_dict(self) -> dict[str, Any]:
        """What is reported."""
        needed = images_of_equal_guarantee()
        maps = {name: [self.cells * needed / rate for rate in self.rates[name]] for name in WAYS[:-1]}
        maps["adaptive"] = self.adaptive_seconds
        return {
            "images_of_equal_guarantee": needed,
            "cells": self.cells,
            "passes_per_second": {name: spread(values) for name, values in self.rates.items()},
            "seconds_to_a_map": {name: spread(values) for name, values in maps.items()},
            "adaptive_passes": spread([float(passes) for passes in self.adaptive_passes]),
            "ratios": {
                "engine_over_plain": ratio(maps["plain"], maps["engine"]),
                "engine_over_whole": ratio(maps["whole"], maps["engine"]),
                "engine_over_toolbox": ratio(maps["toolbox"], maps["engine"]),
                "adaptive_over_plain": ratio(maps["plain"], maps["adaptive"]),
            },
            "toolbox_loading_share": self.loading_share,
            "max_cell_difference": max(self.differences),
            "coverage": float(np.mean(self.covered)),
            "coverage_cells": len(self.covered),
        }


def location_maps(
    model: Classifier, predictor: Predictor, card: Card, test: ImageSet, options: argparse.Namespace
) -> dict[str, Any]:
    """The five ways to a map, taking turns."""
    attack = card.attack_object
    trigger, target = attack.trigger(card.shape), attack.target
    images = attacked(test, target)
    some = images[: options.images]
    places = coarse_to_fine(*trigger.places(*card.shape[1:]), trigger.location)[: options.places]
    predictor.predict(some)
    model = model.to(predictor.device)
    truth = _truth(predictor, images, trigger, target, options.seed)
    turns = Turns()
    for turn in tqdm(range(options.turns), desc="turns", unit="turn"):
        turns.add_fixed(model, predictor, some, trigger, target, places, options.plain_batch)
        turns.add_adaptive(predictor, images, trigger, target, truth, options.seed + turn)
    return {
        "images": len(some),
        **turns.to_dict(),
        "engine_shares": engine_shares(predictor, some, trigger, places),
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
    predictor: Predictor, images: Tensor, trigger: Trigger, places: Sequence[tuple[int, int]]
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
