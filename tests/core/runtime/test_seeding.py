"""Generators derived from a seed and a purpose."""

from __future__ import annotations

import itertools

import torch

from core.runtime.seeding import generator_for


def first(*arguments):
    return torch.rand(4, generator=generator_for(*arguments)).tolist()


def test_equal_arguments_give_equal_draws_and_others_do_not():
    purposes = [(0,), (1,), (0, "epoch"), (0, "epoch", 0), (0, "epoch", 1), (0, "select"), (0, 0), (0, "0"), (0, 0, 0)]
    assert all(first(*purpose) == first(*purpose) for purpose in purposes)
    for one, other in itertools.combinations(purposes, 2):
        assert first(*one) != first(*other), (one, other)


def test_purposes_do_not_run_together():
    assert first(0, "a", "b") != first(0, "ab")
    assert first(1, 23) != first(12, 3)


def test_the_draws_of_a_seed_stay_what_they_are():
    """A stored seed names these numbers: another derivation would silently make every card a lie."""
    drawn = torch.randint(0, 1000, (5,), generator=generator_for(7, "select"))
    assert drawn.tolist() == [112, 892, 987, 771, 225]


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    torch.rand(3, generator=generator_for(0, "x"))
    assert torch.equal(torch.get_rng_state(), before)


def test_any_integer_is_a_seed():
    assert first(-1) != first(1)
    assert first(2**80) == first(2**80)
