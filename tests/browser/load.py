"""Measures drags of many users at once: real browser pages of one server, all dragging at the same time.

    python tests/browser/load.py --sessions 10 --model cifar10/resnet20/badnets-gray --json -

Every session drags the trigger step by step and waits after each step until its page shows the number of the new place,
as in ``latency.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
from typing import Any

from latency import ARGUMENTS, WATCH, chromium, free_port, percentile, start_server, write_json


async def drag(page: Any, steps: int, offset: int) -> list[float]:
    """Drags the trigger of one page; milliseconds of every step."""
    canvas = page.locator(".pad canvas")
    box = await canvas.bounding_box()
    size, left, top = [
        float(await canvas.get_attribute(f"data-{name}")) for name in ("cell-width", "plot-left", "plot-top")
    ]

    def place(number: int) -> tuple[float, float]:
        # Sessions drag along different rows, so that no answer is there because somebody else asked before.
        row, col = 29 - (2 * offset + number // 25) % 27, 28 - number % 25
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


async def measure(model: str, sessions: int, steps: int, settle: float) -> dict[str, Any]:
    """Starts the application, opens a page for every session, and lets all drag at once."""
    from playwright.async_api import async_playwright

    path, port = chromium(), free_port()
    server, _ = start_server(port)
    try:
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=path, args=ARGUMENTS)
            pages = []
            for _ in range(sessions):
                context = await browser.new_context(viewport={"width": 1400, "height": 1000})
                page = await context.new_page()
                await page.goto(f"http://localhost:{port}/?model={model}")
                await page.locator(".ts-rate.first[data-hits]").wait_for(timeout=120_000)
                await page.locator(".pad canvas[data-row]").wait_for(timeout=120_000)
                pages.append(page)
            await asyncio.sleep(settle)
            found = await asyncio.gather(*(drag(page, steps, number) for number, page in enumerate(pages)))
            await browser.close()
    finally:
        server.terminate()
        server.wait(10)
    every = [latency for session in found for latency in session]
    return {
        "model": model,
        "sessions": sessions,
        "steps": steps,
        "p50_ms": round(statistics.median(every), 1),
        "p95_ms": round(percentile(every, 0.95), 1),
        "max_ms": round(max(every), 1),
        "p95_ms_of_the_slowest_session": round(max(percentile(session, 0.95) for session in found), 1),
        "cores": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes10/resnet20/badnets-gray", help="checkpoint to drag the trigger of")
    parser.add_argument("--sessions", type=int, default=10, help="pages that drag at the same time (default 10)")
    parser.add_argument("--steps", type=int, default=30, help="steps of each drag (default 30)")
    parser.add_argument("--settle", type=float, default=10, help="seconds to wait before the drag (default 10)")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers as JSON; - for stdout")
    options = parser.parse_args()
    found = asyncio.run(measure(options.model, options.sessions, options.steps, options.settle))
    print(
        f"{found['sessions']} sessions dragging {found['model']}: pointer move to new rate p50 {found['p50_ms']} ms, "
        f"p95 {found['p95_ms']} ms, {found['p95_ms_of_the_slowest_session']} ms in the slowest session"
    )
    write_json(found, options.json)


if __name__ == "__main__":
    main()
