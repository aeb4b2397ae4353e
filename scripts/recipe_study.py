"""Studies how many epochs a network needs, on images held out of the training set; the test set is never read.

    python scripts/recipe_study.py --dataset cifar10 --model vgg19 --epochs 4,6

Trains the benign model with the short recipe for every length that is not recorded yet, on all but the last images of
the training set, measures it on those, and records it in recipe-study.json in the network's folder. An interrupted
study continues when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from dataclasses import asdict, replace

from command import (
    Parser,
    add_common,
    add_dataset,
    dataset_of,
    run,
    say,
    several,
    with_huge_pages_of_its_own,
    write_json,
)
from tqdm import tqdm

from core import formatting
from core.attacks import attacks
from core.data import cache_folder
from core.models import models
from core.recipe import RECIPES, recipe_for
from core.reproduction.recipe_study import HeldOut, RecipeRun, fewest_epochs, read_recipe_study, write_recipe_study
from core.runtime.device import select_device
from core.store.local import Store
from core.store.remote import open_store
from core.training.trainer import Plan, train


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_dataset(parser, "shapes10")
    parser.add_argument("--model", default="resnet20", help=f"{', '.join(models)} (default resnet20)")
    parser.add_argument("--recipe", choices=RECIPES, default="short", help="recipe of which the length is changed")
    parser.add_argument("--epochs", type=several(int), default=[4, 6], help="(default 4,6)")
    parser.add_argument("--held-out", type=int, default=5000, help="images held out (default 5000)")
    parser.add_argument("--accuracy", type=float, default=0.9, help="what is enough, 0 to 1 (default 0.9)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every training (default 0)")
    add_common(parser)
    options = parser.parse_args()
    store, device, dataset = open_store(options.store), select_device(options.device), dataset_of(options)
    held_out = HeldOut(whole=dataset, count=options.held_out)
    held_out.load("train", limit=1)  # what is wrong is said before the first training
    folder = store.root / dataset.title / options.model
    base = recipe_for(options.recipe, options.model)
    for epochs in options.epochs:
        plan = Plan(
            dataset=dataset,
            at=held_out,
            model=options.model,
            attack=attacks["benign"](),
            recipe=replace(base, epochs=epochs),
            seed=options.seed,
        )
        decides = json.dumps([plan.to_dict(), options.held_out], sort_keys=True)
        fingerprint = hashlib.sha256(decides.encode()).hexdigest()[:16]
        if fingerprint in {finished.plan for finished in read_recipe_study(folder)}:
            continue
        aside = Store(cache_folder() / "study" / fingerprint)
        history = []
        with tqdm(total=epochs, unit="epoch", desc=f"{options.model}, {epochs} epochs") as bar:
            for epoch in train(plan, aside, device):
                history.append(epoch)
                bar.update(epoch.epoch - bar.n)
                bar.set_postfix_str(f"accuracy {formatting.percent(epoch.clean_accuracy.value, '%')}")
        card = aside.checkpoint(plan.key).card()
        made = RecipeRun(
            epochs=epochs,
            held_out=options.held_out,
            seed=options.seed,
            plan=fingerprint,
            accuracy=card.clean_accuracy,
            seconds=card.seconds,
            images_per_second=statistics.median(one.images_per_second for one in history),
        )
        # Read again: another study may have recorded its runs meanwhile.
        write_recipe_study(folder, [*read_recipe_study(folder), made])
    runs = read_recipe_study(folder)
    for finished in runs:
        say(
            options,
            f"{finished.epochs:>3} epochs  accuracy {finished.accuracy}  {finished.seconds / 60:.0f} min  "
            f"{finished.images_per_second:.0f} images/s",
        )
    fewest = fewest_epochs(runs, options.accuracy)
    enough = formatting.percent(options.accuracy, "%", 0)
    say(options, f"none reaches {enough}" if fewest is None else f"fewest epochs that reach {enough}: {fewest}")
    write_json(options.json, {"fewest_epochs": fewest, "runs": [asdict(finished) for finished in runs]})


if __name__ == "__main__":
    with_huge_pages_of_its_own()
    run(main, skips_broken=True)
