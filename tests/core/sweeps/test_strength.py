"""The sweep over a transformation's strength, against a naive loop, with a model that can be computed by hand."""

from __future__ import annotations

import json

import pytest
import torch
from third_digit import images_of, predict

from core.data import ImageSet
from core.metrics import Rate
from core.sweeps.strength import StrengthCurve, strength_sweep
from core.transforms import transform_from_spec, transforms
from core.trigger import Trigger, corner_pattern, stamp

TARGET = 2


def trigger_of():
    return Trigger(corner_pattern(0.5), torch.full((3, 3, 3), 0.75), 7, 7)


def labelled(count, seed=0):
    images = (images_of(count, seed) * 255).byte()
    labels = torch.randint(0, 4, (count,), generator=torch.Generator().manual_seed(seed))
    return ImageSet(images, labels, tuple("abcd"), "random")


def test_strength_sweep_is_a_loop_over_strengths_and_images():
    data, trigger = labelled(40), trigger_of()
    result = list(strength_sweep(predict, data, trigger, TARGET, transforms["flip"]()))[-1]
    assert (result.strengths, result.done, result.images) == ((0, 0.5, 1), 1, 40)
    for strength, change in ((0, lambda x: x), (1, lambda x: x.flip(3))):
        clean = hits = total = benign = 0
        for image, label in zip(data.floats(), data.labels.tolist(), strict=True):
            clean += int(predict(change(image[None]))) == label
            if label != TARGET:
                benign += int(predict(change(image[None]))) == TARGET
                hits += int(predict(change(stamp(image[None], trigger)))) == TARGET
                total += 1
        assert result.at(strength) == (Rate(clean, 40), Rate(hits, total))
        assert result.benign_at(strength) == Rate(benign, total)
    assert 0 < result.benign_hits.sum() < result.total.sum()
    assert 0 < result.hits.sum() < result.total.sum()


def test_strength_sweep_grows_in_images_at_all_strengths(monkeypatch):
    """Every result after the first chunk is a whole curve, and draws do not depend on what else is measured."""
    monkeypatch.setattr("core.sweeps.strength.CHUNK", 16)
    data, noise = labelled(40), transforms["noise"]()
    results = list(strength_sweep(predict, data, trigger_of(), TARGET, noise))
    assert len(results) == 3 * len(noise.grid)
    assert [r.done for r in results] == sorted(r.done for r in results)
    assert (results[len(noise.grid) - 1].clean_total == 16).all()
    assert (results[-1].clean_total == 40).all()
    alone = list(strength_sweep(predict, data, trigger_of(), TARGET, noise, strengths=[20]))[-1]
    assert alone.at(20) == results[-1].at(20)
    again = list(strength_sweep(predict, data, trigger_of(), TARGET, noise, seed=1))[-1]
    assert (again.hits != results[-1].hits).any()


def test_strength_curve_goes_through_json_and_refuses_damage():
    curve = list(strength_sweep(predict, labelled(8), trigger_of(), TARGET, transforms["hue"]()))[-1]
    values = json.loads(json.dumps(curve.to_dict()))
    assert StrengthCurve.from_dict(values).to_dict() == curve.to_dict()
    assert StrengthCurve.from_dict(values).clean.rate.tolist() == curve.clean.rate.tolist()
    for damage in (
        {"strengths": values["strengths"][:-1]},
        {"strengths": ["x"] * 5},
        {"strengths": 3},
        {"strengths": []},
        {"images": 7},
        {"images": "8"},
        {"clean_hits": [9] * 5},
        {"benign_hits": [9] * 5},
        {"benign_hits": [0] * 4},
        {"benign_hits": [-1] * 5},
        {"benign_hits": [0.5] * 5},
        {"benign_hits": "x"},
        {"hits": None},
    ):
        with pytest.raises(ValueError, match="damaged"):
            StrengthCurve.from_dict(values | damage)
    with pytest.raises(ValueError, match="damaged"):
        StrengthCurve.from_dict({name: values[name] for name in ("strengths", "hits", "total")})
    with pytest.raises(ValueError, match=r"strength 0.15 is not on the curve"):
        curve.at(0.15)


def test_an_older_curve_has_no_benign_images_and_stays_as_it_is():
    curve = list(strength_sweep(predict, labelled(8), trigger_of(), TARGET, transforms["hue"]()))[-1]
    values = json.loads(json.dumps(curve.to_dict()))
    assert StrengthCurve.from_dict(values).benign.rate.tolist() == curve.benign.rate.tolist()
    assert values["benign_hits"] == curve.benign_hits.tolist()
    del values["benign_hits"]
    old = StrengthCurve.from_dict(values)
    assert old.benign is old.benign_hits is old.benign_at(0) is None
    assert old.to_dict() == values
    assert old.at(0) == curve.at(0)
    with pytest.raises(ValueError, match=r"strength 0.15 is not on the curve"):
        curve.benign_at(0.15)


def test_strength_sweep_needs_images():
    with pytest.raises(ValueError, match="at least one image"):
        next(strength_sweep(predict, labelled(0), trigger_of(), TARGET, transforms["hue"]()))


def test_what_follows_a_transformation_is_applied_after_it():
    data, then = labelled(20), transform_from_spec("flip")
    result = list(strength_sweep(predict, data, trigger_of(), TARGET, transforms["brightness"](), then=then))[-1]
    plain = list(strength_sweep(predict, data, trigger_of(), TARGET, transforms["flip"](), strengths=[1]))[-1]
    assert result.at(0) == plain.at(1)


def test_strengths_that_small_images_do_not_allow_are_left_out():
    curve = list(strength_sweep(predict, labelled(4), trigger_of(), TARGET, transforms["shrinkpad"]()))[-1]
    assert curve.strengths == tuple(range(8))
    assert curve.done == 1
