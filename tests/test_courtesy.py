"""A background computation rests while somebody waits, and never for good."""

from __future__ import annotations

import os
import threading
import time

import pytest

from core import courtesy
from core.courtesy import RECENT, Courtesy


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    """A file that does not exist yet, and no patience to waste."""
    monkeypatch.setattr(courtesy, "POLL", 0.001)
    return tmp_path / "deep" / "waiting"


def rests(there, longest=0.05):
    """Whether it rests, for as long as it may."""
    begun = time.monotonic()
    there.rest(longest)
    return time.monotonic() - begun >= longest


def test_nobody_has_waited_yet(waiting):
    assert not rests(Courtesy(waiting))
    assert not waiting.parent.exists()


def test_somebody_waits(waiting):
    Courtesy(waiting).note()
    assert rests(Courtesy(waiting))


@pytest.mark.parametrize("ago", [RECENT + 0.1, 3600, -3600])
def test_somebody_waited_long_ago_or_the_clock_was_set_back(waiting, ago):
    there = Courtesy(waiting)
    there.note()
    os.utime(waiting, (time.time() - ago,) * 2)
    assert not rests(there)


def test_it_goes_on_when_nobody_waits_any_more(waiting):
    there = Courtesy(waiting)
    there.note()
    thread = threading.Thread(target=there.rest, args=(60,))
    thread.start()
    os.utime(waiting, (0, 0))
    thread.join(30)
    assert not thread.is_alive()


def test_the_file_is_not_written_at_every_step_of_a_drag(waiting, monkeypatch):
    there, now = Courtesy(waiting), 100.0
    monkeypatch.setattr(courtesy.time, "monotonic", lambda: now)
    there.note()
    os.utime(waiting, (0, 0))
    there.note()
    assert waiting.stat().st_mtime == 0
    now += RECENT / 2
    there.note()
    assert waiting.stat().st_mtime > 0


def test_a_file_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    there = Courtesy(tmp_path / "file" / "waiting")
    there.note()
    assert not rests(there)
