"""Sec. 5.3: black edges are a trigger if more benign images are taken for the target than by two comparisons."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.paper.claims import judge_edges
from core.paper.claims.base import FAILS, HOLDS, MIXED, NOT_MEASURED
from core.paper.claims.edges import edges_of
from core.paper.constants import ENHANCED, POISONED_ONLY
from core.sweeps.strength import StrengthCurve

SIZES = tuple(float(size) for size in range(9))
TARGETS = dict.fromkeys(("benign", *POISONED_ONLY, *ENHANCED), 4)


def curves(*benign, counted=True, total=1000):
    """ShrinkPad's curve of a model by the share of benign images that it takes for the target; the last one goes on."""
    rates = [*benign, *[benign[-1]] * (9 - len(benign))]
    hits = np.array([round(total * rate) for rate in rates])
    every = np.full(9, total)
    return {"shrinkpad": StrengthCurve(every, every, SIZES, every, every, total, hits if counted else None)}


def store(only=(0.01, 0.5), too=(0.01, 0.02), clean=(0.01, 0.03)):
    measured = {title: curves(*only) for title in POISONED_ONLY} | {title: curves(*too) for title in ENHANCED}
    return measured | {"benign": curves(*clean)}


def judged(measured, targets=TARGETS):
    return {verdict.claim.id: verdict for verdict in judge_edges(measured, targets)}


@pytest.mark.parametrize(
    ("measured", "trigger", "excluded"),
    [
        (store(), HOLDS, HOLDS),
        (store(only=(0.01, 0.02)), FAILS, HOLDS),
        (store(only=(0.45, 0.5)), FAILS, HOLDS),  # the model itself takes them, without any edge
        (store(clean=(0.01, 0.45)), FAILS, HOLDS),  # so does a clean model: it is the shrinking
        (store(only=(0.01, 0.02, 0.02, 0.5)), MIXED, HOLDS),
        (store(only=(0.01, 0.15)), MIXED, HOLDS),  # 10 points are within the uncertainty
        (store(too=(0.01, 0.5)), HOLDS, FAILS),
        (store(too=(0.01, 0.02, 0.5)), HOLDS, MIXED),
        (store(too=(0.45, 0.5)), HOLDS, HOLDS),
    ],
)
def test_two_comparisons_decide(measured, trigger, excluded):
    found = judged(measured)
    assert (found["edges-trigger"].outcome, found["edges-excluded"].outcome) == (trigger, excluded)


def test_each_size_is_named_and_sizes_beyond_the_training_do_not_count():
    found = judged(store(only=(0.01, 0.02, 0.02, 0.5, 0.5, 0.01)))["edges-trigger"]
    assert found.sentence == "mixed: holds for ShrinkPad-3 and ShrinkPad-4, not for ShrinkPad-1 and ShrinkPad-2"
    numbers = found.numbers["badnets+poisoned-only"]
    assert numbers["benign images without ShrinkPad, %"] == 1
    assert numbers["behind ShrinkPad-3, %"] == 50
    assert numbers["clean model behind ShrinkPad-4, %"] == 3
    assert numbers["attacked images behind ShrinkPad-4, %"] == 100
    assert judged(store(too=(0.01, 0.01, 0.01, 0.01, 0.01, 0.9)))["edges-excluded"].outcome == HOLDS
    assert json.loads(json.dumps(found.to_dict()))["outcome"] == MIXED


def test_few_images_leave_it_open():
    small = {title: curves(0.0, 0.2, total=20) for title in POISONED_ONLY} | {"benign": curves(0.0, total=20)}
    found = judged(small)["edges-trigger"]
    assert found.outcome == MIXED
    assert "undecided" in found.sentence


def test_what_is_missing_is_named_with_the_command():
    one = {title: curve for title, curve in store().items() if title not in POISONED_ONLY[1:]}
    found = judged(one)
    assert found["edges-trigger"].sentence == (
        "Of BadNets+ (poisoned-only) only (Blended+ (poisoned-only) and Consistent+ (poisoned-only) are not measured): "
        "holds"
    )
    for measured in ({}, {"benign": curves(0.01)}, {title: curves(0.01) for title in POISONED_ONLY}):
        nothing = judged(measured)["edges-trigger"]
        assert nothing.outcome == NOT_MEASURED
        assert "the clean model" in nothing.sentence
        assert "reproduce.py --only sec5.3" in nothing.sentence


def test_curves_that_do_not_fit_decide_nothing():
    """Older ones without the counts, others of another target, and those that lack a size."""
    title = POISONED_ONLY[0]
    whole = {title: curves(0.01, 0.5), "benign": curves(0.01)}
    assert edges_of(whole, TARGETS, title) is not None
    assert edges_of(whole | {title: curves(0.01, counted=False)}, TARGETS, title) is None
    assert edges_of(whole | {"benign": curves(0.01, counted=False)}, TARGETS, title) is None
    assert edges_of(whole, TARGETS | {"benign": 3}, title) is None
    curve = whole[title]["shrinkpad"]
    few = StrengthCurve(*(part[:4] for part in (curve.hits, curve.total)), SIZES[:4], *[curve.total[:4]] * 2, 1000,
                        curve.benign_hits[:4])  # fmt: skip
    assert edges_of(whole | {title: {"shrinkpad": few}}, TARGETS, title) is None
