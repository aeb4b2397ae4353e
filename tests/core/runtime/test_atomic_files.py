"""What killed writers leave behind is swept up by the next one; what somebody writes now is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from core.runtime.atomic_files import OLD, sweep_up, temporary_prefix, write_atomically


@pytest.fixture
def nobody():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def made(folder, name, age=0.0):
    path = folder / name
    path.write_text("half of it")
    os.utime(path, (time.time() - age,) * 2)
    return path


def of(process, name="card.json"):
    """Name of a temporary file that a process of this machine writes."""
    return temporary_prefix(name).replace(f"-{os.getpid()}-", f"-{process}-") + "abcd_123.tmp"


def test_a_file_whose_writer_is_gone_goes_and_that_of_a_living_one_stays(tmp_path, nobody):
    left, living = made(tmp_path, of(nobody)), made(tmp_path, of(os.getpid()))
    (tmp_path / of(nobody, "package").removesuffix(".tmp")).mkdir()
    (tmp_path / of(nobody, "package").removesuffix(".tmp") / "model.so").write_text("half of it")
    sweep_up(tmp_path)
    assert list(tmp_path.iterdir()) == [living]
    assert not left.exists()


def test_old_files_go_whoever_writes_and_only_those_that_were_made_here(tmp_path, nobody):
    elsewhere = ".card.json.00000000-1-abcd_123.tmp"  # a process of another machine, in a folder that both see
    gone = [made(tmp_path, name, OLD + 60) for name in (elsewhere, ".card.json.abcd_123.tmp", of(os.getpid()))]
    names = ("card.json", ".notes.tmp", "notes.abcd_123.tmp", ".x.card.json.fetched.tmp")
    kept = [made(tmp_path, name, OLD + 60) for name in names]
    young = [made(tmp_path, ".map.json.00000000-1-abcd_123.tmp"), made(tmp_path, ".map.json.abcd_123.tmp")]
    sweep_up(tmp_path)
    assert not any(path.exists() for path in gone)
    assert sorted(tmp_path.iterdir()) == sorted(kept + young)
    sweep_up(tmp_path / "nowhere")


def test_a_writer_that_is_killed_leaves_what_the_next_one_sweeps_up(tmp_path):
    script = (
        "import os, sys\nfrom pathlib import Path\nimport core.runtime.atomic_files\n"
        "core.runtime.atomic_files.os.fsync = lambda handle: os.kill(os.getpid(), 9)\n"
        "core.runtime.atomic_files.write_atomically(Path(sys.argv[1]) / 'location.json', b'{}')\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".tmp")
    sweep_up(tmp_path)
    assert not list(tmp_path.iterdir())
    write_atomically(tmp_path / "location.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["location.json"]
