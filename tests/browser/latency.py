"""Measures a drag in a real browser: from pointer move to the new success rate on the page, and the cold start.

    python tests/browser/latency.py --model cifar10/resnet20/badnets-gray --steps 50 --json -
    python tests/browser/latency.py --stopped       # with the server's process stopped: what the browser answers alone
    python tests/browser/latency.py --query value=90    # of a look that nothing is stored of
    python tests/browser/latency.py --training      # with a model being trained meanwhile, as on the page Train
    python tests/browser/latency.py --query value=90 --beside "train?train-model=vgg19"     # another user opens a link
    python tests/browser/latency.py --query value=90 --beside "defenses?part=repairs&with=auto-encoder" --press Run

It starts its own server, drags the trigger step by step, and after every step waits until the page shows the number
that belongs to the new place. What is measured is what a user sees: pointer event, message to the server, forward
passes of the attacked and the clean model on 256 images each, the rerun, and the repainted text; or, of a look that is
stored, what the browser does alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
# Resolves at the first change of the first rate's counts, or of the place it belongs to, and says when that was.
WATCH = """() => {
  const app = document.querySelector('.stApp');
  const read = () => document.querySelector('.ts-rates')?.dataset.place;
  const before = read();
  window.changed = new Promise(resolve => {
    const done = () => { if (read() !== before) { observer.disconnect(); resolve(performance.now()); } };
    const observer = new MutationObserver(done);
    observer.observe(app, {subtree: true, childList: true, attributes: true, characterData: true});
  });
  window.addEventListener('pointermove', () => { window.moved ??= performance.now(); }, {capture: true, once: true});
  window.moved = undefined;
}"""


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def chromium() -> str:
    """Path of the installed Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise OSError("there is no chromium on the PATH")
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def write_json(found: dict[str, Any], target: str | None) -> None:
    """Writes numbers as JSON into a file, or to stdout for ``-``; nothing without a target."""
    if target == "-":
        print(json.dumps(found, indent=1))
    elif target:
        Path(target).write_text(json.dumps(found, indent=1) + "\n")


def start_server(port: int) -> tuple[subprocess.Popen[bytes], float]:
    """Starts the application; returns it and the seconds until it answers."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "app.py")]
    command += ["--server.headless", "true", "--server.port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while time.perf_counter() - started < 60:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
            return server, time.perf_counter() - started
        except OSError:
            time.sleep(0.02)
    raise OSError("the server did not start within 60 s")


@contextmanager
def training(wanted: bool) -> Iterator[None]:
    """A model of Shapes-10 in training, as the application starts one; it has begun its steps, and is discarded."""
    if not wanted:
        yield
        return
    from core.attacks import attacks
    from core.data import datasets
    from core.store.local import Store
    from core.training.state import read_unfinished
    from core.training.trainer import Plan
    from core.workers.train import train_in_background
    from dashboard.server.scheduler import waiting_file

    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(dataset=datasets["shapes10"](), model="resnet20", attack=attacks["badnets"]())
        process = train_in_background(plan, Path(folder) / "checkpoints", "cpu", Path(folder) / "log", waiting_file())
        try:
            place = Store(Path(folder) / "checkpoints").checkpoint(plan.key).folder
            while process.poll() is None and ((found := read_unfinished(place)) is None or not found.history):
                time.sleep(0.2)
            yield
        finally:
            process.kill()
            process.wait()


def open_beside(browser: Any, port: int, link: str, press: str, fields: Mapping[str, str] | None = None) -> None:
    """Opens a page as another user, fills fields by their labels, and presses the first button whose text begins so.

    The page stays open; without a text nothing is pressed.
    """
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    page.goto(f"http://127.0.0.1:{port}/{link}", timeout=120_000)
    page.locator("h1").first.wait_for(timeout=120_000)
    for label, text in (fields or {}).items():
        field = page.get_by_role("textbox", name=label)
        field.fill(text, timeout=120_000)
        field.press("Enter")
        page.wait_for_timeout(2000)
    if press:
        # Also by its text: lists have a button of the name Open without one.
        name = re.compile(rf"\b{re.escape(press)}")
        button = page.get_by_role("button", name=name).filter(has_text=press).first
        more = page.get_by_text("More", exact=True)
        button.or_(more).first.wait_for(timeout=120_000)
        page.wait_for_timeout(1000)
        if not button.is_visible():
            more.first.click()
        button.click(timeout=120_000)
    page.wait_for_timeout(4000)  # until what was started is under way


def measure(
    model: str,
    steps: int,
    settle: float,
    query: str = "",
    stopped: bool = False,
    beside: Sequence[str] = (),
    press: str = "",
    fields: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Starts the application, opens the page, drags ``steps`` times, with the server stopped if that is wanted."""
    from playwright.sync_api import sync_playwright

    path, port = chromium(), free_port()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        started = time.perf_counter()
        server, answered = start_server(port)
        try:
            page.goto(f"http://127.0.0.1:{port}/?model={model}&{query}", timeout=120_000)
            page.locator(".ts-rate.first[data-hits]").wait_for(timeout=120_000)
            page.locator(".pad canvas[data-row]").wait_for(timeout=120_000)
            usable = time.perf_counter() - started
            page.wait_for_timeout(1000 * settle)
            known = bool(page.evaluate("window.triggerOnPage.knows(20, 9)"))
            if stopped and not known:
                raise ValueError(f"--stopped is not allowed with {model} {query}: the browser does not know this look")
            alone = [step(page, number) for number in range(steps)] if beside else []
            for link in beside:
                open_beside(browser, port, link, press, fields)
            workers = sum(map(is_worker, family(server.pid)))
            spent = cpu_seconds(server.pid)
            if stopped:
                server.send_signal(signal.SIGSTOP)
            latencies = [step(page, len(alone) + number) for number in range(steps)]
            spent = cpu_seconds(server.pid) - spent
            if stopped:
                server.send_signal(signal.SIGCONT)
            page.mouse.up()
        finally:
            server.send_signal(signal.SIGCONT)
            server.terminate()
            server.wait(30)
            browser.close()
    return {
        "model": model,
        "query": query,
        "known": known,
        "stopped": stopped,
        "beside": list(beside),
        "workers": workers,
        "server_cpu_s": round(spent, 2),
        "steps": steps,
        "p50_ms": round(statistics.median(latencies), 1),
        "p95_ms": round(percentile(latencies, 0.95), 1),
        "max_ms": round(max(latencies), 1),
        "alone_p50_ms": round(statistics.median(alone), 1) if alone else None,
        "alone_p95_ms": round(percentile(alone, 0.95), 1) if alone else None,
        "server_answers_s": round(answered, 2),
        "usable_page_s": round(usable, 2),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time that a process has taken; nan where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Numbers of all processes that a process has started, and that these have."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(entry.read_text().rsplit(")", 1)[1].split()[1]), []).append(int(entry.parent.name))
    found = list(parents.get(pid, ()))
    for child in found:
        found += parents.get(child, ())
    return found


