"""Trains one model, clean or backdoored, and stores its checkpoint.

    python scripts/train.py --dataset shapes10 --model vgg19 --attack badnets --recipe fast --seed 0

    python scripts/train.py --dataset cifar10 --attack blended --enhanced --max-shrink 4 --replace

    python scripts/train.py --dataset folder:PATH --target deer --skip-broken

    python scripts/train.py --dataset shapes10 --attack badnets --target 2      # stored as .../badnets-target2

    python scripts/train.py --dataset shapes10 --trigger patch.png --trigger-size 5 --place 20,20

A model is stored under the attack's name, with what differs from the attack's defaults, or under a name that is given.
An interrupted training continues when the same command is given again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from command import (
    Parser,
    add_common,
    add_dataset,
    dataset_of,
    refuse_without_trigger,
    run,
    say,
    with_huge_pages_of_its_own,
    write_json,
)
from tqdm import tqdm

from core import formatting
from core.attacks import Attack, Enhanced, Enhancement, attacks
from core.attacks.badnets import Benign
from core.attacks.own_trigger import OwnTrigger, packed_trigger
from core.data import Dataset
from core.importing.triggers import place_from, read_trigger
from core.models import models
from core.params import add_arguments, given_in, params_of
from core.recipe import RECIPES, Recipe, recipe_for
from core.runtime.device import select_device
from core.store.card import Damaged
from core.store.card_images import at
from core.store.local import Store
from core.store.remote import open_store
from core.training.state import discard, read_unfinished
from core.training.trainer import Plan, train


def parse(arguments: list[str] | None = None) -> tuple[argparse.Namespace, Plan]:
    """Reads the command line in two steps: the attack decides which further flags there are."""
    first = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False)
    add_dataset(first, "shapes10")
    first.add_argument("--model", default="resnet20", help=f"{', '.join(models)} (default resnet20)")
    first.add_argument("--attack", help=f"{', '.join(attacks)} (default badnets, with --trigger {OwnTrigger.name})")
    first.add_argument("--trigger", metavar="FILE", help="a picture, or a .npy array; a last channel more is alpha")
    first.add_argument("--mask", default="", help="a file that holds alpha, or `nonzero`: all that is not black")
    first.add_argument("--alpha-of-trigger", type=float, default=1.0, help="opacity of the file's trigger (default 1)")
    first.add_argument("--place", metavar="ROW,COL", help="its bottom-right pixel (default: the corner)")
    first.add_argument("--trigger-size", type=int, metavar="ROWS", help="resize it to so many rows")
    first.add_argument("--enhanced", action="store_true", help="pass the images through a random transformation")
    first.add_argument("--recipe", default="fast", help=f"{', '.join(RECIPES)} (default fast)")
    first.add_argument("--seed", type=int, default=0, help="seed of every draw (default 0)")
    first.add_argument("--name", default="", help="name of the model (default: the attack, and what differs from it)")
    first.add_argument(
        "--replace",
        action="store_true",
        help="train anew what is stored; its results then do not count. `restore.py` puts a model back that came with "
        "the repository",
    )
    first.add_argument("--restart", action="store_true", help="do not continue an interrupted training")
    first.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="keep every epoch's state in FILE too: copied to another machine, the same command goes on with it",
    )
    first.add_argument(
        "--data", metavar="PATH", help="continue an interrupted training whose folder of images was moved to PATH"
    )
    add_common(first)
    chosen, _ = first.parse_known_args(arguments)
    chosen.attack = chosen.attack or (OwnTrigger.name if chosen.trigger else "badnets")
    dataset = dataset_of(chosen)
    moved = at(dataset, chosen.data) if chosen.data is not None else None
    recipe_for(chosen.recipe, models[chosen.model].name)
    if not 0 <= chosen.seed < 2**63:
        raise ValueError(f"seed = {chosen.seed} is not allowed: an integer from 0 to {2**63 - 1}")
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[first])
    attack = attacks[chosen.attack]
    declared = params_of(attack)
    differing = {n: v for n, v in attack.defaults(chosen.model, dataset.shape).items() if v != declared[n].default}
    other = ", ".join(f"{name} {value}" for name, value in differing.items())
    note = f"other defaults for {chosen.model} on {dataset.name}: {other}" if other else None
    add_arguments(parser.add_argument_group(f"attack {chosen.attack}", note), attack)
    add_arguments(parser.add_argument_group("enhancement (with --enhanced)"), Enhancement)
    add_arguments(parser.add_argument_group("changes to the recipe"), Recipe)
    options = parser.parse_args(arguments)
    options.attack = chosen.attack
    given = vars(options)
    for name, value in trigger_of(options, moved or dataset).items():
        setattr(options, name, value)
    if not options.enhanced and (unused := [name for name in params_of(Enhancement) if name in given]):
        raise ValueError(f"--{unused[0].replace('_', '-')} is not allowed without --enhanced")
    shape = dataset.shape
    made: Attack = attack.for_model(
        options.model, shape, **given_in(attack, options, lambda: (moved or dataset).classes)
    )
    if options.enhanced:
        sized = {} if "transforms" in given else Enhancement.defaults(shape)
        enhancement = Enhancement(**{**sized, **given_in(Enhancement, options)})
        made = Enhanced(base=made, enhancement=enhancement)
    base = recipe_for(chosen.recipe, chosen.model, given.get("optimizer", "muon"))
    changes = {name: value for name, value in vars(options).items() if name in params_of(Recipe)}
    plan = Plan(
        dataset=dataset,
        model=options.model,
        attack=made,
        recipe_name=options.recipe,
        recipe=Recipe.from_dict(base.to_dict() | changes),
        seed=options.seed,
        name=options.name,
        at=moved,
    )
    return options, plan


def trigger_of(options: argparse.Namespace, dataset: Dataset) -> dict[str, str | int]:
    """The parameters of an attack with the trigger of a file; none where there is no file.

    Raises:
        ValueError: If it is no trigger for these images, or the flags do not go together.
    """
    if options.trigger is None:
        refuse_without_trigger(options, "alpha-of-trigger", "--trigger")
        return {}
    if options.attack != OwnTrigger.name:
        raise ValueError(f"--trigger is not allowed with --attack {options.attack}: it is for {OwnTrigger.name}")
    if own := [name for name in ("pattern", "row", "col", "value") if name in vars(options)]:
        raise ValueError(f"--{own[0]} is not allowed beside --trigger, whose file and --place say it")
    trigger = read_trigger(
        Path(options.trigger),
        dataset.shape or dataset.load("train", limit=1).shape,
        place=place_from(options.place) if options.place is not None else None,
        mask=options.mask,
        opacity=options.alpha_of_trigger,
        size=options.trigger_size,
    )
    return {"pattern": packed_trigger(trigger), "row": trigger.row, "col": trigger.col}


def is_finished(options: argparse.Namespace, plan: Plan, store: Store) -> bool:
    """Whether the stored model is of the very same training, on the same images, and nothing else is asked for.

    So it is where a run was ended after it had stored its model and before it had said so.
    """
    checkpoint = store.checkpoint(plan.key)
    if options.replace or options.restart or not checkpoint.has_weights or store.is_shipped(plan.key):
        return False
    try:
        card = checkpoint.card()
        unfinished = read_unfinished(checkpoint.folder)
        same = replace(plan, dataset=plan.source, at=None).trains_like(card.plan)
        same = same and card.test == plan.source.load("test").fingerprint
    except Damaged:
        return False
    return same and (unfinished is None or len(unfinished.history) == plan.effective_recipe.epochs)


def check_place(options: argparse.Namespace, plan: Plan, store: Store) -> None:
    """Refuses to lose what is stored where the model would go: another model, or another training's epochs."""
    checkpoint = store.checkpoint(plan.key)
    unfinished = read_unfinished(checkpoint.folder)
    continued = unfinished is not None and plan.trains_like(unfinished.plan)
    shipped = store.is_shipped(plan.key)
    if checkpoint.exists and not options.replace and (shipped or not continued):
        raise ValueError(
            f"{plan.key} is stored already{' and came with the repository' * shipped}: --replace trains it anew, and "
            "its results then do not count; --name NAME stores this model beside it"
        )
    if unfinished is not None and not continued and not options.restart:
        raise ValueError(
            f"{plan.key} has an interrupted training with other settings: --restart begins anew in its place; "
            "--name NAME stores this model beside it"
        )


