"""``reproduce.py``: killed again and again, it ends with what an undisturbed run gives."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from squares import six_colours

from core.store.local import DEFAULT_ROOT
from core.training.state import read_unfinished

SCRIPT = DEFAULT_ROOT.parent / "scripts" / "reproduce.py"
# More make a longer test, not another one.
KILLS = int(os.environ.get("KILLS", "2"))


def command(folder: Path, store: Path, *more: str) -> list[str]:
    toy = ["--epochs", "2", "--limit", "6", "--shrinks", "0", "--only", "table5"]
    return [sys.executable, str(SCRIPT), "--dataset", f"folder:{folder}", "--store", str(store), *toy, *more]


def numbers_of(store: Path, folder: Path) -> dict:
    result = subprocess.run(command(folder, store, "--json", "-"), capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_killed_at_random_moments_it_ends_with_the_same_table(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = six_colours(tmp_path / "six", count=8)
    start = time.monotonic()
    undisturbed = numbers_of(tmp_path / "whole", folder)
    seconds = time.monotonic() - start
    generator, killed = random.Random(0), 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(folder, tmp_path / "torn"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(generator.uniform(0.2, 0.6) * seconds)
        killed += process.poll() is None
        process.kill()
        process.wait()
    assert killed, "every run ended before it was killed"
    again = numbers_of(tmp_path / "torn", folder)
    assert again["claims"] == undisturbed["claims"]
    assert again["numbers"] == undisturbed["numbers"]
    assert any(number["ours"] is not None for number in again["numbers"])
    assert not again["failed"]
    assert not list((tmp_path / "torn").rglob("*.tmp"))
    assert not list((tmp_path / "torn").rglob("training.safetensors"))


@pytest.mark.timeout(900)
def test_workers_end_with_the_run_however_it_ends_and_the_next_one_goes_on_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, store = six_colours(tmp_path / "six", count=8), tmp_path / "store"
    toy = ["--epochs", "3", "--images", "6", "--limit", "6", "--only", "fig4", "--attacks", "badnets", "--workers", "2"]
    wanted = [sys.executable, str(SCRIPT), "--dataset", f"folder:{folder}", "--store", str(store), *toy]

    def training() -> set[int]:
        found = [read_unfinished(path.parent) for path in store.glob("*/*/*/.training.json")]
        return {one.process for one in found if one is not None and one.process is not None}

    ended = set[int]()
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(wanted, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not (workers := training() - ended):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        assert process.pid not in workers
        process.send_signal(how)
        process.wait(120)
        # The next run begins at once, as a user's would; that of the last signal is the last one.
        ended |= workers
        process.stderr.close()
    last = subprocess.run([*wanted, "--json", "-"], capture_output=True, text=True, timeout=600)
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["failed"] == []
    assert not any(Path(f"/proc/{worker}").exists() for worker in ended)
    assert not list(store.rglob("*.tmp"))


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "table9"], "part = 'table9' is not allowed"),
        (["--epochs", "0"], "epochs = 0 is not allowed"),
        (["--shrinks", "9"], "shrinks = '9' is not allowed"),
        (["--models", "alexnet"], "alexnet"),
        (["--grid", "large"], "invalid choice: 'large'"),
        (["--store", "nix://there", "--list"], "cannot be opened"),
    ],
)
def test_bad_input_is_one_line(arguments, said):
    result = run(*arguments)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert said in result.stderr


def test_what_is_stored_is_printed_beside_the_papers(tmp_path):
    result = run("--dataset", "shapes10", "--only", "fig4", "--json", str(tmp_path / "found.json"))
    assert result.returncode == 0, result.stderr
    assert "Figure 4, resnet20" in result.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found) == {"dataset", "claims", "numbers", "failed"}
    assert {"id", "text", "holds", "numbers"} <= set(found["claims"][0])
    assert {"table", "model", "attack", "defense", "quantity", "paper", "ours", "n"} <= set(found["numbers"][0])
    assert len({claim["id"] for claim in found["claims"]}) == len(found["claims"])


def test_a_failed_task_is_said_and_the_exit_status_tells(tmp_path):
    result = run("--dataset", f"folder:{tmp_path / 'nothing'}", "--store", str(tmp_path), "--only", "fig4")
    assert result.returncode in (1, 2)
    assert "nothing" in result.stderr
