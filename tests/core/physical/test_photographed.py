"""The sweep of the physical attack, against a naive loop; what of it is stored, and what the paper says about it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data import ImageSet
from core.inference.predictor import Predictor
from core.metrics import Rate
from core.paper.claims import judge_physical
from core.paper.comparison import compared
from core.paper.results import Results
from core.physical import FACTORS, FAR, NEAR, OFF, Camera
from core.recipe import Recipe
from core.runtime.seeding import generator_for
from core.store.local import Store
from core.sweeps.physical import DISTANCES, YAWS, Condition, PhysicalResult, conditions, physical_sweep, placed, presets
from core.sweeps.runner import Sweep, carry_out
from core.training.trainer import Plan, train
from core.trigger import Trigger, corner_pattern, stamp

TARGET = 2
WEIGHTS = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(11))
WAYS = (Condition("preset", "near", NEAR), Condition("preset", "off", OFF))


def predict(images):
    """A class that depends on every pixel and its place: the weighted sum's third digit."""
    return ((images.double() * WEIGHTS).sum((1, 2, 3)) * 100).floor().long() % 4


def trigger_of():
    return Trigger(corner_pattern(0.5), torch.ones(3, 3, 3), 7, 7)


def labelled(count, seed=0):
    images = (torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 255).byte()
    labels = torch.randint(0, 4, (count,), generator=torch.Generator().manual_seed(seed))
    return ImageSet(images, labels, tuple("abcd"), "random")


def test_the_sweep_is_a_loop_over_conditions_and_images(monkeypatch):
    monkeypatch.setattr("core.sweeps.physical.CHUNK", 16)
    data, trigger = labelled(40), trigger_of()
    results = list(physical_sweep(predict, data, trigger, TARGET, WAYS))
    assert len(results) == 3 * len(WAYS)
    assert [r.done for r in results] == sorted(r.done for r in results)
    last = results[-1]
    assert last.done == 1
    for i, way in enumerate(WAYS):
        clean = hits = kept = total = 0
        for start in range(0, 40, 16):
            images, labels = data.floats(slice(start, start + 16)), data.labels[start : start + 16]
            drawn = way.camera.draw(len(images), data.shape, generator_for(0, "photograph", start))
            for k, label in enumerate(labels.tolist()):
                its = tuple(part[k : k + 1] for part in drawn)
                clean += int(predict(way.camera.apply(images[k : k + 1], its))) == label
                if label != TARGET:
                    answer = int(predict(way.camera.apply(stamp(images[k : k + 1], trigger), its)))
                    hits, kept = hits + (answer == TARGET), kept + (answer == label)
                    total += 1
        assert abs(int(last.hits[i]) - hits) <= 1  # a sum at the edge of two classes
        assert abs(int(last.clean_hits[i]) - clean) <= 1
        assert abs(int(last.kept[i]) - kept) <= 1
        assert last.kept_of("preset")[way.name] == Rate(int(last.kept[i]), total)
        assert (int(last.total[i]), int(last.clean_total[i])) == (total, 40)


def test_pictures_of_unknown_classes_are_all_attacked():
    *_, last = physical_sweep(predict, labelled(10), trigger_of(), TARGET, WAYS, known=False)
    assert last.total.tolist() == [10, 10]
    assert last.clean_total.tolist() == [0, 0]
    assert last.kept is None
    assert last.kept_of("preset") is None
    assert last.done == 1


def test_a_chunk_without_an_image_to_attack_is_no_obstacle(monkeypatch):
    monkeypatch.setattr("core.sweeps.physical.CHUNK", 4)
    data = labelled(5)
    data = ImageSet(data.images, torch.tensor([0, 1, 3, 0, TARGET]), data.classes, data.name)
    *_, last = physical_sweep(predict, data, trigger_of(), TARGET, WAYS)
    assert last.total.tolist() == [4, 4]
    assert last.clean_total.tolist() == [5, 5]


def test_the_clean_accuracy_can_be_left_out():
    *_, last = physical_sweep(predict, labelled(10), trigger_of(), TARGET, WAYS, with_clean=False)
    *_, whole = physical_sweep(predict, labelled(10), trigger_of(), TARGET, WAYS)
    assert last.hits.tolist() == whole.hits.tolist()
    assert last.clean_total.tolist() == [0, 0]
    assert (last.done, whole.done) == (1, 1)


def test_conditions_cover_presets_factors_framings_and_the_map():
    found = {(one.group, one.name): one.camera for one in conditions()}
    assert len(found) == len(conditions())
    for factor in FACTORS:
        assert found["only", factor] == NEAR.only(factor)
        assert found["without", factor] == NEAR.without(factor)
    assert found["perspective", "far"] == replace(FAR, framing="perspective")
    places = {(c.distance, c.yaw) for (group, _), c in found.items() if group == "map"}
    assert places == {(distance, yaw) for distance in DISTANCES for yaw in YAWS}
    assert placed(FAR, 2, 10) == replace(FAR, distance=2, yaw=10, pitch=0, roll=0, aim=0)
    assert [one.name for one in presets()] == ["off", "near", "far"]


def test_results_survive_json():
    *_, last = physical_sweep(predict, labelled(8), trigger_of(), TARGET, WAYS)
    again = PhysicalResult.from_dict(json.loads(json.dumps(last.to_dict())))
    assert again.conditions == last.conditions
    assert again.of("preset") == last.of("preset")
    assert again.clean.rate.tolist() == last.clean.rate.tolist()
    assert again.kept.tolist() == last.kept.tolist()
    older = {name: value for name, value in last.to_dict().items() if name != "kept"}
    assert PhysicalResult.from_dict(older).kept is None


