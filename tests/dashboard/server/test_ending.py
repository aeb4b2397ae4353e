"""The server ends as it was asked to, whatever it computes: status 0, no abort, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PREDICT = """
import threading, time, torch, sys
sys.path.insert(0, ".")
import dashboard.server.ending
from concurrent.futures import ThreadPoolExecutor
stop = threading.Event()
images, kernel = torch.rand(64, 16, 32, 32), torch.rand(16, 16, 3, 3)
def predict():
    until = time.monotonic() + 1
    while time.monotonic() < until:
        torch.conv2d(images, kernel)
    print("finished", flush=True)
threading.Thread(target=predict, name="ScriptRunner.scriptThread", daemon=True).start()
time.sleep(0.1)
"""


def test_python_ends_after_a_run_that_computes():
    done = subprocess.run([sys.executable, "-c", PREDICT], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "finished", "")


async def _open(port: int, query: str) -> None:
    """Asks for a page as a browser does, and leaves when it begins to come."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.asyncio.client import connect

    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    async with connect(address, subprotocols=["streamlit"], max_size=None) as connection:  # type: ignore[list-item]
        message = BackMsg()
        message.rerun_script.query_string = query
        await connection.send(message.SerializeToString())
        came = ForwardMsg()
        while came.delta.new_element.WhichOneof("type") != "slider":
            came.ParseFromString(await asyncio.wait_for(connection.recv(), 60))  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_while_a_page_is_measured(how, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.headless=true"]
    command.append(f"--server.port={port}")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    log = tmp_path / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
        with ThreadPoolExecutor(1) as thread:  # a browser of other tests has an event loop in this one
            thread.submit(asyncio.run, _open(port, "model=shapes10/resnet20/badnets-gray&value=91")).result()
        time.sleep(0.5)  # the page measures
        server.send_signal(how)
        assert server.wait(60) == 0, log.read_text()
        assert "terminate called" not in log.read_text()
        assert "Traceback" not in log.read_text()
        with pytest.raises(ProcessLookupError):  # what it has started has ended with it
            os.killpg(server.pid, 0)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
