"""Measures of localisation: by hand, against loops, and against the package quantus."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from core.attribution.measures import (
    covered,
    intersection_over_union,
    most_salient,
    pointing_game,
    recovering_difference,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    salient_pixels,
)


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    saliency = torch.rand(40, 12, 12, generator=generator) ** 3
    masks = torch.zeros(40, 1, 12, 12)
    for n in range(40):
        row, col = divmod(n, 9)
        masks[n, 0, row : row + 3, col : col + 3] = 1
    return saliency, masks


def test_ours_are_those_of_quantus(maps):
    quantus = pytest.importorskip("quantus", reason="the package quantus is not installed")
    saliency, masks = maps
    given = {"a_batch": saliency[:, None].double().numpy(), "s_batch": masks.numpy()}
    quiet = {"disable_warnings": True, "display_progressbar": False}
    theirs = {
        "mass": quantus.RelevanceMassAccuracy(**quiet).evaluate_batch(**given),
        "rank": quantus.RelevanceRankAccuracy(**quiet).evaluate_batch(**given),
        "pointing": quantus.PointingGame(**quiet).evaluate_batch(**given),
    }
    exact = saliency.double()
    ours = {
        "mass": relevance_mass_accuracy(exact, masks),
        "rank": relevance_rank_accuracy(exact, masks),
        "pointing": pointing_game(exact, masks, tolerance=0),
    }
    for name, values in ours.items():
        np.testing.assert_allclose(values.double().numpy(), np.asarray(theirs[name], float), rtol=0, atol=1e-6)


def test_ours_are_those_of_loops(maps):
    saliency, masks = maps
    for n, (values, mask) in enumerate(zip(saliency.tolist(), masks[:, 0].tolist(), strict=True)):
        pixels = [(values[r][c], mask[r][c] == 1) for r in range(12) for c in range(12)]
        inside = sum(value for value, on in pixels if on)
        order = sorted(pixels, key=lambda pixel: -pixel[0])
        salient = [(value >= 0.5 * order[0][0], on) for value, on in pixels]
        one = slice(n, n + 1)
        assert float(relevance_mass_accuracy(saliency[one], masks[one])) == pytest.approx(
            inside / sum(value for value, _ in pixels)
        )
        assert float(relevance_rank_accuracy(saliency[one], masks[one])) == pytest.approx(
            sum(on for _, on in order[:9]) / 9
        )
        assert float(intersection_over_union(saliency[one], masks[one])) == pytest.approx(
            sum(a and b for a, b in salient) / sum(a or b for a, b in salient)
        )


def test_a_map_of_nothing_has_no_value():
    nothing, masks = torch.zeros(1, 4, 4), torch.ones(1, 1, 4, 4)
    for measure in (relevance_mass_accuracy, relevance_rank_accuracy, intersection_over_union):
        assert measure(nothing, masks).isnan().all()
    assert not pointing_game(nothing, masks).any()
    assert not salient_pixels(nothing).any()


def test_the_most_salient_pixels_are_as_many_as_asked(maps):
    saliency, _ = maps
    counts = torch.arange(40)
    chosen = most_salient(saliency, counts)
    assert chosen.flatten(1).sum(1).tolist() == counts.tolist()
    for values, mask in zip(saliency[1:], chosen[1:], strict=True):
        assert values[mask].min() >= values[~mask].max()


def squares(size=32, side=4):
    """Maps of a method that looks at squares: one value each, here of 24 images."""
    coarse = torch.rand(24, size // side, size // side, generator=torch.Generator().manual_seed(1))
    coarse[:, -1, -1] = 2  # the square in the corner is the most salient one
    return coarse.repeat_interleave(side, 1).repeat_interleave(side, 2)


@pytest.mark.parametrize("turn", [lambda t: t, lambda t: t.flip(-1), lambda t: t.flip(-2), lambda t: t.flip(-1, -2)])
def test_where_pixels_are_equal_their_place_in_the_image_decides_nothing(turn):
    """Nine of the sixteen pixels of the most salient square are the trigger's, in whichever corner they are."""
    saliency, masks = turn(squares()), torch.zeros(24, 1, 32, 32)
    masks[:, :, 29:, 29:] = 1
    masks = turn(masks)
    assert relevance_rank_accuracy(saliency, masks).tolist() == [pytest.approx(9 / 16)] * 24
    chosen = most_salient(saliency, torch.full((24,), 9))
    assert chosen.flatten(1).sum(1).tolist() == [9] * 24
    taken = (chosen & (masks[:, 0] > 0)).flatten(1).sum(1).float() / 9
    assert float(taken.mean()) == pytest.approx(9 / 16, abs=0.12)
    assert len(set(taken.tolist())) > 1, "another draw for every image"
    assert torch.equal(chosen, most_salient(saliency, torch.full((24,), 9)))


def test_rank_accuracy_of_equal_pixels_is_the_mean_over_every_choice():
    saliency, masks = torch.tensor([[[4.0, 2.0, 2.0, 2.0, 1.0]]]), torch.tensor([[[[1.0, 1.0, 1.0, 0.0, 0.0]]]])
    choices = [len({0, 1, 2} & {0, *chosen}) / 3 for chosen in itertools.combinations((1, 2, 3), 2)]
    assert float(relevance_rank_accuracy(saliency, masks)) == pytest.approx(sum(choices) / len(choices))


def test_covering_the_whole_trigger_leaves_nothing_of_it():
    clean = torch.full((2, 3, 4, 4), 0.2)
    stamped = clean.clone()
    stamped[:, :, 2:, 2:] = 1
    pixels = torch.zeros(2, 4, 4, dtype=torch.bool)
    pixels[0, 2:, 2:] = True
    pixels[1, 2, 2] = True
    recovered = covered(stamped, pixels, clean)
    assert torch.equal(recovered[0], clean[0])
    assert recovering_difference(recovered, clean, stamped).tolist() == [0, 0.75]
    assert recovering_difference(clean, clean, clean).isnan().all()
    assert float(covered(stamped, pixels, 0.5)[1, 0, 2, 2]) == 0.5
