"""Breaks the project on purpose and says what held: commands killed, damaged files, and a server for strangers.

    python tests/browser/stress.py --kills 12 --update dashboard/README.md      # everything, and the table of it
    python tests/browser/stress.py --only strangers --users 30 --json -
    python tests/browser/stress.py --only damage --damage 2000

Kills: each command of ``train.py``, ``sweep.py``, ``defend.py`` and ``reproduce.py --workers 2`` is killed (SIGKILL) at
random moments and started again until it ends by itself. What is stored then must be what an undisturbed run stores,
times and dates left aside; no process and no temporary file may be left.

Strangers: a server with ``TRIGGER_SERVED=1`` gets links, messages, widget values and uploads that no page sends, from
websockets and without a browser. It must go on answering, run nothing that needs the owner, and show no file's place.

Ends: a server is ended (SIGTERM) during each kind of work; it ends well, and no process is left.

Damage: cards, results and pictures changed at random, and names that are markup.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from damage import damaged_files, damaged_pictures, hostile_names
from latency import ROOT, write_json
from strangers import ended_while, served
from tried import Tried, update_table

# What may differ between two runs of the same command.
TIMES = {"seconds", "created", "environment", "images_per_second", "finished", "hardware", "when", "date"}
HEAD = ("| tried | tries | held | lost |", "|---|---|---|---|")


def stored(store: Path) -> dict[str, Any]:
    """Everything in a store, without what may differ between two runs."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in store.rglob("*") if path.is_file() and path.suffix != ".lock"):
        name = path.relative_to(store).as_posix()
        found[name] = timeless(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()
    return found


def timeless(values: Any) -> Any:
    """Values of a file of JSON without times and dates."""
    if isinstance(values, dict):
        return {key: timeless(value) for key, value in values.items() if key not in TIMES}
    return [timeless(value) for value in values] if isinstance(values, list) else values


def commands(data: Path) -> dict[str, list[str]]:
    """The commands, by the name in the table, in the order in which each finds what it needs."""
    model = ["--checkpoint", "six/resnet20/badnets", "--device", "cpu"]
    made = ["--dataset", f"folder:{data}", "--device", "cpu", "--epochs", "3"]
    return {
        "train.py": ["train.py", *made, "--batch", "16"],
        "sweep.py": ["sweep.py", "location", *model],
        "defend.py": ["defend.py", "fine-pruning", *model],
        "reproduce.py --workers 2": [
            "reproduce.py", *made, "--grid", "small", "--only", "fig4", "--workers", "2", "--images", "20",
        ],
    }  # fmt: skip


def start(command: list[str], store: Path) -> subprocess.Popen[bytes]:
    """Starts a command of ``scripts``."""
    line = [sys.executable, str(ROOT / "scripts" / command[0]), *command[1:], "--store", str(store)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def left_of(store: Path) -> list[str]:
    """Processes that have the store in their command line, and temporary files in it."""
    left = [path.name for path in store.rglob("*.tmp")]
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(store) in line and entry.parent.name != str(os.getpid()):
            left.append(line[:80])
    return left


def kill_commands(kills: int, rng: random.Random) -> list[Tried]:
    """Kills each command so many times, and compares what is stored in the end with an undisturbed run."""
    sys.path.insert(0, str(ROOT / "tests"))
    from squares import six_colours

    found = []
    with tempfile.TemporaryDirectory() as folder:
        data, whole, broken = (Path(folder) / name for name in ("six", "whole", "broken"))
        six_colours(data)
        for name, command in commands(data).items():
            tried = Tried(f"`{name}` killed and started again")
            started = time.monotonic()
            process = start(command, whole)
            said = process.communicate()[1].decode()
            took = time.monotonic() - started
            if process.returncode != 0:
                raise OSError(f"{name} ends with {process.returncode} undisturbed: {said[-300:]}")
            for _ in range(kills):
                process = start(command, broken)
                try:
                    process.communicate(timeout=rng.uniform(0.2, 1.0) * took)
                    tried.check(process.returncode == 0, f"{name} ended with {process.returncode}")
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                    tried.check(True, "")
            process = start(command, broken)
            said = process.communicate()[1].decode()
            tried.check(process.returncode == 0, f"{name} at last ended with {process.returncode}: {said[-300:]}")
            one, other = stored(whole), stored(broken)
            for file in sorted(one.keys() | other.keys()):
                tried.check(one.get(file) == other.get(file), f"{name}: {file} is another one than undisturbed")
            time.sleep(2)  # workers look for their parent every second
            left = left_of(broken)
            tried.check(not left, f"{name} left {left[:3]}")
            print(tried.row(), flush=True)
            found.append(tried)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12, help="kills of each command (default 12)")
    parser.add_argument("--users", type=int, default=30, help="users at once (default 30)")
    parser.add_argument("--damage", type=int, default=500, help="damaged files of each kind (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the damage (default 0)")
    parser.add_argument(
        "--only", action="append", choices=("kills", "strangers", "ends", "damage"), help="a part; may be repeated"
    )
    parser.add_argument("--update", metavar="FILE", type=Path, help="write the rows into the table of this file")
    parser.add_argument("--json", metavar="FILE", help="also write what was found as JSON; - for stdout")
    options = parser.parse_args()
    parts: dict[str, Callable[[], list[Tried]]] = {
        "kills": lambda: kill_commands(options.kills, random.Random(options.seed)),
        "strangers": lambda: served(options.users),
        "ends": ended_while,
        "damage": lambda: [
            damaged_files(options.damage, options.seed), damaged_pictures(options.damage, options.seed),
            hostile_names(),
        ],
    }  # fmt: skip
    found = [one for name in options.only or parts for one in parts[name]()]
    print("\n".join(["", *HEAD, *(one.row() for one in found)]))
    for one in found:
        for sentence in one.lost:
            print(f"lost: {sentence}")
    if options.update is not None:
        update_table(options.update, "stress", HEAD, [one.row() for one in found])
    write_json({one.what: {"tried": one.tried, "lost": one.lost} for one in found}, options.json)
    sys.exit(any(one.lost for one in found))


if __name__ == "__main__":
    main()
