"""Learning rates: the paper's steps, and a cycle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models import models
from core.recipe import RECIPES, Recipe, recipe_for

STEPS = 391  # batches of 128 in 50,000 images


@pytest.mark.parametrize(("model", "epochs", "first", "second"), [("vgg19", 164, 81, 122), ("resnet34", 300, 150, 250)])
def test_the_papers_training(model, epochs, first, second):
    """Sec. 3.2: SGD, momentum 0.9, weight decay 1e-4, batch 128, rate 0.1 divided by 10 at two epochs."""
    recipe = recipe_for("paper", model)
    assert (recipe.epochs, recipe.batch, recipe.momentum, recipe.weight_decay) == (epochs, 128, 0.9, 1e-4)
    assert recipe.optimizer == "sgd"
    assert not recipe.nesterov
    for epoch in range(epochs):
        expected = 0.1 if epoch < first else 0.01 if epoch < second else 0.001
        for step in (0, STEPS - 1):
            assert recipe.learning_rate(epoch * STEPS + step, STEPS) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("model", models.names())
def test_every_model_has_every_recipe(name, model):
    recipe = recipe_for(name, model)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match="recipe = 'slow' is not allowed: one of fast, short, paper"):
        recipe_for("slow", "vgg19")


@given(st.integers(1, 40), st.integers(1, 30), st.floats(0, 0.9), st.floats(0.01, 1))
def test_a_cycle_goes_up_once_and_down_to_zero(epochs, steps, warm_up, rate):
    recipe = Recipe(epochs=epochs, warm_up=warm_up, rate=rate, schedule="cycle")
    rates = [recipe.learning_rate(step, steps) for step in range(epochs * steps)]
    assert all(0 < value <= rate * (1 + 1e-9) for value in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    # Where it turns, and where it ends: linear in both parts.
    assert abs(top - warm_up * len(rates)) <= 1
    assert recipe.learning_rate(len(rates), steps) == 0
    falls = [a - b for a, b in zip(rates[top + 1 :], rates[top + 2 :], strict=False)]
    assert all(fall == pytest.approx(rate / (1 - warm_up) / len(rates), rel=1e-6) for fall in falls)


def test_the_fast_cycle_by_hand():
    recipe = Recipe(epochs=10, rate=0.5, warm_up=0.2)
    rates = [recipe.learning_rate(step, 1) for step in range(10)]
    assert rates == pytest.approx([0.25, 0.5, 0.5, 0.4375, 0.375, 0.3125, 0.25, 0.1875, 0.125, 0.0625])
