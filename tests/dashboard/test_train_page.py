"""Page *Train*: what is chosen is what is trained, and every training that has not ended is listed and can go on."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pages import _alone, link, page
from squares import six_colours
from streamlit.testing.v1 import AppTest

from core.attacks import attacks
from core.data import dataset_from
from core.recipe import Recipe
from core.store.local import Store
from core.store.shipped import write_shipped
from core.training.state import held, read_unfinished
from core.training.trainer import Plan, train
from dashboard.server import trainings as module
from dashboard.server.resources import jobs
from dashboard.server.trainings import Trainings
from dashboard.views.trained import curves
from dashboard.widgets.estimate import duration

__all__ = ["_alone"]  # the fixture that keeps data and cache away


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, which the application uses."""
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "store"))
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Tiny images, but many epochs."""
    dataset = dataset_from(f"folder:{six_colours(tmp_path / 'six')}")
    return Plan(dataset=dataset, model="resnet20", attack=attacks["badnets"](), recipe=Recipe(epochs=60, batch=16))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Plans that the page starts, in place of processes."""
    plans: list[Plan] = []
    monkeypatch.setattr(module.Trainings, "start", lambda self, plan, by, device="auto": plans.append(plan))
    return plans


def press(test: AppTest, label: str) -> AppTest:
    return next(button for button in test.button if button.label == label).click().run()


def test_what_is_chosen_is_trained(empty: Store, started: list[Plan]) -> None:
    query = {
        "train-attack": "blended",
        "train-enhanced": "yes",
        "train-enhancement-max-shrink": "2",
        "train-blended-alpha": "0.5",
        "train-epochs": "7",
        "train-seed": "3",
    }
    test = page("train", **query)
    assert not test.exception
    assert not test.warning
    assert {"Largest shrink size (pixels)", "Share of the images", "Opacity (alpha)"} <= {s.label for s in test.slider}
    press(test, "Start")
    (made,) = started
    assert made.key == "shapes10/resnet20/blended-alpha0.5-seed3+max2"
    assert made.attack.to_dict()["alpha"] == 0.5
    assert (made.effective_recipe.epochs, made.seed) == (7, 3)


@pytest.mark.parametrize("name", list(attacks))
def test_every_attack_can_be_chosen(name: str, empty: Store, started: list[Plan]) -> None:
    test = page("train", **{"train-attack": name, "train-enhanced": "yes"})
    assert not test.exception
    press(test, "Start")
    assert started[0].key == f"shapes10/resnet20/{name}+"


def test_the_default_of_a_network_is_its_own(empty: Store, started: list[Plan]) -> None:
    press(page("train", **{"train-attack": "consistent"}), "Start")
    press(page("train", **{"train-attack": "consistent", "train-model": "vgg19"}), "Start")
    assert [made.attack.to_dict()["alpha"] for made in started] == [0.5, 0.25]


def said_name(test: AppTest) -> str:
    """What the page says the model will be called."""
    (said,) = [text.value for text in test.markdown if text.value.startswith("The model will be `")]
    return said.split("`")[1]


def test_a_model_that_came_along_is_never_replaced(started: list[Plan]) -> None:
    """Another target makes another model, and so does the same training again; the name is shown before it starts."""
    query: dict[str, str]
    for query, name in (
        ({"train-badnets-target": "2"}, "badnets-target2"),
        ({"train-epochs": "5"}, "badnets-epochs5"),
        ({}, "badnets-2"),
        ({"train-name": "mine"}, "mine"),
    ):
        test = page("train", **query)
        assert said_name(test) == f"shapes10/resnet20/{name}"
        press(test, "Start")
        assert started[-1].key == f"shapes10/resnet20/{name}"
    assert started[0].attack.target == 2
    assert not test.checkbox

    test.text_input(key="choice-train-name").set_value("badnets").run()
    (said,) = [error.value for error in test.error]
    assert said.startswith(
        "`shapes10/resnet20/badnets` came with the repository and is not replaced here; choose another"
    )
    assert not any(button.label == "Start" for button in test.button)
    test.text_input(key="choice-train-name").set_value("blended").run()
    assert [error.value for error in test.error] == [
        "name = 'blended' is not allowed: another attack is called so, and this one is badnets"
    ]
    test.text_input(key="choice-train-name").set_value("").run()
    assert said_name(test) == "shapes10/resnet20/badnets-2"
    assert len(started) == 4


