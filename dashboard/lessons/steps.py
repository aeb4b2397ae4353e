"""A lesson and its steps, read from TOML files and checked as a whole before anything is shown."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.lessons.scenes import Scene, scenes
from dashboard.lessons.words import FACTS, Amount, check

__all__ = ["KINDS", "Lesson", "Question", "Step", "found_lessons", "read_lesson"]

SHIPPED = Path(__file__).parent / "shipped"
KINDS = ("slider", "choice", "none")
FIELDS = ("title", "text", "scene", "state", "question", "kind", "options", "truth", "bounds", "correct", "answer",
          "notes", "quiz")  # fmt: skip
MOST_OPTIONS, MOST_QUESTIONS = 6, 6


@dataclass(frozen=True)
class Question:
    """What is asked before something is shown.

    Attributes:
        text: The question, with names in braces; nothing where nothing is asked.
        kind: ``slider`` (how many of 100), ``choice`` or ``none``.
        options: Texts to choose from.
        truth: The measured number that decides, or nothing.
        bounds: In percent, between the options: at or above the last bound, the last option is right.
        correct: Index of the right option where nothing measured decides, or None.
        answer: The sentence that follows, with names in braces.
    """

    text: str = ""
    kind: str = "none"
    options: tuple[str, ...] = ()
    truth: str = ""
    bounds: tuple[float, ...] = ()
    correct: int | None = None
    answer: str = ""

    def right(self, numbers: Mapping[str, Amount]) -> int | None:
        """Index of the right option; None where there is none, or the number that decides is not measured."""
        if not self.truth:
            return self.correct
        amount = numbers.get(self.truth)
        if amount is None or self.kind != "choice":
            return None
        return sum(amount.percent >= bound for bound in self.bounds)


@dataclass(frozen=True)
class Step:
    """One step: a file.

    Attributes:
        name: Stem of the file.
        title: Its title.
        text: What is said first, Markdown with names in braces.
        scene: What is shown.
        question: What is asked before.
        notes: For the teacher.
        quiz: The questions of a step that only asks.
    """

    name: str
    title: str
    text: str
    scene: Scene
    question: Question
    notes: str = ""
    quiz: tuple[Question, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """Steps in order.

    Attributes:
        name: Name of the folder, as in a link.
        steps: At least one.
    """

    name: str
    steps: tuple[Step, ...]

    @property
    def title(self) -> str:
        """The name, for people."""
        return self.name.replace("-", " ").replace("_", " ").capitalize()


def _texts(values: Mapping[str, Any], names: Sequence[str], needed: Sequence[str]) -> list[str]:
    wrong = [f"{name} = {values[name]!r} is not allowed: a text" for name in names if name in values
             and not isinstance(values[name], str)]  # fmt: skip
    return wrong + [f"{name} is missing" for name in needed if not values.get(name)]


def _question(values: Mapping[str, Any], measures: Mapping[str, str]) -> tuple[Question | None, list[str]]:
    """The question that a table describes, and what is wrong with it."""
    kind = values.get("kind", "choice" if "options" in values else "none")
    if kind not in KINDS:
        return None, [f"kind = {kind!r} is not allowed: one of {', '.join(KINDS)}"]
    wrong = _texts(values, ("question", "answer", "truth"), ("question",) if kind != "none" else ())
    options, bounds = values.get("options", []), values.get("bounds", [])
    correct, truth = values.get("correct"), values.get("truth", "")
    if kind == "choice":
        texts = isinstance(options, list) and all(isinstance(option, str) and option for option in options)
        if not texts or not 2 <= len(options) <= MOST_OPTIONS:
            return None, [*wrong, f"options = {options!r} is not allowed: 2 to {MOST_OPTIONS} texts"]
        ascending = isinstance(bounds, list) and all(
            isinstance(bound, int | float) and not isinstance(bound, bool) and 0 < bound <= 100 for bound in bounds
        )
        if truth and not (ascending and bounds == sorted(set(bounds)) and len(bounds) == len(options) - 1):
            wrong.append(
                f"bounds = {bounds!r} is not allowed: {len(options) - 1} ascending, each over 0 and up to 100, "
                "one between each two options"
            )
        if bool(truth) == (correct is not None):
            wrong.append("a choice needs either truth, with bounds, or correct")
        if correct is not None and (type(correct) is not int or not 1 <= correct <= len(options)):
            wrong.append(f"correct = {correct!r} is not allowed: an integer from 1 to {len(options)}")
    else:
        wrong += [f"{name} belongs to a choice" for name in ("options", "bounds", "correct") if name in values]
    if kind == "slider" and not truth:
        wrong.append("a slider needs truth, the measured number that the guess is compared with")
    if isinstance(truth, str) and truth and truth not in measures:
        wrong.append(f"truth = {truth!r} is not allowed: one of {', '.join(sorted(measures)) or 'none'}")
    if wrong:
        return None, wrong
    for name, allowed in (("question", FACTS), ("answer", {**FACTS, **measures})):
        wrong += [f"in {name}, {clause}" for clause in check(values.get(name, ""), allowed)]
    made = Question(
        values.get("question", ""), kind, tuple(options), truth, tuple(float(bound) for bound in bounds),
        correct - 1 if correct is not None else None, values.get("answer", ""),
    )  # fmt: skip
    return made, wrong


def _step(path: Path) -> tuple[Step | None, list[str]]:
    """The step in a file, and what is wrong with it."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return None, [f"it cannot be read: {error}"]
    wrong = [f"{name} is not known; known: {', '.join(FIELDS)}" for name in values if name not in FIELDS]
    wrong += _texts(values, ("title", "text", "scene", "notes"), ("title", "text", "scene"))
    if wrong:
        return None, wrong
    try:
        kind = scenes[values["scene"]]
        state = values.get("state", {})
        if not isinstance(state, dict):
            raise ValueError(f"state = {state!r} is not allowed: a table")
        scene = kind.from_dict(state)
    except ValueError as error:
        return None, [str(error)]
    question, more = _question(values, kind.measures)
    wrong += more
    for name in ("text", "notes"):
        wrong += [f"in {name}, {clause}" for clause in check(values.get(name, ""), FACTS)]
    tables, quiz = values.get("quiz", []), []
    if not isinstance(tables, list) or len(tables) > MOST_QUESTIONS or not all(isinstance(t, dict) for t in tables):
        wrong.append(f"quiz is not allowed: at most {MOST_QUESTIONS} tables [[quiz]]")
        tables = []
    if (values["scene"] == "questions") != bool(tables):
        wrong.append("tables [[quiz]] and the scene questions belong together")
    for number, table in enumerate(tables, 1):
        one, more = _question({"kind": "choice", **table}, kind.measures)
        wrong += [f"in quiz {number}, {clause}" for clause in more]
        quiz += [one] if one is not None else []
    if wrong or question is None:
        return None, wrong
    return Step(path.stem, values["title"], values["text"], scene, question, values.get("notes", ""), tuple(quiz)), []


