"""The headline table is of one network: the paper's own, once all of its cells are measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from core.paper.constants import ATTACKS
from core.paper.tables import claims

WHOLE = [[name, "1"] for name in ATTACKS]
GAP = [*WHOLE[:-1], ["last", ""]]


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ({"resnet20": WHOLE}, "resnet20"),
        ({"resnet20": WHOLE, "vgg19": GAP}, "resnet20"),
        ({"resnet20": WHOLE, "vgg19": WHOLE[:3]}, "resnet20"),
        ({"resnet20": WHOLE, "vgg19": WHOLE}, "vgg19"),
        ({"resnet20": GAP}, "resnet20"),
        ({}, ""),
    ],
)
def test_one_network_is_chosen(monkeypatch, rows, chosen):
    results = {f"cifar10/{model}": SimpleNamespace(dataset="cifar10", model=model) for model in rows}
    results["shapes10/vgg19"] = SimpleNamespace(dataset="shapes10", model="vgg19")
    monkeypatch.setattr(claims, "results_by_network", lambda checkpoints: results)
    monkeypatch.setattr(claims, "_headline_of", lambda one: [[one.model, *row] for row in rows[one.model]])
    head, *shown = claims.headline([])
    assert head[0] == {"resnet20": "ASR (%), ResNet-20", "vgg19": "ASR (%), VGG-19", "": "ASR (%)"}[chosen]
    assert shown == [[chosen, *row] for row in rows.get(chosen, [])]
