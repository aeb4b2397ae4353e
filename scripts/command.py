"""What every script shares: common flags, one line instead of a traceback, machine-readable output."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.data import Dataset, UnreadableImage, dataset_from, datasets
from core.params import params_of
from core.runtime.atomic_files import write_atomically
from core.store.card import Card
from core.store.card_images import name_anew
from core.store.local import DEFAULT_ROOT
from core.training.allocator import with_huge_pages

BAD_INPUT = 2
T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything else here does, not after the usage of every flag.

    Flags are written out: a part of a name that belongs to the attack, such as ``--col``, could be taken for another.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def say(options: argparse.Namespace, text: str) -> None:
    """Prints a line for people, above a progress bar: to stderr where stdout is for a machine (``--json -``)."""
    tqdm.write(text, file=sys.stderr if str(options.json) == "-" else sys.stdout)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device``, ``--json`` and ``--store``."""
    parser.add_argument("--device", default="auto", help="where to compute: auto, cpu, cuda or mps (default auto)")
    parser.add_argument(
        "--json", type=_target, metavar="FILE", help="also write what was measured as JSON; - for stdout"
    )
    parser.add_argument(
        "--store",
        default=str(DEFAULT_ROOT),
        metavar="DIR",
        help="folder of the checkpoints (default: checkpoints), or any address that fsspec reads, e.g. s3://bucket/name",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Adds ``--data``."""
    parser.add_argument(
        "--data", metavar="PATH", help="where the folder of images is now, if it was moved since the model was trained"
    )


def several(kind: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Parser of values with commas between."""

    def parse(text: str) -> list[T]:
        return [kind(part) for part in text.split(",")]

    parse.__name__ = f"list of {getattr(kind, '__name__', 'values')}"
    return parse


def with_huge_pages_of_its_own() -> None:
    """Begins a script that trains again with memory in huge pages; only where it is a process of its own.

    The C library reads how it is to ask for memory when a process begins.
    """
    own = sys.platform == "linux" and sys.orig_argv[1:2] == sys.argv[:1]
    if own and (variables := with_huge_pages(os.environ)) != dict(os.environ):
        os.execve(sys.executable, sys.orig_argv, variables)


def name_data_anew(options: argparse.Namespace, card: Card) -> None:
    """Remembers what ``--data`` says, if it is given.

    Raises:
        ValueError: If there is no such folder, or it is not that of the model's images.
        OSError: If it cannot be remembered.
    """
    if options.data is not None:
        moved = name_anew(card, options.data)
        print(f"images of {card.key} are read from {moved.to_dict()['path']} from now on", file=sys.stderr)


def add_dataset(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds ``--dataset`` and what more is said of own images: ``--size``, ``--column``, ``--skip-broken``."""
    parser.add_argument(
        "--dataset",
        default=default,
        help=f"{', '.join(datasets)}; own images by folder:PATH or parquet:PATH (default {default})",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=argparse.SUPPRESS,
        metavar="PIXELS",
        help="side that the images of a folder, parquet files, gtsrb or tiny-imagenet are resized to (8 to 512)",
    )
    parser.add_argument(
        "--column",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="column of the labels, where parquet files have several",
    )
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave out images of a folder that cannot be read, and say how many"
    )


def dataset_of(options: argparse.Namespace) -> Dataset:
    """The data set that :func:`add_dataset`'s flags name.

    Raises:
        ValueError: If there is none of that name, or a flag is not for it.
    """
    dataset = dataset_from(options.dataset)
    wanted = {name: value for name, value in vars(options).items() if name in ("size", "column")}
    if options.skip_broken:
        wanted["skip_broken"] = True
    for name in wanted:
        if name not in params_of(type(dataset)):
            having = ", ".join(one for one in datasets if name in params_of(datasets[one]))
            flag, what = name.replace("_", "-"), "images in a folder" if name == "skip_broken" else having
            raise ValueError(f"--{flag} is not allowed with {dataset.name}: it is for {what}")
    return type(dataset).from_dict(dataset.to_dict() | wanted) if wanted else dataset


def refuse_without_trigger(options: argparse.Namespace, alpha: str, flag: str) -> None:
    """Refuses the options that say how the file of a trigger is used, where there is no such file.

    Args:
        options: With ``mask``, ``place``, ``trigger_size`` and an opacity, which is 1 by default.
        alpha: Name of the opacity's option.
        flag: The option that names the file, as it is written.

    Raises:
        ValueError: If one of them is given.
    """
    given = {"mask": options.mask, "place": options.place, "trigger-size": options.trigger_size}
    given[alpha] = vars(options)[alpha.replace("-", "_")] != 1
    if unused := [name for name, is_given in given.items() if is_given]:
        raise ValueError(f"--{unused[0]} is not allowed without {flag}")


def _target(text: str) -> Path:
    """A file that can be written, as far as can be said before there is something to write."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder")
    return path


def _finite(values: Any) -> Any:
    """The same with null for each number that JSON does not have: what was not measured."""
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def write_json(path: Path | None, values: dict[str, Any]) -> None:
    """Writes a result where ``--json`` asked for it."""
    if path is None:
        return
    content = json.dumps(_finite(values), indent=1, allow_nan=False)
    if str(path) == "-":
        print(content)
    else:
        write_atomically(path, (content + "\n").encode())


def run(main: Callable[[], None], *, skips_broken: bool = False) -> None:
    """Runs a script: what a user got wrong ends it with status 2 and one line, an interrupt with 130.

    Args:
        main: The script.
        skips_broken: Whether it has the flag ``--skip-broken``, to be named where an image cannot be read.
    """
    try:
        main()
    except (ValueError, OSError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.strerror:
            text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        if isinstance(error, UnreadableImage) and skips_broken:
            text += "; --skip-broken leaves such files out"
        print(f"{Path(sys.argv[0]).name}: error: {' '.join(str(text).split())}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
