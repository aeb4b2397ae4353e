"""Claims are decided by intervals, and every number that decides one is given."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.paper.claims import judge_defenses, judge_saliency
from core.paper.claims.base import FAILS, HOLDS, MIXED, NOT_MEASURED
from core.paper.constants import ENHANCED, STANDARD, STRONGEST
from core.sweeps.saliency import Energies, Energy
from core.sweeps.strength import StrengthCurve


def energies(attacked, transformed, *, peaks=(400, 400), count=500, area=0.01, std=0.05):
    return Energies(
        Energy(count, attacked, std, area, peaks[0]), Energy(count, transformed, std, area, peaks[1]), count, count
    )


def as_in_the_paper():
    """Standard: on the trigger, and off it behind the transformation; enhanced: on it, then more so."""
    measured = {title: energies(0.6, 0.05, peaks=(450, 50)) for title in STANDARD}
    measured |= {title: energies(0.6, 0.7, peaks=(450, 480)) for title in ENHANCED}
    measured["consistent"] = energies(0.55, 0.05, peaks=(300, 50))
    return measured


def verdicts(measured):
    return {verdict.claim.id: verdict.holds for verdict in judge_saliency(measured)}


def test_results_like_the_papers_bear_out_every_claim():
    assert set(verdicts(as_in_the_paper()).values()) == {True}


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"badnets": energies(0.6, 0.05, peaks=(251, 50))}, {"saliency-on-trigger"}),  # half, within its uncertainty
        ({"badnets": energies(0.501, 0.05, peaks=(450, 50))}, {"saliency-on-trigger", "saliency-consistent-spread"}),
        ({"consistent": energies(0.599, 0.05, peaks=(300, 50))}, {"saliency-consistent-spread"}),
        ({"blended": energies(0.6, 0.05, peaks=(450, 260))}, {"saliency-standard-moves-away"}),
        ({"blended": energies(0.6, 0.599, peaks=(450, 50))}, {"saliency-standard-moves-away"}),
        ({"blended+": energies(0.6, 0.6, peaks=(450, 450))}, {"saliency-enhanced-stays"}),
        ({"blended+": energies(0.6, 0.7, peaks=(450, 200))}, {"saliency-enhanced-stays"}),
    ],
)
def test_one_attack_that_differs_breaks_the_claim(changed, broken):
    found = verdicts(as_in_the_paper() | changed)
    assert {name for name, holds in found.items() if not holds} == broken


def test_concentration_counts_not_the_share():
    """Behind ShrinkPad the trigger is smaller: the same share on half the area is twice as concentrated."""
    smaller = Energies(Energy(500, 0.4, 0.05, 0.01, 450), Energy(500, 0.4, 0.05, 0.005, 450), 500, 500)
    assert verdicts(as_in_the_paper() | {"badnets+": smaller})["saliency-enhanced-stays"]


def test_measures_that_disagree_make_the_verdict_mixed():
    """More of the saliency on a trigger four times as large: less of it per pixel."""
    larger = Energies(Energy(500, 0.8, 0.05, 0.04, 450), Energy(500, 0.05, 0.05, 0.04, 50), 500, 500)
    found = {verdict.claim.id: verdict for verdict in judge_saliency(as_in_the_paper() | {"consistent": larger})}
    verdict = found["saliency-consistent-spread"]
    assert verdict.outcome == MIXED
    assert verdict.detail == "holds for saliency per pixel, not for mass accuracy"


def test_a_trigger_without_an_area_is_judged_all_the_same():
    nothing = Energies(Energy(500, 0.0, 0.0, 0.0, 0), Energy(500, 0.0, 0.0, 0.0, 0), 500, 500)
    assert not any(verdicts(dict.fromkeys((*STANDARD, *ENHANCED), nothing)).values())


def test_a_peak_on_the_trigger_is_not_most_of_the_saliency():
    little = Energies(Energy(500, 0.06, 0.05, 0.01, 480), Energy(500, 0.05, 0.05, 0.01, 50), 500, 500)
    found = {verdict.claim.id: verdict for verdict in judge_saliency({"badnets": little})}["saliency-on-trigger"]
    assert found.outcome == MIXED
    assert found.detail == "holds for pointing game, not for mass accuracy"


def test_a_claim_is_decided_on_what_was_measured_and_says_what_was_not():
    measured = {"badnets": as_in_the_paper()["badnets"]}
    found = {verdict.claim.id: verdict for verdict in judge_saliency(measured)}
    assert found["saliency-on-trigger"].holds is True
    assert found["saliency-on-trigger"].missing == ("blended", "consistent", *ENHANCED)
    assert found["saliency-consistent-spread"].holds is None
    assert found["saliency-enhanced-stays"].holds is None
    numbers = found["saliency-standard-moves-away"].numbers["badnets"]
    assert numbers["mass accuracy, %"] == 60
    assert numbers["pointing game behind ShrinkPad-4, %"] == 10
    assert json.loads(json.dumps(found["saliency-on-trigger"].to_dict()))["holds"] is True


def curves(flip, shrunk, values=0.97, total=1000, clean=0.85, noisy=0.4, without=0.98):
    """Curves of one model: success at no strength, behind Flip, behind ShrinkPad by size, behind value shifts.

    The clean accuracy is 87% without, ``noisy`` under noise and ``clean`` behind all else.
    """

    def curve(rates, accuracy):
        strengths, hits = zip(*sorted(({0.0: without} | rates).items()), strict=True)
        every = np.full(len(hits), total)
        right = np.array([round(total * (0.87 if strength == 0 else accuracy)) for strength in strengths])
        return StrengthCurve(np.array([round(total * h) for h in hits]), every, strengths, right, every, total)

    found = {"flip": curve({1.0: flip}, clean), "shrinkpad": curve({1.0: 0.3, 3.0: 0.1} | shrunk, clean)}
    return found | {name: curve({at: values}, noisy if name == "noise" else clean) for name, at in STRONGEST.items()}


LOW = {2.0: 0.2, 4.0: 0.04, 8.0: 0.02}
KEPT = {1.0: 0.98, 2.0: 0.97, 3.0: 0.96, 4.0: 0.95, 5.0: 0.15, 6.0: 0.12, 7.0: 0.1, 8.0: 0.1}


def defended():
    measured = {title: curves(0.01, LOW) for title in STANDARD} | {title: curves(0.98, KEPT) for title in ENHANCED}
    return measured | {"consistent": curves(0.96, LOW)}


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, set()),
        ({"badnets": curves(0.01, LOW | {4.0: 0.11})}, {"shrinkpad-stops", "enhanced-improve"}),
        ({"blended": curves(0.11, LOW)}, {"flip-stops"}),
        ({"consistent": curves(0.85, LOW)}, {"flip-spares-consistent"}),
        ({"consistent": curves(0.96, LOW, clean=0.79, total=9000)}, {"clean-kept"}),
        ({"consistent": curves(0.96, LOW, clean=0.75)}, {"clean-kept", "colour-spares-clean"}),
        ({"consistent": curves(0.96, LOW, noisy=0.6)}, {"noise-costs-clean"}),
        ({"consistent": curves(0.96, LOW, values=0.92)}, {"noise-spares"}),
        ({"consistent": curves(0.96, LOW, values=0.85)}, {"values-spare", "noise-spares"}),
        ({"blended+": curves(0.82, KEPT)}, {"enhanced-survive"}),
        ({"blended+": curves(0.97, KEPT | {5.0: 0.6})}, {"enhanced-fall", "enhanced-stopped-above"}),
        ({"blended+": curves(0.97, KEPT | {6.0: 0.3})}, {"enhanced-stopped-above", "enhanced-falls-along"}),
        ({"consistent+": curves(0.97, KEPT | {3.0: 0.8})}, {"enhanced-high-within", "enhanced-falls-along"}),
        ({"consistent+": curves(0.97, KEPT | {7.0: 0.18})}, {"enhanced-falls-along", "enhanced-stopped-above"}),
        (
            {"blended": curves(0.01, LOW | {2.0: 0.97}), "badnets": curves(0.01, LOW | {2.0: 0.97})},
            {"enhanced-better"},
        ),
    ],
)
def test_one_curve_that_differs_breaks_the_claim_about_defenses(changed, broken):
    verdicts = judge_defenses(defended() | changed)
    assert {verdict.claim.id for verdict in verdicts if verdict.holds is False} == broken
    assert all(verdict.numbers for verdict in verdicts)


def by_id(verdicts):
    return {verdict.claim.id: verdict for verdict in verdicts}


def test_a_limited_effect_is_a_drop():
    """From 94.9% to 87.7% is as limited as the paper's 98.7% to 92.6%, though below 90%."""
    ours = {title: curves(0.01, LOW, values=0.877, total=9000, without=0.949) for title in STANDARD}
    assert by_id(judge_defenses(ours))["values-spare"].outcome == HOLDS


