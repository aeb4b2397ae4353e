"""Checks the project on a machine with a CUDA device: its tests there, its speed, and a small grid; one page to send.

    python scripts/check_device.py --out cuda.txt

Runs every test that needs the device, ``benchmark.py`` on it, training steps of the paper's networks, and part of the
grid with trainings of one epoch. What each said goes into one page of text; the status is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from command import Parser, run

from core.runtime.atomic_files import write_atomically
from core.runtime.device import select_device
from core.store.card import environment

ROOT = Path(__file__).resolve().parent.parent
LINES = 14  # of what each part said at the end, so that all fit on a page


@dataclass(frozen=True)
class Part:
    """One thing that was run.

    Attributes:
        title: What it is.
        status: Its exit status; 0 where all went well.
        seconds: How long it took.
        said: The end of what it said.
    """

    title: str
    status: int
    seconds: float
    said: str


def parts_of(device: str, folder: Path) -> dict[str, list[str]]:
    """What is run: titles and commands."""
    python, scripts = sys.executable, ROOT / "scripts"
    grid = ["--grid", "small", "--dataset", "shapes10", "--epochs", "1", "--limit", "256", "--only", "table5,fig4"]
    return {
        "tests": [python, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", str(ROOT / "tests" / "core")],
        "benchmark": [python, str(scripts / "benchmark.py"), "--device", device],
        "networks": [python, str(scripts / "benchmark.py"), "--device", device, "--networks", "vgg19,resnet34"],
        "grid": [python, str(scripts / "reproduce.py"), *grid, "--device", device, "--store", str(folder / "store")],
    }


def carry_out(title: str, command: Sequence[str]) -> Part:
    """Runs one of them."""
    print(f"{title} ...", file=sys.stderr, flush=True)
    start = time.perf_counter()
    made = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
    )
    lines = [line.rpartition("\r")[2].rstrip() for line in made.stdout.splitlines()]
    said = "\n".join([line for line in lines if line][-LINES:])
    return Part(title, made.returncode, time.perf_counter() - start, said)


def page_of(device: torch.device, parts: Sequence[Part]) -> str:
    """The page."""
    about = ", ".join(f"{name} {value}" for name, value in environment(device).items())
    text = [f"Check on {device.type}: {about}"]
    for part in parts:
        ended = "ok" if part.status == 0 else f"FAILED with status {part.status}"
        text.append(f"\n## {part.title}: {ended}, {part.seconds:.0f} s\n{part.said}")
    return "\n".join(text) + "\n"


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="what is checked (default cuda)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the page goes (default: printed only)")
    options = parser.parse_args()
    device = select_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        parts = [carry_out(title, command) for title, command in parts_of(device.type, Path(folder)).items()]
    page = page_of(device, parts)
    print(page, end="")
    if options.out is not None:
        write_atomically(options.out, page.encode())
    if any(part.status for part in parts):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
