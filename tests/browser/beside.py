"""Measures a drag beside each kind of work that the application can start, and writes the table.

    python tests/browser/beside.py --update dashboard/README.md
    python tests/browser/beside.py --steps 5 --only report --only map        # whether it works

For each, ``latency.py`` starts a server of its own, drags alone and then while another user has started the work: what
is measured are the milliseconds from a pointer's move to the new rate on the page, of a look that the server must
measure. A training and the opening of a model take files of their own, which are not kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latency import ROOT, measure, training, write_json
from tried import update_table

HEAD = ("| beside | p50 | p95 | longest | alone: p50 | p95 |", "|---|---|---|---|---|---|")
REPAIRS = "defenses?model=shapes10/resnet20/badnets&part=repairs&with="
WORK = {
    "estimate": (
        "an estimate of a training's time",
        "train?train-on=shapes10&train-model=resnet18",
        "Time a few steps",
    ),
    "report": ("an audit report", "location?model=shapes10/resnet20/benign", "Make an audit report"),
    "training": ("a training", "", ""),
    "import": ("the opening of a model", "open_model?open-data=shapes10", "Open"),
    "map": ("a map of all places", "location?model=shapes10/resnet20/badnets&value=91", ""),
    "auto-encoder": ("an auto-encoder", f"{REPAIRS}auto-encoder", "Run"),
    "neural-cleanse": ("Neural Cleanse", f"{REPAIRS}neural-cleanse", "Run"),
    "fine-pruning": ("fine-pruning", f"{REPAIRS}fine-pruning", "Run"),
}
"""The name in the table, the page that the other user opens, and the button that is pressed there."""


@contextmanager
def file_to_open() -> Iterator[dict[str, str]]:
    """Fields of the page *Open a model* that name a network with random weights."""
    import torch

    from core.models import build_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        torch.save(build_model("resnet18", classes=10, seed=0).state_dict(), path)
        yield {"File or folder on this machine": str(path)}


@contextmanager
def store_of_its_own(model: str) -> Iterator[None]:
    """Copies of the models that are needed, so that what is stored meanwhile does not stay."""
    with tempfile.TemporaryDirectory() as folder:
        for dataset in {"shapes10", model.partition("/")[0]}:
            shutil.copytree(ROOT / "checkpoints" / dataset, Path(folder) / dataset)
        os.environ["TRIGGER_CHECKPOINTS"] = folder
        yield
        del os.environ["TRIGGER_CHECKPOINTS"]


def measured(name: str, model: str, steps: int) -> dict[str, Any]:
    """A drag alone and beside one kind of work."""
    _, link, press = WORK[name]
    with store_of_its_own(model), training(name == "training"), file_to_open() as fields:
        found = measure(
            model,
            steps,
            5.0,
            "value=90",
            beside=[link] if link else [],
            press=press,
            fields=fields if name == "import" else {},
        )

    if press and not found["workers"]:
        raise OSError(f"{WORK[name][0]} was not under way while the trigger was dragged")
    return found


def row(name: str, found: dict[str, Any]) -> str:
    """A row of the table, in milliseconds."""
    values = [found[key] for key in ("p50_ms", "p95_ms", "max_ms", "alone_p50_ms", "alone_p95_ms")]
    return f"| {WORK[name][0]} | {' | '.join('' if value is None else f'{value:.0f}' for value in values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes10/resnet20/badnets-gray", help="checkpoint to drag the trigger of")
    parser.add_argument("--steps", type=int, default=50, help="steps of each drag (default 50)")
    parser.add_argument("--only", action="append", choices=tuple(WORK), help="a kind of work; may be repeated")
    parser.add_argument("--update", metavar="FILE", type=Path, help="write the rows into the table of this file")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers as JSON; - for stdout")
    options = parser.parse_args()
    found = {}
    print("\n".join(HEAD), flush=True)
    for name in options.only or WORK:
        found[name] = measured(name, options.model, options.steps)
        print(row(name, found[name]), flush=True)
    if options.update is not None:
        update_table(options.update, "beside", HEAD, [row(name, values) for name, values in found.items()])
    write_json(found, options.json)


if __name__ == "__main__":
    main()