def test_the_four_outcomes():
    def outcome(**changed):
        measured = {"badnets": curves(0.01, LOW), "blended": curves(0.01, LOW)} | changed
        return by_id(judge_defenses(measured))["flip-stops"]

    assert (outcome().outcome, outcome().holds) == (HOLDS, True)
    failed = outcome(badnets=curves(0.5, LOW), blended=curves(0.5, LOW))
    assert (failed.outcome, failed.holds) == (FAILS, False)
    mixed = outcome(blended=curves(0.5, LOW))
    assert (mixed.outcome, mixed.holds) == (MIXED, False)
    assert mixed.sentence == "mixed: holds for BadNets, not for Blended"
    left_open = outcome(blended=curves(0.097, LOW))
    assert left_open.outcome == MIXED
    assert "undecided for Blended (the bound is within the 95% interval)" in left_open.sentence
    nothing = by_id(judge_defenses({}))["flip-stops"]
    assert (nothing.outcome, nothing.holds) == (NOT_MEASURED, None)
    assert len({failed.outcome, mixed.outcome, outcome().outcome, nothing.outcome}) == 4
    one = by_id(judge_defenses({"badnets": curves(0.01, LOW)}))["flip-stops"]
    assert one.sentence.startswith("Of BadNets only (Blended is not measured): holds")
    values = json.loads(json.dumps(mixed.to_dict()))
    assert (values["holds"], values["outcome"], values["source"]) == (False, "mixed", "Li et al. 2020")
    assert values["quote"] == mixed.claim.quote != ""


