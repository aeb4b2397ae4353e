"""The one reader of stored results: typed, each file once, replaced files at once, damaged ones in one sentence."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from core.paper.results import Results
from core.store import card as cards
from core.store import local
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.results import StoredResults

KEY = "shapes10/resnet20/badnets"
KINDS = ("saliency_methods", "location", "appearance", "strengths", "saliency", "physical", "out_of_sample", "repairs")


@pytest.fixture
def checkpoint(tmp_path):
    """A copy of a model's card and results, as old as the files that were copied."""
    (tmp_path / KEY).mkdir(parents=True)
    for path in (DEFAULT_ROOT / KEY).glob("*.json"):
        shutil.copy(path, tmp_path / KEY)
        os.utime(tmp_path / KEY / path.name, (1e9, 1e9))
    return Store(tmp_path).checkpoint(KEY)


@pytest.fixture
def parsed(monkeypatch):
    """Names of the files that were parsed."""
    names: list[str] = []
    read_json, from_json = local.read_json, cards.Card.from_json

    def result(path):
        names.append(path.name)
        return read_json(path)

    def card(text):
        names.append("card.json")
        return from_json(text)

    monkeypatch.setattr(local, "read_json", result)
    monkeypatch.setattr(cards.Card, "from_json", card)
    return names


def everything(checkpoint):
    stored = StoredResults(checkpoint)
    return {name: getattr(stored, name) for name in KINDS}


def replaced(path, /, **changes):
    """Another file of the same name, written as the store writes: under another name, then renamed."""
    values = json.loads(path.read_text()) | changes
    path.with_name("new").write_text(json.dumps(values))
    path.with_name("new").replace(path)


def test_nothing_is_parsed_twice(checkpoint, parsed):
    first = everything(checkpoint)
    files = {path.name for path in checkpoint.folder.glob("*.json")} - {"location-classes.json", "study.json"}
    assert sorted(parsed) == sorted(files)
    assert first["location"] is everything(checkpoint)["location"]
    store = Store(checkpoint.folder.parents[2])
    assert Results.read(store, "shapes10", "resnet20").maps["badnets"] is first["location"]
    assert len(parsed) == len(files)


def test_results_are_those_of_the_files(checkpoint):
    stored = everything(checkpoint)
    values = {name: json.loads((checkpoint.folder / f"{name}.json").read_text()) for name in ("location", "saliency")}
    assert stored["location"].hits.tolist() == values["location"]["hits"]
    assert stored["saliency"].attacked.mean == values["saliency"]["attacked"]["mean"]
    assert {f"strength-{name}.json" for name in stored["strengths"]} == {
        path.name for path in checkpoint.folder.glob("strength-*.json")
    }
    assert set(stored["repairs"]) == {"fine-pruning", "neural-cleanse", "auto-encoder"}


def test_a_replaced_result_is_seen_at_once(checkpoint):
    stored, path = StoredResults(checkpoint), checkpoint.folder / "saliency.json"
    images = stored.saliency.images
    replaced(path, images=images + 1)
    assert stored.saliency.images == images + 1
    path.unlink()
    assert stored.saliency is None


def test_a_replaced_card_is_seen_at_once(checkpoint):
    """Its results are then of another model; the card itself is the new one."""
    stored = StoredResults(checkpoint)
    assert stored.location is not None
    assert checkpoint.card() is checkpoint.card()
    replaced(checkpoint.folder / "card.json", weights="others")
    assert checkpoint.card().weights == "others"
    assert stored.location is None
    assert everything(checkpoint) == dict.fromkeys(KINDS) | {"strengths": {}, "repairs": {}}


def test_of_another_trigger_than_its_own_there_is_no_result(checkpoint):
    trigger = checkpoint.card().attack_object.trigger(checkpoint.card().shape)
    stored = StoredResults(checkpoint)
    assert stored.location_of(trigger, 4) is stored.location
    assert stored.appearance_of(trigger, 4) is stored.appearance
    assert stored.location_of(trigger, 5) is stored.classes_of(trigger, 5) is None
    assert stored.location_of(trigger.with_value(0.5), 4) is None
    replaced(checkpoint.folder / "location.json", trigger="others")
    assert stored.location is None


def test_a_damaged_file_is_one_sentence_and_counts_as_absent(checkpoint, caplog):
    replaced(checkpoint.folder / "appearance.json", hits=[True])
    os.utime(checkpoint.folder / "appearance.json", (1e9, 1e9))
    values = json.loads((checkpoint.folder / "physical.json").read_text())
    values["conditions"][0]["camera"] = {"distance": -5.0}  # only the camera itself knows that there is none
    replaced(checkpoint.folder / "physical.json", **values)
    os.utime(checkpoint.folder / "physical.json", (1e9, 1e9))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            stored = everything(checkpoint)
    assert stored["appearance"] is stored["physical"] is None
    assert stored["location"] is not None
    first, second = caplog.messages
    assert first.startswith(f"{KEY}: appearance.json is damaged: hits.0 = True is not allowed")
    assert second.startswith(f"{KEY}: physical.json is damaged: distance = -5")
    with pytest.raises(cards.Damaged, match=r"appearance\.json is damaged: hits\.0 = True"):
        checkpoint.read_result("appearance")
    assert checkpoint.result("appearance") is None


def changeable(value, where="result"):
    """Places in a value that a reader could change for all others."""
    if isinstance(value, np.ndarray):
        return [where] if value.flags.writeable else []
    if is_dataclass(value):
        own = [] if type(value).__dataclass_params__.frozen else [where]
        return own + [p for f in fields(value) for p in changeable(getattr(value, f.name), f"{where}.{f.name}")]
    if isinstance(value, list | dict):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        own = [where] if type(value) in (list, dict) else []
        return own + [place for name, part in parts for place in changeable(part, f"{where}[{name}]")]
    if isinstance(value, tuple):
        return [place for i, part in enumerate(value) for place in changeable(part, f"{where}[{i}]")]
    return []


def test_no_reader_can_change_what_others_read(checkpoint):
    stored = everything(checkpoint)
    strengths, repairs = stored.pop("strengths"), stored.pop("repairs")
    shared = [checkpoint.card(), *stored.values(), *strengths.values(), *repairs.values()]
    assert [place for value in shared for place in changeable(value)] == []
    assert changeable([np.arange(3)]) == ["result", "result[0]"]
    results = Results.read(Store(checkpoint.folder.parents[2]), "shapes10", "resnet20")
    assert changeable(results) == []
    # What is handed out to be changed is a copy.
    checkpoint.result("location")["hits"].clear()
    checkpoint.card().to_dict()["attack"]["params"].clear()
    assert StoredResults(checkpoint).location.hits.size == 900
    assert checkpoint.card().attack["params"]
