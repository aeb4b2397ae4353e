"""Fig. 14 and Sec. 5.3 in the grid: all sizes trained alike, nothing replaced unasked, and benign images counted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from squares import six_colours

from core.attacks import Enhanced, attacks
from core.data import dataset_from
from core.paper.results import Results
from core.reproduction.performing import pending, perform, stored_attacks
from core.reproduction.tasks import TRAINING, grid
from core.store.local import DEFAULT_ROOT, Store
from core.store.shipped import write_shipped

SHAPES = dataset_from("shapes10")
FRONT = "shapes10/resnet20"


def fig14(only="badnets", **settings):
    return grid(SHAPES, ["resnet20"], only=["fig14"], attacks_only=[only], **settings)


def copied(root: Path, *names: str, weights: bool = False) -> Store:
    for name in names:
        ignored = None if weights else shutil.ignore_patterns("*.safetensors")
        shutil.copytree(DEFAULT_ROOT / FRONT / name, root / FRONT / name, ignore=ignored)
    return Store(root)


def names(tasks):
    return [task.key.rpartition("/")[2] for task in tasks if task.name == TRAINING]


def changed(root: Path, name: str, **recipe):
    """Changes the recipe in a stored card."""
    file = root / FRONT / name / "card.json"
    card = json.loads(file.read_text())
    card["recipe"]["params"] |= recipe
    file.write_text(json.dumps(card))


def test_one_number_of_epochs_for_nine_sizes():
    tasks = fig14(epochs=3)
    assert names(tasks) == [f"badnets+max{size}" for size in range(9)]
    assert {task.training_recipe.epochs for task in tasks} == {3}
    assert {task.images for task in tasks if task.name != TRAINING} == {0}  # all test images
    assert names(fig14(epochs=3, shrinks=[4])) == ["badnets+max4"]


def test_some_attacks_alone():
    tasks = grid(SHAPES, ["resnet20"], attacks_only=["blended"])
    assert {task.attack["name"] for task in tasks} == {"blended"}
    tasks = grid(SHAPES, ["resnet20"], only=["sec5.3"], attacks_only=["badnets", "benign"])
    assert set(names(tasks)) == {"benign", "badnets+", "badnets+poisoned-only"}
    with pytest.raises(ValueError, match="attack = 'nix' is not allowed: one of benign, badnets-gray, badnets, "):
        grid(SHAPES, ["resnet20"], attacks_only=["nix"])


def test_what_is_stored_and_was_trained_alike_is_not_trained_again(tmp_path):
    store = copied(tmp_path, "badnets+max0", "badnets+max2", "badnets+")
    left = names(pending(fig14(epochs=3), store))
    assert left == [f"badnets+max{size}" for size in (1, 3, 4, 5, 6, 7, 8)]
    assert names(pending(fig14(epochs=3, replacing=True), store)) == left


def test_the_reference_stands_in_for_size_4_where_it_was_trained_alike(tmp_path):
    store = copied(tmp_path, "badnets+")
    assert "badnets+max4" in names(pending(fig14(epochs=3), store))
    left = pending(fig14(epochs=5), store)
    assert "badnets+max4" not in {task.key.rpartition("/")[2] for task in left}
    (tmp_path / FRONT / "badnets+" / "strength-shrinkpad.json").unlink()
    own = [task for task in pending(fig14(epochs=5), store) if task.named == "badnets+max4"]
    assert [task.name for task in own] == [TRAINING, "strength-shrinkpad"]  # its weights are not stored here


def test_only_if_asked_for_is_a_stored_model_trained_anew(tmp_path):
    store = copied(tmp_path, "badnets+max0", "badnets+max2")
    changed(tmp_path, "badnets+max0", epochs=5)
    assert not {"badnets+max0", "badnets+max2"} & set(names(pending(fig14(epochs=3), store)))
    left = pending(fig14(epochs=3, replacing=True), store)
    found = [task.name for task in left if task.key.endswith("max0")]
    assert found == [TRAINING, "strength-shrinkpad"]
    assert not any(task.key.endswith("max2") for task in left)
    # What Fig. 14 does not make itself stays as it is.
    whole = grid(SHAPES, ["resnet20"], epochs=3, replacing=True)
    assert {task.parts for task in whole if task.replaces} == {("fig14",)}


def test_what_is_set_beside_a_reference_has_its_parameters(tmp_path):
    """The Consistent Attack on Shapes-10 was not trained with the defaults."""
    found = stored_attacks(SHAPES, ["resnet20"], Store())
    assert found["resnet20/consistent"].alpha == 1 != attacks["consistent"].for_model("resnet20").alpha
    tasks = fig14("consistent", stored=found)
    assert {t.attack_object.base.alpha for t in tasks if isinstance(t.attack_object, Enhanced)} == {1}
    assert names(tasks)[1:] == [f"consistent+max{size}" for size in range(9)]
    assert stored_attacks(SHAPES, ["resnet20"], Store(tmp_path)) == {}


def test_a_curve_without_benign_images_is_measured_again_for_sec_5_3(tmp_path):
    store = copied(tmp_path, "benign")
    file = tmp_path / FRONT / "benign" / "strength-shrinkpad.json"
    values = json.loads(file.read_text())
    values.pop("benign_hits", None)
    file.write_text(json.dumps(values))
    tasks = grid(SHAPES, ["resnet20"], only=["sec5.3"], attacks_only=["benign"])
    assert [task.name for task in pending(tasks, store)] == [TRAINING, "strength-shrinkpad"]
    file.write_text(json.dumps(values | {"benign_hits": values["hits"]}))
    assert pending(tasks, store) == []


@pytest.fixture
def tiny(tmp_path):
    """A data set of few images, and its grid with some settings."""
    dataset = dataset_from(f"folder:{six_colours(tmp_path / 'six')}")

    def tasks(**settings):
        made = grid(dataset, ["resnet20"], attacks_only=["badnets"], limit=6, shrinks=[0, 4], **settings)
        return made, Store(tmp_path / "store")

    return tasks


def performed(tasks, store):
    """Performs what is left; what was."""
    left = pending(tasks, store)
    for task in left:
        list(perform(task, store, torch.device("cpu")))
    return [task.id.split("/", 2)[2] for task in left]


def test_fig_14_is_made_whole_replaced_whole_and_goes_on_where_it_was(tiny):
    tasks, store = tiny(only=["fig14"], epochs=1)
    assert len(performed(tasks, store)) == 4
    assert performed(tasks, store) == []
    found = Results.read(store, "six", "resnet20").ablation()["badnets+"]
    assert (list(found.curves), found.epochs) == ([0, 4], 1)
    assert set(Results.read(store, "six", "resnet20").cards) == {"badnets+max0"}
    longer, store = tiny(only=["fig14"], epochs=2, replacing=True)
    assert performed(longer[:2], store) == ["badnets+max0 training", "badnets+max0 strength-shrinkpad"]
    halfway = Results.read(store, "six", "resnet20").ablation()["badnets+"]
    assert (list(halfway.curves), list(halfway.others)) == ([4], [0])
    assert "size 0 is left out (trained with 2 instead of 1 epochs)" in halfway.gaps
    assert performed(longer, store) == ["badnets+max4 training", "badnets+max4 strength-shrinkpad"]
    found = Results.read(store, "six", "resnet20").ablation()["badnets+"]
    assert (list(found.curves), found.epochs, dict(found.others)) == ([0, 4], 2, {})
    assert performed(longer, store) == []
    card = store.checkpoint("six/resnet20/badnets+max4").card()
    assert (card.name, card.attack_object.title) == ("badnets+max4", "badnets+")
    assert "--name badnets+max4" in card.command


def test_a_model_of_which_only_results_are_stored_is_trained_as_its_card_says(tiny):
    """Whatever the grid's recipe and seed; a model that came with the repository is kept and can be put back."""
    tasks, store = tiny(only=["fig14"], epochs=2)
    performed(tasks[:2], store)
    checkpoint = store.checkpoint("six/resnet20/badnets+max0")
    before, kept = checkpoint.card(), checkpoint.folder / "model.safetensors"
    write_shipped(store.root, {checkpoint.key: before.weights})
    kept.unlink()
    (checkpoint.folder / "strength-shrinkpad.json").unlink()
    others, _ = tiny(only=["fig14"], epochs=1, recipe="short", seed=3)
    assert performed(others[:2], store) == ["badnets+max0 training", "badnets+max0 strength-shrinkpad"]
    after = checkpoint.card()
    assert (after.recipe, after.seed, after.attack) == (before.recipe, before.seed, before.attack)
    assert checkpoint.has_weights


def test_the_same_training_is_not_done_under_two_names(tiny):
    tasks, store = tiny(only=["fig13", "fig14"], epochs=1)
    performed(tasks, store)
    assert not store.checkpoint("six/resnet20/badnets+max4").exists
    assert list(Results.read(store, "six", "resnet20").ablation()["badnets+"].curves) == [0, 4]
    assert pending(tasks, store) == []
    assert pending([replace(task, epochs=2) for task in tasks if task.named], store)


def test_the_control_of_sec_5_3_is_trained_and_counted(tiny):
    tasks, store = tiny(only=["sec5.3"], epochs=1)
    assert "badnets+poisoned-only training" in performed(tasks, store)
    results = Results.read(store, "six", "resnet20")
    card = results.cards["badnets+poisoned-only"]
    assert card.attack_object.enhancement.benign_too is False
    for title in ("badnets+poisoned-only", "badnets+"):
        curve = results.curves[title]["shrinkpad"]
        assert curve.benign_hits is not None
        assert (curve.benign_hits <= curve.total).all()
    assert "flip" in results.curves["badnets+poisoned-only"]