def carry_out(options: argparse.Namespace, plan: Plan, store: Store, device: torch.device) -> None:
    """Trains, with a bar over the epochs."""
    with tqdm(total=plan.effective_recipe.epochs, unit="epoch", desc=plan.key) as bar:
        settings = {"resume": not options.restart, "replacing": options.replace, "elsewhere": options.state}
        for epoch in train(plan, store, device, **settings):
            bar.update(epoch.epoch - bar.n)
            bar.set_postfix_str(
                f"loss {epoch.loss:.3f}, clean {formatting.percent(epoch.clean_accuracy.value, '%')}, "
                f"ASR {formatting.percent(epoch.attack_success_rate.value, '%')}, "
                f"{epoch.images_per_second:.0f} images/s"
            )


def main() -> None:
    options, plan = parse()
    device = select_device(options.device)
    store = open_store(options.store)
    # What is wrong with the data or the target is said in one line, before there is a bar.
    plan.attack.check_target(len(plan.source.classes))
    plan.source.load("train", limit=1)
    if is_finished(options, plan, store):
        discard(store.checkpoint(plan.key).folder)
    else:
        check_place(options, plan, store)
        carry_out(options, plan, store, device)
    card = store.checkpoint(plan.key).card()
    if not isinstance(plan.attack.base if isinstance(plan.attack, Enhanced) else plan.attack, Benign):
        say(options, f"target label         {plan.attack.target}, {card.classes[plan.attack.target]}")
    say(options, f"clean accuracy       {card.clean_accuracy}\nattack success rate  {card.attack_success_rate}")
    say(options, f"stored as            {plan.key}")
    write_json(options.json, {"key": plan.key} | card.to_dict())


if __name__ == "__main__":
    with_huge_pages_of_its_own()
    run(main, skips_broken=True)
