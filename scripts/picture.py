"""Makes the animated picture of README.md: starts the application, drags the trigger in Chromium, keeps the frames.

    python scripts/picture.py --out dashboard/assets/drag.gif

Needs Chromium and the package playwright (the extra `test`).
"""

from __future__ import annotations

import argparse
import io
import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from command import Parser, run
from PIL import Image

APP = Path(__file__).resolve().parent.parent / "dashboard" / "app.py"
MODEL = "shapes10/resnet20/badnets"
SIZE, WIDTH, LARGEST = (1280, 720), 800, 2_000_000
FRAMES, FRAME_MS = 36, 120


def place(step: int) -> tuple[float, float]:
    """Row and column of the trigger at a step: from its trained corner in a loop over the image, and back."""
    turn = 2 * math.pi * step / (FRAMES - 1)
    return 31 - 11 * (1 - math.cos(turn)), 31 - 10 * (1 - math.cos(turn)) + 5 * math.sin(turn) * (turn < math.pi)


def frames(url: str) -> list[Image.Image]:
    """Screenshots of a drag, one for each step."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto(f"{url}/location?model={MODEL}", timeout=120_000)
        page.locator(".ts-rate.first[data-hits]").wait_for(timeout=120_000)
        canvas = page.locator(".pad canvas[data-row]")
        canvas.wait_for(timeout=120_000)
        page.wait_for_timeout(3000)
        box, size = canvas.bounding_box(), float(canvas.get_attribute("data-cell-width") or 0)
        assert box is not None
        left, top = (float(canvas.get_attribute(f"data-plot-{side}") or 0) for side in ("left", "top"))
        taken = []
        for step in range(FRAMES):
            row, col = place(step)
            page.mouse.move(box["x"] + left + (col - 0.5) * size, box["y"] + top + (row - 0.5) * size)
            if step == 0:
                page.mouse.down()
            page.wait_for_timeout(250)
            taken.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        page.mouse.up()
        browser.close()
    return taken


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the GIF goes")
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.headless=true", f"--server.port={port}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.25)
        taken = frames(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(20)
    height = round(WIDTH * SIZE[1] / SIZE[0])
    small = [frame.resize((WIDTH, height), Image.Resampling.LANCZOS) for frame in taken]
    # One palette for all frames, so that what stands still is the same in each and takes no room.
    palette = small[0].quantize(128, dither=Image.Dither.NONE)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    drawn[0].save(options.out, save_all=True, append_images=drawn[1:], duration=FRAME_MS, loop=0, optimize=True)
    size = options.out.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{options.out} has {size:,} bytes, more than {LARGEST:,}")
    print(f"{options.out}: {len(drawn)} frames, {size:,} bytes")


if __name__ == "__main__":
    run(main)
