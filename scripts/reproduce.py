"""Reproduces the paper: trains what is missing, measures it, and prints the paper's numbers beside ours.

    python scripts/reproduce.py --grid small
    python scripts/reproduce.py --grid paper --device cuda --json results.json
    python scripts/reproduce.py --grid small --dataset shapes10 --only table1,fig14 --workers 2
    python scripts/reproduce.py --grid small --dataset shapes10 --only fig14 --attacks badnets --epochs 3
    python scripts/reproduce.py --grid small --list

``small`` is ResNet-20, which a laptop can do; ``paper`` is VGG-19 and ResNet-34, with the recipe and the settings of
repairs that the paper has. Every run says how long it will take before it begins, ``--list`` says it task by task. What
is stored is not made again: an interrupted run continues when the same command is given again. With ``--engine ray``
the tasks run on a Ray cluster.

Fig. 14 compares models that were trained alike: ``--epochs`` says how long, for all nine sizes, and ``--replace``
trains those of them anew that are stored but were trained otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from command import Parser, add_common, add_data, add_dataset, dataset_of, name_data_anew, run, say, write_json
from tqdm import tqdm

from core import formatting
from core.models import models
from core.paper.ablation import SIZES
from core.paper.claims import Verdict
from core.paper.claims.base import reading
from core.paper.comparison import Number, compared
from core.paper.constants import PAPER_MODELS
from core.paper.results import Results
from core.recipe import RECIPES
from core.reproduction.cost import hours_of
from core.reproduction.executors import Engine, Processes, RayCluster, Serial, run_tasks
from core.reproduction.performing import Progress, pending, stored_attacks
from core.reproduction.tasks import ATTACKS, PARTS, TRAINING, Task, grid
from core.runtime.atomic_files import sweep_up
from core.runtime.device import select_device
from core.store.card import Missing
from core.store.remote import open_store

GRIDS = {"small": ("resnet20",), "paper": PAPER_MODELS}
ENGINES = ("local", "ray")
INCOMPLETE = 1


def listed(text: str) -> list[str]:
    """Names with commas between."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse() -> tuple[argparse.Namespace, list[Task], list[str]]:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", default="small", choices=tuple(GRIDS), help="which networks (default small)")
    add_dataset(parser, "cifar10")
    parser.add_argument("--models", type=listed, metavar="NAMES", help=f"other networks: {', '.join(models)}")
    parser.add_argument("--only", type=listed, default=[], metavar="PARTS", help=f"some of {', '.join(PARTS)}")
    parser.add_argument(
        "--attacks", type=listed, default=[], metavar="NAMES", help=f"some of {', '.join(ATTACKS)} (default all)"
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        help="recipe of every training (default: paper with the grid paper, else fast); with paper, the repairs have "
        "the paper's settings too",
    )
    parser.add_argument("--epochs", type=int, help="epochs of every training (default: the recipe's)")
    parser.add_argument("--images", type=int, default=500, help="test images of maps and saliency, 0 for all")
    parser.add_argument("--limit", type=int, default=0, help="largest number of test images of any sweep")
    parser.add_argument("--shrinks", type=listed, metavar="SIZES", help="largest shrink sizes of fig14 (default 0..8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every training (default 0)")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="train those models of fig14 anew that are stored but were trained otherwise; their results then do not "
        "count",
    )
    parser.add_argument("--engine", default="local", choices=ENGINES, help="where the tasks run (default local)")
    parser.add_argument("--workers", type=int, default=0, help="tasks at a time (default: 1 here, all of a cluster)")
    parser.add_argument("--address", help="of the Ray cluster (default: one on this machine)")
    parser.add_argument("--list", action="store_true", help="print the tasks that are left, and do none")
    add_data(parser)
    add_common(parser)
    options = parser.parse_args()
    for name, least in (("epochs", 1), ("images", 0), ("limit", 0), ("workers", 0), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"{name} = {value} is not allowed: an integer from {least} up")
    options.recipe = options.recipe or ("paper" if options.grid == "paper" else "fast")
    names = options.models or list(GRIDS[options.grid])
    sizes = SIZES if options.shrinks is None else [_size(text) for text in options.shrinks]
    dataset, networks = dataset_of(options), [models[name].name for name in names]
    tasks = grid(
        dataset,
        networks,
        only=options.only,
        attacks_only=options.attacks,
        recipe=options.recipe,
        epochs=options.epochs,
        images=options.images,
        limit=options.limit,
        shrinks=sizes,
        seed=options.seed,
        as_in_paper=options.recipe == "paper",
        replacing=options.replace,
        stored=stored_attacks(dataset, networks, open_store(options.store)),
    )
    return options, tasks, names


def _name_data_anew(options: argparse.Namespace, tasks: list[Task]) -> None:
    """For the models that are stored; those that are trained now take their images from where ``--dataset`` says."""
    store = open_store(options.store)
    for key in dict.fromkeys(task.key for task in tasks):
        with contextlib.suppress(Missing):
            name_data_anew(options, store.checkpoint(key).card())


def _size(text: str) -> int:
    if text not in {str(size) for size in SIZES}:
        raise ValueError(f"shrinks = {text!r} is not allowed: integers from 0 to 8, with commas between")
    return int(text)


def engine_of(options: argparse.Namespace, report: Any) -> Engine:
    """Where the tasks run."""
    store = options.store if "://" in options.store else str(Path(options.store).resolve())
    if options.engine == "ray":
        return RayCluster(store, options.device, options.address, options.workers)
    if options.workers > 1:
        return Processes(store, options.device, options.workers)
    return Serial(store, options.device, report)


