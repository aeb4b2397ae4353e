"""How fast a network trains on this machine, alone and in company: the lines of ``benchmark.py --networks``.

Each measurement is a process of its own, so that it begins with memory of its own and with large pages where the
machine has them, as a training does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from command import run

from core import formatting
from core.attacks import attacks
from core.data import dataset_from
from core.models import build_model
from core.recipe import recipe_for
from core.runtime.device import fast_type, select_device
from core.runtime.machine_speed import matrix_rate, operations
from core.runtime.seeding import generator_for
from core.training.allocator import kept_memory, with_huge_pages
from core.training.optimizer import Optimizer
from core.training.step import Steps

__all__ = ["NetworkSpeed", "network_lines", "network_speeds"]

PASSES = 3
"""Forward passes that a step of training costs: backward is one for the inputs and one for the weights."""
BUSY = "while True: pass"


@dataclass(frozen=True)
class NetworkSpeed:
    """A step of training of one network.

    Attributes:
        model: Registered name.
        batch: Images of a step.
        company: Whether another process was busy meanwhile.
        images_per_second: From the median step.
        matrix_rate: Floating-point operations a second of a matrix product, in the type that is fastest here, measured
            in the same process.
        share: Operations of the step, a second, as a share of it.
        page_faults: Of one step.
    """

    model: str
    batch: int
    company: bool
    images_per_second: float
    matrix_rate: float
    share: float
    page_faults: float


def measure_step(model: str, batch: int, steps: int, device: torch.device, *, company: bool) -> NetworkSpeed:
    """Times some steps of the short recipe in this process, on procedural images of 32 x 32 pixels."""
    recipe, attack = replace(recipe_for("short", model), batch=batch), attacks["benign"]()
    data = dataset_from("shapes10").load("train", limit=batch).to(device)
    built = build_model(model, classes=10, channels=3, seed=0)
    built.normalise.fit(data.images)
    flops = PASSES * operations(built.eval(), data.shape)
    built = built.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    poisoned = torch.zeros(len(data), dtype=torch.bool, device=device)
    taken = Steps(attack, built, Optimizer(built, recipe), data, data.labels, poisoned)
    generator, index = generator_for(0, "benchmark", device=device), torch.arange(len(data), device=device)
    times, faults = [], []
    rate = matrix_rate(fast_type(device), device)
    with kept_memory():
        for _ in range(steps + 2):
            begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            taken.take(index, 0.0, generator)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - begun)
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    speed = len(data) / statistics.median(times[2:])
    share = speed * flops / rate
    return NetworkSpeed(model, batch, company, speed, rate, share, statistics.median(faults[2:]))


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """Another process computes meanwhile, on one core."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def network_speeds(networks: Sequence[str], batches: Sequence[int], steps: int, device: str) -> list[NetworkSpeed]:
    """Every network at every batch, alone and beside a busy process.

    Raises:
        ValueError: If a measurement fails.
    """
    found = []
    for model in networks:
        for batch in batches:
            for company in (False, True):
                with busy_process() if company else contextlib.nullcontext():
                    found.append(_in_process(model, batch, steps, device, company))
    return found


def _in_process(model: str, batch: int, steps: int, device: str, company: bool) -> NetworkSpeed:
    command = [sys.executable, __file__, model, str(batch), str(steps), device, *(["--company"] * company)]
    made = subprocess.run(command, capture_output=True, text=True, env=with_huge_pages(os.environ))
    if made.returncode:
        raise ValueError((made.stderr.strip().splitlines() or ["no answer"])[-1])
    return NetworkSpeed(**json.loads(made.stdout))


def network_lines(speeds: Sequence[NetworkSpeed]) -> list[str]:
    """A line for each."""
    return [
        f"  training {one.model}, batch {one.batch}{', beside a busy process' * one.company}: "
        f"{one.images_per_second:.0f} images/s, {formatting.percent(one.share, '%', 0)} of "
        f"{one.matrix_rate / 1e9:.0f} GFLOP/s, {one.page_faults:.0f} page faults a step"
        for one in speeds
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Times steps of one network in this process; prints JSON.")
    parser.add_argument("model")
    parser.add_argument("batch", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("device")
    parser.add_argument("--company", action="store_true")
    options = parser.parse_args()
    device = select_device(options.device)
    print(
        json.dumps(asdict(measure_step(options.model, options.batch, options.steps, device, company=options.company)))
    )


if __name__ == "__main__":
    run(main)
