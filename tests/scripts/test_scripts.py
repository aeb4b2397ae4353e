"""The command line: bad input ends with status 2 and one line that names it, good input with numbers."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import map_speed
import numpy as np
import pytest
import torch
from archives import make

from core.attacks import Enhanced, Enhancement, attacks
from core.data import datasets
from core.defenses import defenses, split_test
from core.inference.predictor import Predictor
from core.metrics import Rate
from core.models import build_model, models
from core.params import params_of
from core.recipe import Recipe
from core.reproduction.alpha_study import read_study
from core.store.local import Store
from core.store.shipped import write_shipped
from core.sweeps import runner as measuring
from core.sweeps.adaptive import AdaptiveMap
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.base import attacked, success_at
from core.sweeps.location import LocationMap
from core.sweeps.results import StoredResults, repaired_model
from core.sweeps.strength import StrengthCurve
from core.training.state import STATE, read_unfinished
from core.training.trainer import Plan, train
from core.transforms import transforms

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch, capsys, tmp_path):
    """Runs a script as ``__main__`` in this process, somewhere without data; gives status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    monkeypatch.setenv("TRIGGER_DATA", str(tmp_path / "no data"))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    # Compiling takes longer than everything else here, and is tested elsewhere.
    monkeypatch.setattr(Predictor, "compile", lambda self, shape: self)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        status = 0
        try:
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return run


def assert_refused(result, *said):
    status, out, err = result
    lines = err.strip().splitlines()
    assert status == 2, err
    assert out == ""
    assert len(lines) == 1, err
    assert lines[0].split(": error: ")[0] in {"train.py", "sweep.py", "defend.py", "benchmark.py", "recipe_study.py"}
    for word in said:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--attack", "badnet"], ["there is no attack 'badnet'", "did you mean 'badnets'"]),
        (["--model", "resnet1"], ["there is no model 'resnet1'", "resnet20"]),
        (["--dataset", "imagenet1"], ["there is no data set 'imagenet1'", "cifar10"]),
        (["--dataset", "shapes10:x"], ["seed = 'x' is not allowed"]),
        (["--dataset", "folder:nowhere"], ["there is no folder", "nowhere"]),
        (["--dataset", "folder"], ["no folder of images was named", "folder:PATH"]),
        (["--dataset", "cifar10"], ["CIFAR-10 (train) is not in", "TRIGGER_DATA"]),
        (["--recipe", "slow"], ["recipe = 'slow' is not allowed: one of fast, short, paper"]),
        (["--value", "300"], ["value = 300 is not allowed: an integer from 0 to 255"]),
        (["--poison-rate", "2"], ["poison_rate = 2.0 is not allowed: a number from 0 to 1"]),
        (["--poison-rate", "nan"], ["poison_rate = nan is not allowed"]),
        (["--target", "-1"], ["target = -1 is not allowed"]),
        (["--target", "1" + "0" * 400], ["target = 1000"]),
        (["--epochs", "0"], ["epochs = 0 is not allowed: an integer from 1 to 1000"]),
        (["--rate", "100"], ["rate = 100.0 is not allowed"]),
        (["--schedule", "sawtooth"], ["schedule = 'sawtooth' is not allowed: one of cycle, steps"]),
        (["--attack", "benign", "--poison-rate", "0.1"], ["poison_rate = 0.1 is not allowed"]),
        (["--device", "gpu"], ["device = 'gpu' is not allowed on this machine", "cpu"]),
        (["--epochs", "many"], ["epochs", "many"]),
        (["--seed", "x"], ["seed", "x"]),
        (["--colour", "red"], ["--colour"]),
        (["--value"], ["--value"]),
        (["surplus"], ["surplus"]),
        (["--target", "squar"], ["target = 'squar' is not allowed", "did you mean square"]),
        (["--size", "64"], ["--size is not allowed with shapes10: it is for folder, gtsrb, parquet, tiny-imagenet"]),
        (["--dataset", "gtsrb", "--size", "4"], ["size = 4 is not allowed: an integer from 8 to 512"]),
        (["--skip-broken"], ["--skip-broken is not allowed with shapes10: it is for images in a folder"]),
    ],
    ids=lambda value: " ".join(value)[:32],
)
def test_train_refuses_bad_input_in_one_line(script, tmp_path, arguments, said):
    assert_refused(script("train", "--store", tmp_path / "store", *arguments), *said)
    assert not (tmp_path / "store").exists(), "nothing was trained, so nothing is stored"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "3"], ["target = 3 is not allowed: there are 3 classes, 0 to 2"]),
        (["--target", "gren"], ["target = 'gren' is not allowed: there is no such class", "did you mean green?"]),
        (["--target", "1", "--seed", "1" + "0" * 30], ["seed = 1000"]),
    ],
    ids=["target", "name", "seed"],
)
def test_train_refuses_what_the_data_show_to_be_wrong(script, tmp_path, folder_of_images, arguments, said):
    spec = f"folder:{folder_of_images}"
    assert_refused(script("train", "--store", tmp_path / "store", "--dataset", spec, *arguments), *said)
    assert not (tmp_path / "store").exists()


