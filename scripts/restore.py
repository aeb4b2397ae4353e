"""Puts models that came with the repository back as they came.

    python scripts/restore.py
    python scripts/restore.py shapes10/resnet20/badnets

Without a name, every one that was replaced, damaged or removed; with one, that model, and what was measured on it, too.
From the copy that `train.py --replace` keeps, or from git. A model that is there instead moves to a name of its own.
"""

from __future__ import annotations

import argparse
import subprocess

from command import Parser, add_common, run, say, write_json

from core.store.local import CARD, Store
from core.store.shipped import shipped, write_shipped
from core.training.restore_shipped import is_as_it_came, restore


def record(store: Store) -> list[str]:
    """Writes the list of the models that come with the repository: those whose cards git has."""
    listed = subprocess.run(["git", "-C", str(store.root), "ls-files", "-z", "--", f"*/{CARD}"], capture_output=True)
    if listed.returncode:
        raise ValueError(f"{store.root} is in no git checkout, which says what comes with the repository")
    keys = sorted(name.rpartition("/")[0] for name in listed.stdout.decode().split("\0") if name)
    write_shipped(store.root, {key: store.checkpoint(key).card().weights for key in keys})
    return keys


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keys", nargs="*", metavar="DATASET/MODEL/NAME", help="which models (default: as said above)")
    parser.add_argument("--record", action="store_true", help="for maintainers: list what git has as what comes along")
    add_common(parser)
    options = parser.parse_args()
    if "://" in options.store:
        raise ValueError(f"store = {options.store!r} is not allowed: models come along in a folder")
    store = Store(options.store)
    if options.record:
        say(options, f"{len(record(store))} models come with the repository")
        return
    keys = options.keys or [key for key in shipped(store.root) if not is_as_it_came(store, key)]
    moved = {}
    for key in keys:
        moved[key] = restore(store, key)
        say(options, f"{key} is as it came" + (f"; what was there is {moved[key]} now" if moved[key] else ""))
    if not keys:
        say(options, f"all {len(shipped(store.root))} models that came with the repository are as they came")
    write_json(options.json, {"restored": moved})


if __name__ == "__main__":
    run(main)
