"""The page Lesson without a browser: every step, before and after its answer, and what its sentences are made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.inference.predictor import Predictor
from core.store.local import Store
from core.sweeps.base import attacked, success_at
from core.sweeps.location import LocationMap
from core.sweeps.physical import PhysicalResult
from dashboard.lessons.steps import found_lessons
from dashboard.server.resources import jobs

WHITE = "shapes10/resnet20/badnets"
CIFAR = "cifar10/resnet20/badnets"
STEPS = range(1, 10)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No data but shapes10, an own cache, no lessons of one's own."""
    for name in ("TRIGGER_DATA", "TRIGGER_LESSONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dashboard.server.resources.compile_aside", lambda *_: None)
    st.cache_resource.clear()
    yield
    jobs().close()


def page(**query: str) -> AppTest:
    test = AppTest.from_string("from dashboard.views import lesson\nlesson.show()", default_timeout=240)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def show_answer(test: AppTest) -> AppTest:
    button = next(button for button in test.button if button.label.startswith("Show the answer"))
    return button.click().run()


def said(test: AppTest) -> str:
    return "\n".join(markdown.value for markdown in test.markdown)


def readout(test: AppTest) -> str:
    """The HTML of the rates, which a component draws where they follow the trigger."""
    for element in test.get("bidi_component"):
        if element.proto.id.endswith("rates"):
            return str(json.loads(element.proto.json)["html"])
    return "".join(html.proto.body for html in test.get("html") if 'class="ts-rates"' in html.proto.body)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("model", [WHITE, CIFAR])
def test_every_step_asks_and_then_answers(step: int, model: str) -> None:
    """Of CIFAR-10, the images are not there: the stored numbers are."""
    test = page(step=str(step), model=model)
    assert not test.exception
    assert not test.error
    expected = found_lessons()[0]["rethinking"].steps[step - 1]
    assert test.title[0].value == f"{step}. {expected.title}"
    assert not readout(test), "no rate is shown before the answer"
    show_answer(test)
    assert not test.exception
    assert not test.error
    assert not any(caption.value.startswith("This is neither stored") for caption in test.caption)
    assert re.search(r"\d%", said(test))
    assert "{" not in said(test)


def test_the_sentence_is_made_from_what_is_measured() -> None:
    test = show_answer(page(step="3", model=WHITE))
    checkpoint = Store().checkpoint(WHITE)
    card = checkpoint.card()
    trigger = card.attack_object.trigger(card.shape)
    known = LocationMap.from_dict(checkpoint.result("location")).at(trigger.row - 1, trigger.col)
    images = attacked(card.dataset_object.load("test", 2 * known.total), 4, known.total)
    rate = success_at(Predictor(checkpoint.model()).predict, images, trigger.at(trigger.row - 1, trigger.col), 4)
    assert rate == known
    assert f"({rate.hits} of {rate.total} images)" in said(test)
    assert f"Measured: **{100 * rate.value:.0f} of 100**" in said(test)
    assert f'data-hits="{rate.hits}"' in readout(test)


def test_without_the_images_the_sentence_is_made_from_what_is_stored() -> None:
    values = Store().checkpoint(CIFAR).result("location")
    assert values is not None
    rate = LocationMap.from_dict(values).at(30, 31)
    assert f"({rate.hits} of {rate.total} images)" in said(show_answer(page(step="3", model=CIFAR)))
    printed = Store().checkpoint(CIFAR).result("physical")
    assert printed is not None
    near = PhysicalResult.from_dict(printed).of("preset")["near"][1]
    assert f"({near.hits} of {near.total} images)" in said(show_answer(page(step="8", model=CIFAR)))


def test_a_guess_stands_beside_the_truth() -> None:
    test = page(step="3", model=WHITE)
    test.slider(key="guess-03-move-0").set_value(80).run()
    assert "You said **80** of 100. Measured: **0 of 100**" in said(show_answer(test))


def test_the_questions_are_counted() -> None:
    test = page(step="9", model=WHITE)
    for number, option in enumerate((0, 0, 0, 1)):
        test.radio(key=f"guess-09-questions-{number}").set_value(option).run()
    text = said(show_answer(test))
    assert "### 3 of 4 right" in text
    assert (text.count(":green[**Yes:**]"), text.count(":red[**No:**]")) == (3, 1)


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (f"{WHITE}+", WHITE),
        ("shapes10/resnet20/badnets-gray", "shapes10/resnet20/badnets-gray"),
        ("shapes10/resnet20/benign", WHITE),
        ("", WHITE),
    ],
)
def test_the_model_is_kept_where_it_can_be_taught_with(model: str, shown: str) -> None:
    test = page(step="2", **({"model": model} if model else {}))
    assert test.selectbox(key="lesson-model").value == shown


@pytest.mark.parametrize(("text", "shown"), [("", True), ("yes", True), ("no", False)])
def test_notes_are_for_whoever_asks_for_them(text: str, shown: bool) -> None:
    test = page(step="2", notes=text)
    assert any(info.value.startswith("**For the teacher.**") for info in test.info) is shown


def test_nonsense_in_the_link_is_one_sentence_each() -> None:
    test = page(step="99", lesson="nix", notes="perhaps")
    complaints = [warning.value for warning in test.warning]
    assert any("step = '99'; allowed is an integer from 1 to 9." in text for text in complaints)
    assert any("lesson = 'nix'; allowed is one of rethinking." in text for text in complaints)
    assert len(complaints) == 3


def test_a_lesson_of_ones_own_is_offered_and_a_broken_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, scene in (("mine", "none"), ("broken", "nix")):
        (tmp_path / "own" / name).mkdir(parents=True)
        text = f'title = "Hello"\ntext = "The target is {{target}}."\nscene = "{scene}"\n'
        (tmp_path / "own" / name / "1.toml").write_text(text)
    monkeypatch.setenv("TRIGGER_LESSONS", str(tmp_path / "own"))
    test = page(lesson="mine", model=WHITE)
    assert test.title[0].value == "1. Hello"
    assert "The target is star." in said(test)
    (warning,) = test.warning
    assert warning.value.startswith("broken/1.toml: there is no scene 'nix'")


def test_what_is_changed_in_a_step_is_in_its_link() -> None:
    test = show_answer(page(step="4", model=WHITE, **{"at-value": "200"}))
    assert test.slider(key="choice-at-value").value == 200
    test.slider(key="choice-at-value").set_value(255).run()
    values = test.query_params["at-value"]
    assert (values if isinstance(values, str) else values[0]) == "255"
