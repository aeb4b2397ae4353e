"""Breaks the project on purpose and says what held: commands killed at any moment, and a server for strangers.

    python tests/browser/stress.py --kills 12 --json -
    python tests/browser/stress.py --kills 0 --users 30

Kills: each command of ``train.py``, ``sweep.py``, ``defend.py`` and ``reproduce.py --workers 2`` is killed (SIGKILL) at
random moments and started again until it ends by itself. What is stored then must be what an undisturbed run stores,
times and dates left aside; no process and no temporary file may be left.

Strangers: a server with ``TRIGGER_SERVED=1`` gets links, messages, widget values and uploads that no page sends, from
websockets and without a browser. It must go on answering, run nothing that needs the owner, and show no file's place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latency import ROOT, free_port, start_server, write_json

sys.path.insert(0, str(ROOT / "tests"))
# What may differ between two runs of the same command.
TIMES = {"seconds", "created", "environment", "images_per_second", "finished", "hardware", "when", "date"}
LINKS = (
    "model=../../../etc/passwd", "model=shapes10/resnet20/" + "a" * 5000, "value=-1", "value=1e999", "value=%00",
    "row=99999999999999999999", "compare=<script>alert(1)</script>", "lesson=../../x&step=-1", "alpha=nan&images=0",
    "train-on=folder&path=/etc", "repair=neural-cleanse%2f..", "before=shrinkpad:99999,flip:x", "image=" + "9" * 4400,
)  # fmt: skip
WIDGET = re.compile(rb"\$\$ID-[0-9a-f]+-[\w:.-]+")
PAGES = ("location", "appearance", "defenses", "enhanced", "saliency", "physical", "open_model", "train", "paper")
VALUES = (
    "null",
    "[]",
    "{}",
    '"x"',
    "1e999",
    "-1",
    "9" * 4400,
    '{"row": 1e308}',
    "[[[[[[" * 200,
    '"\\ud83d"',
    '{"seq":{}}',
)


@dataclass
class Tried:
    """What was tried of one kind, and each loss in a sentence."""

    what: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    def check(self, held: bool, sentence: str) -> None:
        """Counts one try."""
        self.tried += 1
        if not held:
            self.lost.append(sentence)

    def row(self) -> str:
        """As in the table of the documentation."""
        return f"| {self.what} | {self.tried} | {self.tried - len(self.lost)} | {len(self.lost)} |"


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


class Stranger:
    """A connection to a served application that sends what it likes."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.said = b""

    async def send(self, query: str = "", change: Callable[[Any], None] | None = None) -> None:
        """Sends a message to run the script, changed before it goes."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.query_string = query
        if change is not None:
            change(message)
        await self._socket.send(message.SerializeToString())

    async def finished(self) -> bool:
        """Reads until a run has ended; False where that takes a minute or the connection breaks."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        try:
            while True:
                part = await asyncio.wait_for(self._socket.recv(), 60)
                message = ForwardMsg()
                message.ParseFromString(part)
                kind = message.WhichOneof("type")
                if kind != "new_session":  # there Streamlit tells every browser where its script lies
                    self.said += part
                if kind == "script_finished":
                    return True
        except Exception:
            return False


def forge(message: Any, ids: list[str], value: str) -> None:
    """Gives every widget of a page a value that it cannot have."""
    for number, name in enumerate(ids):
        state = message.rerun_script.widget_states.widgets.add()
        state.id = name
        match number % 5:
            case 0:
                state.json_value = value
            case 1:
                state.string_value = value
            case 2:
                state.int_value = -(2**62)
            case 3:
                state.double_array_value.data.extend([float("nan"), float("inf"), -1e308])
            case 4:
                state.json_trigger_value = value
        event = message.rerun_script.widget_states.widgets.add()
        event.id = f"$$STREAMLIT_INTERNAL_KEY_{name}__events"
        event.json_trigger_value = f'[{{"event": "move", "value": {value}}}, {value}]'


