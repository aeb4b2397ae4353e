"""Fig. 14: only models that were trained alike are compared; what is missing, or was trained otherwise, is named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from core.attacks import Enhanced, attacks
from core.paper.ablation import SIZES, Sized, ablations, training_of
from core.paper.claims import judge_ablation
from core.paper.claims.base import FAILS, HOLDS, MIXED, NOT_MEASURED
from core.paper.comparison import compared
from core.paper.results import Results
from core.paper.tables.base import readable
from core.paper.tables.sweeps import max_shrink
from core.recipe import Recipe
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.strength import StrengthCurve

BADNETS = attacks["badnets"]()


def shrinkpad(plain, defended):
    """A curve of 1000 images with these success rates without ShrinkPad and behind that of 4 pixels."""
    hits = np.full(9, 500)
    hits[0], hits[4] = round(1000 * plain), round(1000 * defended)
    thousand = np.full(9, 1000)
    return StrengthCurve(hits, thousand, tuple(float(s) for s in range(9)), thousand, thousand, 1000)


def model(size, epochs=6, plain=1.0, defended=None, title="badnets+", **recipe):
    """A model of one size; as in the paper, what is left behind ShrinkPad-4 rises up to 4."""
    rate = min(1.0, 0.02 + 0.25 * size) if defended is None else defended
    training = training_of(BADNETS, Recipe(epochs=epochs).to_dict() | recipe)
    return Sized(title, size, training, shrinkpad(plain, rate))


def all_sizes(title="badnets+", **changed):
    """Every size, some of them changed: ``_2={"plain": 0.9}``."""
    return [model(size, title=title, **changed.get(f"_{size}", {})) for size in SIZES]


def judged(models):
    return {verdict.claim.id: verdict for verdict in judge_ablation(ablations(models))}


def slow_choice(models):
    """The same choice by trying every training: most sizes, then the paper's size, then most epochs."""
    best = None
    for training in {model.training for model in models}:
        own = {model.size for model in models if model.training == training}
        rank = (len(own), 4 in own, dict(training)["epochs"])
        if best is None or rank > best[0]:
            best = rank, training, own
    return best[1], best[2]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_compared_is_what_a_loop_over_all_trainings_finds(seed):
    rng = np.random.default_rng(seed)
    models = list({
        (size, epochs): model(int(size), int(epochs)) for size, epochs in rng.integers((0, 5), (9, 8), (14, 2))
    }.values())  # fmt: skip
    found = ablations(models)["badnets+"]
    training, sizes = slow_choice(models)
    assert (found.training, set(found.curves)) == (training, sizes)
    assert list(found.curves) == sorted(sizes)
    assert set(found.others) == {one.size for one in models} - sizes
    assert set(found.missing) == set(SIZES) - {one.size for one in models}
    assert all(one.training != training for one in found.others.values())


def test_gaps_name_every_size():
    whole = ablations(all_sizes())["badnets+"]
    assert (whole.gaps, whole.epochs, whole.missing, dict(whole.others)) == ("", 6, (), {})
    found = ablations([model(0), model(2), model(6), model(8), model(4, 16)])["badnets+"]
    assert list(found.curves) == [0, 2, 6, 8]
    assert found.gaps == (
        "sizes 1, 3, 5 and 7 are not measured and size 4 is left out (trained with 16 instead of 6 epochs)"
    )
    other = ablations([*all_sizes()[:-1], model(8, 9, optimizer="sgd")])["badnets+"]
    assert other.gaps == "size 8 is left out (trained with 9 instead of 6 epochs and optimizer sgd instead of muon)"


