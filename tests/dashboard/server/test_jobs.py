"""Background jobs: shared, cancelled, cached, and never in the way of somebody who waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from dashboard.server.jobs import Job, Jobs
from dashboard.server.limits import MAPS
from dashboard.server.questions import Questions
from dashboard.server.scheduler import DRAGGING, Crowd, Turns, Turnstile


@dataclass(frozen=True)
class Count:
    """A result: ``steps`` of ``of``."""

    steps: int
    of: int = 5

    @property
    def done(self) -> float:
        return self.steps / self.of

    def to_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "of": self.of}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        return cls(int(values["steps"]), int(values["of"]))


def counting(started: list[int] | None = None, gate: threading.Event | None = None) -> Callable[[], Iterator[Count]]:
    def work() -> Iterator[Count]:
        if started is not None:
            started.append(1)
        for step in range(1, 6):
            if gate is not None and step > 1:
                assert gate.wait(10)
            yield Count(step)

    return work


def wait(job: Job[Any]) -> None:
    assert job.thread is not None
    job.thread.join(10)
    assert not job.thread.is_alive()


def after_a_step(job: Job[Any]) -> None:
    while job.snapshot().result is None:
        time.sleep(0.001)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path)
    yield made
    made.close()


def test_a_job_runs_to_its_end_and_is_read_from_the_disk_afterwards(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.request(("a", 1), Count, counting(), "me")
    wait(job)
    snapshot = job.snapshot()
    assert (snapshot.result, snapshot.running, snapshot.error, snapshot.done) == (Count(5), False, "", 1)
    started: list[int] = []
    again = Jobs(tmp_path).request(("a", 1), Count, counting(started), "me")
    assert again.snapshot().result == Count(5)
    assert started == []


def test_a_damaged_file_is_computed_anew(jobs: Jobs, tmp_path: Path) -> None:
    wait(jobs.request(("a",), Count, counting(), "me"))
    for file in tmp_path.glob("*.json"):
        file.write_text('{"steps": ')
    started: list[int] = []
    wait(Jobs(tmp_path).request(("a",), Count, counting(started), "me"))
    assert started == [1]


def test_two_sessions_share_a_job_and_the_last_one_to_leave_ends_it(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, grace=0)
    started: list[int] = []
    gate = threading.Event()
    first = jobs.request(("map",), Count, counting(started, gate), "anna")
    second = jobs.request(("map",), Count, counting(started, gate), "bert")
    assert first is second
    after_a_step(first)
    jobs.leave("anna")
    assert not first.left
    jobs.leave("bert")
    assert first.left
    gate.set()
    wait(first)
    assert first.snapshot().cancelled
    assert started == [1]
    assert first.snapshot().done < 1


def test_who_stops_a_job_stops_it_for_nobody_else(jobs: Jobs) -> None:
    started: list[int] = []
    gate = threading.Event()
    job = jobs.request(("map",), Count, counting(started, gate), "anna")
    jobs.request(("map",), Count, counting(started, gate), "bert")
    jobs.stop("anna", [job])
    assert jobs.request(("map",), Count, counting(started, gate), "anna") is job
    assert not job.snapshot().cancelled
    jobs.leave("bert")
    assert job.snapshot().cancelled, "the one who stays has stopped it"
    gate.set()
    wait(job)
    assert jobs.request(("map",), Count, counting(started), "anna") is job, "a stopped job stays stopped"
    again = jobs.request(("map",), Count, counting(started), "bert")
    wait(again)
    assert again is not job
    assert started == [1, 1]


def test_a_stopped_job_starts_again_for_who_comes_back(jobs: Jobs) -> None:
    gate = threading.Event()
    job = jobs.request(("map",), Count, counting(gate=gate), "me")
    jobs.stop("me", [job])
    gate.set()
    wait(job)
    jobs.leave("me")
    again = jobs.request(("map",), Count, counting(), "me")
    wait(again)
    assert (job.snapshot().done < 1, again.snapshot().done) == (True, 1)


def test_a_kept_job_survives_leaving(tmp_path: Path) -> None:
    jobs, gate = Jobs(tmp_path, grace=0), threading.Event()
    kept = jobs.request(("kept",), Count, counting(gate=gate), "me")
    left = jobs.request(("left",), Count, counting(gate=gate), "me")
    jobs.leave("me", keep=(kept,))
    gate.set()
    wait(kept), wait(left)
    assert (kept.snapshot().cancelled, left.snapshot().cancelled) == (False, True)


def test_a_cancelled_job_keeps_its_result_so_far_and_is_not_cached(jobs: Jobs, tmp_path: Path) -> None:
    gate = threading.Event()
    job = jobs.request(("a",), Count, counting(gate=gate), "me")
    while job.snapshot().result is None:
        time.sleep(0.001)
    job.cancel()
    gate.set()
    wait(job)
    assert job.snapshot().result is not None
    assert job.snapshot().done < 1
    assert not list(tmp_path.glob("*.json"))


def test_a_job_given_up_by_everybody_starts_again_when_it_is_wanted_again(tmp_path: Path) -> None:
    started: list[int] = []
    jobs, gate = Jobs(tmp_path, grace=0), threading.Event()
    left = jobs.request(("a",), Count, counting(started, gate), "me")
    after_a_step(left)
    jobs.leave("me")
    gate.set()
    wait(left)
    wait(jobs.request(("a",), Count, counting(started), "me"))
    assert started == [1, 1]


def test_a_job_left_by_everybody_is_found_again_by_a_new_session(jobs: Jobs) -> None:
    """A reload makes a new session, and another page is left again: what was computed is not lost."""
    started: list[int] = []
    gate = threading.Event()
    job = jobs.request(("map",), Count, counting(started, gate), "before the reload")
    after_a_step(job)
    jobs.leave("before the reload")
    again = jobs.request(("map",), Count, counting(started), "after the reload")
    assert again is job
    assert again.snapshot().done == 0.2
    gate.set()
    wait(again)
    assert (again.snapshot().result, started) == (Count(5), [1])


def test_a_job_left_by_everybody_ends_within_the_grace_period(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.request(("map",), Count, counting(), "me")
    jobs.leave("me")
    wait(job)
    assert job.snapshot().result == Count(5)
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_repair_goes_on_to_its_end_and_is_found_by_others(tmp_path: Path) -> None:
    jobs, gate = Jobs(tmp_path, grace=0), threading.Event()
    job = jobs.request(("repair",), Count, counting(gate=gate), "me", cached=False, to_end=True)
    after_a_step(job)
    jobs.leave("me")
    assert jobs.find(("repair",)) is job
    assert jobs.find(("other",)) is None
    gate.set()
    wait(job)
    assert job.snapshot().result == Count(5)
    anew = jobs.request(("repair",), Count, counting(), "me", cached=False, to_end=True, anew=True)
    wait(anew)
    assert anew is not job


def test_a_repair_whose_starter_has_left_can_be_stopped(jobs: Jobs) -> None:
    gate = threading.Event()
    job = jobs.request(("repair",), Count, counting(gate=gate), "me", to_end=True)
    jobs.leave("me")
    jobs.stop("me after a reload", [job])
    assert job.snapshot().cancelled
    gate.set()


def test_a_job_that_nobody_has_before_them_rests_while_another_one_is_computed(jobs: Jobs) -> None:
    """A slider that moves on leaves its map behind; that takes nothing from the new one."""
    gate, other = threading.Event(), threading.Event()
    old = jobs.request(("old",), Count, counting(gate=gate), "me")
    after_a_step(old)
    new = jobs.request(("new",), Count, counting(gate=other), "me")
    jobs.leave("me", keep=(new,))
    gate.set()
    time.sleep(0.3)
    assert old.snapshot().running
    assert old.snapshot().done < 1
    other.set()
    wait(new)
    wait(old)
    assert old.snapshot().result == Count(5)


def test_beyond_the_limits_jobs_wait_their_turn_and_say_so(jobs: Jobs) -> None:
    gate = threading.Event()
    mine = [jobs.request(("mine", n), Count, counting(gate=gate), "me") for n in range(MAPS.each + 2)]
    assert [job.thread is not None for job in mine] == [True] * MAPS.each + [False] * 2
    said = mine[-1].snapshot()
    assert said.running
    assert said.waiting == "Waits its turn: at most 8 maps and curves are computed here at once, 4 of one visitor."
    others = [jobs.request(("other", n), Count, counting(gate=gate), f"visitor {n}") for n in range(MAPS.everywhere)]
    assert sum(job.thread is not None for job in mine + others) == MAPS.everywhere
    repairs = [jobs.request(("repair", n), Count, counting(gate=gate), "me", to_end=True) for n in range(2)]
    assert [job.thread is not None for job in repairs] == [True, False], "a repair has a limit of its own"
    light = jobs.request(("fetch",), Count, counting(gate=gate), "me", heavy=False)
    assert light.thread is not None
    gate.set()
    for job in mine + others + repairs:
        while job.snapshot().running:
            time.sleep(0.001)
        assert job.snapshot().result == Count(5)


def test_what_waits_and_is_left_is_dropped_and_what_was_left_makes_room(jobs: Jobs) -> None:
    gate, started = threading.Event(), list[int]()
    old = [jobs.request(("old", n), Count, counting(gate=gate), "me") for n in range(MAPS.each)]
    late = jobs.request(("late",), Count, counting(started), "me")
    jobs.leave("me")
    assert (late.snapshot().running, late.snapshot().cancelled) == (False, True)
    new = jobs.request(("new",), Count, counting(), "me")
    assert new.snapshot().waiting
    assert [job.snapshot().cancelled for job in old] == [True, False, False, False], "the one left first"
    gate.set()
    while new.snapshot().running:
        time.sleep(0.001)
    assert new.snapshot().result == Count(5)
    assert started == []


def test_a_failure_is_one_sentence_and_is_tried_again(jobs: Jobs) -> None:
    def fail() -> Iterator[Count]:
        yield Count(1)
        raise ValueError("the model is gone")

    job = jobs.request(("a",), Count, fail, "me")
    wait(job)
    assert job.snapshot().error == "ValueError: the model is gone"
    assert job.snapshot().result == Count(1)
    assert jobs.request(("a",), Count, counting(), "me") is job, "who asks at every rerun would never read the sentence"
    jobs.leave("me")
    again = jobs.request(("a",), Count, counting(), "me")
    wait(again)
    assert again.snapshot().result == Count(5)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("seed = -1 is not allowed"), "ValueError: seed = -1 is not allowed"),
        (OSError("no route to the server"), "OSError: no route to the server"),
        (
            FileNotFoundError(2, "No such file or directory", "/srv/models/card.json"),
            "FileNotFoundError: card.json: No such file or directory",
        ),
        (OSError(28, "No space left on device"), "OSError: No space left on device"),
        (RuntimeError("/srv/code.py: bad"), "RuntimeError: an unexpected error, written to the log of the server"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_where_files_of_the_server_lie_is_in_its_log_only(
    jobs: Jobs, caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    def fail() -> Iterator[Count]:
        raise error
        yield

    job = jobs.request(("a",), Count, fail, "me")
    wait(job)
    assert job.snapshot().error == told
    assert "Traceback" in caplog.text
    assert str(error) in caplog.text


def test_a_failure_is_tried_again_for_who_has_not_seen_it(jobs: Jobs) -> None:
    def fail() -> Iterator[Count]:
        raise ValueError("the model is gone")
        yield

    first = jobs.request(("a",), Count, fail, "one")
    wait(first)
    second = jobs.request(("a",), Count, fail, "other")
    assert second is not first
    wait(second)
    assert all(jobs.request(("a",), Count, fail, session) is second for session in ("one", "other"))


def test_a_full_disk_does_not_lose_the_result(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.runtime.atomic_files.write_atomically", full)
    job = jobs.request(("a",), Count, counting(), "me")
    wait(job)
    assert (job.snapshot().result, job.snapshot().error) == (Count(5), "")


def test_who_waits_passes_before_background_steps() -> None:
    turnstile, order = Turnstile(), []
    inside, release = threading.Event(), threading.Event()

    def step() -> None:
        with turnstile.background():
            inside.set()
            assert release.wait(10)

    def background() -> None:
        with turnstile.background():
            order.append("map")

    def interactive() -> None:
        with turnstile.interactive():
            order.append("drag")

    threads = [threading.Thread(target=step)]
    threads[0].start()
    assert inside.wait(10)
    threads += [threading.Thread(target=background) for _ in range(3)]
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.05)
    threads.append(threading.Thread(target=interactive))
    threads[-1].start()
    while not turnstile._waiting:
        time.sleep(0.001)
    release.set()
    for thread in threads:
        thread.join(10)
    assert order == ["drag", "map", "map", "map"]
    assert not turnstile._waiting


def test_who_waits_passes_in_the_order_of_coming() -> None:
    turnstile, order = Turnstile(), []

    def drag(number: int) -> None:
        with turnstile.interactive():
            order.append(number)

    threads = [threading.Thread(target=drag, args=(number,)) for number in range(12)]
    with turnstile.interactive():
        for number, thread in enumerate(threads):
            thread.start()
            while len(turnstile._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert order == list(range(12))


def meanwhile(count: int, act: Callable[[int], None], ready: Callable[[int], bool]) -> list[threading.Thread]:
    """Threads that do something with their number, each begun when those before it have come as far as is wanted."""
    threads = []
    for number in range(count):
        thread = threading.Thread(target=act, args=(number,))
        thread.start()
        threads.append(thread)
        while not ready(number):
            time.sleep(0.001)
    return threads


class Key(int):
    """A question's key that counts how often one was looked up: who has looked waits for the first answer."""

    lookups = 0

    def __hash__(self) -> int:
        Key.lookups += 1
        return int(self)


