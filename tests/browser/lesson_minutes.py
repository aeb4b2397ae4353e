"""Clicks through the lesson in a real browser, and says how many minutes it takes.

    python tests/browser/lesson_minutes.py --model shapes10/resnet20/badnets --words 180

It starts its own server. Of every step it measures the seconds until the question and then the answer are there,
and counts the words that there are to read; the minutes are the waiting and the reading at so many words a minute. What
somebody thinks, says or tries out comes on top.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from typing import Any

from latency import ARGUMENTS, chromium, free_port, start_server

PATIENCE = 300_000


def measure(model: str) -> list[dict[str, Any]]:
    """Words and seconds of every step."""
    from playwright.sync_api import sync_playwright

    port, rows = free_port(), list[dict[str, Any]]()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        server, _ = start_server(port)
        try:
            started = time.perf_counter()
            page.goto(f"http://localhost:{port}/lesson?model={model}", timeout=PATIENCE)
            page.locator(".bar li button").first.wait_for(timeout=PATIENCE)
            steps = page.locator(".bar li button").count()
            for step in range(1, steps + 1):
                bar = f".bar[data-step='{step}']"
                page.locator(bar).wait_for(timeout=PATIENCE)
                page.locator("h1", has_text=re.compile(rf"^{step}\. ")).wait_for(timeout=PATIENCE)
                page.get_by_role("button", name=re.compile("^Show the answer")).wait_for(timeout=PATIENCE)
                asked = time.perf_counter()
                page.locator(".forward").click()
                shown = ".st-key-lesson-answer" if step < steps else ".st-key-lesson-quiz-0"
                page.locator(shown, has_text=re.compile(r"\d%")).wait_for(timeout=PATIENCE)
                answered = time.perf_counter()
                words = len(page.locator("[data-testid=stMain]").inner_text().split())
                row = {"step": step, "until_question_s": asked - started, "until_answer_s": answered - asked}
                rows.append({name: round(value, 2) for name, value in row.items()} | {"words": words})
                started = time.perf_counter()
                if step < steps:
                    page.locator(".forward").click()
        finally:
            server.terminate()
            server.wait(30)
            browser.close()
    return rows


def main() -> None:
    """Prints one line per step, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes10/resnet20/badnets", help="the attacked model")
    parser.add_argument("--words", type=int, default=180, help="words that are read in a minute (default 180)")
    arguments = parser.parse_args()
    rows = measure(arguments.model)
    for row in rows:
        print(json.dumps(row))
    waited = sum(row["until_question_s"] + row["until_answer_s"] for row in rows) / 60
    read = sum(row["words"] for row in rows) / arguments.words
    print(f"{waited:.1f} minutes of waiting and {read:.1f} of reading: {waited + read:.1f} minutes", end="")
    print(f" (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")


if __name__ == "__main__":
    main()
