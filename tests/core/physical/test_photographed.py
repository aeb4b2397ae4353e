"""The sweep of the physical attack, against a naive loop, and what of it is stored."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data import ImageSet
from core.data.natural import SHIPPED, natural_pictures
from core.data.shapes10 import Shapes10
from core.inference.predictor import Predictor
from core.metrics import Rate
from core.paper.comparison import compared
from core.paper.results import Results
from core.physical import FACTORS, FAR, NEAR, OFF, RANGES, Camera
from core.physical.camera import VARIED
from core.recipe import Recipe
from core.runtime.seeding import generator_for
from core.store.local import Store
from core.sweeps.physical import (
    DISTANCES,
    YAWS,
    Condition,
    PhysicalResult,
    conditions,
    physical_sweep,
    placed,
    presets,
    presets_and_ranges,
    ranges,
)
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


def naive_flags(images, labels, chunk, known):
    """Attacked, hit, kept and usable of every image, one after the other, each photographed with its own camera."""
    rows = []
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        drawn = RANGES["far"].draw(len(part), (3, 8, 8), generator_for(0, "photograph", start))
        for k in range(len(part)):
            own = {name: float(values[k]) for name, values in zip(VARIED, drawn[4:], strict=True)}
            camera = replace(FAR, **own)
            assert NEAR.distance <= camera.distance <= FAR.distance
            assert NEAR.yaw <= abs(camera.yaw) <= FAR.yaw
            its, label = tuple(each[k : k + 1] for each in drawn[:4]), int(labels[start + k])
            clean = int(predict_brightness(camera.apply(part[k : k + 1], its)))
            answer = int(predict_brightness(camera.apply(stamp(part[k : k + 1], trigger_of()), its)))
            attacked = label != TARGET or not known
            usable = clean == label if known else clean != TARGET
            rows.append((attacked, attacked and answer == TARGET, attacked and known and answer == label, usable))
    return np.array(rows).T


def predict_brightness(images):
    """A class that a rounding of a pixel seldom changes: by the mean of the picture's quarters."""
    quarters = images.double().unfold(2, 4, 4).unfold(3, 4, 4).mean((1, 4, 5)).flatten(1)
    return quarters.argmax(1)


@pytest.mark.parametrize("known", [True, False])
def test_what_becomes_of_every_image_of_a_range_is_what_a_camera_of_its_own_gives(monkeypatch, known):
    monkeypatch.setattr("core.sweeps.physical.CHUNK", 16)
    data = labelled(40)
    *_, last = physical_sweep(predict_brightness, data, trigger_of(), TARGET, presets_and_ranges(), known=known)
    found, slow = last.outcomes["far"], naive_flags(data.floats(), data.labels, 16, known)
    rows = np.stack([found.attacked, found.hit, found.kept, found.usable])
    assert (rows[0] == slow[0]).all()
    # Kernels of a batch reach further than those of one image, and JPEG files step by 1 of 255.
    assert (rows != slow).sum() <= 2
    counted = rows[0] & rows[3]
    assert found.success == Rate(int((rows[1] & counted).sum()), int(counted.sum()))
    assert found.keeping == Rate(int((rows[2] & counted).sum()), int(counted.sum()))
    of_range = [(c.group, c.name) for c in last.conditions].index(("range", "far"))
    assert (int(last.hits[of_range]), int(last.total[of_range])) == (rows[1].sum(), rows[0].sum())
    assert 0 < rows[1].sum() < 40
    if known:
        assert last.of("range")["far"].clean == Rate(int(rows[3].sum()), 40)


def test_two_models_are_compared_on_the_same_photographs():
    data = labelled(20)
    *_, first = physical_sweep(predict, data, trigger_of(), TARGET, ranges())
    *_, second = physical_sweep(predict_brightness, data, trigger_of(), TARGET, ranges())
    *_, fewer = physical_sweep(predict_brightness, data.subset(slice(10)), trigger_of(), TARGET, ranges())
    assert first.pairs_with(second, "near")
    assert not first.pairs_with(fewer, "near")
    assert not first.pairs_with(second, "nix")
    moved = tuple(replace(c, camera=replace(c.camera, distance=2)) for c in second.conditions)
    assert not first.pairs_with(replace(second, conditions=moved), "near")
    one, other = first.outcomes["near"], second.outcomes["near"]
    both = [n for n in range(20) if one.attacked[n] and one.usable[n] and other.attacked[n] and other.usable[n]]
    paired = one.paired(other)
    assert paired.total == len(both)
    assert paired.first == sum(one.hit[n] and not other.hit[n] for n in both)
    assert paired.second == sum(other.hit[n] and not one.hit[n] for n in both)


