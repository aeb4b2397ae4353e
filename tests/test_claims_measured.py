"""The claims about location, appearance, repairs and the largest shrink size: as in the paper, then one number off."""

from __future__ import annotations

import numpy as np
import pytest

from core.claims import judge_ablation, judge_repairs, judge_sensitivity
from core.defenses import defenses
from core.metrics import Rate
from core.repaired import Repaired
from core.strength import StrengthCurve
from core.sweeps import AppearanceCurve, LocationMap

PLACE = (31, 31)


def heatmap(**rates):
    """1% everywhere but where said: ``here`` at the training location, ``near`` and ``far`` 2 and 3 pixels away."""
    hits = np.full((30, 30), 10)
    hits[29, 29] = round(1000 * rates.get("here", 1))
    hits[29, 27], hits[26, 29] = round(1000 * rates.get("near", 0.6)), round(1000 * rates.get("far", 0.3))
    axis = tuple(range(2, 32))
    return LocationMap(hits, np.full((30, 30), 1000), axis, axis), PLACE


def appearance(**rates):
    hits = [0 if value < 100 else 990 for value in range(256)]
    hits[64] = round(1000 * rates.get("darker", 0.05))
    hits[128] = round(1000 * rates.get("trained", 1))
    hits[200] = round(1000 * rates.get("brighter", 1))
    return AppearanceCurve(np.array(hits), np.full(256, 1000), tuple(range(256)))


def judged(verdicts):
    return {verdict.claim.id: verdict.holds for verdict in verdicts}


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, set()),
        ({"here": 0.97}, {"location-drops"}),
        ({"far": 0.49}, {"location-drops"}),  # within its uncertainty of one half
        ({"near": 0.99}, set()),
        ({"darker": 0.48}, {"appearance-falls"}),
        ({"brighter": 0.94}, {"appearance-keeps"}),
    ],
)
def test_sensitivity(changed, broken):
    found = judged(judge_sensitivity({"badnets-gray": heatmap(**changed)}, {"badnets-gray": appearance(**changed)}))
    assert {name for name, holds in found.items() if not holds} == broken


def test_only_the_trigger_of_section_3_decides_its_claims():
    found = judged(judge_sensitivity({"badnets": heatmap()}, {"badnets": appearance()}))
    assert set(found.values()) == {None}


def repaired(name, hits=10, flagged=(4,)):
    record = {"flagged": list(flagged), "indices": [0.5, 2.5, 0, 0, 5.0]} if name == "neural-cleanse" else {}
    described = {"name": name, "params": defenses[name]().to_dict()}
    return Repaired(defense=described, done=1, success=Rate(hits, 1000), record=record)


def all_repairs(**changed):
    return {name: repaired(name, changed.get("hits", 10)) for name in defenses}


@pytest.mark.parametrize(
    ("title", "changed", "broken"),
    [
        ("badnets", {}, set()),
        ("blended", {"fine-pruning": repaired("fine-pruning", 190)}, {"repairs-stop"}),
        ("consistent", {"neural-cleanse": repaired("neural-cleanse", flagged=(1, 4))}, {"cleanse-flags-target"}),
        ("consistent", {"neural-cleanse": repaired("neural-cleanse", flagged=())}, {"cleanse-flags-target"}),
        ("benign", {"neural-cleanse": repaired("neural-cleanse", flagged=(1,))}, {"cleanse-spares-clean"}),
    ],
)
def test_repairs(title, changed, broken):
    measured = {name: all_repairs() for name in ("badnets", "blended", "consistent")}
    measured["benign"] = {"neural-cleanse": repaired("neural-cleanse", flagged=())}
    measured[title] = measured[title] | changed
    found = judge_repairs(measured, dict.fromkeys(measured, 4))
    assert {name for name, holds in judged(found).items() if not holds} == broken
    flags = next(verdict for verdict in found if verdict.claim.id == "cleanse-flags-target")
    assert flags.numbers["badnets"] == {"label 4's index": 5.0}


def test_a_model_without_all_repairs_is_missing():
    found = judge_repairs({"badnets": {"fine-pruning": repaired("fine-pruning")}}, {"badnets": 4})
    assert judged(found) == {"repairs-stop": None, "cleanse-flags-target": None, "cleanse-spares-clean": None}
    assert found[0].missing == ("badnets", "blended", "consistent")


def shrinkpad(plain, defended):
    hits = np.full(9, 500)
    hits[0], hits[4] = round(1000 * plain), round(1000 * defended)
    thousand = np.full(9, 1000)
    return StrengthCurve(hits, thousand, tuple(float(s) for s in range(9)), thousand, thousand, 1000)


def by_size(**changed):
    curves = {size: shrinkpad(1, min(1, 0.02 + 0.25 * size)) for size in range(9)}
    return curves | {int(size[1:]): curve for size, curve in changed.items()}


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, set()),
        ({"_2": shrinkpad(0.94, 0.5)}, {"max-shrink-standard"}),
        ({"_0": shrinkpad(1, 0.3)}, {"max-shrink-defended"}),
        ({"_8": shrinkpad(1, 0.8)}, {"max-shrink-defended"}),
    ],
)
def test_the_largest_shrink_size(changed, broken):
    found = judged(judge_ablation({"badnets+": by_size(**changed), "blended+": by_size()}))
    assert {name for name, holds in found.items() if not holds} == broken


def test_one_size_decides_nothing():
    found = judged(judge_ablation({"badnets+": {4: shrinkpad(1, 1)}}))
    assert set(found.values()) == {None}