def read_lesson(folder: Path) -> Lesson:
    """The lesson in a folder.

    Raises:
        ValueError: If a file is not a step; one line for each fault, naming the file.
    """
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise ValueError(f"{folder.name}: there is no step in it, that is, no file *.toml")
    steps, faults = [], []
    for path in files:
        step, wrong = _step(path)
        faults += [f"{folder.name}/{path.name}: {clause}." for clause in wrong]
        steps += [step] if step is not None else []
    if faults:
        raise ValueError("\n".join(faults))
    return Lesson(folder.name, tuple(steps))


def found_lessons() -> tuple[dict[str, Lesson], list[str]]:
    """The lessons that came along and those in ``$TRIGGER_LESSONS``, by name, and what is wrong with the others.

    A lesson of one's own takes the place of one that came along under the same name.
    """
    found: dict[str, Lesson] = {}
    faults: list[str] = []
    own = os.environ.get("TRIGGER_LESSONS", "")
    if own and not Path(own).is_dir():
        faults.append(f"TRIGGER_LESSONS = {own!r} is not allowed: a folder with one folder for each lesson.")
    for root in (SHIPPED, Path(own) if own else None):
        if root is None or not root.is_dir():
            continue
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))):
            try:
                found[folder.name] = read_lesson(folder)
            except ValueError as error:
                faults += str(error).splitlines()
    return found, faults
