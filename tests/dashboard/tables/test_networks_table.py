"""Networks beside the paper: how far each agrees, which one a page opens with, and models without their weights."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
from pages import _alone, page

from core.inference.predictor import Predictor
from core.paper.claims.base import FAILS, HOLDS, NOT_MEASURED
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.runner import Sweep, carry_out
from core.sweeps.saliency_examples import RESULT
from dashboard.tables.networks import Standing, most_measured, standings_table

__all__ = ["_alone"]  # the fixture that keeps data and cache away
KEY = "shapes10/resnet20/badnets"


def test_the_papers_networks_come_first_and_what_is_not_measured_is_left_out():
    table = standings_table(
        [
            Standing("resnet20", {HOLDS: 12, FAILS: 7, NOT_MEASURED: 1}, 183, 183, 109),
            Standing("resnet18", {NOT_MEASURED: 20}, 183, 0, 0),
            Standing("vgg19", {HOLDS: 3, FAILS: 2, NOT_MEASURED: 15}, 183, 9, 8),
        ]
    )
    assert list(table["Network"]) == ["VGG-19", "ResNet-20"]
    assert list(table["Within 5 points"]) == ["8 of 9", "109 of 183"]
    assert list(table["Statements judged"]) == ["5 of 20", "19 of 20"]
    assert list(table["Statements that hold"]) == ["3 of 5", "12 of 19"]


@pytest.mark.parametrize(
    ("files", "opened"),
    [
        ({"cifar10/resnet20/badnets": 3, "cifar10/vgg19/benign": 2}, "cifar10/resnet20/badnets"),
        ({"cifar10/resnet20/badnets": 2, "cifar10/vgg19/benign": 2}, "cifar10/vgg19/benign"),
        ({"cifar10/resnet20/badnets": 2, "shapes10/vgg19/badnets": 9}, "cifar10/resnet20/badnets"),
        ({"shapes10/vgg19/blended": 1, "shapes10/vgg19/badnets": 1}, "shapes10/vgg19/badnets"),
    ],
)
def test_the_network_with_the_most_results_is_opened(tmp_path, files, opened):
    found = {}
    for key, count in files.items():
        folder = tmp_path / key
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.json").write_text("{}")
        found[key] = SimpleNamespace(checkpoint=SimpleNamespace(folder=folder))
    assert most_measured(found) == opened


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """A store whose one model has a card and results, and no weights, as large networks do."""
    root = tmp_path_factory.mktemp("light")
    left_out = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(DEFAULT_ROOT / KEY, root / KEY, ignore=left_out)
    return root


def test_without_weights_stored_maps_are_drawn(monkeypatch, tmp_path):
    """Those of the images that were stored; of others it says which are there."""
    root = tmp_path / "store"
    shutil.copytree(DEFAULT_ROOT / KEY, root / KEY)
    checkpoint = Store(root).checkpoint(KEY)
    model = checkpoint.model()
    list(carry_out(Sweep(RESULT), checkpoint, model, Predictor(model), 3))
    (checkpoint.folder / "model.safetensors").unlink()
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    other = 3
    test = page("saliency", model=KEY, image="2")
    assert not test.exception
    assert any("saliency, attacked image" in html.proto.body for html in test.get("html"))
    assert not any("are stored, with the trigger" in info.value for info in test.info)
    test = page("saliency", model=KEY, image=str(other))
    assert not any("saliency, attacked image" in html.proto.body for html in test.get("html"))
    (said,) = [info.value for info in test.info if "are stored, with the trigger" in info.value]
    assert "maps of the first 3 images are stored" in said


def test_without_weights_stored_rates_of_photographs_are_shown(light, monkeypatch):
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(light))
    test = page("physical", model=KEY)
    assert not test.exception
    (answer,) = [html.proto.body for html in test.get("html") if '<p class="ts-answer"' in html.proto.body]
    assert "the backdoor fires on this share of the images: BadNets on" in answer
    assert not any(one.value.startswith("#### ") for one in test.markdown), "no network is here that says anything"


@pytest.mark.parametrize("name", ["location", "appearance", "defenses", "enhanced", "saliency", "physical", "paper"])
def test_without_weights_pages_show_what_is_stored(light, monkeypatch, name):
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(light))
    test = page(name, model=KEY)
    assert not test.exception
    assert not test.error, [error.value for error in test.error]
    said = " ".join(one.value for kind in (test.caption, test.markdown) for one in kind)
    drawn = len(test.get("plotly_chart")) + len(test.dataframe) + len(test.metric)
    assert drawn or "Stored: 300 images in each of 900 places" in said or "500 images. Share" in said
    (note,) = [one.value for one in test.info if "only results are here" in one.value]
    assert "python scripts/train.py --dataset shapes10 --model resnet20 --attack badnets" in note
