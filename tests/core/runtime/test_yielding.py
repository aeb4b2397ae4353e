"""A background computation rests while somebody waits, and never for more than twice as long as it has computed."""

from __future__ import annotations

import os
import time

import pytest

from core.runtime.yielding import LONGEST, RECENT, RESTS, Courtesy


class Clock:
    """Seconds that pass only by sleeping, or where a test lets them."""

    def __init__(self):
        self.now = 100.0
        self.after_sleep = lambda: None

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds
        self.after_sleep()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def waiting(tmp_path):
    """A file that does not exist yet."""
    return tmp_path / "deep" / "waiting"


def courtesy(path, clock):
    return Courtesy(path, clock=lambda: clock.now, sleep=clock.sleep)


def rested(there, clock, computed=1.0):
    """Seconds that it rests after it has computed for some."""
    clock.now += computed
    begun = clock.now
    there.rest()
    return clock.now - begun


def dragging(path):
    """Somebody waits, as long as the test goes on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time(),) * 2)


def test_nobody_has_waited_yet(waiting, clock):
    assert rested(courtesy(waiting, clock), clock) == 0
    assert not waiting.parent.exists()


@pytest.mark.parametrize("computed", [0.001, 0.3, 2.0])
def test_constant_dragging_leaves_a_third_of_the_speed(waiting, clock, computed):
    there = courtesy(waiting, clock)
    clock.after_sleep = lambda: dragging(waiting)
    dragging(waiting)
    begun = clock.now
    for _ in range(20):
        assert rested(there, clock, computed) == pytest.approx(RESTS * computed)
    assert clock.now - begun == pytest.approx(20 * 3 * computed)
    assert there.rested == pytest.approx(20 * 2 * computed)


def test_a_rest_does_not_count_as_computing(waiting, clock):
    there = courtesy(waiting, clock)
    clock.after_sleep = lambda: dragging(waiting)
    dragging(waiting)
    assert rested(there, clock, 1.0) == pytest.approx(2)
    assert rested(there, clock, 0.0) == 0


def test_after_a_very_long_step_it_does_not_rest_as_long_again(waiting, clock):
    there = courtesy(waiting, clock)
    clock.after_sleep = lambda: dragging(waiting)
    dragging(waiting)
    assert rested(there, clock, 600.0) == pytest.approx(LONGEST)


def test_it_goes_on_when_nobody_waits_any_more(waiting, clock):
    there = courtesy(waiting, clock)
    dragging(waiting)
    clock.after_sleep = lambda: os.utime(waiting, (0, 0))
    assert 0 < rested(there, clock) < 0.1


@pytest.mark.parametrize("ago", [RECENT + 0.1, 3600, -3600])
def test_somebody_waited_long_ago_or_the_clock_was_set_back(waiting, clock, ago):
    there = courtesy(waiting, clock)
    there.note()
    os.utime(waiting, (time.time() - ago,) * 2)
    assert rested(there, clock) == 0


def test_the_file_is_not_written_at_every_step_of_a_drag(waiting, clock):
    there = courtesy(waiting, clock)
    there.note()
    os.utime(waiting, (0, 0))
    there.note()
    assert waiting.stat().st_mtime == 0
    clock.now += RECENT / 2
    there.note()
    assert waiting.stat().st_mtime > 0


def test_a_file_that_cannot_be_written_is_no_error(tmp_path, clock):
    (tmp_path / "file").write_text("")
    there = courtesy(tmp_path / "file" / "waiting", clock)
    there.note()
    assert rested(there, clock) == 0