async def strangers(port: int, users: int) -> list[Tried]:
    """Everything that strangers try on one server."""
    from websockets.asyncio.client import connect

    address = f"ws://127.0.0.1:{port}/_stcore/stream"

    async def opened() -> Stranger:
        return Stranger(await connect(address, subprotocols=["streamlit"], max_size=None, ping_timeout=None))  # type: ignore[list-item]

    links, forged, values = Tried("hostile links"), Tried("forged messages"), Tried("forged widget values")
    for query in LINKS:
        one = await opened()
        await one.send(query)
        links.check(await one.finished(), f"no answer to {query[:60]}")
        for shown in (b"Traceback", str(ROOT).encode()):
            links.check(shown not in one.said, f"{query[:60]} shows {shown!r}")
    one = await opened()
    await one.send()
    await one.finished()
    for kind in ("clear_cache", "load_git_info", "set_run_on_save", "debug_shutdown_runtime", "stop_script"):
        await one.send(change=lambda message, kind=kind: setattr(message, kind, True))  # type: ignore[misc]
        await one.send()
        forged.check(await one.finished(), f"no answer after {kind}")
    for raw in (b"", b"\xff" * 100, b"\0" * 1000, b"\x0a" * 2**20, os.urandom(2**16), b"x" * (30 * 2**20)):
        one = await opened()
        try:
            await one._socket.send(raw)
            await asyncio.sleep(0.2)
        except Exception:  # the server may close, and goes on for others
            pass
        other = await opened()
        await other.send()
        forged.check(await other.finished(), f"no answer to others after {len(raw)} bytes")
    for page in PAGES:
        one = await opened()
        await one.send(change=lambda message, page=page: setattr(message.rerun_script, "page_name", page))  # type: ignore[misc]
        await one.finished()
        ids = sorted({found.decode() for found in WIDGET.findall(one.said)})
        values.check(bool(ids), f"{page} has no widgets")
        for value in VALUES:
            await one.send(change=lambda message, value=value, ids=ids: forge(message, ids, value))  # type: ignore[misc]
            values.check(await one.finished(), f"no answer to {value[:20]} on {page}")
        values.check(b"Traceback" not in one.said, f"{page} shows a traceback")
    return [links, forged, values, uploads(port), await many(opened, users)]


def uploads(port: int) -> Tried:
    """Files for sessions that are not there, without the token against forged requests, and far too large ones."""
    tried = Tried("forged uploads")
    base = f"http://127.0.0.1:{port}"
    for path in (
        "_stcore/upload_file/nobody/1",
        "_stcore/upload_file/../../x/1",
        "media/../../etc/passwd",
        "app/static/../x",
    ):
        for method, size in (("PUT", 10), ("PUT", 60 * 2**20), ("DELETE", 0), ("POST", 10), ("GET", 0)):
            request = urllib.request.Request(f"{base}/{path}", data=b"x" * size if size else None, method=method)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    shown = answer.read()
                    tried.check(b"root:" not in shown and method == "GET", f"{method} {path} gives {answer.status}")
            except (urllib.error.URLError, OSError):  # refused, or the connection closed
                tried.check(True, "")
    with urllib.request.urlopen(f"{base}/_stcore/health", timeout=30) as answer:
        tried.check(answer.status == 200, "the server is not well")
    return tried


async def many(opened: Callable[[], Any], users: int) -> Tried:
    """Pages opened all at once, and all closed."""
    tried = Tried(f"{users} users open pages at one moment")

    async def visit(number: int) -> None:
        try:
            one = await opened()
            await one.send(f"model=shapes10/resnet20/badnets-gray&value={60 + number}")
            tried.check(await one.finished(), f"user {number} got no page in a minute")
            await one._socket.close()
        except Exception as error:
            tried.check(False, f"user {number}: {type(error).__name__}")

    await asyncio.gather(*(visit(number) for number in range(users)))
    return tried


def served(users: int) -> list[Tried]:
    """Starts an application for strangers, and lets them try."""
    os.environ["TRIGGER_SERVED"] = "1"
    port = free_port()
    server, _ = start_server(port)
    try:
        found = asyncio.run(strangers(port, users))
    finally:
        server.terminate()
        status = server.wait(60)
    ended = Tried("the server's end after all that")
    ended.check(status == 0, f"it ends with {status}")
    return [*found, ended]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12, help="kills of each command (default 12)")
    parser.add_argument("--users", type=int, default=30, help="users at once, 0 for no server (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--json", metavar="FILE", help="also write what was found as JSON; - for stdout")
    options = parser.parse_args()
    found = kill_commands(options.kills, random.Random(options.seed)) if options.kills else []
    found += served(options.users) if options.users else []
    print("\n".join(["", "| | tried | held | lost |", "|---|---|---|---|", *(one.row() for one in found)]))
    for one in found:
        for sentence in one.lost:
            print(f"lost: {sentence}")
    write_json({one.what: {"tried": one.tried, "lost": one.lost} for one in found}, options.json)
    sys.exit(any(one.lost for one in found))


if __name__ == "__main__":
    main()
