"""A real Chromium and a real Streamlit server for the tests in this folder.

The tests are skipped where there is no Chromium, and fail there when ``REQUIRE_BROWSER=1``. So that they are also
skipped where Playwright is not installed, it is imported in the fixture here, and a test module starts with

    if os.environ.get("REQUIRE_BROWSER") != "1":
        pytest.importorskip("playwright.sync_api")
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
collect_ignore = ["component_demo.py", "painter_demo.py"]  # Streamlit scripts: not to be imported for their doctests
START_TIMEOUT = 60.0  # seconds until the server answers; a cold import of torch is most of it
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Serve = Callable[..., str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The installed Chromium, started once."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        message = "no chromium or chromium-browser on the PATH"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=15_000)  # ms; five seconds are too few when the machine is busy with other things
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def servers() -> dict[str, subprocess.Popen[bytes]]:
    """The processes of the running servers, by their url."""
    return {}


@pytest.fixture(scope="session")
def logs() -> dict[str, IO[bytes]]:
    """What the running servers write, by their url."""
    return {}


@pytest.fixture(scope="session")
def serve(logs: dict[str, IO[bytes]], servers: dict[str, subprocess.Popen[bytes]]) -> Iterator[Serve]:
    """``serve(script, env) -> url``: run a Streamlit script until the session ends; called again, the same url."""
    running: dict[tuple[str, ...], tuple[subprocess.Popen[bytes], IO[bytes], str]] = {}

    def start(script: Path | str, env: Mapping[str, str] | None = None) -> str:
        known = (str(script), *(f"{name}={value}" for name, value in sorted((env or {}).items())))
        if known in running:
            return running[known][2]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server runs
        options = {
            "server.port": port,
            "server.address": "127.0.0.1",
            "server.headless": "true",
            "server.fileWatcherType": "none",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(script), *(f"--{k}={v}" for k, v in options.items())],
            cwd=ROOT,
            # Every server here has a cache of its own, in which each model would be compiled again for half a minute.
            env={**os.environ, "TRIGGER_COMPILE": "0", **(env or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        url = f"http://127.0.0.1:{port}"
        running[known] = (process, log, url)
        logs[url], servers[url] = log, process
        _wait_until_healthy(url, process, log)
        return url

    yield start
    for process, log, _ in running.values():
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    log.seek(0)
    pytest.fail(f"streamlit did not start at {url}:\n{log.read().decode(errors='replace')}")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh light page of 1400 x 1000; an uncaught error of its scripts fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, color_scheme="light")
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def url(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The application without CIFAR-10, with a cache of its own; modules with a script of their own replace it."""
    home = tmp_path_factory.mktemp("home")
    return serve(ROOT / "dashboard" / "app.py", {"TRIGGER_DATA": str(home), "XDG_CACHE_HOME": str(home)})
