"""What Sec. 5.5 says, decided on results that were made up: each verdict, and what is said where none is measured."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.natural import NATURAL
from core.metrics import Rate
from core.paper.claims import judge_physical
from core.paper.claims.physical import SHAPES
from core.paper.placements import placements
from core.physical import FAR, NEAR
from core.sweeps.outcomes import Outcomes
from core.sweeps.physical import Condition, PhysicalResult, ranges

N = 500
IDS = [
    "physical-enhanced",
    "physical-standard",
    "physical-difference",
    "physical-keeps-label",
    "physical-out-of-sample",
    "physical-out-of-sample-standard",
    "physical-out-of-sample-difference",
]


def outcomes(share, keeps=0.0, usable=1.0, cut_from=0):
    """Of which the first ones are taken for the target, the last ones keep their label, and some are not usable."""
    place = np.arange(N)
    hit, kept = place < share * N, place >= (1 - keeps) * N
    return Outcomes(np.full(N, True), hit, kept & ~hit, place < usable * N, cut_from)


def result_of(near, far, keeps=(0.0, 0.0), pictures="the same", cut_from=0, usable=1.0):
    each = {
        name: outcomes(share, kept, usable, cut_from)
        for name, share, kept in zip(("near", "far"), (near, far), keeps, strict=True)
    }
    hits, kept = (np.array([getattr(one, what).sum() for one in each.values()]) for what in ("hit", "kept"))
    total = np.full(2, N)
    return PhysicalResult(hits, total, ranges(), total, total, N, 2 * N, kept, each, pictures, cut_from)


def judged(measured, others=None):
    verdicts = judge_physical(measured, {NATURAL: others or {}})
    assert [verdict.claim.id for verdict in verdicts] == IDS
    return {verdict.claim.id: verdict for verdict in verdicts}


def test_results_like_the_papers_bear_out_the_claims():
    measured = {"badnets": result_of(0.02, 0.01, (0.97, 0.98)), "badnets+": result_of(0.97, 0.9)}
    verdicts = judged(measured, {"badnets": result_of(0.02, 0.01), "badnets+": result_of(0.95, 0.9)})
    assert [verdict.holds for verdict in verdicts.values()] == [True] * len(IDS)
    numbers = verdicts["physical-enhanced"].numbers["badnets+"]
    assert numbers["near (simulated), %"] == pytest.approx(97)
    assert numbers["near, of 500 images"] == 485
    assert numbers["near interval from, %"] < 97 < numbers["near interval to, %"]
    above = verdicts["physical-difference"].numbers["badnets+"]
    assert above["near, above BadNets (simulated), points"] == pytest.approx(95)
    assert above["far, under BadNets+ alone, of 500 images"] == 445
    assert above["far, under BadNets alone, of 500 images"] == 0


@pytest.mark.parametrize(
    ("measured", "others", "outcomes"),
    [
        (
            {"badnets+": result_of(0.97, 0.2)},
            {},
            {"physical-enhanced": "mixed", IDS[2]: "not measured here"},
        ),
        ({"badnets+": result_of(0.6, 0.2)}, {}, {"physical-enhanced": "does not hold"}),
        ({"badnets+": result_of(0.86, 0.99)}, {}, {"physical-enhanced": "mixed"}),
        ({"badnets": result_of(0.02, 0.4)}, {}, {"physical-standard": "mixed"}),
        ({"badnets": result_of(0.3, 0.4)}, {}, {"physical-standard": "does not hold"}),
        ({"badnets": result_of(0.02, 0.02, (0.97, 0.5))}, {}, {"physical-keeps-label": "mixed"}),
        ({"badnets": result_of(0.02, 0.02, (0.5, 0.5))}, {}, {"physical-keeps-label": "does not hold"}),
        (
            {"badnets": result_of(0.5, 0.3), "badnets+": result_of(0.2, 0.1)},
            {},
            {"physical-difference": "does not hold", "physical-enhanced": "does not hold"},
        ),
        ({"badnets": result_of(0.5, 0.3), "badnets+": result_of(0.5, 0.9)}, {}, {"physical-difference": "mixed"}),
        ({"badnets": result_of(0.5, 0.5), "badnets+": result_of(0.502, 0.502)}, {}, {"physical-difference": "mixed"}),
        ({}, {"badnets+": result_of(0.5, 0.9)}, {"physical-out-of-sample": "mixed"}),
        ({}, {"badnets": result_of(0.5, 0.9)}, {"physical-out-of-sample-standard": "does not hold"}),
        ({}, {}, dict.fromkeys(IDS, "not measured here")),
    ],
)
def test_each_claim_can_fail_and_stay_open(measured, others, outcomes):
    verdicts = judged(measured, others)
    assert {name: verdicts[name].outcome for name in outcomes} == outcomes


def test_what_is_within_its_uncertainty_is_undecided():
    verdict = judged({"badnets+": result_of(0.86, 0.99)})["physical-enhanced"]
    assert "holds for far, undecided for near" in verdict.sentence
    verdict = judged({"badnets": result_of(0.5, 0.5), "badnets+": result_of(0.502, 0.502)})["physical-difference"]
    assert "undecided" in verdict.sentence


def test_only_images_count_whose_benign_photograph_is_recognised():
    """Of the 500, the first 100 are recognised, and just those are hit: without the condition it would be a fifth."""
    verdict = judged({"badnets+": result_of(0.2, 0.2, usable=0.2)})["physical-enhanced"]
    assert verdict.holds
    assert verdict.numbers["badnets+"]["near, of 100 images"] == 100
    nothing = judged({"badnets+": result_of(0.2, 0.2, usable=0)})["physical-enhanced"]
    assert nothing.outcome == "mixed"
    assert "undecided" in nothing.sentence


def test_photographs_of_other_images_are_no_pairs():
    measured = {"badnets": result_of(0, 0), "badnets+": result_of(1, 1, pictures="others")}
    verdict = judged(measured)["physical-difference"]
    assert verdict.outcome == "not measured here"
    assert "of the same images from the same places" in verdict.sentence
    assert "`python scripts/sweep.py physical`" in verdict.sentence


def test_photographs_from_one_place_say_what_is_missing():
    counts = np.full(2, 500)
    ways = (Condition("preset", "near", NEAR), Condition("preset", "far", FAR))
    older = PhysicalResult(counts, counts, ways, counts, counts, 500, 1000)
    verdict = judged({"badnets+": older})["physical-enhanced"]
    assert verdict.outcome == "not measured here"
    assert "`python scripts/sweep.py physical` takes them so" in verdict.sentence
    others = judged({}, {"badnets+": older})["physical-out-of-sample"]
    assert "`python scripts/sweep.py out-of-sample` takes them so" in others.sentence


def test_both_kinds_of_pictures_decide_and_a_missing_one_is_named():
    shapes, natural = {"badnets+": result_of(0.99, 0.99)}, {"badnets+": result_of(0.99, 0.1)}
    verdicts = judge_physical({}, {SHAPES: shapes, NATURAL: natural})
    (found,) = [verdict for verdict in verdicts if verdict.claim.id == "physical-out-of-sample"]
    assert found.outcome == "mixed"
    assert f"not for far of {NATURAL}" in found.sentence
    assert SHAPES in judged({}, natural)["physical-out-of-sample"].note


def test_crops_of_few_photographs_leave_more_open():
    """A success that differs from photograph to photograph: certain only if crops were independent."""
    place = np.arange(N)
    hit = (place % 5 != 0) | (place < 0.65 * N)  # on four photographs always, on one of 13 in 20 crops
    each = {name: Outcomes(np.full(N, True), hit, ~hit, np.full(N, True), cut_from=5) for name in ("near", "far")}
    independent = {name: Outcomes(one.attacked, one.hit, one.kept, one.usable) for name, one in each.items()}
    assert each["near"].success.interval[0] < independent["near"].success.interval[0]
    total = np.full(2, N)
    results = [
        PhysicalResult(hit.sum() * np.ones(2, int), total, ranges(), total * 0, total * 0, N, 2 * N, None, one, "x", 5)
        for one in (each, independent)
    ]
    claims = [judged({}, {"badnets+": result})["physical-out-of-sample"] for result in results]
    assert [claim.outcome for claim in claims] == ["mixed", "holds"]
    assert "undecided" in claims[0].sentence


def test_every_attack_stands_beside_the_standard_one_that_it_began_as():
    measured = {
        "blended+": result_of(0.4, 0.4),
        "badnets+camera": result_of(0.9, 0.9),
        "badnets": result_of(0.1, 0.1),
        "badnets+": result_of(0.3, 0.2),
    }
    rows = list(placements(measured))
    assert [row.title for row in rows][::2] == ["badnets", "badnets+", "badnets+camera", "blended+"]
    above = {(row.title, row.name): row.beside and row.beside.difference for row in rows}
    assert above["badnets", "near"] is None
    assert above["blended+", "near"] is None
    assert above["badnets+", "far"] == pytest.approx(0.1)
    assert above["badnets+camera", "near"] == pytest.approx(0.8)
    assert rows[0].clean == Rate(N, N)