def test_train_names_a_store_that_cannot_be_written(script, folder_of_images, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = script(
        "train", "--dataset", f"folder:{folder_of_images}", "--target", 1, "--epochs", 1, "--store", tmp_path / "file"
    )
    assert result[0] == 2
    assert "Traceback" not in result[2]
    assert str(tmp_path / "file") in result[2].strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["location"], ["no checkpoint cifar10/vgg19/badnets", "make it with: python scripts/train.py"]),
        (["location", "--images", "-1"], ["images = -1 is not allowed: an integer from 0 up"]),
        (["location", "--images", "few"], ["images", "few"]),
        (["location", "--checkpoint", "../x/y"], ["checkpoint = '../x/y' is not allowed", "DATASET/MODEL/ATTACK"]),
        (["location", "--checkpoint", "badnets"], ["checkpoint = 'badnets' is not allowed"]),
        (["colour"], ["colour", "location", "appearance", "strength"]),
        (["location", "--checkpoint", "a/b/c+"], ["train.py --dataset a --model b --attack c --enhanced"]),
        (["location", "--checkpoint", "a/b/c+max6"], ["--attack c --enhanced --max-shrink 6"]),
        (["location", "--before", "fog"], ["there is no transform 'fog'"]),
        (["location", "--transform", "flip"], ["--transform is not allowed here"]),
        (["strength", "--before", "flip"], ["--before is not allowed here"]),
        (["strength", "--transform", "fog"], ["there is no transform 'fog'"]),
    ],
    ids=lambda value: " ".join(value)[:32],
)
def test_sweep_refuses_bad_input_in_one_line(script, tmp_path, arguments, said):
    kind, *rest = arguments
    assert_refused(
        script("sweep", kind, "--store", tmp_path / "store", "--checkpoint", "cifar10/vgg19/badnets", *rest), *said
    )


def test_sweep_needs_a_checkpoint(script):
    assert_refused(script("sweep", "location"), "--checkpoint")


@pytest.fixture
def trained(script, folder_of_images, tmp_path):
    """A checkpoint from one epoch on a tiny folder; its key, its store and what the script printed."""
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--epochs", 1, "--batch", 16]
    status, out, err = script("train", *options, "--store", tmp_path / "store", "--device", "cpu")
    assert status == 0, err
    return "colours/resnet20/badnets-target1", Store(tmp_path / "store"), out


def test_train_stores_what_it_prints(trained):
    key, store, out = trained
    card = store.checkpoint(key).card()
    assert f"stored as            {key}" in out
    assert f"clean accuracy       {card.clean_accuracy}" in out
    assert f"attack success rate  {card.attack_success_rate}" in out
    assert card.recipe["params"]["epochs"] == 1
    assert card.attack_object == attacks["badnets"](target=1)


@pytest.mark.parametrize(("given", "label"), [("red", 2), ("Green", 1), ("0", 0)])
def test_train_takes_the_name_of_a_class(script, folder_of_images, tmp_path, given, label):
    options = ["--dataset", f"folder:{folder_of_images}", "--epochs", 1, "--batch", 16, "--device", "cpu"]
    status, out, err = script("train", *options, "--target", given, "--store", tmp_path / "store")
    assert status == 0, err
    assert f"target label         {label}, {('blue', 'green', 'red')[label]}\n" in out
    key = f"colours/resnet20/badnets-target{label}"
    assert Store(tmp_path / "store").checkpoint(key).card().attack_object.target == label


def test_only_what_can_leave_out_a_broken_image_names_the_flag(script, trained):
    key, store, _ = trained
    for path in store.checkpoint(key).card().dataset_object.root.rglob("*.png"):
        path.write_bytes(b"no image")
    options = ["--checkpoint", key, "--store", store.root, "--device", "cpu"]
    for arguments in (["sweep", "strength", "--transform", "flip", "--images", 0], ["defend", "fine-pruning"]):
        status, _, err = script(*arguments, *options)
        assert status == 2
        assert "cannot be read as an image" in err
        assert "--skip-broken" not in err


def test_train_names_a_broken_image_or_leaves_it_out(script, folder_of_images, tmp_path):
    (folder_of_images / "notes.txt").write_text("beside the classes")
    (folder_of_images / "red" / "notes.txt").write_text("no image")
    broken = sorted((folder_of_images / "red").glob("*.png"))[:2]
    for path in broken:
        path.write_bytes(b"no image")
    options = ["--dataset", f"folder:{folder_of_images}", "--target", "red", "--epochs", 1, "--batch", 16]
    options += ["--device", "cpu", "--store", tmp_path / "store"]
    status, out, err = script("train", *options)
    assert (status, out) == (2, "")
    assert "cannot be read as an image" in err
    assert "--skip-broken leaves such files out" in err
    status, out, err = script("train", *options, "--skip-broken")
    assert status == 0, err
    key = "colours/resnet20/badnets-target2-data-skip-broken"
    card = Store(tmp_path / "store").checkpoint(key).card()
    assert card.source["params"]["skip_broken"] is True
    data = card.dataset_object
    assert len(data.load("train")) + len(data.load("test")) == 34
    said = data.load("train").notes
    assert said[0] == "files left out because they are no images: 1 (red/notes.txt)"
    assert (
        sum(int(note.split(": ")[1].split()[0]) for split in ("train", "test") for note in data.load(split).notes[1:])
        == 2
    )


def test_train_replaces_a_stored_model_only_when_it_is_told_to(script, trained, folder_of_images):
    key, store, _ = trained
    before = store.checkpoint(key).card()
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--epochs", 1, "--batch", 8]
    options += ["--store", store.root, "--device", "cpu"]
    said = (f"{key} is stored already: --replace trains it anew", "--name NAME stores this model beside it")
    assert_refused(script("train", *options), *said)
    assert store.checkpoint(key).card() == before
    assert script("train", *options, "--replace")[0] == 0
    assert store.checkpoint(key).card().recipe["params"]["batch"] == 8
    # Where only results are stored, the very same training is none that is finished.
    (store.checkpoint(key).folder / "model.safetensors").unlink()
    assert_refused(script("train", *options), *said)


