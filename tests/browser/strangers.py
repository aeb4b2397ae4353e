"""What strangers try on a server: links, messages, widget values and uploads that no page sends; and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from latency import ROOT, family, free_port, is_worker, start_server
from load import Client
from tried import Tried

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


PATIENCE, WAIT = 2.0, 6.0
"""Seconds in which a step of a drag is answered, and after which what was started is under way."""
WORK = {
    "a map": ("location", "model=shapes10/resnet20/badnets-gray&value=91", ""),
    "a report": ("location", "model=shapes10/resnet20/badnets-gray", "Make an audit report"),
    "an estimate": ("train", "train-on=shapes10", "Time a few steps"),
    "Neural Cleanse": ("defenses", "model=shapes10/resnet20/badnets-gray&part=repairs&with=neural-cleanse", "Run"),
    "fine-pruning": ("defenses", "model=shapes10/resnet20/badnets-gray&part=repairs&with=fine-pruning", "Run"),
}
"""What a page starts: its name, the address, and the button that is pressed."""


class Stranger:
    """A connection to a served application that sends what it likes."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.said = b""
        self.buttons: dict[str, str] = {}

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
                button = message.delta.new_element.button
                if button.id:
                    self.buttons[button.label] = button.id
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

    links, forged, values = (
        Tried("links with values that no page has"),
        Tried("messages of another kind, damaged or 30 MB large"),
        Tried("values that no widget can have, on nine pages"),
    )
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
    return [links, forged, values, uploads(port), await many(opened, users), await starved(opened, address)]


def uploads(port: int) -> Tried:
    """Files for sessions that are not there, without the token against forged requests, and far too large ones."""
    tried = Tried("uploads without a session or token, 60 MB large, paths from outside")
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
    tried = Tried(f"{users} users open different looks at one moment")

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


async def starved(opened: Callable[[], Any], address: str) -> Tried:
    """A trigger that is dragged while others have as many maps computed as there may be at once."""
    from websockets.asyncio.client import connect

    tried = Tried(f"steps of a drag beside eight maps, each answered within {PATIENCE:.0f} s")
    others = [await opened() for _ in range(8)]
    for number, other in enumerate(others):
        await other.send(f"model=shapes10/resnet20/badnets-gray&value={160 + number}")
    async with connect(address, subprotocols=["streamlit"], max_size=None, ping_timeout=None) as socket:  # type: ignore[list-item]
        client = Client(socket, "shapes10/resnet20/badnets-gray&value=90")
        await client.open()
        for number, taken in enumerate(await client.drag(30, 0)):
            tried.check(taken <= 1000 * PATIENCE, f"step {number} took {taken / 1000:.1f} s")
    for other in others:
        await other._socket.close()
    return tried


@contextlib.contextmanager
def application(visitors: bool) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server, for strangers or for its owner, and its port; it has ended afterwards."""
    served = os.environ.pop("TRIGGER_SERVED", None)
    if visitors:
        os.environ["TRIGGER_SERVED"] = "1"
    port = free_port()
    server, _ = start_server(port)
    try:
        yield server, port
    finally:
        server.terminate()
        server.wait(60)
        os.environ.pop("TRIGGER_SERVED", None)
        if served is not None:
            os.environ["TRIGGER_SERVED"] = served


def served(users: int) -> list[Tried]:
    """Starts an application for strangers, and lets them try."""
    with application(True) as (server, port):
        found = asyncio.run(strangers(port, users))
    ended = Tried("the server's end after all that")
    ended.check(server.returncode == 0, f"it ends with {server.returncode}")
    return [*found, ended]


async def begun(port: int, page: str, query: str, press: str) -> bool:
    """Opens a page and presses a button of it; whether that was possible."""
    from websockets.asyncio.client import connect

    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    async with connect(address, subprotocols=["streamlit"], max_size=None, ping_timeout=None) as socket:  # type: ignore[list-item]
        one = Stranger(socket)

        def opening(message: Any, button: str = "") -> None:
            message.rerun_script.page_name = page
            if button:
                state = message.rerun_script.widget_states.widgets.add()
                state.id, state.trigger_value = button, True

        await one.send(query, opening)
        if not await one.finished():
            return False
        if press:
            found = next((name for name in one.buttons if name.startswith(press)), None)
            if found is None:
                return False
            await one.send(query, lambda message: opening(message, one.buttons[found]))
            # The button's run asks for another one of the page, which looks for what has begun.
            await one.finished()
        await asyncio.sleep(WAIT)
    return True


def ended_while() -> list[Tried]:
    """A server is ended (SIGTERM) while each kind of work goes on: it ends well, with all that it has started."""
    found = []
    for name, (page, query, press) in WORK.items():
        tried = Tried(f"the server ended during {name}")
        with application(False) as (server, port):
            tried.check(asyncio.run(begun(port, page, query, press)), f"{name} could not be started")
            under_way = family(server.pid)
            tried.check(not press or any(map(is_worker, under_way)), f"{name} has no process")
            server.send_signal(signal.SIGTERM)
            try:
                tried.check(server.wait(60) == 0, f"it ends with {server.returncode}")
            except subprocess.TimeoutExpired:
                tried.check(False, "it goes on for more than a minute")
        time.sleep(2)
        left = [pid for pid in under_way if Path(f"/proc/{pid}").exists()]
        tried.check(not left, f"{len(left)} processes of {name} are left")
        print(tried.row(), flush=True)
        found.append(tried)
    return found
