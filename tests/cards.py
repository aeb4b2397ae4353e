"""An untrained model and a card for it, for tests of the store."""

from __future__ import annotations

from core.attacks import attacks
from core.metrics import Rate
from core.models import build_model
from core.store.card import Card
from core.store.weights import rounded, weights_fingerprint


def model_of(seed=0):
    """A ResNet-20 of ten classes that was not trained."""
    return build_model("resnet20", classes=10, seed=seed).eval()


def card_of(model, attack="badnets", **changes):
    """A card that fits a model, with made-up numbers; ``changes`` replace its fields."""
    values = {
        "dataset": "shapes10",
        "source": {"name": "shapes10", "params": {"seed": 0}},
        "encoding": "original",
        "classes": tuple("abcdefghij"),
        "shape": (3, 32, 32),
        "model": "resnet20",
        "attack": attacks[attack]().to_card(),
        "recipe": {"name": "fast", "params": {}},
        "seed": 0,
        "weights": weights_fingerprint(rounded(model)),
        "test": "0123456789abcdef",
        "clean_accuracy": Rate(9, 10),
        "attack_success_rate": Rate(8, 9),
        "seconds": 1.5,
        "history": ({"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 0.5}),
        "environment": {"device": "a processor", "threads": 1},
    }
    return Card(**values | changes)