def carry_out(options: argparse.Namespace, tasks: list[Task]) -> list[str]:
    """Runs the tasks that are left; what failed, in a sentence each."""
    left = pending(tasks, open_store(options.store))
    if not left:
        return []
    failed = []
    with tqdm(total=len(left), unit="task", initial=0) as bar:

        def report(task: Task, progress: Progress) -> None:
            bar.set_postfix_str(f"{task.id} {formatting.progress(progress.done)} {progress.note}")

        engine = engine_of(options, report)
        try:
            for outcome in run_tasks(left, engine):
                bar.update()
                if outcome.error:
                    failed.append(f"{outcome.task.id}: {outcome.error}")
                    bar.write(failed[-1], file=sys.stderr)
        finally:
            engine.close()
    for key in {task.key for task in tasks}:
        sweep_up(open_store(options.store).checkpoint(key).folder)
    return failed


def table_of(numbers: list[Number]) -> str:
    """Paper, ours and difference, line by line, with a head for each table and figure."""
    lines, last = [], ""
    for one in numbers:
        if one.ours is None:
            continue
        if one.table != last:
            last = one.table
            named = last.replace("table", "Table ").replace("fig", "Figure ").replace("sec", "Section ")
            head = f"{named}, {one.model}"
            lines.append(f"\n{head:72} {'paper':>8} {'ours':>8} {'diff':>7} {'n':>6}")
        mean = f"mean of {one.over.replace(' ', ', ')}:" if one.over else ""
        what = " ".join(part for part in (one.attack, mean, one.defense or "standard", one.quantity) if part)
        beside = f" ({one.paper_model})" if one.paper_model not in ("", one.model) else ""
        lines.append(
            f"  {what + beside:70} {formatting.number(one.paper):>8} {formatting.number(one.ours):>8} "
            f"{formatting.signed(one.difference):>7} {one.n or '':>6}"
        )
    return "\n".join(lines)


def claims_of(verdicts: list[Verdict]) -> str:
    """Each statement as its source puts it, our rule, the verdict, and the numbers that decide it."""
    lines = []
    for verdict in verdicts:
        claim = verdict.claim
        lines.append(f"\n{claim.where}: {claim.quote or claim.text}")
        lines.append(f"  rule:    {claim.rule}")
        lines.append(f"  verdict: {verdict.sentence}")
        for attack, numbers in verdict.numbers.items():
            lines.append(f"  {attack}: " + ", ".join(reading(name, value) for name, value in numbers.items()))
    return "\n".join(lines)


def trained_otherwise(options: argparse.Namespace, left: list[Task]) -> list[str]:
    """Of Fig. 14, the attacks whose stored sizes were trained otherwise than those that are left, a sentence each."""
    found: dict[tuple[str, str], Task] = {}
    for task in left:
        if task.name == TRAINING and task.parts == ("fig14",) and not task.replaces:
            found.setdefault((task.model, f"{task.attack_object.title.partition('+')[0]}+"), task)
    said, dataset, store = [], dataset_of(options).title, open_store(options.store)
    stored = {model: Results.read(store, dataset, model).ablation() for model in {model for model, _ in found}}
    for (model, title), task in found.items():
        ablation = stored[model].get(title)
        if ablation is not None and ablation.training != task.trained and len(ablation.curves) > 1:
            said.append(
                f"Fig. 14, {title} of {model}: the stored sizes {formatting.listed(map(str, ablation.curves))} were "
                f"trained for {ablation.epochs} epochs and are not compared with those that are left, of "
                f"{task.training_recipe.epochs}; --epochs {ablation.epochs}, with the recipe of those, trains these "
                "alike, --replace all anew"
            )
    return said


def lasting(hours: float) -> str:
    """A time for people: minutes below an hour.

    >>> lasting(0.004), lasting(0.5), lasting(12.34)
    ('1 min', '30 min', '12.3 h')
    """
    return f"{formatting.number(hours)} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"


def main() -> None:
    options, tasks, names = parse()
    left = pending(tasks, open_store(options.store))
    hours = hours_of(left, select_device(options.device)) if left else {}
    for sentence in trained_otherwise(options, left):
        say(options, sentence)
    total = f"{len(left)} of {len(tasks)} tasks are left, about {lasting(sum(hours.values()))} on this machine"
    if options.list:
        width = max(map(len, hours), default=0)
        say(options, "\n".join([*(f"{name:{width}}  {lasting(hours[name])}" for name in hours), total]))
        write_json(options.json, {"tasks": len(tasks), "left": [task.id for task in left], "hours": hours})
        return
    if left:
        say(options, total)
    if options.data is not None:
        _name_data_anew(options, tasks)
    failed = carry_out(options, tasks)
    dataset = dataset_of(options).title
    found = {name: Results.read(open_store(options.store), dataset, name) for name in names}
    for name, results in found.items():
        numbers = [number for number in compared(results) if not options.only or number.table in options.only]
        say(options, f"{table_of(numbers)}\n\nThe paper's statements, {name} on {dataset}:")
        say(options, claims_of(results.verdicts()))
    write_json(
        options.json,
        {
            "dataset": dataset,
            "claims": [{"model": name, **v.to_dict()} for name, results in found.items() for v in results.verdicts()],
            "numbers": [number.to_dict() for results in found.values() for number in compared(results)],
            "failed": failed,
        },
    )
    if failed:
        sys.exit(INCOMPLETE)


if __name__ == "__main__":
    run(main, skips_broken=True)