def test_questions_that_come_meanwhile_are_answered_together_and_equal_ones_once() -> None:
    turnstile, asked, answers = Turnstile(), list[list[float]](), dict[int, list[int]]()
    questions = Questions(turnstile.interactive, together=4)

    def predict(images: Tensor) -> Tensor:
        asked.append(images.flatten().tolist())
        return (10 * images.flatten()).long()

    def ask(number: int) -> None:
        # 0 and 5 are the same question; 3 is to another model.
        value, alike = number % 5, "b" if number == 3 else "a"
        images = torch.full((2, 1, 1, 1), float(value))
        answers[number] = questions.ask(Key(value), predict, lambda: images, 2, alike).tolist()

    Key.lookups = 0
    with turnstile.interactive():
        # Each question is looked up, and all but the last one, which is found, are then entered.
        threads = meanwhile(6, ask, lambda number: Key.lookups >= min(2 * number + 2, 11))
    for thread in threads:
        thread.join(10)
    assert asked == [[0, 0, 1, 1], [2, 2, 4, 4], [3, 3]]
    assert answers == {number: [10 * (number % 5)] * 2 for number in range(6)}
    assert questions._open == {}
    assert not questions._led


def test_a_question_that_fails_fails_for_all_who_asked_and_for_nobody_else() -> None:
    turnstile, said = Turnstile(), dict[int, object]()
    questions = Questions(turnstile.interactive)

    def damaged() -> Tensor:
        raise ValueError("this picture is damaged")

    def ask(number: int) -> None:
        images = damaged if number < 2 else lambda: torch.ones(1, 1, 1, 1)
        try:
            said[number] = questions.ask(number // 2, lambda x: x.flatten().long(), images, 1, number // 2).tolist()
        except ValueError as error:
            said[number] = str(error)

    with turnstile.interactive():
        threads = meanwhile(3, ask, lambda number: len(questions._waiting) == (1, 1, 2)[number])
    for thread in threads:
        thread.join(10)
    assert said == {0: "this picture is damaged", 1: "this picture is damaged", 2: [1]}
    ask(3)
    assert said[3] == [1]


def test_so_many_draw_at_once_in_the_order_of_coming_and_who_waits_lets_others_draw() -> None:
    turns, order = Turns(at_once=1), list[int]()

    def draw(number: int) -> None:
        with turns.turn(), turns.turn():
            order.append(number)

    with turns.turn():
        threads = meanwhile(4, draw, lambda number: len(turns._waiting) == number + 1)
        assert order == []
        with turns.paused():
            for thread in threads:
                thread.join(10)
        assert order == [0, 1, 2, 3]
        assert turns._free == 0
    assert turns._free == 1
    with turns.paused():  # who has no turn gives none
        assert turns._free == 1


def test_a_crowd_is_who_dragged_within_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("dashboard.server.jobs.time.monotonic", lambda: now)
    crowd = Crowd()
    assert [crowd.dragging_with(name) for name in ("a", "b", "a", "c")] == [1, 2, 2, 3]
    now += DRAGGING / 2
    assert crowd.dragging_with("a") == 3
    now += DRAGGING / 2
    assert crowd.dragging_with("d") == 2, "b and c have let go"


def test_background_work_lets_the_next_model_of_a_drag_step_go_first() -> None:
    """Between two models the turnstile is free for a moment; a step of a map that began then would hold up the drag."""
    turnstile, order = Turnstile(linger=1.0), []

    def step() -> None:
        with turnstile.background():
            order.append("map")

    with turnstile.interactive():
        order.append("drag")
        thread = threading.Thread(target=step)
        thread.start()
    time.sleep(0.1)
    with turnstile.interactive():
        order.append("drag")
    thread.join(10)
    assert order == ["drag", "drag", "map"]


def test_the_turnstile_lets_one_at_a_time_through() -> None:
    turnstile, inside, most = Turnstile(), 0, 0
    lock = threading.Lock()

    def work(kind: str) -> None:
        nonlocal inside, most
        for _ in range(50):
            with turnstile.interactive() if kind == "drag" else turnstile.background():
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work, args=(kind,)) for kind in ("drag", "map") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1
