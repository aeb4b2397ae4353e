"""What the server keeps of what was measured takes no more memory than it may."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from core.data import ImageSet
from dashboard.server import resources
from dashboard.server.places import Visited
from dashboard.server.recent import Recent


def test_what_was_asked_longest_ago_goes_first():
    recent = Recent[torch.Tensor](limit=3 * 80)
    for name in "abc":
        recent.put(name, torch.zeros(10, dtype=torch.int64))
    assert recent.get("a") is not None
    recent.put("d", torch.zeros(10, dtype=torch.int64))
    assert [name for name in "abcd" if recent.get(name) is not None] == ["a", "c", "d"]
    assert recent.nbytes == 240


def test_the_last_one_stays_whatever_its_size():
    recent = Recent[torch.Tensor](limit=100)
    recent.put("small", torch.zeros(10, dtype=torch.uint8))
    recent.put("large", torch.zeros(1000, dtype=torch.uint8))
    assert recent.get("small") is None
    assert recent.get("large") is not None


def test_what_has_grown_is_measured_when_another_one_comes():
    recent = Recent[Visited](limit=80_000)
    first = recent.get_or_make("first", lambda: Visited(range(2, 32), range(2, 32), 4))
    assert recent.get_or_make("first", lambda: Visited(range(1), range(1), 0)) is first
    for col in range(2, 32):
        first.note(2, col, torch.arange(100) % 10)
    assert first.nbytes == 30 * 30 * 100  # a byte for each of ten classes
    recent.get_or_make("second", lambda: Visited(range(2, 32), range(2, 32), 4))
    assert recent.get("first") is None


@pytest.mark.parametrize("classes", [10, 300, 70_000])
def test_visited_places_count_right_for_any_number_of_classes(classes):
    said = torch.tensor([classes - 1, 0, classes - 1, 4])
    seen = Visited(range(2, 5), range(2, 5), classes - 1)
    seen.note(3, 4, said)
    counts = seen.counts()
    assert (int(counts.hits[1, 2]), int(counts.total[1, 2])) == (2, 4)
    assert seen.classes(1, 3)[1, 2].tolist() == np.minimum([0, classes - 1, 4], 255).tolist()


def test_a_value_is_made_once_and_nobody_waits_for_another_ones():
    recent, begun, go_on, made = Recent[torch.Tensor](limit=1000), threading.Event(), threading.Event(), []

    def slowly() -> torch.Tensor:
        begun.set()
        assert go_on.wait(10)
        made.append(1)
        return torch.zeros(1)

    threads = [threading.Thread(target=recent.get_or_make, args=("slow", slowly)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert len(recent.get_or_make("other", lambda: torch.zeros(2))) == 2
    assert made == []
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert made == [1]
    with pytest.raises(ZeroDivisionError):
        recent.get_or_make("failed", lambda: torch.zeros(1 // 0))
    assert len(recent.get_or_make("failed", lambda: torch.zeros(3))) == 3


def test_places_seen_with_few_and_then_more_images_and_classes():
    seen = Visited(range(2, 4), range(2, 4), 4)
    seen.note(2, 3, torch.tensor([4, 5]))
    seen.note(3, 2, torch.tensor([300, 4, 4]))
    seen.note(2, 3, torch.tensor([4]))  # fewer than are known
    seen.note(9, 9, torch.tensor([4]))  # no place of the map
    assert seen.counts().hits.tolist() == [[0, 1], [2, 0]]
    assert seen.counts().total.tolist() == [[0, 2], [3, 0]]
    assert seen.classes(1, 3).tolist() == [[[255] * 3, [5, 255, 255]], [[4, 4, 255], [255] * 3]]


def test_test_images_count_as_the_memory_they_take():
    read = ImageSet(torch.zeros(8, 3, 4, 4, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64), ("a",), "some")
    held = resources.Tested(read.floats(slice(4)), read.labels[:4], read.subset(slice(4)), "original", "some", read)
    assert held.nbytes == 4 * 48 * 4 + 8 * 48 + 8 * 8
