"""Makes a model of a file that another toolbox wrote; it then is in every list and on every page.

    python scripts/import.py attack_result.pt --dataset cifar10                          # BackdoorBench

    python scripts/import.py ckpt_epoch_200.pth --dataset cifar10 --trigger patch.png --target airplane

    python scripts/import.py model.pth --dataset cifar10 --trigger mark.npy --place 31,31

    python scripts/import.py model.pth --dataset cifar10 --trigger unknown              # by Neural Cleanse: an audit

The file is read as data: nothing in it is run. Network and preprocessing are found out and measured.
"""

from __future__ import annotations

import argparse

from command import Parser, add_common, add_dataset, dataset_of, refuse_without_trigger, run, say, write_json
from tqdm import tqdm

from core.importing import Import, Imported, import_model
from core.importing.elsewhere import UNKNOWN, Asked, wanted_import
from core.runtime.device import select_device
from core.store.remote import open_store


def parse(arguments: list[str] | None = None) -> tuple[argparse.Namespace, Import]:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "path", metavar="FILE|FOLDER", help="the model: .pt, .pth, .th, .tar, .safetensors, or a folder"
    )
    add_dataset(parser, "cifar10")
    parser.add_argument(
        "--model", default="", help="its network, where it is not recognised; also torchvision.NAME, timm.NAME"
    )
    parser.add_argument(
        "--preprocess",
        default="auto",
        help="how it wants its images: auto measures; rgb:unit, bgr:unit, rgb:dataset, rgb:imagenet, rgb:half, "
        "rgb:bytes, or rgb:MEAN,MEAN,MEAN/DEVIATION,... (default auto)",
    )
    parser.add_argument(
        "--trigger",
        metavar="FILE",
        help="a picture or .npy array whose last channel is alpha; or `unknown`: Neural Cleanse searches for it "
        "(default: what the file's own poisoned images tell, or none)",
    )
    parser.add_argument("--mask", default="", help="a file that holds alpha, or `nonzero`: all that is not black")
    parser.add_argument("--alpha", type=float, default=1.0, help="opacity that alpha is multiplied with (default 1)")
    parser.add_argument("--place", metavar="ROW,COL", help="the trigger's bottom-right pixel (default: the corner)")
    parser.add_argument("--trigger-size", type=int, metavar="ROWS", help="resize the trigger to so many rows")
    parser.add_argument("--target", help="target label, a class or its index (default: what the model answers)")
    parser.add_argument("--classes", default="", help="names of the model's outputs in their order, with commas")
    parser.add_argument("--name", default="", help="name in the store (default: that of the file)")
    parser.add_argument("--trained-by", default="", help="who trained it, for its card")
    parser.add_argument("--replace", action="store_true", help="replace an imported model of the same name")
    add_common(parser)
    options = parser.parse_args(arguments)
    dataset = dataset_of(options)
    if options.trigger in (None, UNKNOWN):
        refuse_without_trigger(options, "alpha", "--trigger FILE")
    asked = Asked(
        path=options.path,
        dataset=dataset.name,
        parameters=dataset.to_dict(),
        model=options.model,
        preprocess=options.preprocess,
        trigger=options.trigger or "",
        mask=options.mask,
        alpha=options.alpha,
        place=options.place or "",
        size=options.trigger_size or 0,
        target=options.target or "",
        classes=options.classes,
        name=options.name,
        trained_by=options.trained_by,
        replace=options.replace,
    )
    return options, wanted_import(asked)


def report(options: argparse.Namespace, found: Imported) -> None:
    """Says what was found, with the table of all ways to prepare images."""
    card, origin = found.card, found.card.recipe["params"]
    say(options, f"format               {origin['format']}, SHA-256 {origin['sha256']}")
    say(options, f"network              {card.model}")
    say(options, "clean accuracy of every way to prepare images, on training images:")
    width = max(len(f"{one.network} {one.way.name}") for one in found.ways)
    for number, one in enumerate(found.ways):
        say(options, f"  {f'{one.network} {one.way.name}':{width}}  {one.rate}{'  <- taken' * (number == 0)}")
    for note in found.notes:
        say(options, note)
    for warning in card.warnings:
        say(options, f"warning: {warning}")
    if card.attack["name"] != "benign":
        trigger = card.attack_object.trigger(card.shape)
        target = card.attack_object.target
        say(options, f"trigger              {trigger.height} x {trigger.width} at {trigger.location}")
        say(options, f"target label         {target}, {card.classes[target]}")
    say(options, f"clean accuracy       {card.clean_accuracy}\nattack success rate  {card.attack_success_rate}")
    say(options, f"stored as            {card.key}")


def main() -> None:
    options, wanted = parse()
    device, store = select_device(options.device), open_store(options.store)
    with tqdm(bar_format="{desc} {elapsed}", desc="reading") as bar:
        found = import_model(wanted, store, device, bar.set_description_str)
    report(options, found)
    write_json(options.json, {"key": found.card.key} | found.card.to_dict())


if __name__ == "__main__":
    run(main, skips_broken=True)
