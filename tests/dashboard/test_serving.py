"""Who is served: this machine, unless it is asked to serve others."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
APP = ROOT / "dashboard" / "app.py"
# Of the repository, and beside the script: the one that Streamlit reads whatever directory it is started in.
SETTINGS = (ROOT / ".streamlit" / "config.toml", APP.parent / ".streamlit" / "config.toml")
START_TIMEOUT = 120  # seconds


def settings(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@pytest.mark.parametrize("path", SETTINGS, ids=["repository", "beside the script"])
def test_the_settings_serve_this_machine_and_keep_errors_in_the_log(path: Path) -> None:
    found = settings(path)
    assert ipaddress.ip_address(found["server"]["address"]).is_loopback
    assert found["client"]["showErrorDetails"] == "none"


def test_what_is_set_beside_the_script_is_set_in_the_repository_too() -> None:
    everywhere, beside = map(settings, SETTINGS)
    for section, values in beside.items():
        assert values.items() <= everywhere[section].items()


def listens(family: socket.AddressFamily, address: str, port: int) -> bool:
    with socket.socket(family) as client:
        client.settimeout(5)
        return client.connect_ex((address, port)) == 0


@contextmanager
def served(directory: Path, arguments: Sequence[str] = ()) -> Iterator[int]:
    """The application, started in a directory, until it listens; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    outside = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(APP),
            "--server.headless=true",
            f"--server.port={port}",
            *arguments,
        ],
        cwd=directory,
        env=outside | {"HOME": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        end = time.monotonic() + START_TIMEOUT
        while not listens(socket.AF_INET, "127.0.0.1", port):
            assert server.poll() is None, server.stdout and server.stdout.read().decode(errors="replace")
            assert time.monotonic() < end, "the server does not listen"
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.parametrize("inside", [True, False], ids=["in the repository", "somewhere else"])
def test_the_server_listens_on_the_loopback_address_only(tmp_path: Path, inside: bool) -> None:
    with served(ROOT if inside else tmp_path) as port:
        # Who listens on all interfaces answers at every address of the loopback network.
        assert not listens(socket.AF_INET, "127.0.0.2", port)
        if socket.has_ipv6:
            assert not listens(socket.AF_INET6, "::1", port)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loopback network has one address")
def test_others_are_served_on_request(tmp_path: Path) -> None:
    with served(tmp_path, ["--server.address=0.0.0.0"]) as port:
        assert listens(socket.AF_INET, "127.0.0.2", port)