def test_sizes_that_were_not_measured_are_said():
    """Above the size of the training every measured size counts, 5 and 6 too; what is missing has its own words."""
    measured = {title: curves(0.97, KEPT) for title in ENHANCED}
    assert by_id(judge_defenses(measured))["enhanced-fall"].sentence == "holds"
    slow = {title: curves(0.97, KEPT | {5.0: 0.9, 6.0: 0.7}) for title in ENHANCED}
    found = by_id(judge_defenses(slow))["enhanced-fall"]
    assert found.sentence == "mixed: holds for ShrinkPad-7 and ShrinkPad-8, not for ShrinkPad-5 and ShrinkPad-6"
    assert found.numbers["badnets+"]["ShrinkPad-5, %"] == 90
    few = {title: curves(0.97, {2.0: 0.97, 4.0: 0.95, 6.0: 0.2, 8.0: 0.1}) for title in ENHANCED}
    found = by_id(judge_defenses(few))
    assert found["enhanced-fall"].sentence == "holds: ShrinkPad-5 and ShrinkPad-7 are not measured"
    one = measured | {"consistent+": few["consistent+"]}
    found = by_id(judge_defenses(one))
    for name in ("enhanced-fall", "enhanced-stopped-above", "enhanced-falls-along"):
        assert found[name].sentence.endswith("ShrinkPad-5 and ShrinkPad-7 of Consistent+ are not measured"), name
    none = {title: curves(0.97, {2.0: 0.97, 4.0: 0.95}) for title in ENHANCED}
    found = by_id(judge_defenses(none))
    assert {found[name].outcome for name in ("enhanced-fall", "enhanced-falls-along")} == {NOT_MEASURED}
    assert found["enhanced-high-within"].outcome != NOT_MEASURED


def test_each_size_of_the_defense_is_judged_and_named():
    """Sec. 5.6: up to 4 the attack must succeed, above it must be stopped, and it may rise nowhere."""
    found = by_id(judge_defenses({title: curves(0.97, KEPT) for title in ENHANCED}))
    judged = ("enhanced-falls-along", "enhanced-high-within", "enhanced-fall", "enhanced-stopped-above")
    assert {found[name].sentence for name in judged} == {"holds"}
    slow = by_id(judge_defenses({title: curves(0.97, KEPT | {5.0: 0.4, 6.0: 0.19}) for title in ENHANCED}))
    assert slow["enhanced-fall"].outcome == HOLDS
    assert slow["enhanced-stopped-above"].detail == (
        "holds for ShrinkPad-7 and ShrinkPad-8, not for ShrinkPad-5, undecided for ShrinkPad-6 (the bound is within "
        "the 95% interval)"
    )
    numbers = found["enhanced-falls-along"].numbers["blended+"]
    assert [numbers[f"ShrinkPad-{size}, %"] for size in range(1, 9)] == [98, 97, 96, 95, 15, 12, 10, 10]


def test_a_claim_needs_its_own_curves_only():
    some = {name: curve for name, curve in defended()["badnets"].items() if name != "hue"}
    found = by_id(judge_defenses({"badnets": some}))
    assert found["shrinkpad-stops"].holds is True
    assert found["shrinkpad-stops"].missing == STANDARD[1:]
    assert found["values-spare"].holds is None
    assert found["values-spare"].missing == STANDARD
    few = {"badnets": {"shrinkpad": curves(0.01, {2.0: 0.2})["shrinkpad"]}}
    assert by_id(judge_defenses(few))["shrinkpad-stops"].missing == STANDARD