def is_worker(pid: int) -> bool:
    """Whether a process does a job of :mod:`core.workers.process`."""
    try:
        return b"core.workers.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def step(page: Any, number: int) -> float:
    """One step of the drag; milliseconds from the pointer's move to the new rate on the page."""
    canvas = page.locator(".pad canvas")
    box = canvas.bounding_box()
    size = float(canvas.get_attribute("data-cell-width"))
    # A path of single-pixel steps over the image, a place that was not measured before in every step.
    row, col = 29 - number // 25, 28 - number % 25
    x = box["x"] + float(canvas.get_attribute("data-plot-left")) + (col + 0.5) * size
    y = box["y"] + float(canvas.get_attribute("data-plot-top")) + (row + 0.5) * size
    if number == 0:
        page.mouse.move(x + size, y)
        page.mouse.down()
        page.wait_for_timeout(1000)
    page.evaluate(WATCH)
    page.mouse.move(x, y)
    return float(page.evaluate("window.changed.then(at => at - window.moved)"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes10/resnet20/badnets-gray", help="checkpoint to drag the trigger of")
    parser.add_argument("--steps", type=int, default=50, help="steps of the drag (default 50)")
    parser.add_argument("--settle", type=float, default=5, help="seconds to wait after the page is usable (default 5)")
    parser.add_argument("--query", default="", metavar="NAME=VALUE", help="added to the address, e.g. value=90")
    parser.add_argument("--stopped", action="store_true", help="stop the server's process while the trigger is dragged")
    parser.add_argument("--training", action="store_true", help="train a model meanwhile, in a process of its own")
    parser.add_argument("--beside", action="append", default=[], metavar="LINK", help="page that another user opens")
    parser.add_argument("--press", default="", metavar="TEXT", help="button that the other user presses there")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers as JSON; - for stdout")
    options = parser.parse_args()
    with training(options.training):
        found = measure(
            options.model,
            options.steps,
            options.settle,
            options.query,
            options.stopped,
            options.beside,
            options.press,
        ) | {"training": options.training}
    beside = " while a model is trained" if options.training else ""
    beside += " while the server is stopped" if options.stopped else ""
    beside += "".join(f" beside {link}" for link in options.beside)
    beside += f" (alone just before: {found['alone_p50_ms']} and {found['alone_p95_ms']} ms)" if options.beside else ""
    print(
        f"{found['model']}: pointer move to new rate p50 {found['p50_ms']} ms, p95 {found['p95_ms']} ms over "
        f"{found['steps']} steps{beside}; server CPU {found['server_cpu_s']} s; "
        f"cold start to a usable page {found['usable_page_s']} s"
    )
    write_json(found, options.json)


if __name__ == "__main__":
    main()