def test_a_variant_is_stored_beside_the_model_it_differs_from(script, trained, folder_of_images):
    key, store, _ = trained
    before = store.checkpoint(key).card()
    options = ["--dataset", f"folder:{folder_of_images}", "--epochs", 1, "--batch", 16, "--store", store.root]
    status, out, err = script("train", *options, "--target", 2)
    assert status == 0, err
    assert "stored as            colours/resnet20/badnets-target2" in out
    status, out, err = script("train", *options, "--target", 1, "--name", "badnets")
    assert status == 0, err
    assert store.keys() == [f"colours/resnet20/{name}" for name in ("badnets", "badnets-target1", "badnets-target2")]
    assert store.checkpoint(key).card() == before
    assert store.checkpoint("colours/resnet20/badnets").card().name == ""
    assert store.checkpoint("colours/resnet20/badnets-target2").card().name == "badnets-target2"
    refused = script("train", *options, "--target", 1, "--name", "blended")
    assert_refused(refused, "name = 'blended' is not allowed: another attack is called so, and this one is badnets")
    assert_refused(script("train", *options, "--target", 1, "--name", "../x"), "name = '../x' is not allowed")


def test_a_model_that_came_along_is_replaced_by_that_flag_only_and_put_back(script, trained, folder_of_images):
    key, store, _ = trained
    before = store.checkpoint(key).card()
    store.checkpoint(key).save_result("remark", {"hits": [[7]]})
    write_shipped(store.root, {key: before.weights})
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--epochs", 1, "--batch", 8]
    options += ["--store", store.root, "--device", "cpu"]
    assert_refused(script("train", *options), f"{key} is stored already and came with the repository: --replace")
    assert store.checkpoint(key).card() == before
    assert script("train", *options, "--replace")[0] == 0
    other = store.checkpoint(key).card()
    assert (other.weights != before.weights, store.checkpoint(key).result("remark")) == (True, None)
    status, out, err = script("restore", "--store", store.root)
    assert status == 0, err
    assert out == f"{key} is as it came; what was there is {key}-2 now\n"
    assert store.checkpoint(key).card() == before
    assert store.checkpoint(key).result("remark")["hits"] == [[7]]
    store.checkpoint(key).model()
    assert store.checkpoint(f"{key}-2").card().weights == other.weights
    assert script("restore", "--store", store.root)[1].startswith("all 1 models that came with the repository are")
    refused = script("restore", f"{key}-2", "--store", store.root)
    assert (refused[0], refused[1]) == (2, "")
    assert "it is none of those that came with the repository" in refused[2]


def test_an_interrupted_training_is_not_lost_to_one_with_other_settings(script, folder_of_images, tmp_path):
    store, data = Store(tmp_path / "store"), datasets["folder"](path=str(folder_of_images))
    recipe = replace(Recipe(), epochs=2, batch=16)
    plan = Plan(dataset=data, model="resnet20", attack=attacks["badnets"](target=1), recipe=recipe)
    running = train(plan, store)
    next(running)
    running.close()
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--batch", 16, "--store", store.root]
    refused = script("train", *options, "--epochs", 1)
    assert_refused(refused, f"{plan.key} has an interrupted training with other settings: --restart begins anew")
    assert len(read_unfinished(store.checkpoint(plan.key).folder).history) == 1
    assert script("train", *options, "--epochs", 2)[0] == 0
    assert len(store.checkpoint(plan.key).card().history) == 2


@pytest.mark.parametrize("left", ["nothing", "the lock", "the state"])
def test_a_training_that_was_ended_after_it_had_stored_is_finished(
    script, folder_of_images, tmp_path, monkeypatch, left
):
    """Ended before it could clean up, the same command says what an undisturbed one says, and trains nothing."""
    store, data = Store(tmp_path / "store"), datasets["folder"](path=str(folder_of_images))
    recipe = replace(Recipe(), epochs=2, batch=16)
    plan = Plan(dataset=data, model="resnet20", attack=attacks["badnets"](target=1), recipe=recipe)
    folder, remove = store.checkpoint(plan.key).folder, Path.unlink

    def ended(path, missing_ok=False):
        if path.name == {"the lock": ".training.lock", "the state": ".training.json", "nothing": ""}[left]:
            raise KeyboardInterrupt
        remove(path, missing_ok)

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Path, "unlink", ended)
        list(train(plan, store))
    assert (folder / STATE).exists() == (left == "the state")
    before = store.checkpoint(plan.key).card()
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--batch", 16, "--store", store.root]
    for _ in range(2):
        status, out, err = script("train", *options, "--epochs", 2)
        assert status == 0, err
        assert f"stored as            {plan.key}" in out
        assert f"clean accuracy       {before.clean_accuracy}" in out
        assert store.checkpoint(plan.key).card() == before
        assert read_unfinished(folder) is None
    # Another training of that name, or the same on other images, is not finished.
    assert_refused(script("train", *options, "--epochs", 1), f"{plan.key} is stored already: --replace trains it anew")
    for image in sorted((folder_of_images / "red").iterdir())[:6]:
        image.unlink()
    assert_refused(script("train", *options, "--epochs", 2), f"{plan.key} is stored already")
    assert store.checkpoint(plan.key).card() == before


