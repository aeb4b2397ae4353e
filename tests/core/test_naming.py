"""Names of models: each kind has its own, the reference has the attack's, and a name tells the command."""

from __future__ import annotations

import runpy
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from core.attacks import Enhanced, Enhancement, attacks
from core.data import dataset_from, datasets
from core.naming import LONGEST, automatic_name, check_name, command_for, is_name, numbered, recipe_flags, with_recipe
from core.params import params_of
from core.recipe import Recipe, recipe_for
from core.store.card import Card, Damaged
from core.store.local import DEFAULT_ROOT, Store
from core.training.trainer import Plan, with_free_name

SHAPES = dataset_from("shapes10")
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
BADNETS, CONSISTENT = attacks["badnets"], attacks["consistent"]
MAX_6 = Enhancement(max_shrink=6)


@pytest.fixture(scope="module")
def parse():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        return runpy.run_path(str(SCRIPTS / "train.py"))["parse"]


@pytest.mark.parametrize(
    ("attack", "model", "seed", "name"),
    [
        (BADNETS(), "resnet20", 0, "badnets"),
        (BADNETS(target=2), "resnet20", 0, "badnets-target2"),
        (BADNETS(value=200), "vgg19", 0, "badnets-value200"),
        (BADNETS(target=0, poison_rate=0.1), "resnet20", 3, "badnets-target0-poison-rate0.1-seed3"),
        (attacks["badnets-gray"](), "resnet20", 0, "badnets-gray"),
        (CONSISTENT(alpha=0.5), "resnet20", 0, "consistent"),
        (CONSISTENT(alpha=0.25), "vgg19", 0, "consistent"),
        (CONSISTENT(alpha=0.25), "resnet20", 0, "consistent-alpha0.25"),
        (CONSISTENT(surrogate="vgg19/robust"), "vgg19", 0, "consistent-surrogate-vgg19-robust"),
        # What of a clean model is only measured makes no other model.
        (attacks["benign"](target=2, value=9), "resnet20", 0, "benign"),
        (attacks["robust"](epsilon=4), "resnet20", 1, "robust-epsilon4-seed1"),
        (Enhanced(base=BADNETS()), "resnet20", 0, "badnets+"),
        (Enhanced(base=BADNETS(target=2)), "resnet20", 0, "badnets-target2+"),
        (
            Enhanced(base=BADNETS(target=2), enhancement=Enhancement(max_shrink=6)),
            "resnet20",
            0,
            "badnets-target2+max6",
        ),
    ],
)
def test_a_name_tells_what_differs_from_the_default(attack, model, seed, name):
    assert automatic_name(attack, model, SHAPES, seed) == name
    assert check_name(name, attack) == name


@pytest.mark.parametrize("name", list(attacks))
def test_every_parameter_that_decides_the_model_is_in_the_name(name):
    default, cls = attacks[name].for_model("resnet20"), attacks[name]
    found = {automatic_name(default, "resnet20", SHAPES, 0)}
    changed = [parameter for parameter in params_of(cls) if parameter not in cls.measured_only]
    for parameter in changed:
        param = params_of(cls)[parameter]
        value = "vgg19/x" if param.kind is str else param.kind(param.high if param.high is not None else 7)
        value = value if value != getattr(default, parameter) else param.kind(param.low)
        found.add(automatic_name(replace(default, **{parameter: value}), "resnet20", SHAPES, 0))
    assert len(found) == 1 + len(changed)
    assert all(is_name(one) for one in found)


def test_what_the_title_of_a_data_set_tells_is_not_told_again(folder_of_images):
    assert automatic_name(BADNETS(), "resnet20", dataset_from("shapes10:7"), 0) == "badnets"
    folder = datasets["folder"](path=str(folder_of_images))
    assert automatic_name(BADNETS(), "resnet20", folder, 0) == "badnets"
    other = replace(folder, size=64, seed=2)
    assert automatic_name(BADNETS(scale=2), "resnet20", other, 2) == "badnets-data-size64-data-seed2-seed2"
    assert automatic_name(BADNETS(), "resnet20", other, 0) == "badnets-scale1-data-size64-data-seed2"


