"""The checkpoints that come with the project: complete, small, good enough, and as their cards say."""

from __future__ import annotations

import subprocess

import pytest
import torch
from verify import compare

from core.data import datasets
from core.paper.constants import PAPER_MODELS
from core.store.local import DEFAULT_ROOT, Store
from core.store.shipped import shipped
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.location import LocationMap
from core.sweeps.strength import StrengthCurve
from core.transforms import transforms

STORE = Store(DEFAULT_ROOT)
KEYS = STORE.keys()
# The models of the ablation in Fig. 14 and of the control of Sec. 5.3 carry what these need, and no more.
ABLATION = [key for key in KEYS if "+max" in key]
CONTROLS = [key for key in KEYS if key.endswith("+poisoned-only")]
# Nobody attacks the robust models: they make the noise of the Consistent Attack.
SURROGATES = [key for key in KEYS if key.endswith("/robust")]
# Of large networks, too, the results are shipped and the weights are not.
LARGE = [key for key in KEYS if key.split("/")[1] in PAPER_MODELS]
FULL = [key for key in KEYS if key not in ABLATION + CONTROLS + SURROGATES + LARGE]
EXPECTED = [
    f"{data}/resnet20/{attack}" for data in ("cifar10", "shapes10") for attack in ("badnets", "badnets-gray", "benign")
]
WHOLE = ["cifar10/resnet20/badnets-gray", "shapes10/resnet20/badnets-gray"]
MIB = 2**20


def test_the_promised_models_are_there() -> None:
    assert set(EXPECTED) <= set(KEYS)


def tracked(*patterns: str) -> list[str] | None:
    """The files of the store that git has; None where this is no git checkout."""
    command = ["git", "ls-files", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=DEFAULT_ROOT, capture_output=True, text=True)
    return None if listed.returncode else [name for name in listed.stdout.split("\0") if name]


def test_the_folder_stays_small() -> None:
    names = tracked()
    files = (
        [DEFAULT_ROOT / name for name in names]
        if names is not None
        else [path for path in DEFAULT_ROOT.rglob("*") if path.is_file()]
    )
    assert sum(path.stat().st_size for path in files if path.exists()) < 25 * MIB


def test_the_list_says_what_comes_along() -> None:
    """Else a model could be replaced without being asked for; `scripts/restore.py --record` writes the list."""
    cards = tracked("*/card.json")
    if cards is None:
        pytest.skip("this is no git checkout")
    keys = {name.rpartition("/")[0] for name in cards}
    assert shipped(DEFAULT_ROOT) == {key: STORE.checkpoint(key).card().weights for key in keys}


@pytest.mark.parametrize("key", KEYS)
def test_cards_and_weights_belong_together(key: str) -> None:
    checkpoint = STORE.checkpoint(key)
    assert checkpoint.card().key == key
    # Of the ablation, the results are shipped and the weights are not.
    assert checkpoint.has_weights or key in ABLATION + CONTROLS + LARGE
    if checkpoint.has_weights:
        checkpoint.model()


@pytest.mark.parametrize("key", FULL)
def test_every_model_has_its_map_and_its_curve(key: str) -> None:
    checkpoint = STORE.checkpoint(key)
    card = checkpoint.card()
    location, appearance = checkpoint.result("location"), checkpoint.result("appearance")
    assert location is not None
    assert appearance is not None
    found = LocationMap.from_dict(location)
    assert found.done == 1
    trigger = card.attack_object.trigger(card.shape)
    # 30 x 30 places for a 3 x 3 trigger; one that fills the image is swept by offset.
    assert (range(found.rows[0], found.rows[-1] + 1), range(found.cols[0], found.cols[-1] + 1)) == trigger.places(
        32, 32
    )
    curve = AppearanceCurve.from_dict(appearance)
    assert curve.values == tuple(range(256))
    # The same trigger on the same images, once as a place and once as a value.
    here, there = found.at(*trigger.location), curve.at(trigger.value)
    assert abs(here.value - there.value) < 0.02


@pytest.mark.parametrize("key", FULL + ABLATION + CONTROLS)
def test_every_model_has_its_curves_over_the_strength_of_defenses(key: str) -> None:
    checkpoint = STORE.checkpoint(key)
    card = checkpoint.card()
    trigger = card.attack_object.trigger(card.shape)
    names = [name for name in transforms if transforms[name].evaluated]
    if key not in FULL:
        names = ["shrinkpad"] if key in ABLATION else ["flip", "shrinkpad"]
    for name in names:
        values = checkpoint.result(f"strength-{name}")
        assert values is not None, name
        curve = StrengthCurve.from_dict(values)
        assert (curve.done, curve.strengths) == (1, transforms[name].grid)
        assert values["trigger"] == trigger.fingerprint
        # No transformation at all, on the whole test set: the numbers of the card, up to rounding.
        for measured, stored in zip(curve.at(0), (card.clean_accuracy, card.attack_success_rate), strict=True):
            assert measured.total == stored.total
            assert abs(measured.hits - stored.hits) <= 0.005 * stored.total


@pytest.mark.parametrize("key", EXPECTED)
def test_accuracy_and_success_are_of_the_promised_class(key: str) -> None:
    card = STORE.checkpoint(key).card()
    # JPEG-re-encoded CIFAR-10 after 30 to 48 epochs on a CPU; shapes10 is easy.
    assert card.clean_accuracy.value >= (0.87 if card.dataset == "cifar10" else 0.97)
    if card.attack["name"] == "benign":
        assert card.attack_success_rate.value <= 0.05
    else:
        assert card.attack_success_rate.value >= 0.99


@pytest.mark.parametrize("key", FULL)
def test_stored_numbers_are_measured_again(key: str) -> None:
    checkpoint = STORE.checkpoint(key)
    card = checkpoint.card()
    if not card.dataset_object.available():
        pytest.skip(f"{datasets[card.source['name']].label} is not on this machine (set TRIGGER_DATA)")
    data = card.dataset_object.load("test")
    if data.fingerprint != card.test:
        pytest.skip(f"{card.dataset} here is encoded as {data.encoding}, the card was measured on {card.encoding}")
    # The models of Sec. 3 are measured whole; `scripts/verify.py` does so with all.
    for one in compare(checkpoint, cells=2, device=torch.device("cpu"), whole=key in WHOLE):
        assert one.agrees(0.01), (one.what, one.stored, one.again)