def test_older_cards_were_trained_with_the_defaults_that_they_do_not_name():
    old = {name: value for name, value in Recipe(optimizer="sgd").to_dict().items() if name != "optimizer"}
    assert training_of(BADNETS, old) == training_of(Enhanced(base=BADNETS), Recipe(optimizer="sgd").to_dict())
    del old["orthogonal_steps"]
    assert training_of(BADNETS, old) == training_of(BADNETS, Recipe(optimizer="sgd").to_dict())
    assert training_of(BADNETS, old) != training_of(attacks["badnets"](target=2), old)


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, set()),
        ({"_2": {"plain": 0.92}}, {"max-shrink-standard"}),
        ({"_0": {"defended": 0.3}}, {"max-shrink-defended"}),
        ({"_8": {"defended": 0.8}}, {"max-shrink-defended"}),
        ({"_2": {"defended": 0.1}}, {"max-shrink-defended"}),  # less than of the size before
        ({"_5": {"defended": 0.8}}, {"max-shrink-defended"}),
    ],
)
def test_the_largest_shrink_size(changed, broken):
    found = judged([*all_sizes(**changed), *all_sizes("blended+")])
    assert {name for name, verdict in found.items() if verdict.holds is False} == broken
    assert found["max-shrink-consistent"].holds is None


def test_each_size_is_judged_and_named():
    changed = {"_5": {"defended": 0.5}, "_6": {"defended": 0.5}}
    found = judged([*all_sizes(**changed), *all_sizes("blended+", **changed)])["max-shrink-defended"]
    assert found.sentence == (
        "mixed: holds for max 0, the rise up to max 4, max 4, max 7 and max 8, not for max 5 and max 6"
    )
    assert found.numbers["badnets+"]["max 5, %"] == 50


def falling(**changed):
    """Consistent+ as in the paper: it falls with the size, and behind ShrinkPad-4 above 4."""
    rates = {size: {"plain": 0.95 - 0.08 * size, "defended": 0.6 - 0.1 * abs(size - 4)} for size in SIZES}
    return [model(size, title="consistent+", **(rates[size] | changed.get(f"_{size}", {}))) for size in SIZES]


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, {}),
        ({"_2": {"plain": 0.99}}, {"max-shrink-consistent": FAILS}),
        ({"_8": {"plain": 0.95}}, {"max-shrink-consistent": FAILS}),
        ({"_8": {"defended": 0.7}}, {"max-shrink-consistent-defended": MIXED}),
        ({"_5": {"defended": 0.7}}, {"max-shrink-consistent-defended": MIXED}),
        ({f"_{size}": {"defended": 0.7} for size in range(5, 9)}, {"max-shrink-consistent-defended": FAILS}),
    ],
)
def test_consistent_suffers_from_a_large_shrink_size(changed, broken):
    found = judged(falling(**changed))
    assert {name: verdict.outcome for name, verdict in found.items() if verdict.holds is False} == broken
    assert found["max-shrink-standard"].holds is None
    if broken == {"max-shrink-consistent-defended": MIXED}:
        assert f"not for max {next(iter(changed))[1:]}" in found["max-shrink-consistent-defended"].sentence


def test_one_size_decides_nothing_and_what_is_missing_is_said():
    found = judged([model(4)])
    assert {verdict.outcome for verdict in found.values()} == {NOT_MEASURED}
    assert found["max-shrink-defended"].sentence == (
        "not measured here: of BadNets+, sizes 0, 1, 2, 3, 5, 6, 7 and 8 are not measured; of Blended+, no size is "
        "measured; `python scripts/reproduce.py --only fig14 --epochs N`, with the data set, the network and the "
        "recipe of the other sizes, trains what is missing"
    )


def test_a_reference_that_was_trained_longer_is_not_compared():
    """With it, success behind ShrinkPad-4 would rise for two reasons at once."""
    some = [model(0), model(2), model(6), model(8)]
    found = judged([*some, model(4, 16)])
    assert found["max-shrink-defended"].outcome == NOT_MEASURED
    assert "size 4 is left out (trained with 16 instead of 6 epochs)" in found["max-shrink-defended"].sentence
    assert found["max-shrink-standard"].sentence.startswith("Of BadNets+ only (Blended+ is not measured): holds: of B")
    alike = judged([*some, model(4, 16), model(4)])
    assert alike["max-shrink-defended"].outcome == HOLDS
    assert "sizes 1, 3, 5 and 7 are not measured" in alike["max-shrink-defended"].note