def test_the_map_takes_fewer_images_and_no_benign_ones(monkeypatch):
    monkeypatch.setattr("core.sweeps.physical.CHUNK", 4)
    monkeypatch.setattr("core.sweeps.physical.MAP_IMAGES", 8)
    ways = (WAYS[0], Condition("map", "1.1 0", placed(NEAR, 1.1, 0)))
    *rest, last = physical_sweep(predict, labelled(12), trigger_of(), TARGET, ways)
    assert last.done == 1
    assert all(one.done < 1 for one in rest)
    assert last.tried == 20
    assert last.clean_total.tolist() == [12, 0]
    assert last.total[1] == (labelled(12).labels[:8] != TARGET).sum()


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
    older = {name: value for name, value in last.to_dict().items() if name not in ("kept", "pictures")}
    assert (PhysicalResult.from_dict(older).kept, PhysicalResult.from_dict(older).outcomes) == (None, {})


@pytest.mark.parametrize(("known", "cut_from"), [(True, 0), (False, 4)])
def test_outcomes_survive_json(known, cut_from):
    ways, data = presets_and_ranges(), labelled(12)
    *_, last = physical_sweep(predict, data, trigger_of(), TARGET, ways, known=known, cut_from=cut_from)
    written = json.dumps(last.to_dict())
    again = PhysicalResult.from_dict(json.loads(written))
    assert (again.conditions, again.pictures, again.cut_from) == (ways, data.fingerprint, cut_from)
    assert again.pairs_with(last, "far")
    for name in ("near", "far"):
        for what in ("attacked", "hit", "kept", "usable"):
            assert (getattr(again.outcomes[name], what) == getattr(last.outcomes[name], what)).all()
        assert again.outcomes[name].success == last.outcomes[name].success
    assert json.dumps(again.to_dict()) == written


def packed(*flags):
    return base64.b64encode(zlib.compress(bytes(flags))).decode()


@pytest.mark.parametrize(
    "damage",
    [
        {"outcomes": []},
        {"outcomes": {"near": 3}},
        {"outcomes": {"near": "nix"}},
        {"outcomes": {"nix": packed(*[1] * 8)}},
        {"outcomes": {"near": packed(*[1] * 7)}},
        {"outcomes": {"near": packed(*[1] * 9)}},
        {"outcomes": {"near": packed(*[17] * 8)}},
        {"outcomes": {"near": packed(*[0] * 8)}},
        {"outcomes": {"near": packed(*[2] * 8)}},
        {"outcomes": {"near": base64.b64encode(zlib.compress(bytes(2**26))).decode()}},
        {"cut_from": -1},
        {"cut_from": "4"},
        {"pictures": 5},
        {
            "conditions": [
                {"group": "range", "name": name, "camera": {}, "start": {"nix": 1}} for name in ("near", "far")
            ]
        },
    ],
)
def test_damaged_outcomes_are_refused(damage):
    *_, last = physical_sweep(predict, labelled(8), trigger_of(), TARGET, ranges())
    with pytest.raises(ValueError, match=r"damaged|has no parameter"):
        PhysicalResult.from_dict(last.to_dict() | damage)


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
    assert last.total.tolist() == [4] * 5
    assert last.pictures == Shapes10().load("test", 4).fingerprint


def test_crops_of_photographs_are_attacked_at_the_size_of_the_network(trained):
    model = trained.model()
    *_, found = carry_out(Sweep("out-of-sample-natural"), trained, model, Predictor(model), 12)
    assert found.stored
    assert found.result.total.tolist() == [12] * 5
    assert found.result.clean_total.tolist() == [0] * 5
    assert found.result.cut_from == len(SHIPPED)
    assert found.result.pictures == natural_pictures(trained.card().shape, 12).fingerprint
    results = Results.read(Store(trained.folder.parents[2]), "tiny", "resnet20")
    assert results.natural_pictures["badnets"].outcomes["near"].groups.tolist() == [*range(10), 0, 1]


def test_a_rate_is_of_its_condition():
    ways = (*WAYS, Condition("only", "roll", Camera(roll=2)))
    counts, hits = np.full(3, 500), np.array([250, 50, 0])
    result = PhysicalResult(hits, counts, ways, counts, counts, 500, 1500)
    assert result.of("preset")["off"] == (Rate(500, 500), Rate(50, 500))
    assert list(result.of("only")) == ["roll"]
