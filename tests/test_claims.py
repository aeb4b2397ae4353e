"""Claims are decided by intervals, and every number that decides one is given."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.claims import judge_defenses, judge_saliency
from core.claims.base import ENHANCED, STANDARD
from core.claims.transformations import STRONGEST
from core.energy import Energies, Energy
from core.strength import StrengthCurve


def energies(attacked, transformed, *, peaks=(400, 400), count=500, area=0.01, std=0.05):
    return Energies(
        Energy(count, attacked, std, area, peaks[0]), Energy(count, transformed, std, area, peaks[1]), count, count
    )


def as_in_the_paper():
    """Standard: on the trigger, and off it behind the transformation; enhanced: on it, then more so."""
    measured = {title: energies(0.5, 0.05, peaks=(450, 50)) for title in STANDARD}
    measured |= {title: energies(0.5, 0.6, peaks=(450, 480)) for title in ENHANCED}
    measured["consistent"] = energies(0.3, 0.05, peaks=(300, 50))
    return measured


def verdicts(measured):
    return {verdict.claim.id: verdict.holds for verdict in judge_saliency(measured)}


def test_results_like_the_papers_bear_out_every_claim():
    assert set(verdicts(as_in_the_paper()).values()) == {True}


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"badnets": energies(0.5, 0.05, peaks=(251, 50))}, {"saliency-on-trigger"}),  # half, within its uncertainty
        ({"consistent": energies(0.499, 0.05, peaks=(300, 50))}, {"saliency-consistent-spread"}),
        ({"blended": energies(0.5, 0.05, peaks=(450, 260))}, {"saliency-standard-moves-away"}),
        ({"blended": energies(0.5, 0.499, peaks=(450, 50))}, {"saliency-standard-moves-away"}),
        ({"blended+": energies(0.5, 0.5, peaks=(450, 450))}, {"saliency-enhanced-stays"}),
        ({"blended+": energies(0.5, 0.6, peaks=(450, 200))}, {"saliency-enhanced-stays"}),
    ],
)
def test_one_attack_that_differs_breaks_the_claim(changed, broken):
    found = verdicts(as_in_the_paper() | changed)
    assert {name for name, holds in found.items() if not holds} == broken


def test_concentration_counts_not_the_share():
    """Behind ShrinkPad the trigger is smaller: the same share on half the area is twice as concentrated."""
    smaller = Energies(Energy(500, 0.4, 0.05, 0.01, 450), Energy(500, 0.4, 0.05, 0.005, 450), 500, 500)
    assert verdicts(as_in_the_paper() | {"badnets+": smaller})["saliency-enhanced-stays"]


def test_a_claim_is_decided_on_what_was_measured_and_says_what_was_not():
    measured = {"badnets": as_in_the_paper()["badnets"]}
    found = {verdict.claim.id: verdict for verdict in judge_saliency(measured)}
    assert found["saliency-on-trigger"].holds is True
    assert found["saliency-on-trigger"].missing == ("blended", "consistent", *ENHANCED)
    assert found["saliency-consistent-spread"].holds is None
    assert found["saliency-enhanced-stays"].holds is None
    numbers = found["saliency-standard-moves-away"].numbers["badnets"]
    assert numbers["share, %"] == 50
    assert numbers["peaks on the trigger behind ShrinkPad-4, %"] == 10
    assert json.loads(json.dumps(found["saliency-on-trigger"].to_dict()))["holds"] is True


def curves(flip, shrunk, values=0.97, total=1000):
    """Curves of one model: success at no strength 98%, behind Flip, behind ShrinkPad by size, behind value shifts."""

    def curve(rates):
        strengths, hits = zip(*sorted(rates.items()), strict=True)
        every = np.full(len(hits), total)
        return StrengthCurve(np.array([round(total * h) for h in hits]), every, strengths, every, every, total)

    found = {"flip": curve({0.0: 0.98, 1.0: flip}), "shrinkpad": curve({0.0: 0.98} | shrunk)}
    return found | {name: curve({0.0: 0.98, at: values}) for name, at in STRONGEST.items()}


def defended():
    low, kept = {2.0: 0.2, 4.0: 0.04, 8.0: 0.02}, {2.0: 0.97, 4.0: 0.95, 8.0: 0.1}
    measured = {title: curves(0.01, low) for title in STANDARD} | {title: curves(0.97, kept) for title in ENHANCED}
    return measured | {"consistent": curves(0.96, low)}


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, set()),
        ({"badnets": curves(0.01, {2.0: 0.2, 4.0: 0.097, 8.0: 0.02})}, {"shrinkpad-stops"}),
        ({"blended": curves(0.049, {2.0: 0.2, 4.0: 0.04, 8.0: 0.02})}, {"flip-stops"}),
        ({"consistent": curves(0.9, {2.0: 0.2, 4.0: 0.04, 8.0: 0.02})}, {"flip-spares-consistent"}),
        ({"consistent": curves(0.96, {2.0: 0.2, 4.0: 0.04, 8.0: 0.02}, values=0.89)}, {"values-spare"}),
        ({"blended+": curves(0.84, {2.0: 0.97, 4.0: 0.95, 8.0: 0.1})}, {"enhanced-survive"}),
        ({"blended+": curves(0.97, {2.0: 0.97, 4.0: 0.95, 8.0: 0.47})}, {"enhanced-fall"}),
    ],
)
def test_one_curve_that_differs_breaks_the_claim_about_defenses(changed, broken):
    verdicts = judge_defenses(defended() | changed)
    assert {verdict.claim.id for verdict in verdicts if not verdict.holds} == broken
    assert all(verdict.numbers for verdict in verdicts)


def test_a_model_with_some_curves_only_decides_nothing():
    some = {name: curve for name, curve in defended()["badnets"].items() if name != "hue"}
    verdicts = judge_defenses({"badnets": some})
    assert {verdict.holds for verdict in verdicts} == {None}
    assert verdicts[0].missing == STANDARD