def test_a_long_name_is_cut_and_still_its_own():
    attack = Enhanced(base=CONSISTENT(surrogate="a" * 300))
    first = automatic_name(attack, "vgg19", SHAPES, 0)
    second = automatic_name(Enhanced(base=CONSISTENT(surrogate="a" * 301)), "vgg19", SHAPES, 0)
    assert first != second
    assert is_name(first)
    assert first.endswith("+")
    assert is_name(numbered(first, 2))
    assert len("é".encode()) * LONGEST > LONGEST >= len("a" * LONGEST)
    assert is_name("a" * LONGEST)
    assert not is_name("é" * LONGEST)


@pytest.mark.parametrize("name", ["", ".x", "-x", "a/b", "..", "a b", "x\n", "a" * 121, "badnets:2"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match=r"^name = .* is not allowed: letters, digits"):
        check_name(name, BADNETS())


@pytest.mark.parametrize(
    ("name", "attack"),
    [
        ("blended", BADNETS()),
        ("badnets+", BADNETS()),
        ("badnets", Enhanced(base=BADNETS())),
        ("badnets+max2", Enhanced(base=BADNETS())),
        ("benign", BADNETS()),
    ],
)
def test_a_name_never_says_another_attack(name, attack):
    with pytest.raises(ValueError, match=f"^name = '{name.replace('+', '.')}' is not allowed: another attack is"):
        Plan(dataset=SHAPES, model="resnet20", attack=attack, name=name)


def test_the_recipe_makes_a_longer_name():
    fast = recipe_for("fast", "resnet20")
    assert with_recipe("badnets", "fast", fast, "resnet20") == "badnets"
    assert with_recipe("badnets+", "fast", replace(fast, epochs=7), "resnet20") == "badnets-epochs7+"
    assert with_recipe("badnets", "paper", recipe_for("paper", "resnet20"), "resnet20") == "badnets-paper"
    assert with_recipe("badnets", "fast", recipe_for("fast", "resnet20", "sgd"), "resnet20") == "badnets-sgd"


PLANS = [
    Plan(dataset=SHAPES, model=model, attack=attack, seed=seed, name=name)
    for model, attack, seed, name in [
        ("vgg19", BADNETS(), 0, ""),
        ("resnet20", BADNETS(target=2), 0, ""),
        ("resnet20", Enhanced(base=BADNETS(target=2), enhancement=MAX_6), 3, ""),
        ("resnet20", CONSISTENT(alpha=1, epsilon=64), 0, "consistent"),
        ("resnet20", Enhanced(base=BADNETS(value=1), enhancement=Enhancement(transforms="flip:0.5")), 1, "mine+x"),
    ]
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.key)
def test_the_command_makes_the_same_model_in_the_same_place(parse, plan):
    command = command_for(plan.dataset.spec, plan.model, plan.attack, plan.name, seed=plan.seed)
    _, made = parse(command.split()[2:])
    assert (made.key, made.attack, made.seed) == (plan.key, plan.attack, plan.seed)


def test_the_model_of_the_papers_size_in_fig_14_is_called_by_its_size():
    """It stands beside the reference, and is trained as long as the other sizes."""
    enhanced = Enhanced(base=BADNETS())
    assert check_name("badnets+max4", enhanced) == "badnets+max4"
    plan = Plan(dataset=SHAPES, model="resnet20", attack=enhanced, name="badnets+max4")
    assert plan.key == "shapes10/resnet20/badnets+max4"
    only = Enhanced(base=BADNETS(), enhancement=Enhancement(benign_too=False))
    for attack in (Enhanced(base=BADNETS(), enhancement=MAX_6), only, BADNETS()):
        with pytest.raises(ValueError, match="another attack is called so"):
            check_name("badnets+max4", attack)


@pytest.mark.parametrize(
    "name",
    [
        "badnets", "badnets-gray", "badnets-target2", "badnets-poison-rate0.1-seed3+max6", "badnets+max4",
        "badnets+poisoned-only", "badnets+max2-poisoned-only", "badnets+camera", "badnets+share0.25",
        "badnets+random-shrinkpad-6-flip-0.5-share0.5-poisoned-only", "badnets-target2+camera-50-share0.5",
    ],
)  # fmt: skip
def test_a_name_alone_tells_the_command(parse, name):
    assert parse(command_for("shapes10", "resnet20", name).split()[2:])[1].key == f"shapes10/resnet20/{name}"


def test_the_command_of_a_stored_card_replaces_it(parse):
    store = Store(DEFAULT_ROOT)
    for key, card in store.cards():
        assert not isinstance(card, Damaged)
        options, plan = parse(shlex.split(card.command)[2:])
        assert (plan.key, plan.attack, options.replace) == (key, card.attack_object, True)
        assert plan.recipe_name == card.recipe["name"]
        assert plan.recipe == Recipe.from_dict({"optimizer": "sgd", **card.recipe["params"]})


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("fast", Recipe(epochs=8)),
        ("fast", recipe_for("fast", "resnet20", "sgd")),
        ("paper", recipe_for("paper", "resnet34")),
        ("paper", replace(recipe_for("paper", "vgg19"), epochs=3, nesterov=True, optimizer="muon", rate=1e-5)),
    ],
)
def test_the_command_has_the_recipe(parse, name, recipe):
    model = "resnet34" if recipe.epochs == 300 else "vgg19"
    command = command_for("shapes10", model, BADNETS(), more=recipe_flags(name, recipe.to_dict(), model))
    _, plan = parse(shlex.split(command)[2:])
    assert (plan.recipe_name, plan.recipe) == (name, recipe)