def test_ones_own_model_is_replaced_only_where_that_is_agreed_to(empty: Store, started: list[Plan]) -> None:
    folder = empty.root / "shapes10" / "resnet20" / "mine"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{")
    test = page("train", **{"train-name": "mine"})
    assert next(button for button in test.button if button.label == "Start").disabled
    box = next(box for box in test.checkbox if "Replace the stored" in box.label)
    press(box.check().run(), "Start")
    assert [made.key for made in started] == ["shapes10/resnet20/mine"]
    # Left to the page, it takes the place of nothing.
    press(page("train"), "Start")
    assert started[-1].key == "shapes10/resnet20/badnets"


def test_an_interrupted_training_of_other_settings_keeps_its_name(empty: Store, started: list[Plan]) -> None:
    plan = Plan(dataset=dataset_from("shapes10"), model="resnet20", attack=attacks["badnets"]())
    with held(empty.checkpoint(plan.key).folder, plan.to_dict()):
        pass
    # The same settings go on, others begin beside it.
    assert said_name(page("train")) == plan.key
    assert said_name(page("train", **{"train-epochs": "5"})) == f"{plan.key}-epochs5"
    test = page("train", **{"train-epochs": "5", "train-name": "badnets"})
    (said,) = [error.value for error in test.error]
    assert said.startswith(f"`{plan.key}` is a training with other settings that has not ended")
    assert not any(button.label == "Start" for button in test.button)


def test_a_training_that_began_under_another_name_goes_on_there(empty: Store, plan: Plan, tmp_path: Path) -> None:
    """Before names, a target of one's own was trained in the place of the reference."""
    other = replace(plan, attack=attacks["badnets"](target=2))
    old = empty.checkpoint(plan.key).folder
    with held(old, other.to_dict()):
        pass
    (listed,) = Trainings(empty, tmp_path / "here").unfinished()
    assert listed.plan is not None
    assert (listed.key, listed.plan.key) == (plan.key, plan.key)
    assert listed.plan.attack.target == 2
    # If a model that came along is there meanwhile, it does not take its place.
    write_shipped(empty.root, {plan.key: "0"})
    (old / "card.json").write_text("{}")
    with pytest.raises(ValueError, match=r"came with the repository: only train.py --replace replaces it"):
        Trainings(empty, tmp_path / "here").start(listed.plan, "me", "cpu")


def test_it_is_said_how_long_it_will_take_when_somebody_asks(empty: Store, tmp_path: Path) -> None:
    """Opening the page computes nothing; the button times steps in another process, and the page knows from then on."""
    query = {"train-on": "folder", "train-folder": str(six_colours(tmp_path / "six"))}
    query["train-epochs"] = "2"  # too short to be compiled
    test = page("train", **query)
    assert any("has not been measured yet" in text.value for text in test.markdown)
    assert not jobs()._jobs
    press(test, "Time a few steps")

    def known(shown: AppTest) -> list[str]:
        return [text.value for text in shown.markdown if "as measured on this machine" in text.value]

    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and not known(test):
        time.sleep(0.2)
        test = test.run()
    (said,) = known(test)
    assert "2 epochs of" in said
    # Another page, or another server, need not measure it again.
    again = page("train", **query)
    assert known(again) == [said]


def test_a_link_to_another_network_computes_nothing(empty: Store) -> None:
    test = page("train", **{"train-model": "vgg19"})
    assert any("has not been measured yet" in text.value for text in test.markdown)
    assert not jobs()._jobs


def test_what_does_not_fit_is_one_sentence(empty: Store) -> None:
    test = page("train", **{"train-epochs": "1e9", "train-badnets-target": "-3"})
    said = [warning.value for warning in test.warning]
    assert len(said) == 2
    assert not test.exception


@pytest.mark.parametrize(("given", "label"), [("ring", "ring"), ("RING", "ring"), ("0", None), ("3", None)])
def test_the_target_is_chosen_by_its_name(empty: Store, started: list[Plan], given: str, label: str | None) -> None:
    classes = dataset_from("shapes10").classes
    label = label or classes[int(given)]
    test = page("train", **{"train-badnets-target": given})
    assert not test.exception
    assert not test.warning
    (target,) = [box for box in test.selectbox if box.label == "Target"]
    assert list(target.options) == list(classes)
    assert target.options[target.index or 0] == label
    assert link(test).get("train-badnets-target", classes[4]) == label  # what is the default is not in the link
    press(test, "Start")
    (made,) = started
    assert made.attack.target == classes.index(label)


@pytest.mark.parametrize("wrong", ["stat", "10", "-1", "4.0"])
def test_an_unknown_target_in_a_link_is_one_sentence(empty: Store, wrong: str) -> None:
    test = page("train", **{"train-badnets-target": wrong})
    (said,) = [warning.value for warning in test.warning]
    assert f"train-badnets-target = {wrong!r}; allowed is a class or its index" in said
    assert ("did you mean star" in said) == (wrong == "stat")
    assert not test.exception


def test_an_interrupted_training_is_listed_and_goes_on(empty: Store, plan: Plan, started: list[Plan]) -> None:
    running = train(plan, empty)
    next(running), next(running)
    test = page("train")
    assert any("six/resnet20/badnets" in text.value and "running" in text.value for text in test.markdown)
    assert [button.label for button in test.button if button.label in ("Pause", "Continue", "Discard")] == [
        "Pause",
        "Discard",
    ]
    running.close()
    test = page("train")
    assert any("six/resnet20/badnets" in text.value and "interrupted" in text.value for text in test.markdown)
    press(test, "Continue")
    assert [made.to_dict() for made in started] == [plan.to_dict()]
    press(page("train"), "Discard")
    assert read_unfinished(empty.checkpoint(plan.key).folder) is None
    assert any("None is running or interrupted" in caption.value for caption in page("train").caption)


def wait_for(said: object, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not said():  # type: ignore[operator]
        time.sleep(0.05)
    assert said()  # type: ignore[operator]


def test_start_pause_continue_crash_and_another_server(empty: Store, plan: Plan, tmp_path: Path) -> None:
    here = Trainings(empty, tmp_path / "here")
    folder = empty.checkpoint(plan.key).folder

    def epochs() -> int:
        found = read_unfinished(folder)
        return len(found.history) if found is not None else 0

    here.start(plan, "me", "cpu")
    with pytest.raises(ValueError, match="is being trained already"):
        here.start(plan, "me", "cpu")
    wait_for(lambda: epochs() >= 1)
    assert here.unfinished()[0].running

    # A server that did not start it sees it, and can end it.
    other = Trainings(empty, tmp_path / "other")
    assert [one.running for one in other.unfinished()] == [True]
    other.pause(plan.key, "me")
    wait_for(lambda: not here.unfinished()[0].running)
    before = epochs()
    assert "was asked to pause; it goes on after its last finished epoch" in here.unfinished()[0].error

    other.start(plan, "me", "cpu")
    wait_for(lambda: epochs() > before)
    found = read_unfinished(folder)
    assert found is not None
    assert found.process is not None
    os.kill(found.process, signal.SIGKILL)
    wait_for(lambda: not other.unfinished()[0].running)
    assert "signal 9" in other.unfinished()[0].error
    assert other.unfinished()[0].history[: len(found.history)] == found.history
    other.forget(plan.key, "me")
    assert other.unfinished() == []


def test_a_training_that_fails_at_once_says_why(empty: Store, plan: Plan, tmp_path: Path) -> None:
    here = Trainings(empty, tmp_path / "here")
    here.start(replace(plan, attack=attacks["consistent"]()), "me", "cpu")
    wait_for(lambda: bool(here.unfinished()) and bool(here.unfinished()[0].error))
    assert "there is no checkpoint six/resnet20/robust" in here.unfinished()[0].error


def test_curves_have_the_three_lines(empty: Store, plan: Plan) -> None:
    running = train(plan, empty)
    history = (next(running), next(running))
    figure = curves(history)
    assert [line.name for line in figure.data] == ["attack success rate", "clean accuracy", "loss"]
    assert list(figure.data[2].y) == [epoch.loss for epoch in history]


@pytest.mark.parametrize(("seconds", "said"), [(12, "12 seconds"), (600, "10 minutes"), (9000, "2.5 hours")])
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
