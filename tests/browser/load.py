"""Measures drags of many users at once: sessions of one server, all dragging at the same time.

    python tests/browser/load.py --sessions 10 --model cifar10/resnet20/badnets-gray --json -
    python tests/browser/load.py --sessions 10 --websocket --query value=90

A look that is stored is answered by the browsers, and the server hears only where the trigger is let go; with
``--query`` it is one that the server must measure.

Every session drags the trigger step by step and waits after each step until its page shows the number of the new place,
as in ``latency.py``. Ten browsers need more of a small machine than the server does, and users bring their own; with
``--websocket`` the sessions speak the browser's protocol to the server, and what they wait for is the message with the
new number.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from latency import ARGUMENTS, WATCH, chromium, cpu_seconds, free_port, percentile, start_server, write_json


def path_of(number: int, session: int) -> tuple[int, int]:
    """Row and column of a step: along other rows in every session, so that no answer is there because of another."""
    return 29 - (2 * session + number // 25) % 27, 28 - number % 25


async def drag(page: Any, steps: int, offset: int) -> list[float]:
    """Drags the trigger of one page; milliseconds of every step."""
    canvas = page.locator(".pad canvas")
    box = await canvas.bounding_box()
    size, left, top = [
        float(await canvas.get_attribute(f"data-{name}")) for name in ("cell-width", "plot-left", "plot-top")
    ]

    def place(number: int) -> tuple[float, float]:
        row, col = path_of(number, offset)
        return box["x"] + left + (col + 0.5) * size, box["y"] + top + (row + 0.5) * size

    await page.mouse.move(box["x"] + left + 30.5 * size, box["y"] + top + 30.5 * size)
    await page.mouse.down()
    await page.wait_for_timeout(1000)
    found = []
    for number in range(steps):
        await page.evaluate(WATCH)
        await page.mouse.move(*place(number))
        found.append(float(await page.evaluate("window.changed.then(at => at - window.moved)")))
    await page.mouse.up()
    return found


async def in_browsers(
    port: int, model: str, sessions: int, steps: int, settle: float, begun: Callable[[], None]
) -> list[list[float]]:
    """Opens a page for every session, and lets all drag at once; says when they begin."""
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        pages = []
        for _ in range(sessions):
            context = await browser.new_context(viewport={"width": 1400, "height": 1000})
            page = await context.new_page()
            await page.goto(f"http://127.0.0.1:{port}/?model={model}")
            await page.locator(".ts-rate.first[data-hits]").wait_for(timeout=120_000)
            await page.locator(".pad canvas[data-row]").wait_for(timeout=120_000)
            pages.append(page)
        await asyncio.sleep(settle)
        begun()
        found = await asyncio.gather(*(drag(page, steps, number) for number, page in enumerate(pages)))
        await browser.close()
    return found


class Client:
    """A session without a browser: it sends and reads the messages that Streamlit's page would."""

    def __init__(self, socket: Any, model: str) -> None:
        self._socket, self._query = socket, f"model={model}"
        self._page = self._fragment = self._pad = ""

    async def _run(self, moved: dict[str, Any] | None = None) -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.query_string = self._query
        if moved is not None:
            message.rerun_script.page_script_hash, message.rerun_script.fragment_id = self._page, self._fragment
            event = message.rerun_script.widget_states.widgets.add()
            event.id = f"$$STREAMLIT_INTERNAL_KEY_{self._pad}__events"
            event.json_trigger_value = json.dumps([{"event": "move", "value": moved}])
        await self._socket.send(message.SerializeToString())

    async def _until(self, place: str) -> None:
        """Reads messages until one shows the rates of a place, and all of that run."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while True:
            message = ForwardMsg()
            message.ParseFromString(await asyncio.wait_for(self._socket.recv(), 120))
            if message.HasField("navigation"):
                self._page = message.navigation.page_script_hash
            element = message.delta.new_element
            if element.bidi_component.id.endswith("-pad"):
                self._pad, self._fragment = element.bidi_component.id, message.delta.fragment_id
            if element.bidi_component.id.endswith("-rates"):
                shown = json.loads(element.bidi_component.json)["html"]
                self.shown = time.perf_counter() if f'data-place="{place}"' in shown else self.shown
            if message.WhichOneof("type") == "script_finished" and self.shown:
                return

    async def open(self) -> None:
        """Loads the page."""
        self.shown = 0.0
        await self._run()
        await self._until("31,31")

    async def drag(self, steps: int, offset: int) -> list[float]:
        """Drags the trigger; milliseconds of every step."""
        found = []
        for number in range(steps):
            row, col = path_of(number, offset)
            self.shown, started = 0.0, time.perf_counter()
            await self._run({"row": row, "col": col, "final": False, "seq": number + 1})
            await self._until(f"{row},{col}")
            found.append(1000 * (self.shown - started))
        return found


async def on_sockets(
    port: int, model: str, sessions: int, steps: int, settle: float, begun: Callable[[], None]
) -> list[list[float]]:
    """Opens a websocket for every session, and lets all drag at once; says when they begin."""
    from websockets.asyncio.client import connect

    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(sessions):
            address = f"ws://127.0.0.1:{port}/_stcore/stream"
            # A server that does not answer is measured, not given up.
            socket = await stack.enter_async_context(
                connect(address, subprotocols=["streamlit"], max_size=None, ping_timeout=None)
            )
            clients.append(Client(socket, model))
            await clients[-1].open()
        await asyncio.sleep(settle)
        begun()
        return await asyncio.gather(*(client.drag(steps, number) for number, client in enumerate(clients)))


def measure(model: str, sessions: int, steps: int, settle: float, websocket: bool, query: str = "") -> dict[str, Any]:
    """Starts the application, and lets sessions drag."""
    port = free_port()
    server, _ = start_server(port)
    spent = [0.0]
    try:
        way = on_sockets if websocket else in_browsers
        address = f"{model}&{query}" if query else model
        found = asyncio.run(way(port, address, sessions, steps, settle, lambda: spent.append(cpu_seconds(server.pid))))
        spent.append(cpu_seconds(server.pid))
    finally:
        server.terminate()
        server.wait(60)
    every = [latency for session in found for latency in session]
    return {
        "model": model,
        "query": query,
        "sessions": sessions,
        "websocket": websocket,
        "steps": steps,
        "p50_ms": round(statistics.median(every), 1),
        "p95_ms": round(percentile(every, 0.95), 1),
        "max_ms": round(max(every), 1),
        "p95_ms_of_the_slowest_session": round(max(percentile(session, 0.95) for session in found), 1),
        "server_cpu_ms_of_a_step": round(1000 * (spent[-1] - spent[-2]) / len(every), 1),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes10/resnet20/badnets-gray", help="checkpoint to drag the trigger of")
    parser.add_argument("--sessions", type=int, default=10, help="pages that drag at the same time (default 10)")
    parser.add_argument("--steps", type=int, default=30, help="steps of each drag (default 30)")
    parser.add_argument("--settle", type=float, default=10, help="seconds to wait before the drag (default 10)")
    parser.add_argument("--query", default="", metavar="NAME=VALUE", help="added to the address, e.g. value=90")
    parser.add_argument("--websocket", action="store_true", help="sessions without browsers")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers as JSON; - for stdout")
    options = parser.parse_args()
    found = measure(options.model, options.sessions, options.steps, options.settle, options.websocket, options.query)
    kind = "sessions without browsers" if options.websocket else "sessions"
    print(
        f"{found['sessions']} {kind} dragging {found['model']}: pointer move to new rate p50 {found['p50_ms']} ms, "
        f"p95 {found['p95_ms']} ms, {found['p95_ms_of_the_slowest_session']} ms in the slowest session; server CPU "
        f"{found['server_cpu_ms_of_a_step']} ms a step, load {found['load']}"
    )
    write_json(found, options.json)


if __name__ == "__main__":
    main()
