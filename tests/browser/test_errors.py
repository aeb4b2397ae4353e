"""What the browser is told of an error that no page expects: that there was one. The log of the server has the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")
if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocket

ROOT = Path(__file__).resolve().parents[2]
FAILING = """
import streamlit as st

def fail():
    st.write("before")
    raise RuntimeError("the secret of /srv/models")

st.navigation([st.Page(fail, title="Failing")]).run()
"""


def read(log: IO[bytes]) -> str:
    return os.pread(log.fileno(), 1 << 20, 0).decode()


def test_an_unexpected_error_is_in_the_log_and_not_in_the_browser(
    page: Page, serve: Any, logs: dict[str, IO[bytes]], tmp_path: Path
) -> None:
    script = tmp_path / "failing_page.py"
    script.write_text(FAILING)
    url, received = serve(script), list[bytes]()

    def keep(socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: received.append(data if isinstance(data, bytes) else data.encode()))

    page.on("websocket", keep)
    page.goto(url)
    page.get_by_text("before").wait_for()
    page.get_by_test_id("stException").wait_for()
    shown = page.content().encode() + b"".join(received)
    for hidden in (b"Traceback", b"RuntimeError", b"secret", b"/srv/models", b"in fail", str(ROOT).encode()):
        assert hidden not in shown
    assert str(script) not in page.content()
    for kept in ("Traceback", "RuntimeError: the secret of /srv/models", f'{script}", line 6, in fail'):
        assert kept in read(logs[url])