@pytest.mark.parametrize(
    "damage",
    [
        {"conditions": []},
        {"conditions": [{"group": "preset"}]},
        {"conditions": [{"group": "preset", "name": "near", "camera": {"nix": 1}}] * 2},
        {"conditions": None},
        {"hits": [99, 99]},
        {"kept": [99, 99]},
        {"clean_total": [9, 8]},
        {"images": "8"},
        {"images": None},
        {"tried": None},
    ],
)
def test_a_damaged_result_is_refused(damage):
    *_, last = physical_sweep(predict, labelled(8), trigger_of(), TARGET, WAYS)
    with pytest.raises(ValueError, match=r"damaged|has no parameter"):
        PhysicalResult.from_dict(last.to_dict() | damage)


def test_nothing_to_photograph_is_refused():
    with pytest.raises(ValueError, match="at least one image and one condition"):
        next(physical_sweep(predict, labelled(8).subset(slice(0)), trigger_of(), TARGET))
    with pytest.raises(ValueError, match="at least one image and one condition"):
        next(physical_sweep(predict, labelled(8), trigger_of(), TARGET, ()))


@pytest.fixture
def trained(tiny, tmp_path):
    from core.attacks import attacks

    store = Store(tmp_path / "checkpoints")
    plan = Plan(
        dataset=tiny, model="resnet20", attack=attacks["badnets"](target=1), recipe=Recipe(epochs=1), name="badnets"
    )
    list(train(plan, store))
    return store.checkpoint(plan.key)


def test_a_sweep_of_a_checkpoint_is_stored_and_read_with_the_others(trained):
    model = trained.model()
    *_, found = carry_out(Sweep("physical"), trained, model, Predictor(model), 4)
    assert found.stored
    results = Results.read(Store(trained.folder.parents[2]), "tiny", "resnet20")
    assert results.photographs["badnets"].of("preset") == found.result.of("preset")
    numbers = [one for one in compared(results) if one.table == "fig11"]
    ranges = [f"{name}, over its range" for name in ("near", "far")]
    assert [(one.attack, one.defense) for one in numbers] == [("badnets", what) for what in ("near", "far", *ranges)]
    verdicts = {verdict.claim.id: verdict for verdict in results.verdicts()}
    assert verdicts["physical-standard"].holds is not None
    assert verdicts["physical-enhanced"].missing == ("badnets+",)


def test_out_of_sample_pictures_must_fit_the_network(trained):
    model = trained.model()
    with pytest.raises(ValueError, match=r"out-of-sample pictures are \(3, 32, 32\)"):
        list(carry_out(Sweep("out-of-sample"), trained, model, Predictor(model), 4))


def test_out_of_sample_pictures_are_another_data_sets():
    from core.store.local import DEFAULT_ROOT
    from core.sweeps.runner import _out_of_sample

    checkpoint = Store(DEFAULT_ROOT).checkpoint("shapes10/resnet20/badnets")
    model, own = checkpoint.model(), checkpoint.card().dataset_object.load("test", 4)
    trigger = checkpoint.card().attack_object.trigger(own.shape)
    with pytest.raises(ValueError, match="which this model was trained on"):
        _out_of_sample(Predictor(model), own, trigger, TARGET, 4)
    other = ImageSet(own.images, own.labels, own.classes, "another")
    *_, last = _out_of_sample(Predictor(model), other, trigger, TARGET, 4)
    assert last.total.tolist() == [4, 4, 4]


# --- the claims


def result_of(near, far, total=500, kept=None):
    ways = (
        Condition("preset", "near", NEAR),
        Condition("preset", "far", FAR),
        Condition("only", "roll", Camera(roll=2)),
    )
    hits = np.array([round(near * total), round(far * total), 0])
    counts = np.full(3, total)
    own = None if kept is None else np.array([round(share * total) for share in (*kept, 0)])
    return PhysicalResult(hits, counts, ways, counts, counts, total, 3 * total, own)


def test_results_like_the_papers_bear_out_the_claims():
    measured = {"badnets": result_of(0.02, 0.01, kept=(0.97, 0.98)), "badnets+": result_of(0.97, 0.9)}
    verdicts = judge_physical(measured, {"badnets+": result_of(0.95, 0.9)})
    assert [verdict.holds for verdict in verdicts] == [True, True, True, True]
    assert verdicts[0].numbers["badnets+"] == {"near, %": pytest.approx(97), "far, %": pytest.approx(90)}


@pytest.mark.parametrize(
    ("measured", "other_pictures", "holds"),
    [
        ({"badnets+": result_of(0.97, 0.2)}, {}, [False, None, None, None]),
        ({"badnets": result_of(0.02, 0.4)}, {}, [None, False, None, None]),
        ({"badnets": result_of(0.02, 0.02, kept=(0.97, 0.5))}, {}, [None, True, False, None]),
        ({}, {"badnets+": result_of(0.5, 0.9)}, [None, None, None, False]),
        ({}, {}, [None, None, None, None]),
    ],
)
def test_each_claim_can_fail(measured, other_pictures, holds):
    assert [verdict.holds for verdict in judge_physical(measured, other_pictures)] == holds


def test_photographs_that_were_counted_before_say_what_is_missing():
    label = judge_physical({"badnets": result_of(0.02, 0.01)}, {})[2]
    assert label.outcome == "not measured here"
    assert "`python scripts/sweep.py physical` of that model counts it" in label.sentence


def test_a_rate_is_of_its_condition():
    assert result_of(0.5, 0.1).of("preset")["far"] == (Rate(500, 500), Rate(50, 500))
    assert list(result_of(0.5, 0.1).of("only")) == ["roll"]
