"""Lessons as files: the shipped one is whole, a broken one is refused with one sentence for each fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.metrics import Rate
from dashboard.lessons.scenes import scenes
from dashboard.lessons.steps import Question, found_lessons, read_lesson
from dashboard.lessons.words import Amount, Unmeasured, fill

GOOD = """
title = "Move it"
text = "The trigger of {attack} moves."
scene = "pad"
state = {down = -1}
question = "How many?"
kind = "slider"
truth = "asr_here"
answer = "{asr_here} ({asr_here:n}), before {asr_home}."
"""


def lesson(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "01-step.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_lesson_has_the_steps_of_the_paper_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIGGER_LESSONS", raising=False)
    found, faults = found_lessons()
    assert faults == []
    steps = found["rethinking"].steps
    shown = ["benign", "pad", "pad", "appearance", "defense", "enhanced", "saliency", "physical", "questions"]
    assert [step.scene.name for step in steps] == shown
    for step in steps:
        assert step.notes, step.name
        assert step.quiz or step.question.kind != "none", step.name


def test_no_measured_number_is_typed_into_the_shipped_lesson() -> None:
    """An answer has no digits outside of its braces."""
    for step in found_lessons()[0]["rethinking"].steps:
        for question in step.quiz or (step.question,):
            assert not re.search(r"\d", re.sub(r"\{[^}]*\}", "", question.answer)), step.name


def test_a_step_is_read(tmp_path: Path) -> None:
    (step,) = read_lesson(lesson(tmp_path / "own", GOOD)).steps
    assert (step.name, step.title, step.question.truth) == ("01-step", "Move it", "asr_here")
    assert step.scene == scenes["pad"].from_dict({"down": -1})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Move it"', "", "title is missing"),
        ('title = "Move it"', "title = 3", "title = 3 is not allowed: a text"),
        ("title", "titel", "titel is not known; known: title, text, scene"),
        ('scene = "pad"', 'scene = "pat"', "there is no scene 'pat'; known: "),
        ("down = -1", "down = 900", "down = 900 is not allowed: an integer from -128 to 128"),
        ("down = -1", "up = 1", "Pad has no parameter 'up'; it has down, right"),
        ("{down = -1}", "3", "state = 3 is not allowed: a table"),
        ('kind = "slider"', 'kind = "dial"', "kind = 'dial' is not allowed: one of slider, choice, none"),
        ('question = "How many?"', "", "question is missing"),
        ('truth = "asr_here"', "", "a slider needs truth"),
        ('truth = "asr_here"', 'truth = "peak"', "truth = 'peak' is not allowed: one of asr_clean, asr_here, asr_home"),
        ("{asr_home}", "{asr_hom}", "in answer, {asr_hom} is not known; known: "),
        ("{asr_home}", "{asr_home:.1f}", "in answer, {asr_home:.1f} is not known; known: {name:n}, {name:of100}"),
        ("{asr_home}", "{asr_home.share}", "in answer, {asr_home.share} is not known"),
        ("{asr_home}", "{asr_home", "in answer, its braces are wrong"),
        ("{attack}", "{asr_here}", "in text, {asr_here} is not known"),
        ('kind = "slider"', 'kind = "choice"\noptions = ["a"]', "options = ['a'] is not allowed: 2 to 6 texts"),
        ('kind = "slider"', 'kind = "choice"\noptions = ["a", "b"]', "bounds = [] is not allowed: 1 ascending"),
        (
            'kind = "slider"\ntruth = "asr_here"',
            'kind = "choice"\noptions = ["a", "b"]',
            "a choice needs either truth, with bounds, or correct",
        ),
        (
            'kind = "slider"\ntruth = "asr_here"',
            'kind = "choice"\noptions = ["a", "b"]\ncorrect = 3',
            "correct = 3 is not allowed: an integer from 1 to 2",
        ),
        ('kind = "slider"', 'kind = "slider"\nbounds = [1]', "bounds belongs to a choice"),
        ("answer", "[[quiz]]\nanswer", "tables [[quiz]] and the scene questions belong together"),
        ("title = ", "title ", "it cannot be read: "),
    ],
)
def test_a_broken_step_is_refused_in_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ValueError, match=r"own/01-step\.toml: ") as caught:
        read_lesson(lesson(tmp_path / "own", GOOD.replace(old, new)))
    assert any(line.startswith(f"own/01-step.toml: {said}") for line in str(caught.value).splitlines()), caught.value


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("{attack}", "{nix}").replace("{asr_home}", "{nought}")
    with pytest.raises(ValueError, match="nix") as caught:
        read_lesson(lesson(tmp_path / "own", text))
    assert len(str(caught.value).splitlines()) == 2


def test_a_broken_lesson_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson(tmp_path / "good", GOOD)
    lesson(tmp_path / "broken", GOOD.replace("slider", "dial"))
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("TRIGGER_LESSONS", str(tmp_path))
    found, faults = found_lessons()
    assert set(found) == {"good", "rethinking"}
    assert [fault.partition(":")[0] for fault in faults] == ["broken/01-step.toml", "empty"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_LESSONS", str(tmp_path / "nix"))
    found, (fault,) = found_lessons()
    assert set(found) == {"rethinking"}
    assert "nix' is not allowed: a folder with one folder for each lesson." in fault


@pytest.mark.parametrize(("hits", "right"), [(0, 0), (49, 0), (50, 1), (89, 1), (90, 2), (100, 2)])
def test_the_measured_number_decides_which_option_is_right(hits: int, right: int) -> None:
    question = Question("?", "choice", ("few", "many", "nearly all"), "asr", (50.0, 90.0))
    assert question.right({"asr": Amount.of(Rate(hits, 100))}) == right
    assert question.right({}) is None


def test_a_number_that_is_missing_is_not_made_up() -> None:
    with pytest.raises(Unmeasured):
        fill("{asr_here}", {})
    with pytest.raises(Unmeasured):
        Amount.of(Rate(0, 0))