def test_a_recipe_of_another_version_is_left_out():
    assert recipe_flags("slow", {}, "vgg19") == recipe_flags("fast", {"epochs": -1}, "vgg19") == []


def test_a_folder_with_a_space_and_broken_images_is_in_the_command_as_a_shell_reads_it(parse, folder_of_images):
    folder = folder_of_images.rename(folder_of_images.with_name("my images; here"))
    data = datasets["folder"](path=str(folder), skip_broken=True)
    card = next(card for _, card in Store(DEFAULT_ROOT).cards() if isinstance(card, Card))
    source = {"name": "folder", "params": data.to_dict()}
    command = replace(card, dataset=data.title, source=source, classes=data.classes).command
    options, plan = parse(shlex.split(command)[2:])
    assert plan.dataset == data
    assert options.skip_broken


def test_a_name_that_is_taken_is_not_given_again(tmp_path):
    """First the recipe is in it, and then a number; whatever is stored there, even if it cannot be read."""
    store, plan = Store(tmp_path), Plan(dataset=SHAPES, model="resnet20", attack=BADNETS(target=2))
    short = replace(plan, recipe=Recipe(epochs=5))

    def name(one):
        return with_free_name(one, store).key.rpartition("/")[2]

    assert (name(plan), name(short)) == ("badnets-target2", "badnets-target2")
    for taken, then in (
        ("badnets-target2", ("badnets-target2-2", "badnets-target2-epochs5")),
        ("badnets-target2-2", ("badnets-target2-3", "badnets-target2-epochs5")),
        ("badnets-target2-epochs5", ("badnets-target2-3", "badnets-target2-epochs5-2")),
    ):
        folder = tmp_path / "shapes10" / "resnet20" / taken
        folder.mkdir(parents=True)
        (folder / "card.json").write_text("{")
        assert (name(plan), name(short)) == then
    assert with_free_name(plan, store).to_dict() | {"name": ""} == plan.to_dict() | {"name": ""}
