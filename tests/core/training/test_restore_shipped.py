"""Models that came with the repository: replaced only when that is said, and put back, with git or without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from cards import card_of, model_of

from core.attacks import attacks
from core.data import dataset_from
from core.store.local import Store
from core.store.shipped import kept_folder, shipped, write_shipped
from core.training.restore_shipped import is_as_it_came, restore
from core.training.state import held
from core.training.trainer import Plan, train

KEY = "shapes10/resnet20/badnets"
RESULT = {"hits": [[7]], "total": [[9]]}


@pytest.fixture(scope="module")
def trained():
    """Two models of one attack."""
    return model_of(0), model_of(1)


@pytest.fixture
def came(store, trained):
    """A store that came with one model and one result."""
    store.save(trained[0], card_of(trained[0]))
    store.checkpoint(KEY).save_result("remark", RESULT)
    write_shipped(store.root, {KEY: store.checkpoint(KEY).card().weights})
    return store


def put_in_its_place(store, model):
    store.save(model, card_of(model, seed=0))
    store.checkpoint(KEY).save_result("remark", {"hits": [[1]], "total": [[2]]})
    store.checkpoint(KEY).save_result("other-x", {"answer": 1}, {"a": model.fc.bias})


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_training_does_not_take_its_place_unless_that_is_said(came):
    plan = Plan(dataset=dataset_from("shapes10"), model="resnet20", attack=attacks["badnets"]())
    assert plan.key == KEY
    before = content_of(came.checkpoint(KEY).folder)
    with pytest.raises(ValueError, match=f"^{KEY} came with the repository and is not replaced: give"):
        next(train(plan, came))
    assert content_of(came.checkpoint(KEY).folder) == before


def test_what_was_replaced_is_put_back_and_the_other_model_is_not_lost(came, trained):
    before = content_of(came.checkpoint(KEY).folder)
    assert is_as_it_came(came, KEY)
    put_in_its_place(came, trained[1])
    assert not is_as_it_came(came, KEY)
    assert came.checkpoint(KEY).result("remark")["hits"] == [[1]]
    moved = restore(came, KEY)
    assert content_of(came.checkpoint(KEY).folder) == before
    assert is_as_it_came(came, KEY)
    assert not kept_folder(came.root, KEY).exists()
    assert moved == f"{KEY}-2"
    other = came.checkpoint(moved)
    other.model()
    assert (other.card().key, other.card().weights) == (moved, card_of(trained[1]).weights)
    assert other.result("remark")["hits"] == [[1]]
    assert other.tensors("other-x") is not None


def test_replaced_twice_it_is_still_the_one_that_came(came, trained):
    before = content_of(came.checkpoint(KEY).folder)
    put_in_its_place(came, trained[1])
    put_in_its_place(came, model_of(2))
    restore(came, KEY)
    assert content_of(came.checkpoint(KEY).folder) == before


def test_of_a_model_whose_weights_did_not_come_along_none_stay(came, trained):
    (came.checkpoint(KEY).folder / "model.safetensors").unlink()
    before = content_of(came.checkpoint(KEY).folder)
    assert came.is_shipped(KEY)
    put_in_its_place(came, trained[1])
    restore(came, KEY)
    assert content_of(came.checkpoint(KEY).folder) == before


def test_weights_that_do_not_fit_the_card_go_where_none_came_along(came, trained):
    folder = came.checkpoint(KEY).folder
    (folder / "model.safetensors").unlink()
    before = content_of(folder)
    put_in_its_place(came, trained[1])
    other = (folder / "model.safetensors").read_bytes()
    restore(came, KEY)
    shutil.copytree(folder, kept_folder(came.root, KEY))
    (folder / "model.safetensors").write_bytes(other)
    assert not is_as_it_came(came, KEY)
    restore(came, KEY)
    assert is_as_it_came(came, KEY)
    assert content_of(folder) == before


def test_what_was_neither_kept_nor_is_in_git_cannot_be_put_back(came):
    shutil.rmtree(came.checkpoint(KEY).folder)
    with pytest.raises(ValueError, match=f"^{KEY} cannot be put back: no copy of it was kept, and"):
        restore(came, KEY)
    with pytest.raises(ValueError, match=r"^checkpoint = 'a/b/c' is not allowed: it is none of those that came"):
        restore(came, "a/b/c")


@pytest.fixture
def checkout(came):
    """The store as a git checkout."""
    who = {f"GIT_{role}_{what}": "x@y" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        try:
            done = subprocess.run(["git", "-C", came.root, *command], env=os.environ | who, capture_output=True)
        except OSError:
            pytest.skip("git is not installed")
        assert done.returncode == 0, done.stderr
    return came


def test_git_puts_back_what_is_gone_damaged_or_measured_otherwise(checkout, trained):
    folder = checkout.checkpoint(KEY).folder
    before = content_of(folder)
    assert is_as_it_came(checkout, KEY)
    shutil.rmtree(folder)
    assert not is_as_it_came(checkout, KEY)
    assert restore(checkout, KEY) == ""
    assert content_of(folder) == before
    (folder / "model.safetensors").write_bytes(before["model.safetensors"][:1000])
    assert not is_as_it_came(checkout, KEY)
    restore(checkout, KEY)
    (folder / "model.safetensors").unlink()
    assert not is_as_it_came(checkout, KEY)
    restore(checkout, KEY)
    checkout.checkpoint(KEY).save_result("remark", RESULT | {"hits": [[0]]})
    restore(checkout, KEY)
    assert content_of(folder) == before
    # Where nothing was kept, because somebody else has put another model there.
    put_in_its_place(checkout, trained[1])
    shutil.rmtree(kept_folder(checkout.root, KEY))
    assert restore(checkout, KEY) == f"{KEY}-2"
    assert content_of(folder) == before


def test_without_a_list_nothing_came_along_and_a_damaged_one_is_said(came):
    assert shipped(came.root / "nowhere") == {}
    assert not Store(came.root / "nowhere").is_shipped(KEY)
    for damage in ("{", "[]", json.dumps({"models": 3}), "{}"):
        (came.root / "shipped.json").write_text(damage)
        with pytest.raises(ValueError, match=r"^shipped.json, which lists the models that came with the"):
            came.is_shipped(KEY)


def test_a_model_that_is_being_trained_is_not_put_back(came):
    with held(came.checkpoint(KEY).folder, {"any": "plan"}), pytest.raises(ValueError, match="is being trained"):
        restore(came, KEY)
