"""Measures a drag on the page Saliency in a real browser: from pointer move to the maps of all attacks there.

    python tests/browser/maps_latency.py --model cifar10/resnet20/badnets --steps 30 --json -

Every step is a place that was not shown before: six models explain the stamped image, as it is and behind ShrinkPad.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

from latency import ARGUMENTS, chromium, free_port, percentile, start_server, write_json

# Resolves when every grid of maps on the page is of the place to which the pointer has gone.
WATCH = """([row, col]) => {
  window.moved = undefined;
  window.addEventListener('pointermove', () => { window.moved ??= performance.now(); }, {capture: true, once: true});
  window.changed = new Promise(resolve => {
    const read = () => {
      const shown = [...document.querySelectorAll('.ts-maps')].map(one => one.dataset.place);
      if (shown.length < 2 || shown.some(place => place !== `${row},${col}`)) return requestAnimationFrame(read);
      resolve(performance.now());
    };
    read();
  });
}"""


def measure(model: str, steps: int) -> dict[str, Any]:
    """Starts the application, opens the page with all attacks following, drags ``steps`` times."""
    from playwright.sync_api import sync_playwright

    port = free_port()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        server, _ = start_server(port)
        try:
            page.goto(f"http://127.0.0.1:{port}/saliency?model={model}&all-follow=yes", timeout=120_000)
            page.locator(".ts-maps[data-waiting=false]").nth(1).wait_for(timeout=120_000)
            canvas = page.locator(".pad canvas")
            page.wait_for_timeout(5000)
            latencies = []
            for number in range(steps + 1):
                box, size = canvas.bounding_box(), float(canvas.get_attribute("data-cell-width"))
                row, col = 29 - number // 25, 28 - number % 25
                x = box["x"] + float(canvas.get_attribute("data-plot-left")) + (col + 0.5) * size
                y = box["y"] + float(canvas.get_attribute("data-plot-top")) + (row + 0.5) * size
                if number == 0:  # takes hold of the trigger
                    page.mouse.move(x, y)
                    page.mouse.down()
                    page.wait_for_timeout(2000)
                    continue
                # The trigger is held by its middle, one pixel from the corner that is its place.
                page.evaluate(WATCH, [row + 1, col + 1])
                page.mouse.move(x, y)
                latencies.append(float(page.evaluate("window.changed.then(at => at - window.moved)")))
            page.mouse.up()
        finally:
            server.terminate()
            server.wait(30)
            browser.close()
    return {
        "model": model,
        "steps": steps,
        "p50_ms": round(statistics.median(latencies), 1),
        "p95_ms": round(percentile(latencies, 0.95), 1),
        "max_ms": round(max(latencies), 1),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes10/resnet20/badnets", help="model under study")
    parser.add_argument("--steps", type=int, default=30, help="steps of the drag (default 30)")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers as JSON; - for stdout")
    options = parser.parse_args()
    begun = time.perf_counter()
    found = measure(options.model, options.steps)
    print(
        f"{found['model']}, maps of all attacks: p50 {found['p50_ms']} ms, p95 {found['p95_ms']} ms, at most "
        f"{found['max_ms']} ms over {found['steps']} steps ({time.perf_counter() - begun:.0f} s)"
    )
    write_json(found, options.json)


if __name__ == "__main__":
    main()
