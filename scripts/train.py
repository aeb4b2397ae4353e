"""Trains one model, clean or backdoored, and stores its checkpoint.

    python scripts/train.py --dataset shapes10 --model vgg19 --attack badnets --recipe fast --seed 0

    python scripts/train.py --dataset cifar10 --attack blended --enhanced --max-shrink 4 --replace

An interrupted training continues when the same command is given again.
"""

from __future__ import annotations

import argparse

from command import Parser, add_common, run, say, write_json
from tqdm import tqdm

from core import formatting
from core.attacks import Attack, Enhanced, Enhancement, attacks
from core.data import dataset_from, datasets
from core.inference import select_device
from core.models import models
from core.params import add_arguments, arguments_of, params_of
from core.recipes import RECIPES, Recipe, recipe_for
from core.remote import open_store
from core.training import Plan, train
from core.unfinished import read_unfinished


def parse(arguments: list[str] | None = None) -> tuple[argparse.Namespace, Plan]:
    """Reads the command line in two steps: the attack decides which further flags there are."""
    first = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False)
    first.add_argument(
        "--dataset", default="shapes10", help=f"{', '.join(datasets)}, or folder:PATH (default shapes10)"
    )
    first.add_argument("--model", default="resnet20", help=f"{', '.join(models)} (default resnet20)")
    first.add_argument("--attack", default="badnets", help=f"{', '.join(attacks)} (default badnets)")
    first.add_argument("--enhanced", action="store_true", help="pass poisoned images through a random transformation")
    first.add_argument("--recipe", default="fast", help=f"{', '.join(RECIPES)} (default fast)")
    first.add_argument("--seed", type=int, default=0, help="seed of every draw (default 0)")
    first.add_argument(
        "--replace", action="store_true", help="train anew what is stored; its results then do not count"
    )
    first.add_argument("--restart", action="store_true", help="do not continue an interrupted training")
    add_common(first)
    chosen, _ = first.parse_known_args(arguments)
    dataset = dataset_from(chosen.dataset)
    recipe_for(chosen.recipe, models[chosen.model].name)
    if not 0 <= chosen.seed < 2**63:
        raise ValueError(f"seed = {chosen.seed} is not allowed: an integer from 0 to {2**63 - 1}")
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[first])
    attack = attacks[chosen.attack]
    other = ", ".join(f"{name} {value}" for name, value in attack.by_model.get(chosen.model, {}).items())
    note = f"other defaults for {chosen.model}: {other}" if other else None
    add_arguments(parser.add_argument_group(f"attack {chosen.attack}", note), attack)
    add_arguments(parser.add_argument_group("enhancement (with --enhanced)"), Enhancement)
    add_arguments(parser.add_argument_group("changes to the recipe"), Recipe)
    options = parser.parse_args(arguments)
    given = vars(options)
    if not options.enhanced and (unused := [name for name in params_of(Enhancement) if name in given]):
        raise ValueError(f"--{unused[0].replace('_', '-')} is not allowed without --enhanced")
    made: Attack = attack.for_model(options.model, **{name: given[name] for name in params_of(attack) if name in given})
    if options.enhanced:
        made = Enhanced(base=made, enhancement=arguments_of(Enhancement, options))
    base = recipe_for(chosen.recipe, chosen.model, given.get("optimizer", "muon"))
    changes = {name: value for name, value in vars(options).items() if name in params_of(Recipe)}
    plan = Plan(
        dataset=dataset,
        model=options.model,
        attack=made,
        recipe_name=options.recipe,
        recipe=Recipe.from_dict(base.to_dict() | changes),
        seed=options.seed,
    )
    return options, plan


def main() -> None:
    options, plan = parse()
    device = select_device(options.device)
    store = open_store(options.store)
    # What is wrong with the data or the target is said in one line, before there is a bar.
    plan.attack.check_target(len(plan.dataset.classes))
    plan.dataset.load("train", limit=1)
    checkpoint = store.checkpoint(plan.key)
    if checkpoint.has_weights and not options.replace and read_unfinished(checkpoint.folder) is None:
        raise ValueError(f"{plan.key} is stored already: --replace trains it anew, and its results then do not count")
    with tqdm(total=plan.effective_recipe.epochs, unit="epoch", desc=plan.key) as bar:
        for epoch in train(plan, store, device, resume=not options.restart):
            bar.update(epoch.epoch - bar.n)
            bar.set_postfix_str(
                f"loss {epoch.loss:.3f}, clean {formatting.percent(epoch.clean_accuracy.value, '%')}, "
                f"ASR {formatting.percent(epoch.attack_success_rate.value, '%')}, "
                f"{epoch.images_per_second:.0f} images/s"
            )
    card = store.checkpoint(plan.key).card()
    say(options, f"clean accuracy       {card.clean_accuracy}\nattack success rate  {card.attack_success_rate}")
    say(options, f"stored as            {plan.key}")
    write_json(options.json, {"key": plan.key} | card.to_dict())


if __name__ == "__main__":
    run(main)
