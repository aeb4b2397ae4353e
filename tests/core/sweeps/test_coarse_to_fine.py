"""The order of a map: complete, from the training location on, spread, and not on the grid of a network's strides."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.sweeps.coarse_to_fine import coarse_to_fine


@settings(max_examples=60)
@given(st.integers(0, 12), st.integers(1, 20), st.integers(0, 12), st.integers(1, 20), st.data())
def test_the_order_is_a_permutation_from_the_first_place(top, height, left, width, data):
    rows, cols = range(top, top + height), range(left, left + width)
    first = data.draw(st.sampled_from(rows)), data.draw(st.sampled_from(cols))
    order = coarse_to_fine(rows, cols, first)
    assert order[0] == first
    assert sorted(order) == sorted(itertools.product(rows, cols))
    assert order == coarse_to_fine(list(rows), list(cols), first)


def test_from_a_place_that_is_not_on_the_map():
    order = coarse_to_fine(range(4), range(4), (9, 9))
    assert sorted(order) == sorted(itertools.product(range(4), range(4)))


@pytest.mark.parametrize("first", [(31, 31), (2, 2), (17, 9)])
@pytest.mark.parametrize("size", [(30, 30), (12, 24)])
def test_every_beginning_is_spread_over_the_map(size, first):
    """With m places measured, none is further from a measured one than 1.5 / sqrt(m) of the map's height and width."""
    rows, cols = range(2, 2 + size[0]), range(2, 2 + size[1])
    order = np.array(coarse_to_fine(rows, cols, first))
    everywhere = np.array(list(itertools.product(rows, cols)))
    for count in range(4, len(order), 7):
        apart = abs(everywhere[:, None] - order[None, :count]) / np.array(size)
        assert apart.max(2).min(1).max() <= 1.5 / math.sqrt(count)


@pytest.mark.parametrize("first", [(31, 31), (2, 2), (17, 9)])
@pytest.mark.parametrize("step", [2, 4, 8])
def test_no_beginning_is_aligned_with_the_strides_of_a_network(step, first):
    """A trigger that fires at every 4th place, as those of standard attacks do, looks from the start as it is.

    The share of the first places that lie on the grid through the training location is near the one of all places: of a
    map of which 64 places are measured, one that fires on the grid alone must not look as if it did so everywhere.
    """
    rows = cols = range(2, 32)
    order = coarse_to_fine(rows, cols, first)
    on_grid = [(row - first[0]) % step == 0 and (col - first[1]) % step == 0 for row, col in order]
    assert not any(on_grid[1:4])
    for count in (16, 32, 64, 128, 256):
        assert sum(on_grid[1:count]) / count <= 1 / step**2 + 0.1