def stored(tmp_path, *names):
    """A store with cards and curves of some models of Shapes-10."""
    for name in names:
        key = f"shapes10/resnet20/{name}"
        (tmp_path / key).mkdir(parents=True)
        for file in ("card.json", "strength-shrinkpad.json"):
            shutil.copy(DEFAULT_ROOT / key / file, tmp_path / key)
    return tmp_path / "shapes10" / "resnet20"


def of_size_4(folder, epochs):
    """A copy of BadNets+ as the model of size 4 in Fig. 14, trained for some epochs."""
    shutil.copytree(folder / "badnets+", folder / "badnets+max4")
    card = json.loads((folder / "badnets+max4" / "card.json").read_text())
    card["name"] = "badnets+max4"
    card["recipe"]["params"]["epochs"] = epochs
    (folder / "badnets+max4" / "card.json").write_text(json.dumps(card))


def test_the_model_of_size_4_stands_beside_the_reference(tmp_path):
    folder = stored(tmp_path, "badnets+", "badnets+max0", "badnets+max8")
    before = Results.read(Store(tmp_path), "shapes10", "resnet20")
    assert list(before.ablation()["badnets+"].curves) == [0, 8]
    assert list(before.ablation()["badnets+"].others) == [4]
    of_size_4(folder, 3)
    results = Results.read(Store(tmp_path), "shapes10", "resnet20")
    found = results.ablation()["badnets+"]
    assert (list(found.curves), dict(found.others), found.epochs) == ([0, 4, 8], {}, 3)
    # All else is of the reference.
    assert set(results.cards) == set(before.cards)
    assert results.cards["badnets+"].recipe["params"]["epochs"] == 5
    head, row = max_shrink(readable(Store(tmp_path)))
    assert dict(zip(head, row, strict=True)) | {"epochs": "3", "max 1": ""} == dict(zip(head, row, strict=True))
    assert row[head.index("max 4")]


def test_what_was_trained_otherwise_is_shown_as_such(tmp_path):
    stored(tmp_path, "badnets+", "badnets+max0", "badnets+max8")
    head, row = max_shrink(readable(Store(tmp_path)))
    assert row[head.index("max 4")].endswith(": 5 instead of 3 epochs)*")
    shown = [
        one.defense
        for one in compared(Results.read(Store(tmp_path), "shapes10", "resnet20"))
        if one.table == "fig14" and one.defense.endswith("without defense")
    ]
    assert shown == [
        "max shrink 0, without defense",
        "max shrink 4 (5 instead of 3 epochs), without defense",
        "max shrink 8, without defense",
    ]


def test_a_model_of_another_layer_or_from_elsewhere_is_no_model_of_fig_14(tmp_path):
    folder = stored(tmp_path, "badnets+", "badnets+max0")
    of_size_4(folder, 3)
    curve = Results.read(Store(tmp_path), "shapes10", "resnet20").curves["badnets+"]["shrinkpad"]
    card = Store(tmp_path).checkpoint("shapes10/resnet20/badnets+max4").card()
    assert Sized.of(card, curve).size == 4
    assert Sized.of(card, None) is None
    values = card.to_dict()
    for changed in ({"benign_too": False}, {"transforms": "hue:0.4"}):
        attack = values["attack"] | {"enhanced": values["attack"]["enhanced"] | changed}
        other = type(card).from_json(json.dumps(values | {"attack": attack, "name": "another"}))
        assert Sized.of(other, curve) is None
    clean = Store().checkpoint("shapes10/resnet20/benign").card()
    assert Sized.of(clean, curve) is None
    imported = values | {"recipe": {"name": "imported", "params": {"file": "x.pt"}}}
    assert Sized.of(type(card).from_json(json.dumps(imported)), curve) is None
