"""Studies how strong the trigger of the Consistent Attack must be for a network to learn the backdoor.

    python scripts/study.py --dataset cifar10 --alphas 0.25,0.5,1 --epochs 8,16 --surrogates resnet20/robust

Trains every combination that is not recorded yet, records it in study.json beside the checkpoint of the attack, and
prints the smallest strength that reaches an attack success rate of 90%. An interrupted study continues when the same
command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
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
from core.attacks.consistent import Consistent
from core.data import cache_folder
from core.models import models
from core.params import label_of
from core.recipe import recipe_for
from core.reproduction.alpha_study import Run, read_study, smallest_alpha, write_study
from core.runtime.device import select_device
from core.store.local import Store
from core.store.remote import open_store
from core.training.trainer import Plan, train


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_dataset(parser, "shapes10")
    parser.add_argument("--model", default="resnet20", help=f"{', '.join(models)} (default resnet20)")
    parser.add_argument("--alphas", type=several(float), default=[0.25, 0.5, 1.0], help="(default 0.25,0.5,1)")
    parser.add_argument("--epochs", type=several(int), default=[8], help="(default 8)")
    parser.add_argument(
        "--surrogates", type=several(str), default=["resnet20/robust"], help="(default resnet20/robust)"
    )
    parser.add_argument("--epsilons", type=several(float), default=[16.0], help="in 255ths (default 16)")
    parser.add_argument("--target", metavar="CLASS", help="target label, by its name or its index (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every training (default 0)")
    add_common(parser)
    options = parser.parse_args()
    store, device, dataset = open_store(options.store), select_device(options.device), dataset_of(options)
    target = 4 if options.target is None else label_of("target", options.target, dataset.classes)
    folder = store.checkpoint(f"{dataset.title}/{options.model}/consistent").folder
    base = recipe_for("fast", options.model)
    combinations = itertools.product(options.alphas, options.epochs, options.surrogates, options.epsilons)
    for alpha, epochs, surrogate, epsilon in combinations:
        attack = Consistent(target=target, alpha=alpha, surrogate=surrogate, epsilon=epsilon)
        recipe = replace(base, epochs=epochs)
        plan = Plan(dataset=dataset, model=options.model, attack=attack, recipe=recipe, seed=options.seed)
        fingerprint = hashlib.sha256(json.dumps(plan.to_dict(), sort_keys=True).encode()).hexdigest()[:16]
        if fingerprint in {finished.plan for finished in read_study(folder)}:
            continue
        aside = Store(cache_folder() / "study" / fingerprint)
        name = f"alpha {alpha:g}, {epochs} epochs, {surrogate}, epsilon {epsilon:g}"
        with tqdm(total=epochs, unit="epoch", desc=name) as bar:
            for epoch in train(plan, aside, device, surrogates=store):
                bar.update(epoch.epoch - bar.n)
                bar.set_postfix_str(f"ASR {formatting.percent(epoch.attack_success_rate.value, '%')}")
        card = aside.checkpoint(plan.key).card()
        made = Run(
            alpha=alpha,
            epochs=epochs,
            surrogate=surrogate,
            epsilon=epsilon,
            seed=options.seed,
            plan=fingerprint,
            clean_accuracy=card.clean_accuracy,
            attack_success_rate=card.attack_success_rate,
            seconds=card.seconds,
        )
        # Read again: another study may have recorded its runs meanwhile.
        write_study(folder, [*read_study(folder), made])
        store.publish(f"{dataset.title}/{options.model}/consistent")
    runs = read_study(folder)
    for finished in runs:
        say(
            options,
            f"alpha {finished.alpha:<5g} {finished.epochs:>3} epochs  {finished.surrogate:20} "
            f"epsilon {finished.epsilon:<3g} ASR {finished.attack_success_rate}  clean {finished.clean_accuracy}",
        )
    smallest = smallest_alpha(runs)
    say(options, "no strength is enough" if smallest is None else f"smallest alpha that is enough: {smallest:g}")
    write_json(options.json, {"smallest_alpha": smallest, "runs": [asdict(finished) for finished in runs]})


if __name__ == "__main__":
    with_huge_pages_of_its_own()
    run(main, skips_broken=True)
