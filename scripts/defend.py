"""Repairs a stored model and measures what that did (Tables 1 and 2).

    python scripts/defend.py fine-pruning --checkpoint cifar10/resnet20/badnets
    python scripts/defend.py neural-cleanse --checkpoint shapes10/resnet20/blended --patch pruning --json -

The result and the repaired model are stored beside the model, where the dashboard finds them. ``all`` in place of a
defense's name runs all of them that are not stored yet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from command import Parser, add_common, add_data, name_data_anew, run, say, write_json
from tqdm import tqdm

from core.defenses import Repair, defenses
from core.defenses.fine_pruning import FinePruning, at_tolerances
from core.params import add_arguments, arguments_of
from core.runtime.device import select_device
from core.store.card_images import images_of
from core.store.local import Checkpoint
from core.store.remote import open_store
from core.sweeps.repair import Repaired, repair_sweep
from core.sweeps.results import StoredResults

ALL = "all"


def parse(arguments: list[str] | None = None) -> tuple[argparse.Namespace, list[Repair]]:
    """Reads the command line in two steps: the defense decides which further flags there are."""
    first = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False)
    first.add_argument("defense", help=f"{', '.join(defenses)}, or {ALL}")
    first.add_argument("--checkpoint", required=True, metavar="DATASET/MODEL/ATTACK", help="which model")
    first.add_argument("--seed", type=int, default=0, help="seed of every draw (default 0)")
    first.add_argument(
        "--runs",
        type=int,
        default=1,
        metavar="N",
        help="run it with N seeds, SEED and those after it; the repaired model is that of SEED (default 1)",
    )
    first.add_argument(
        "--replace", action="store_true", help="run anew what is stored, or is of other test images, and replace it"
    )
    add_data(first)
    add_common(first)
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[first])
    for name in [argument for argument in (arguments or []) if argument in defenses][:1]:
        add_arguments(parser.add_argument_group(f"defense {name}"), defenses[name])
    options = parser.parse_args(arguments)
    if not 1 <= options.runs <= 100:
        raise ValueError(f"runs = {options.runs} is not allowed: an integer from 1 to 100")
    if options.defense == ALL:
        return options, [defenses[name]() for name in defenses]
    return options, [arguments_of(defenses[options.defense], options)]


def left_to_run(
    checkpoint: Checkpoint, repairs: Sequence[Repair], seeds: Collection[int], replace: bool
) -> list[Repair]:
    """The repairs that are not stored yet, and those stored that were run with some of the seeds only.

    What is stored as it would be run again is finished: where a command was ended after it had stored everything, the
    same command has nothing left to do.

    Raises:
        ValueError: If there is none, one is stored that was run otherwise, and what is stored is not to be replaced.
    """
    if replace:
        return list(repairs)
    kept, finished = {}, set[str]()
    for repair in repairs:
        stored = StoredResults(checkpoint).repair(repair.name)
        if stored is None:
            continue
        run, same = {run.seed for run in stored.runs}, {"name": repair.name, "params": repair.to_dict()}
        if stored.defense != same or not run or not run < set(seeds):
            kept[repair.name] = repair
        if stored.defense == same and run == set(seeds):
            finished.add(repair.name)
    if len(kept) == len(repairs) and finished != set(kept):
        names = " and ".join(kept)
        raise ValueError(f"{names} of {checkpoint.key} is stored already: --replace runs it anew in its place")
    for name in kept:
        print(
            f"{name} of {checkpoint.key} is stored already and left as it is (--replace runs it anew)", file=sys.stderr
        )
    return [repair for repair in repairs if repair.name not in kept]


def described(result: Repaired) -> str:
    """A result in a few lines."""
    lines = [
        f"  seconds              {result.seconds}",
        f"  clean accuracy       {result.clean_before} -> {result.clean}",
        f"  attack success rate  {result.success_before} -> {result.success}",
    ]
    if "flagged" in result.record:
        lines.append(f"  flagged labels       {result.record['flagged']}, indices {result.record['indices']}")
    if "pruned" in result.record:
        lines.append(f"  pruned channels      {result.record['pruned']}")
    if isinstance(result.repair, FinePruning):
        for cut in at_tolerances(result.record, result.report):
            lines.append(
                f"  {cut.tolerance:2g} points allowed    {cut.channels} channels: {cut.clean}, ASR {cut.success}"
            )
    for seed_run in result.runs if len(result.runs) > 1 else ():
        flagged = f", flagged {seed_run.record['flagged']}" if "flagged" in seed_run.record else ""
        rates = f"clean accuracy {seed_run.clean}, ASR {seed_run.success}"
        lines.append(f"  seed {seed_run.seed}: {rates}{flagged}, {seed_run.seconds:g} s")
    return "\n".join(lines)


def with_bar(label: str, steps: Iterable[Repaired]) -> Repaired | None:
    """The last result of a repair, with a bar while it is under way."""
    result = None
    with tqdm(total=100, unit="%", desc=label, bar_format="{l_bar}{bar}| {elapsed} {postfix}") as bar:
        for result in steps:
            bar.update(round(100 * result.done) - bar.n)
            bar.set_postfix_str(result.note)
    return result


def main() -> None:
    options, repairs = parse(sys.argv[1:])
    checkpoint = open_store(options.store).checkpoint(options.checkpoint)
    card = checkpoint.card()
    name_data_anew(options, card)
    seeds = range(options.seed, options.seed + options.runs)
    left = left_to_run(checkpoint, repairs, seeds, options.replace)
    images_of(card, "train", limit=1)  # what is wrong with the data is said in one line, before there is a bar
    device = select_device(options.device)
    results: list[dict[str, Any]] = []
    for repair in repairs:
        if repair in left:
            steps = repair_sweep(
                checkpoint, repair, device, seed=options.seed, more_seeds=seeds[1:], replace=options.replace
            )
            result = with_bar(repair.label, steps)
        else:
            result = StoredResults(checkpoint).repair(repair.name)
        assert result is not None
        results.append({"key": checkpoint.key} | result.to_dict())
        say(options, f"{repair.label} on {checkpoint.key}\n{described(result)}")
        if result.warning:
            say(options, f"warning: {result.warning}")
    write_json(options.json, results[0] if len(results) == 1 else {"repairs": results})


if __name__ == "__main__":
    run(main)
