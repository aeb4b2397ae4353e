"""The study of a recipe's length: on images held out of the training set, and never on the test set."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from squares import six_colours

from core.data import Dataset, dataset_from
from core.data.images import ImageSet
from core.metrics import Rate
from core.reproduction.recipe_study import HeldOut, RecipeRun, fewest_epochs, read_recipe_study, write_recipe_study


@pytest.fixture
def shuffled():
    return Shuffled()


@dataclass(frozen=True, kw_only=True)
class Shuffled(Dataset):
    """Images whose order says nothing of their class."""

    name = label = "shuffled"

    @property
    def classes(self):
        return ("even", "odd")

    def available(self):
        return True

    def load(self, split, limit=None):
        labels = torch.arange(20) % 2
        images = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 3, 8, 8)
        return ImageSet(images, labels, self.classes, "plain").subset(slice(limit))


def run(epochs: int, hits: int, plan: str) -> RecipeRun:
    rate = Rate(hits, 100)
    return RecipeRun(epochs=epochs, held_out=100, seed=0, plan=plan, accuracy=rate, seconds=1.5, images_per_second=10.0)


def test_the_last_images_of_the_training_set_take_the_place_of_the_test_set(shuffled):
    whole, kept = shuffled.load("train"), HeldOut(whole=shuffled, count=5)
    train, held_out = kept.load("train"), kept.load("test")
    assert torch.equal(torch.cat([train.images, held_out.images]), whole.images)
    assert torch.equal(torch.cat([train.labels, held_out.labels]), whole.labels)
    assert len(held_out) == 5
    assert torch.equal(kept.load("test", limit=2).images, held_out.images[:2])
    assert (kept.title, kept.classes, kept.available()) == (shuffled.title, shuffled.classes, True)


def test_something_must_be_left_to_train_on(shuffled):
    with pytest.raises(ValueError, match="20 images cannot be held out of 20"):
        HeldOut(whole=shuffled, count=20).load("train")


def test_images_in_the_order_of_their_classes_are_refused(tmp_path):
    sorted_by_class = dataset_from(f"folder:{six_colours(tmp_path)}")
    with pytest.raises(ValueError, match="the last 3 images cannot be held out: they have other classes than the rest"):
        HeldOut(whole=sorted_by_class, count=3).load("train")


def test_runs_are_read_as_they_were_written_and_the_shortest_that_is_enough_is_found(tmp_path):
    runs = [run(6, 92, "b"), run(4, 89, "a"), run(8, 95, "c")]
    write_recipe_study(tmp_path, [run(4, 10, "a"), *runs])
    assert read_recipe_study(tmp_path) == sorted(runs, key=lambda one: one.epochs)
    assert fewest_epochs(runs, 0.9) == 6
    assert fewest_epochs(runs, 0.96) is None
    assert read_recipe_study(tmp_path / "nowhere") == []


def test_a_damaged_file_is_one_sentence(tmp_path):
    (tmp_path / "recipe-study.json").write_text('{"runs": [{"epochs": -1}]}')
    with pytest.raises(ValueError, match=r"recipe-study.json is damaged; delete it to begin anew"):
        read_recipe_study(tmp_path)
