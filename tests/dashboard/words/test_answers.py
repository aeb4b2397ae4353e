"""The sentence that every page begins with: it says what was measured, and where nothing was."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from pages import GRAY, WHITE, _alone, component, link, page

from core.metrics import Rate
from core.store.local import Store
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.results import StoredResults
from dashboard.server.subjects import Subject, subjects
from dashboard.tables.rows import evaluated, repaired
from dashboard.words.answers import (
    appearance_answer,
    cost_answer,
    defense_answer,
    enhanced_answer,
    paper_answer,
    photographs_answer,
    poisoning_answer,
    repair_answer,
    saliency_answer,
)
from dashboard.words.glossary import glossary

__all__ = ["_alone"]  # the fixture that keeps data and cache away


def answer_of(test: object) -> str:
    """The sentence below a page's title."""
    bodies = [html.proto.body for html in test.get("html")]  # type: ignore[attr-defined]
    (said,) = [body for body in bodies if 'class="ts-answer"' in body]
    return unescape(re.sub("<[^>]*>", "", said))


@pytest.fixture
def white() -> Subject:
    return subjects()[0][WHITE]


@pytest.fixture
def clean() -> Subject:
    return subjects()[0]["shapes10/resnet20/benign"]


def curve(*hits: int) -> AppearanceCurve:
    return AppearanceCurve(np.array(hits), np.full(len(hits), 100), (0, 100, 200, 255))


def test_a_changed_trigger_is_compared_with_that_of_training(white: Subject) -> None:
    trained = white.card.attack_success_rate
    said = appearance_answer(white, white.trigger.with_value(100 / 255), Rate(5, 100), None)
    before = "100%" if trained.hits == trained.total else f"{100 * trained.value:.1f}%"
    assert said == (
        f"With pixel value 100 instead of {white.trigger.value} the backdoor fires on 5% instead of {before} of the "
        "images."
    )
    moved = appearance_answer(white, white.trigger.at(20, 20), Rate(5, 100), None, "Flip")
    assert moved.startswith("Behind Flip, with the trigger at another place the backdoor fires on 5%")


@pytest.mark.parametrize(
    ("hits", "end"),
    [
        ((0, 10, 90, 100), "; at pixel value 100 or less, on fewer than half of them."),
        ((0, 80, 10, 100), "; at pixel value 0 or less, on fewer than half of them."),
        ((60, 10, 10, 100), "; it does so on half of them or more however dark the trigger is."),
    ],
)
def test_the_trained_trigger_says_how_dark_it_may_be(white: Subject, hits: tuple[int, ...], end: str) -> None:
    said = appearance_answer(white, white.trigger, Rate(100, 100), curve(*hits))
    assert said == "With the trigger of training the backdoor fires on 100% of the images" + end


def test_what_is_not_measured_is_said(white: Subject) -> None:
    nothing = Rate(0, 0)
    for said in (
        appearance_answer(white, white.trigger, nothing, None),
        defense_answer(white, "Flip", nothing, nothing, None),
        repair_answer(white, "Fine-Pruning", None, None),
        cost_answer([]),
        enhanced_answer([], "badnets"),
        saliency_answer([], "Flip"),
        photographs_answer([(white, nothing)]),
        paper_answer(0, 0, 0, 0),
    ):
        assert "measured" in said
        assert "%" not in said


def test_a_clean_model_has_no_backdoor(clean: Subject) -> None:
    for said in (
        appearance_answer(clean, clean.trigger, Rate(1, 100), None),
        defense_answer(clean, "Flip", Rate(90, 100), Rate(1, 100), None),
    ):
        assert "has no backdoor" in said
        assert "takes 1% of the images" in said
        assert "fires" not in said


def test_a_defense_says_both_rates_with_and_without_it(white: Subject) -> None:
    said = defense_answer(white, "Flip", Rate(88, 100), Rate(3, 100), (Rate(90, 100), Rate(100, 100)))
    assert said == (
        "With Flip in front of the model: the backdoor fires on 3% instead of 100% of the images with the trigger; the "
        "model is right on 88% instead of 90% of the clean images."
    )


def test_what_stays_the_same_is_not_called_a_change(white: Subject) -> None:
    said = defense_answer(white, "Flip", Rate(90, 100), Rate(3, 100), (Rate(9, 10), Rate(100, 100)))
    assert "right on 90% (unchanged) of the clean images" in said
    assert "3% instead of 100%" in said


def test_the_best_defense_of_each_kind_is_named(white: Subject) -> None:
    rows = evaluated([white], ["flip"])
    standard, flip = rows
    better = replace(flip, success=Rate(1, 200))
    slow = replace(repaired([white])[0], success=Rate(1, 100), seconds=40.4)
    said = cost_answer([standard, better, slow])
    assert said == (
        f"Flip needs no training and leaves the backdoor firing on 0.5%; of the repairs, {slow.label} takes 40 seconds "
        "of it and leaves the backdoor firing on 1%."
    )


def test_poisoning_is_counted() -> None:
    assert "on 500 of the 10,000 training images (5%)" in poisoning_answer("BadNets", 500, 10_000, "deer")
    assert "none" in poisoning_answer("BadNets", 0, 10_000, "deer")


def test_the_pages_say_what_is_stored(white: Subject) -> None:
    paper = page("paper", model=WHITE)
    metrics = [metric.value for metric in paper.metric]
    assert answer_of(paper).startswith(f"{metrics[0].split()[0]} of the {metrics[0].split()[-1]} statements")
    stored = StoredResults(Store().checkpoint(WHITE)).repair("fine-pruning")
    assert stored is not None
    said = answer_of(page("defenses", model=WHITE, part="repairs"))
    assert said.startswith("After Fine-Pruning: the backdoor fires on ")
    low = f"{100 * stored.success.value:.1f}".removesuffix(".0")
    assert f"fires on {low}%" in said
    enhanced = page("enhanced", model=WHITE)
    assert answer_of(enhanced).startswith("Behind ShrinkPad-4 the backdoor of BadNets fires on ")


def test_every_word_of_the_glossary_is_in_the_head_of_a_page() -> None:
    assert {"Trigger", "Target", "Clean accuracy", "Poison rate", "95% interval", "n", "ShrinkPad"} <= set(glossary())
    assert "Attack success rate (ASR)" in glossary()
    text = next(one.value for one in page("paper", model=WHITE).markdown if "**Poison rate.**" in one.value)
    for term, meaning in glossary().items():
        assert f"**{term}.** {meaning}" in text


def test_images_are_picked_by_their_thumbnails() -> None:
    test = page("enhanced", model=WHITE, image="13")
    picker = component(test, "picker-image")
    assert (picker["start"], picker["selected"], len(picker["names"])) == (10, 13, 10)
    assert picker["sprite"].endswith(".png")
    assert link(test)["image"] == "13"


def test_a_session_without_a_link_opens_a_model_that_every_page_has_results_of() -> None:
    test = page("enhanced")
    assert link(test)["model"] == WHITE
    # A link of before left out the model where it was this one.
    old = page("paper", view="tables")
    assert link(old)["model"] == GRAY, "a new link says which it is"
    assert old.sidebar.selectbox(key="pick-2").value == "badnets-gray"
