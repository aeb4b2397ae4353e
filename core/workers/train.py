"""Trains a plan in a process of its own, and of low priority, for an application that goes on meanwhile.

python -m core.workers.train plan.json --store checkpoints
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from core.runtime.atomic_files import write_atomically
from core.runtime.device import select_device
from core.runtime.yielding import Courtesy
from core.store.card_images import at
from core.store.remote import open_store
from core.training.allocator import with_huge_pages
from core.training.trainer import Plan, train
from core.workers.process import lower_priority

__all__ = ["train_in_background"]

NICE = 5
"""Whoever drags a trigger meanwhile comes first."""


def train_in_background(
    plan: Plan, store: Path | str, device: str, folder: Path, courtesy: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts a process that trains; it outlives this one.

    Args:
        plan: What to train.
        store: Where the checkpoint goes.
        device: Where to compute.
        folder: Where the plan is written for the process, and ``log.txt``, what it says.
        courtesy: File of a :class:`core.runtime.yielding.Courtesy`: the process rests while somebody waits.

    Raises:
        OSError: If the files cannot be written.
    """
    write_atomically(folder / "plan.json", json.dumps(plan.to_dict()).encode())
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "core.workers.train", str(folder / "plan.json")]
    command += ["--store", str(store), "--device", device]
    command += ["--courtesy", str(courtesy)] if courtesy is not None else []
    command += ["--data", str(plan.at.to_dict()["path"])] if plan.at is not None else []
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(
            command, cwd=root, stdout=log, stderr=log, start_new_session=True, env=with_huge_pages(os.environ)
        )


def main() -> None:
    """Trains the plan in a file."""
    parser = argparse.ArgumentParser(description="Trains the plan in a file.")
    parser.add_argument("plan", type=Path, help="the plan as JSON")
    parser.add_argument("--store", required=True, help="where the checkpoint goes")
    parser.add_argument("--device", default="auto", help="where to compute")
    parser.add_argument("--data", help="where the plan's folder of images is now")
    parser.add_argument("--courtesy", type=Path, help="file that says when somebody last waited for this machine")
    options = parser.parse_args()
    courtesy = Courtesy(options.courtesy) if options.courtesy is not None else None
    lower_priority(NICE)
    try:
        plan = Plan.from_dict(json.loads(options.plan.read_text()))
        plan = replace(plan, at=at(plan.dataset, options.data)) if options.data is not None else plan
        for _ in train(plan, open_store(options.store), select_device(options.device), courtesy=courtesy):
            pass
    except (ValueError, OSError) as error:
        raise SystemExit(" ".join(str(error).split())) from None


if __name__ == "__main__":
    main()
