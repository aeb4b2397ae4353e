"""Shares measured in a process of their own are those that are measured here."""

from __future__ import annotations

import itertools

import pytest

from core.attribution.methods import Explained, methods
from core.store.card_images import images_of
from core.store.local import Store
from core.sweeps.base import attacked
from core.sweeps.results import repaired_model
from core.sweeps.saliency import energy_sweep
from core.transforms import transform_from_spec
from core.workers.saliency import energies_in_background

KEY = "shapes10/resnet20/badnets"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("repair", ["", "fine-pruning"])
def test_elsewhere_as_here(repair, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    checkpoint, method, before = Store().checkpoint(KEY), methods["smoothgrad"](samples=2), "noise:10,shrinkpad:3"
    compose = transform_from_spec(before)
    elsewhere = list(
        energies_in_background(str(Store().root), KEY, method, compose, images=70, repair=repair, explain="predicted")
    )
    assert [seen for seen, _ in itertools.groupby(one.seen for one in elsewhere)] == [0, 64, 70]
    last = elsewhere[-1]

    card = checkpoint.card()
    attack, data = card.attack_object, images_of(card, "test", 200)
    model = repaired_model(checkpoint, repair) if repair else checkpoint.model()
    images, labels = attacked(data, attack.target, 70), data.labels[data.labels != attack.target][:70]
    trigger = attack.trigger(card.shape)
    *_, here = energy_sweep(
        Explained(model, "cpu"), images, labels, trigger, attack.target, method, compose, explain="predicted"
    )
    for name in ("attacked", "transformed"):
        mine, its = getattr(here, name), getattr(last, name)
        assert (its.count, its.area) == (mine.count, pytest.approx(mine.area))
        assert its.mean == pytest.approx(mine.mean, rel=0.01)


def test_a_repair_that_is_not_stored_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    method, before = methods["gradient"](), transform_from_spec("flip")
    with pytest.raises(OSError, match=f"the repair neural-cleanse-own of {KEY} is not stored"):
        list(energies_in_background(str(Store().root), KEY, method, before, images=10, repair="neural-cleanse-own"))