def strictly(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("where", ["-", "out.json"])
def test_train_as_json(script, folder_of_images, tmp_path, where):
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--epochs", 1, "--batch", 16]
    status, out, err = script("train", *options, "--store", tmp_path / "store", "--device", "cpu", "--json", where)
    assert status == 0, err
    values = strictly(out if where == "-" else (tmp_path / where).read_text())
    assert values["key"] == "colours/resnet20/badnets-target1"
    assert (
        values["clean_accuracy"] == Store(tmp_path / "store").checkpoint(values["key"]).card().clean_accuracy.to_dict()
    )


@pytest.mark.parametrize("where", ["-", "out.json"])
@pytest.mark.parametrize(("kind", "cls"), [("location", LocationMap), ("appearance", AppearanceCurve)])
def test_sweep_as_json(script, trained, tmp_path, kind, cls, where):
    key, store, _ = trained
    status, out, err = script(
        "sweep", kind, "--checkpoint", key, "--store", store.root, "--images", 2, "--device", "cpu", "--json", where
    )
    assert status == 0, err
    values = strictly(out if where == "-" else (tmp_path / where).read_text())
    assert (values["key"], values["sweep"]) == (key, kind)
    result = cls.from_dict(values["result"])
    assert (result.total == 2).all()
    stored = store.checkpoint(key).result(kind)
    assert cls.from_dict(stored).to_dict() == result.to_dict()
    assert {"path", "environment", "trigger", "target", "seconds", "encoding"} <= set(stored)

    checkpoint = store.checkpoint(key)
    card = checkpoint.card()
    trigger, images = card.attack_object.trigger(card.shape), attacked(card.dataset_object.load("test"), 1, 2)
    expected = success_at(Predictor(checkpoint.model()).predict, images, trigger, 1)
    measured = result.at(*trigger.location) if kind == "location" else result.at(255)
    assert measured == expected
    summary = values["summary"]["at training location" if kind == "location" else "at value 255"]
    assert (summary["hits"], summary["total"]) == (expected.hits, expected.total)
    assert summary["low"] <= summary["rate"] <= summary["high"]


def test_sweep_of_every_transformation_as_json(script, trained):
    key, store, _ = trained
    status, out, err = script("sweep", "strength", "--checkpoint", key, "--store", store.root, "--json", "-")
    assert status == 0, err
    sweeps = strictly(out)["sweeps"]
    evaluated = [name for name in transforms if transforms[name].evaluated]
    assert [one["sweep"] for one in sweeps] == [f"strength-{name}" for name in evaluated]
    checkpoint = store.checkpoint(key)
    card = checkpoint.card()
    for name, one in zip(evaluated, sweeps, strict=True):
        stored = StrengthCurve.from_dict(checkpoint.result(f"strength-{name}"))
        assert stored.to_dict() == StrengthCurve.from_dict(one["result"]).to_dict()
        assert stored.strengths == transforms[name].grid
        # Nothing in front of the model: the numbers of the card, on the whole test set.
        assert stored.at(0) == (card.clean_accuracy, card.attack_success_rate)
    assert len(err.split("under Flip")) == 2


def test_a_sweep_behind_a_defense_is_printed_and_not_stored(script, trained):
    key, store, _ = trained
    options = ["--checkpoint", key, "--store", store.root, "--images", 2, "--before", "flip,shrinkpad:2"]
    status, out, err = script("sweep", "location", *options)
    assert status == 0, err
    assert "behind Flip, then ShrinkPad-2" in out
    assert store.checkpoint(key).result("location") is None


def test_train_an_enhanced_attack(script, folder_of_images, tmp_path):
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--epochs", 1, "--batch", 16]
    enhanced = ["--enhanced", "--max-shrink", 2, "--no-benign-too"]
    status, _, err = script("train", *options, *enhanced, "--store", tmp_path / "store", "--device", "cpu")
    assert status == 0, err
    card = Store(tmp_path / "store").checkpoint("colours/resnet20/badnets-target1+max2-poisoned-only").card()
    expected = Enhanced(base=attacks["badnets"](target=1), enhancement=Enhancement(max_shrink=2, benign_too=False))
    assert card.attack_object == expected
    assert_refused(script("train", *options, "--max-shrink", 2), "--max-shrink is not allowed without --enhanced")


def test_train_the_consistent_attack_with_its_surrogate(script, folder_of_images, tmp_path):
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--epochs", 1, "--batch", 16]
    options += ["--store", tmp_path / "store", "--device", "cpu"]
    status, _, err = script("train", *options, "--attack", "consistent")
    assert status == 2
    assert "there is no checkpoint colours/resnet20/robust" in err
    assert script("train", *options, "--attack", "robust")[0] == 0
    status, _, err = script("train", *options, "--attack", "consistent", "--steps", 2, "--enhanced")
    assert status == 0, err
    card = Store(tmp_path / "store").checkpoint("colours/resnet20/consistent-steps2-target1+").card()
    assert card.attack["params"]["steps"] == 2


def test_a_study_trains_each_combination_once_and_records_it(script, folder_of_images, tmp_path):
    options = ["--dataset", f"folder:{folder_of_images}", "--store", tmp_path / "store", "--device", "cpu"]
    assert script("train", *options, "--target", 1, "--attack", "robust", "--epochs", 1)[0] == 0
    study = [*options, "--alphas", "0.5,1", "--epochs", "1,2", "--target", 1]
    status, out, err = script("study", *study, "--json", "-")
    assert status == 0, err
    values = strictly(out)
    assert [(run["alpha"], run["epochs"]) for run in values["runs"]] == [(0.5, 1), (0.5, 2), (1, 1), (1, 2)]
    enough = [r["alpha"] for r in values["runs"] if r["attack_success_rate"]["hits"] >= 0.9 * 24]
    assert values["smallest_alpha"] == (min(enough) if enough else None)
    recorded = tmp_path / "store/colours/resnet20/consistent/study.json"
    content = recorded.read_text()
    status, out, err = script("study", *study)
    assert status == 0
    assert "epoch/s" not in err
    assert recorded.read_text() == content
    assert len(read_study(recorded.parent)) == 4
    status, out, _ = script("study", *options, "--alphas", "1", "--epochs", "1", "--target", "blue")
    assert status == 0
    assert len(read_study(recorded.parent)) == 5, "another target is another run"
    recorded.write_text(content[:40])
    status, _, err = script("study", *study)
    assert status == 2
    assert "study.json is damaged; delete it to begin anew" in err
    assert recorded.read_text() == content[:40]


def test_the_length_of_a_recipe_is_studied_once_on_images_held_out(script, tmp_path, monkeypatch):
    make("mnist", tmp_path / "data", monkeypatch)
    monkeypatch.setenv("TRIGGER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = ["--dataset", "mnist", "--store", tmp_path / "store", "--device", "cpu"]
    study = [*options, "--epochs", "1,2", "--held-out", 10]
    status, out, err = script("recipe_study", *study, "--json", "-")
    assert status == 0, err
    values = strictly(out)
    assert [(run["epochs"], run["accuracy"]["total"]) for run in values["runs"]] == [(1, 10), (2, 10)]
    enough = [run["epochs"] for run in values["runs"] if run["accuracy"]["hits"] >= 0.9 * 10]
    assert values["fewest_epochs"] == (min(enough) if enough else None)
    status, _, err = script("recipe_study", *study)
    assert status == 0
    assert "epoch/s" not in err
    assert_refused(script("recipe_study", *options, "--held-out", 1000), "1000 images cannot be held out of")


def test_sweep_of_a_checkpoint_without_its_data(script, trained, folder_of_images):
    key, store, _ = trained
    folder_of_images.rename(folder_of_images.with_name("gone"))
    assert_refused(script("sweep", "location", "--checkpoint", key, "--store", store.root), "there is no folder")


def test_sweep_of_a_damaged_checkpoint(script, trained):
    key, store, _ = trained
    card = store.checkpoint(key).folder / "card.json"
    content = card.read_text()
    card.write_text(content[:100])
    assert_refused(script("sweep", "location", "--checkpoint", key, "--store", store.root), key, "card.json is damaged")
    card.write_text(content)
    (store.checkpoint(key).folder / "model.safetensors").write_bytes(b"")
    assert_refused(
        script("sweep", "location", "--checkpoint", key, "--store", store.root), key, "model.safetensors is damaged"
    )


@pytest.mark.parametrize("name", ["train", "sweep"])
def test_help(script, name):
    status, out, err = script(name, "--help")
    assert (status, err) == (0, "")
    for flag in ("--device", "--json", "--store"):
        assert flag in out


@pytest.mark.parametrize("attack", attacks.names())
def test_help_shows_every_parameter_of_the_attack_and_every_choice(script, attack):
    status, out, _ = script("train", "--attack", attack, "--help")
    assert status == 0
    declared = {**params_of(attacks[attack]), **params_of(Recipe)}
    assert all("--" + name.replace("_", "-") in out for name in declared if name != "nesterov")
    for name in [*attacks, *models, *datasets]:
        assert name in out


@pytest.mark.parametrize("attack", attacks.names())
def test_every_attack_can_be_named_with_all_its_parameters(script, monkeypatch, attack):
    """A parameter of a new attack that takes a flag which is already taken would break the command line."""
    parse = runpy.run_path(str(SCRIPTS / "train.py"))["parse"]
    changed, flags = {}, []
    for name, param in params_of(attacks[attack]).items():
        value = not param.default if param.kind is bool else (param.choices or (param.high or param.default,))[-1]
        changed[name] = param.kind(value)
        option = "--" + name.replace("_", "-")
        flags += (
            [option if value else option.replace("--", "--no-")] if param.kind is bool else [option, str(changed[name])]
        )
    _, plan = parse(["--attack", attack, *flags])
    assert plan.attack == attacks[attack](**changed)
    _, plan = parse(["--attack", attack])
    assert plan.attack == attacks[attack].for_model("resnet20")
    assert plan.effective_recipe == Recipe()
    _, plan = parse(["--attack", attack, "--model", "vgg19"])
    assert plan.attack == attacks[attack].for_model("vgg19")


def test_a_real_process(tmp_path):
    """Once without any help of this process: another folder, no data, the message as a user sees it."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "TRIGGER_DATA"}}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPTS / "sweep.py"), "location", "--checkpoint", "cifar10/vgg19/no-such-attack"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "sweep.py: error: there is no checkpoint cifar10/vgg19/no-such-attack; make it with: "
    )
    assert done.stderr.count("\n") == 1


def test_a_result_on_fewer_images_does_not_replace_one_on_more(trained):
    key, store, _ = trained
    card = store.checkpoint(key).card()

    def better(values, stored):
        return measuring._is_better(values | {"test": card.test}, stored, card)

    assert better({"total": [[8, 8]]}, None)
    assert better({"total": [[8, 8]]}, {"total": [[8, 8]]})
    assert not better({"total": [[8, 8]]}, {"total": [[0, 9]]})
    assert better({"total": [8]}, {"hits": "damaged"})
    assert better({"total": [8]}, {"total": [9], "test": "other images"}), "those of the card count"
    assert not measuring._is_better({"total": [9], "test": "other images"}, {"total": [8]}, card)


def test_an_adaptive_map_is_printed_and_not_stored(script, trained):
    key, store, _ = trained
    options = ["--checkpoint", key, "--store", store.root, "--device", "cpu", "--width", 20, "--json", "-"]
    status, out, err = script("sweep", "location", *options)
    assert status == 0, err
    found = strictly(out)
    assert (found["stored"], found["result"]["width"]) == (False, 20)
    assert store.checkpoint(key).result("location") is None
    assert "forward passes" in err
    result, card = found["result"], store.checkpoint(key).card()
    available = len(attacked(card.dataset_object.load("test"), card.attack_object.target))
    assert np.max(result["total"]) <= available, "no more images than there are"
    again = AdaptiveMap.from_dict(result)
    trigger = card.attack_object.trigger(card.shape)
    at, highest = again.at(*trigger.location), again.highest_at_distance(trigger.location, 2)
    for name, rate in (("at training location", at), ("highest 2 pixels away", highest.rate)):
        one = found["summary"][name]
        assert (one["low"], one["high"]) == rate.interval
        assert str(rate) in err, "the interval that is printed is that of the map"
        assert rate.interval != Rate(rate.hits, rate.total).interval
    assert found["summary"]["highest 2 pixels away"]["places"] == highest.places
    assert f"highest of {highest.places} places 2 pixels away" in err
    refused = script("sweep", "location", "--checkpoint", key, "--store", store.root, "--width", 0)
    assert_refused(refused, "width = 0.0 is not allowed: a number from 1 to 50")
    assert_refused(script("sweep", "appearance", "--checkpoint", key, "--store", store.root, "--width", 5), "--width")


def test_benchmark_compares_five_ways(script, trained, monkeypatch):
    key, store, _ = trained
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)  # of the training's steps: tested with them
    options = ["--images", 6, "--places", 3, "--turns", 1, "--batches", "8", "--device", "cpu", "--json", "-"]
    status, out, err = script("benchmark", "--checkpoint", key, "--store", store.root, *options)
    assert status == 0, err
    found = strictly(out)
    assert set(found["ratios"]) == {
        "engine_over_plain",
        "engine_over_whole",
        "engine_over_toolbox",
        "adaptive_over_plain",
        "recipe_over_plain_training",
        "recipe_over_toolbox_training",
    }
    assert all(ratio["low"] > 0 for ratio in found["ratios"].values())
    assert set(found["passes_per_second_by_batch"]) == {"8"}
    assert set(found["training_images_per_second"]) == {"toolbox", "plain", "recipe"}
    assert 0 < found["training_convolution_share"] < 1
    assert found["toolbox_loading_share"] > 0
    assert found["engine_shares"] == {}, "whole passes are made of images as small as these"
    for ways in (found["passes_per_second"], found["seconds_to_a_map"]):
        assert set(ways) == {"toolbox", "plain", "whole", "engine", "adaptive"}
        assert all(0 < way["low"] <= way["median"] <= way["high"] for way in ways.values())
    assert 0 <= found["max_cell_difference"] <= 1
    assert found["coverage"] >= 0.9
    assert 0 < found["matrix_share"] < 1.5
    assert_refused(script("benchmark", "--checkpoint", key, "--store", store.root, "--turns", 0), "turns = 0 is not")
    refused = script("benchmark", "--checkpoint", key, "--store", store.root, "--batches", "64,x")
    assert_refused(refused, "batches = '64,x' is not allowed")


def test_all_ways_of_the_benchmark_count_the_same(script, trained):
    """Stamping through PIL rounds pixels; with a trigger that has none to round, every way counts the same images."""
    key, store, _ = trained
    checkpoint = store.checkpoint(key)
    card, model = checkpoint.card(), checkpoint.model()
    images = attacked(card.dataset_object.load("test"), 1)
    trigger, places = card.attack_object.trigger(card.shape), [(15, 15), (7, 7), (4, 9)]
    slow = map_speed.toolbox(model, images, trigger, 1, places)
    assert torch.equal(slow, map_speed.plain(model, images, trigger, 1, places))
    fast, passes = map_speed.engine(Predictor(model, dtype=torch.float32), images, trigger, 1, places)
    assert torch.equal(slow, fast)
    assert passes >= 3 * len(images)


def test_the_benchmark_says_where_the_engines_time_goes(monkeypatch):
    predictor = Predictor(build_model("resnet20", classes=3, seed=0), dtype=torch.float32)

    def behind(samples):
        """As a compiled network, it is called through C, where a profiler sees no operations."""
        time.sleep(0.01)
        return torch.zeros(len(samples), 3)

    monkeypatch.setattr(predictor, "_compiled_later", behind)
    trigger = attacks["badnets"]().trigger((3, 32, 32))
    shares = map_speed.engine_shares(predictor, torch.rand(8, 3, 32, 32), trigger, [(5, 5), (31, 31), (9, 20)])
    assert len(shares) == 3
    assert all(0 < share < 1 for share in shares.values())
    assert sum(shares.values()) <= 1.01


def test_defend_stores_what_it_measured(script, trained):
    key, store, _ = trained
    options = ["--checkpoint", key, "--store", store.root, "--device", "cpu", "--json", "-"]
    status, out, err = script("defend", "fine-pruning", *options, "--tolerance", 30)
    assert status == 0, err
    found = strictly(out)
    stored = StoredResults(store.checkpoint(key)).repair("fine-pruning")
    assert stored is not None
    assert stored.repair == defenses["fine-pruning"](tolerance=30)
    assert found["clean"] == stored.clean.to_dict()
    repaired = repaired_model(store.checkpoint(key), "fine-pruning")
    assert int((repaired.fc.weight == 0).all(0).sum()) >= stored.record["pruned"]
    card = store.checkpoint(key).card()
    _, practical = split_test(card.dataset_object.load("test"))
    right = Predictor(repaired).predict(practical.floats()) == practical.labels
    assert (int(right.sum()), len(right)) == (stored.clean.hits, stored.clean.total)


def test_a_repair_with_several_seeds_keeps_the_first_model_and_every_finding(script, trained):
    key, store, _ = trained
    options = ["--checkpoint", key, "--store", store.root, "--device", "cpu", "--json", "-"]
    quick = ["--rounds", 3, "--batches", 2]
    status, out, err = script("defend", "neural-cleanse", *options, *quick, "--runs", 3)
    assert status == 0, err
    found = strictly(out)
    assert [run["seed"] for run in found["runs"]] == [0, 1, 2]
    assert found["runs"][0]["record"] == found["record"]
    assert found["runs"][0]["record"]["norms"] != found["runs"][1]["record"]["norms"]
    stored = StoredResults(store.checkpoint(key)).repair("neural-cleanse")
    assert stored is not None
    assert [run.seed for run in stored.runs] == [0, 1, 2]
    assert stored.runs[0].clean == stored.clean
    tensors = store.checkpoint(key).tensors("repair-neural-cleanse")
    status, _, err = script("defend", "neural-cleanse", *options, *quick, "--replace")
    assert status == 0, err
    again = store.checkpoint(key).tensors("repair-neural-cleanse")
    assert all(torch.equal(tensor, again[name]) for name, tensor in tensors.items())
    status, _, err = script("defend", "neural-cleanse", *options, "--runs", 0)
    assert (status, "runs = 0 is not allowed" in err) == (2, True)


def test_defend_replaces_nothing_that_is_not_to_be_replaced(script, trained):
    key, store, _ = trained
    options = ["--checkpoint", key, "--store", store.root, "--device", "cpu"]
    quick = ["--rounds", 1, "--batches", 1]
    assert script("defend", "neural-cleanse", *options, *quick)[0] == 0
    path = store.checkpoint(key).folder / "repair-neural-cleanse.json"
    before = path.read_bytes()
    said = f"neural-cleanse of {key} is stored already: --replace runs it anew in its place"
    for other in ([*quick, "--seed", 1], ["--rounds", 2, "--batches", 1], ["--rounds", 2, "--batches", 1, "--runs", 2]):
        assert_refused(script("defend", "neural-cleanse", *options, *other), said)
        assert path.read_bytes() == before
    # The same command again is finished: it may have been ended after it had stored everything.
    status, _, err = script("defend", "neural-cleanse", *options, *quick)
    assert (status, "stored already and left as it is" in err) == (0, True)
    assert path.read_bytes() == before
    # More seeds of the same are more of what is stored.
    status, _, err = script("defend", "neural-cleanse", *options, *quick, "--runs", 2)
    assert status == 0, err
    assert [run.seed for run in StoredResults(store.checkpoint(key)).repair("neural-cleanse").runs] == [0, 1]
    status, _, err = script("defend", "neural-cleanse", *options, *quick, "--replace")
    assert status == 0, err
    assert [run.seed for run in StoredResults(store.checkpoint(key)).repair("neural-cleanse").runs] == [0]


def test_defend_all_leaves_out_what_is_stored(script, trained):
    key, store, _ = trained
    options = ["--checkpoint", key, "--store", store.root, "--device", "cpu"]
    assert script("defend", "fine-pruning", *options)[0] == 0
    left_to_run = runpy.run_path(str(SCRIPTS / "defend.py"))["left_to_run"]
    asked = [defenses[name]() for name in defenses]
    left = left_to_run(store.checkpoint(key), asked, [0], False)
    assert [repair.name for repair in left] == [name for name in defenses if name != "fine-pruning"]
    assert len(left_to_run(store.checkpoint(key), asked, [0], True)) == len(defenses)


def test_defend_runs_every_defense(script, trained):
    key, store, _ = trained
    quick = {"epochs": 1, "rounds": 1, "batches": 1}
    for name in defenses:
        options = [f"--{param}={value}" for param, value in quick.items() if param in params_of(defenses[name])]
        status, out, err = script(
            "defend", name, "--checkpoint", key, "--store", store.root, "--device", "cpu", *options
        )
        assert status == 0, err
        assert "clean accuracy" in out
        assert StoredResults(store.checkpoint(key)).repair(name) is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fine-prunning"], ["there is no defense 'fine-prunning'", "did you mean 'fine-pruning'"]),
        (["fine-pruning", "--tolerance", "200"], ["tolerance = 200.0 is not allowed: a number from 0 to 100"]),
        (["neural-cleanse", "--patch", "magic"], ["patch = 'magic' is not allowed: one of unlearning, pruning"]),
        (["all", "--tolerance", "3"], ["tolerance"]),
        ([], ["defense"]),
    ],
)
def test_defend_refuses_bad_input(script, arguments, said):
    assert_refused(script("defend", *arguments, "--checkpoint", "a/b/c"), *said)


def test_defend_takes_its_flags_in_any_order():
    parse = runpy.run_path(str(SCRIPTS / "defend.py"))["parse"]
    _, repairs = parse(["--checkpoint", "a/b/c", "--tolerance", "6", "fine-pruning"])
    assert [(repair.name, repair.to_dict()["tolerance"]) for repair in repairs] == [("fine-pruning", 6)]
    assert len(parse(["--checkpoint", "a/b/c", "all"])[1]) == len(defenses)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "--cells", "-1"), "cells = -1 is not allowed"),
        (("verify", "--tolerance", "2"), "tolerance = 2 is not allowed: 0 to 1"),
        (("verify", "--json", "."), "argument --json: . is a folder"),
        (("summary", "--store", "nowhere"), "there is no checkpoint in nowhere"),
        (("summary", "--update", "nowhere.md"), "nowhere.md: No such file or directory"),
    ],
)
def test_reports_refuse_bad_input(script, arguments, said):
    status, out, err = script(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_defend_needs_a_checkpoint(script):
    assert_refused(
        script("defend", "all", "--checkpoint", "shapes10/resnet20/none"), "there is no checkpoint", "train.py"
    )


@pytest.mark.parametrize("damage", [{"done": "x"}, {"clean": None}, {"defense": {"name": "magic", "params": {}}}])
def test_a_damaged_repair_counts_as_absent(script, trained, damage):
    key, store, _ = trained
    script("defend", "fine-pruning", "--checkpoint", key, "--store", store.root, "--device", "cpu")
    path = store.checkpoint(key).folder / "repair-fine-pruning.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    assert StoredResults(store.checkpoint(key)).repair("fine-pruning") is None
    assert repaired_model(store.checkpoint(key), "fine-pruning") is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [("folder:~nouser/x", "there is no folder ~nouser/x"), ("folder:a\0b", "no folder can have this name")],
)
def test_a_folder_that_cannot_be_is_one_sentence(script, tmp_path, spec, said):
    assert_refused(script("train", "--store", tmp_path / "store", "--dataset", spec), said)


def test_a_folder_named_from_where_it_lies_is_found_from_elsewhere(script, folder_of_images, tmp_path, monkeypatch):
    monkeypatch.chdir(folder_of_images.parent)
    options = ["--dataset", f"folder:{folder_of_images.name}", "--target", 1, "--epochs", 1, "--batch", 16]
    assert script("train", *options, "--store", tmp_path / "store", "--device", "cpu")[0] == 0
    monkeypatch.chdir(tmp_path / "store")
    key = "colours/resnet20/badnets-target1"
    status, _, err = script("sweep", "appearance", "--checkpoint", key, "--store", tmp_path / "store", "--images", 2)
    assert status == 0, err


MEASURING = {
    "location": ["sweep", "location"],
    "strength": ["sweep", "strength", "--transform", "flip"],
    "saliency": ["sweep", "saliency"],
    "repair": ["defend", "fine-pruning"],
}


@pytest.mark.parametrize("how", ["moved", "class removed"])
@pytest.mark.parametrize("what", MEASURING)
def test_data_that_are_not_the_cards_are_refused_before_compiling(script, trained, monkeypatch, what, how):
    key, store, _ = trained
    root = store.checkpoint(key).card().dataset_object.root
    monkeypatch.setattr(Predictor, "compile", lambda *_: pytest.fail("compiled"))
    if how == "moved":
        root.rename(root.with_name("elsewhere"))
    else:
        shutil.rmtree(root / "blue")
    said = ["there is no folder", "--data PATH"] if how == "moved" else ["green, red, but", "on blue, green, red"]
    assert_refused(script(*MEASURING[what], "--checkpoint", key, "--store", store.root), str(root), *said)
    assert {path.name for path in store.checkpoint(key).folder.iterdir()} == {"card.json", "model.safetensors"}


def test_a_folder_that_was_moved_is_named_once(script, trained, tmp_path):
    key, store, _ = trained
    root = store.checkpoint(key).card().dataset_object.root
    new = root.rename(root.with_name("elsewhere"))
    options = ["--checkpoint", key, "--store", store.root]
    assert_refused(script("sweep", "location", *options, "--data", tmp_path / "nix"), "there is no folder", "nix")
    status, _, err = script("sweep", "location", *options, "--images", 2, "--data", new)
    assert status == 0, err
    assert f"images of {key} are read from {new} from now on" in err
    for arguments in (["sweep", "strength", "--transform", "flip"], ["defend", "fine-pruning"]):
        status, _, err = script(*arguments, *options)
        assert status == 0, err
    status, out, err = script("verify", "--store", store.root)
    assert status == 0, out + err
    assert "0 problems" in out
    assert "not verified" not in out
    status, out, err = script("verify", "--store", store.root, "--data", tmp_path)
    assert status == 2
    assert "has one class, elsewhere" in err


def test_verify_says_which_models_it_has_no_images_of(script, trained):
    key, store, _ = trained
    root = store.checkpoint(key).card().dataset_object.root
    image = next(root.rglob("*.png"))
    shutil.copy(image, image.with_name("one more.png"))
    status, out, err = script("verify", "--store", store.root)
    assert status == 0, err
    said, summary = out.strip().splitlines()
    assert summary == "0 numbers measured again, 0 problems"
    assert f"{key}: not verified: the test images here are not those that {key} was measured on" in said
    # Where the output is for a machine it is JSON and nothing else.
    status, out, err = script("verify", "--store", store.root, "--json", "-")
    found = strictly(out)
    assert (found["measured"], found["problems"], found["not_verified"]) == (0, [], [said])
    assert said in err
    shutil.rmtree(root / "blue")
    status, out, err = script("verify", "--store", store.root)
    assert status == 1
    assert "has the classes green, red, but" in out


def test_a_sweep_of_other_images_says_so_and_replaces_nothing(script, trained):
    key, store, _ = trained
    options = ["strength", "--transform", "flip", "--checkpoint", key, "--store", store.root]
    assert script("sweep", *options)[0] == 0
    before = store.checkpoint(key).result("strength-flip")
    root = store.checkpoint(key).card().dataset_object.root
    for image in list(root.rglob("*.png")):
        shutil.copy(image, image.with_name(f"again {image.name}"))
    status, out, err = script("sweep", *options)
    assert status == 0, err
    assert f"warning: the test images here are not those that {key} was measured on" in out
    assert "not stored: the stored result is on the card's images (--replace stores it all the same)" in out
    assert store.checkpoint(key).result("strength-flip") == before
    assert script("sweep", *options, "--replace")[0] == 0
    assert store.checkpoint(key).result("strength-flip") != before


@pytest.mark.parametrize("methods", ["gradient", "all"])
def test_saliency_of_fewer_images_replaces_nothing_and_stores_no_examples(script, trained, methods):
    key, store, _ = trained
    name = "saliency" if methods == "gradient" else "saliency-methods"
    options = ["saliency", "--methods", methods, "--checkpoint", key, "--store", store.root]
    assert script("sweep", *options, "--images", 4)[0] == 0
    checkpoint = store.checkpoint(key)
    before = checkpoint.result(name)
    (checkpoint.folder / "saliency-examples.json").unlink(missing_ok=True)
    status, out, err = script("sweep", *options, "--images", 2)
    assert status == 0, err
    assert "not stored: the stored result is on more images (--replace stores it all the same)" in out
    assert checkpoint.result(name) == before
    assert checkpoint.result("saliency-examples") is None
    assert script("sweep", *options, "--images", 2, "--replace")[0] == 0
    assert checkpoint.result(name) != before


def test_a_training_of_a_folder_that_was_moved_continues(script, folder_of_images, tmp_path):
    store, new = Store(tmp_path / "store"), tmp_path / "elsewhere"
    options = ["--dataset", f"folder:{folder_of_images}", "--target", 1, "--epochs", 2, "--batch", 16]
    options += ["--store", store.root, "--device", "cpu"]
    _, plan = runpy.run_path(str(SCRIPTS / "train.py"))["parse"](list(map(str, options)))
    training = train(plan, store, "cpu")
    assert next(training).epoch == 1
    training.close()
    folder_of_images.rename(new)
    assert_refused(script("train", *options), "there is no folder", str(folder_of_images))
    status, _, err = script("train", *options, "--data", new)
    assert status == 0, err
    assert store.checkpoint("colours/resnet20/badnets-target1").card().dataset_object.root == new
    assert_refused(script("train", "--data", new), "shapes10 is no folder")
