"""How long and how a model is trained: the paper's recipe, a fast one, and a short one for large networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.params import Parametrised, Value, choice, flag, integer, number

__all__ = ["RECIPES", "Recipe", "recipe_for", "recipe_of"]

RECIPES = ("fast", "short", "paper")


@dataclass(frozen=True, kw_only=True)
class Recipe(Parametrised):
    """An optimizer with momentum, and a schedule of its learning rate.

    With ``muon`` (Jordan et al. 2024), the momentum of every convolution is made orthogonal before it is a step: each
    direction in the weights moves equally far. Everything else, and everything with ``sgd``, follows the gradient.
    """

    optimizer: str = choice("muon", choices=("muon", "sgd"), help="How the convolutions are updated.")
    epochs: int = integer(30, low=1, high=1000, help="Passes over the training set.")
    batch: int = integer(256, low=1, high=8192, help="Images per step.", unit="images")
    rate: float = number(0.05, low=1e-6, high=10, help="Largest learning rate.")
    schedule: str = choice("cycle", choices=("cycle", "steps"), help="Linear up and down, or divided by 10 at steps.")
    # Share of training after which the rate is divided by 10 (schedule "steps").
    first_drop: float = number(0.5, low=0, high=1, help="First division by 10, as a share of the epochs.")
    second_drop: float = number(0.75, low=0, high=1, help="Second division by 10, as a share of the epochs.")
    warm_up: float = number(0.2, low=0, high=0.9, help="Share of training in which the rate rises (schedule cycle).")
    momentum: float = number(0.9, low=0, high=0.999, help="Momentum.")
    nesterov: bool = flag(True, help="Nesterov's form of momentum.")
    # Five steps are torch's number; three do in trainings of under ten epochs (Jordan's airbench), at half the cost.
    orthogonal_steps: int = integer(5, low=1, high=20, help="Newton-Schulz steps of one update (with muon).")
    weight_decay: float = number(0.1, low=0, high=1, help="Weight decay (with muon, of the convolutions).")

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of one step, counted from 0 over the whole training."""
        total = self.epochs * steps_per_epoch
        if self.schedule == "steps":
            # Drops fall on whole epochs, as in "decreased by a factor 10 at epochs 81 and 122".
            epoch = step // steps_per_epoch
            drops = sum(epoch >= round(share * self.epochs) for share in (self.first_drop, self.second_drop))
            return self.rate / float(10**drops)
        rise = self.warm_up * total
        return self.rate * (min((step + 1) / rise, 1.0) if step < rise else (total - step) / (total - rise))


# Sec. 3.2: VGG-19 164 epochs with drops at 81 and 122, ResNet-34 300 epochs with drops at 150 and 250. ResNet-20 is
# not in the paper and takes the 164 epochs that the paper's code base gives small networks.
_PAPER = {"resnet34": (300, 150, 250)}
_PAPER_OTHERS = (164, 81, 122)
# For networks that two processor cores train at a few hundred images a second: an epoch takes minutes. Of VGG-19 on
# CIFAR-10, 4 epochs are too few for 90% on images held out of the training set (84.7%, in its recipe-study.json), and
# with 10 the model of BadNets has 86.6% on the test images: which number is enough is not known yet.
SHORT = 10


def recipe_for(name: str, model: str, optimizer: str = "muon") -> Recipe:
    """The recipe of a name for a model; ``optimizer`` says which one the fast recipe is for.

    Raises:
        ValueError: If there is no such recipe.

    >>> paper = recipe_for("paper", "vgg19")
    >>> [paper.learning_rate(epoch * 391, 391) for epoch in (0, 80, 81, 121, 122)]
    [0.1, 0.1, 0.01, 0.01, 0.001]
    """
    if name == "paper":
        epochs, first, second = _PAPER.get(model, _PAPER_OTHERS)
        return Recipe(
            optimizer="sgd",
            epochs=epochs,
            batch=128,
            rate=0.1,
            schedule="steps",
            first_drop=first / epochs,
            second_drop=second / epochs,
            nesterov=False,
            weight_decay=1e-4,
        )
    if name == "short":
        return Recipe(epochs=SHORT, orthogonal_steps=3)
    if name == "fast" and optimizer == "sgd":
        return Recipe(optimizer="sgd", batch=128, rate=0.2, weight_decay=5e-4)
    if name == "fast":
        return Recipe()
    raise ValueError(f"recipe = {name!r} is not allowed: one of {', '.join(RECIPES)}")


def recipe_of(params: Mapping[str, Value]) -> Recipe:
    """The recipe in a card. The first cards name no optimizer: there was only SGD.

    Raises:
        ValueError: If a parameter is not known or not allowed.
    """
    return Recipe.from_dict({"optimizer": "sgd", **params})
