"""What the server keeps of what was measured takes no more memory than it may."""

from __future__ import annotations

import numpy as np
import pytest
import torch

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
    recent = Recent[Visited](limit=1000)
    first = recent.get_or_make("first", lambda: Visited(range(2, 32), range(2, 32), 4))
    assert recent.get_or_make("first", lambda: Visited(range(1), range(1), 0)) is first
    for col in range(2, 32):
        first.note(2, col, torch.arange(100) % 10)
    assert first.nbytes == 30 * 100  # a byte for each of ten classes
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
