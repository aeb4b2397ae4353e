"""Work in a process of its own: it says how far it is, steps back, and ends with who has started it."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from working import Count

from core.workers.process import in_process

ROOT = Path(__file__).resolve().parents[3]
STUCK = 120  # seconds after which something is wrong; nothing here takes as long


@pytest.fixture(autouse=True)
def _jobs_are_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))


def without_repeats(results):
    """Every result once: the latest comes again and again while nothing is new."""
    return [one for one, _ in itertools.groupby(results)]


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):  # one that nobody has waited for is no longer alive
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def wait_until(said):
    deadline = time.monotonic() + STUCK
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun(job):
    """The first result that its process has sent."""
    return next(one for one in job if one.process)


def test_it_yields_what_the_function_yields_from_another_process():
    first, *rest = without_repeats(in_process("working:count", {"to": 3}, Count(0)))
    assert first == Count(0)
    assert [one.number for one in rest] == [1, 2, 3]
    assert {one.process for one in rest} != {os.getpid()}
    wait_until(lambda: not is_alive(rest[0].process))


@pytest.mark.skipif(not hasattr(os, "nice"), reason="there are no priorities here")
@pytest.mark.parametrize(("at_most", "by"), [(None, 10), ("3", 3), ("0", 0)])
def test_it_steps_back_with_all_that_it_starts(monkeypatch, at_most, by):
    if at_most is None:
        monkeypatch.delenv("TRIGGER_NICE")
    else:
        monkeypatch.setenv("TRIGGER_NICE", at_most)
    own, *group = [one.number for one in in_process("working:priority", {}, Count(0)) if one.process]
    assert own == min(19, os.nice(0) + by)
    assert set(group) <= ({own} if by else {own, 0})


@pytest.mark.parametrize(
    ("kind", "parts", "raised", "said"),
    [
        ("ValueError", ["target = 9 is not allowed"], ValueError, "^target = 9 is not allowed$"),
        ("OSError", ["no route to the server"], OSError, "^no route to the server$"),
        ("OSError", [2, "No such file or directory", "card.json"], FileNotFoundError, "card.json"),
        ("KeyError", ["nothing"], RuntimeError, "nothing"),
    ],
)
def test_it_fails_as_the_function_does(kind, parts, raised, said, capfd):
    job = in_process("working:fails", {"kind": kind, "parts": parts}, Count(0))
    with pytest.raises(raised, match=said):
        list(job)
    assert ("Traceback" in capfd.readouterr().err) == (raised is RuntimeError)


def test_a_process_that_is_gone_is_said():
    with pytest.raises(OSError, match=r"its process was ended from outside \(status 7\)"):
        list(in_process("working:ends", {}, Count(0)))
    job = in_process("working:forever", {}, Count(0))
    os.kill(begun(job).process, signal.SIGKILL)
    with pytest.raises(OSError, match=r"its process was ended from outside \(signal 9\)"):
        list(job)


def test_closed_it_ends_with_all_that_it_has_started(tmp_path):
    job = in_process("working:forever", {"children": 2, "began": str(tmp_path / "began")}, Count(0))
    process = begun(job).process
    started = [process, *map(int, (tmp_path / "began").read_text().split())]
    assert len(started) == 3
    assert all(map(is_alive, started))
    job.close()
    wait_until(lambda: not any(map(is_alive, started)))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_starter_however_that_ends(how, tmp_path):
    script = (
        "from core.workers.process import in_process\nfrom working import Count\n"
        f"for _ in in_process('working:forever', {{'children': 1, 'began': {str(tmp_path / 'began')!r}}}, Count(0)):\n"
        "    print(_.process, flush=True)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Where the tests run in the background, the shell has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process = next(int(line) for line in starter.stdout if int(line))
    (child,) = map(int, (tmp_path / "began").read_text().split())
    assert is_alive(process)
    assert is_alive(child)
    starter.send_signal(how)
    assert starter.wait(STUCK) != 0
    starter.stdout.close()
    wait_until(lambda: not is_alive(process))
    wait_until(lambda: not is_alive(child))


def test_one_at_a_time_and_the_next_one_when_the_first_dies(tmp_path):
    lock, told = tmp_path / "deep" / "lock", tmp_path / "began"
    one = in_process("working:forever", {}, Count(0), alone=lock)
    first = begun(one)
    other = in_process("working:forever", {"began": str(told)}, Count(0), alone=lock)
    for _ in range(8):  # two seconds
        assert next(other) == Count(0)
    assert not told.exists()
    os.kill(first.process, signal.SIGKILL)
    assert begun(other).process != first.process
    for job in (one, other):
        job.close()
