"""Page *Lesson*: the paper as a story in steps, each with a question before the answer.

What a lesson is made of: :mod:`dashboard.lessons`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import streamlit as st

from core.attacks import Enhanced
from core.models import models
from dashboard.components.lesson_bar import Position, lesson_bar
from dashboard.lessons.scenes import Places, Stage
from dashboard.lessons.share import address_of, is_local, qr_code
from dashboard.lessons.steps import Lesson, Question, Step, found_lessons
from dashboard.lessons.words import Amount, Unmeasured, fill
from dashboard.server.resources import jobs, present, tested
from dashboard.server.subjects import CONTROL, Subject, subjects
from dashboard.state.session import Choice, Session, if_chosen, integer_in, one_of
from dashboard.widgets.controls import image_choice, model_choice, one_sentence
from dashboard.widgets.download import about_data
from dashboard.widgets.page_head import read_link
from dashboard.words.escaping import plain

# Opened first: an attack that all of the shipped lesson is stored for, on photographs where there are any.
FIRST = ("cifar10/resnet20/badnets", "shapes10/resnet20/badnets")
DEFAULT = "rethinking"
NOTES: Choice[bool] = Choice(
    "notes", False, lambda text: one_of(["", "yes", "no"])(text) != "no", lambda on: "yes" if on else "no"
)
UNMEASURED = "This is neither stored for this model nor can it be measured here."

# Sizes follow the screen, so that a step fills it, and can be read from the last row.
STYLE = """
<style>
@media (min-width: 641px) {html {font-size: clamp(15px, min(1.4vw, 2.45vh), 34px) !important}}
.stMainBlockContainer {padding-top: .7rem !important; padding-bottom: 1rem !important}
/* The bar stands in the application's own top line, between its two buttons. */
.stAppHeader {background: transparent !important}
.stAppHeader, .stAppHeader * {pointer-events: none}
.stAppHeader :is(button, a), .stAppHeader :is(button, a) * {pointer-events: auto}
.st-key-lesson-bar {margin: 0 3rem; z-index: 1000000; position: relative; width: auto !important}
.st-key-lesson-told p, [class*="st-key-lesson-quiz"] p {font-size: 1.15rem; line-height: 1.4}
.st-key-lesson-head h1 {font-size: 1.7rem; padding: 0}
.st-key-lesson-head {align-items: center}
.st-key-lesson-question, .st-key-lesson-answer {padding: .5rem 0 .1rem 1rem;
  border-left: .3rem solid color-mix(in srgb, currentColor 25%, transparent)}
.st-key-lesson-answer {border-left-color: var(--st-primary-color, #2f6f9f)}
.st-key-lesson-question > :first-child p {font-size: 1.3rem; font-weight: 600}
.st-key-lesson-beside [data-testid="stHtml"] > img {max-width: min(26rem, 100%) !important}
.ts-strip {grid-template-columns: repeat(5, minmax(0, 1fr)) !important; gap: .3rem .5rem !important}
.st-key-lesson-beside .ts-strip {grid-template-columns: repeat(4, minmax(0, 1fr)) !important}
.ts-strip figure, .ts-rate .note {font-size: .8rem !important; line-height: 1.25}
.st-key-lesson-beside .ts-strip .truth {opacity: 1; font-weight: 600}
.st-key-lesson-told:has(.st-key-lesson-answer) .st-key-lesson-question > :first-child p {font-size: 1.1rem}
@media (min-width: 641px) {
  .st-key-lesson-beside {max-width: 47vh; margin: auto}
  .st-key-lesson-beside:has(figure) {max-width: 58vh}
  .st-key-lesson-beside:has(.ts-strip, .ts-saliency) {max-width: none}
  .st-key-lesson-pictures .ts-strip {margin: 0}
  .st-key-lesson-pictures .ts-strip img, .st-key-lesson-pictures .ts-strip canvas {max-width: 8vh}
  .st-key-lesson-beside, .st-key-lesson-told {gap: .6rem}
  /* Two networks side by side. */
  .st-key-lesson-told .ts-rates:has(:nth-child(3 of .ts-rate)) {grid-template-columns: repeat(2, minmax(0, 1fr));
    column-gap: 1.6rem; margin: 0}
  .st-key-lesson-told .ts-rates:has(:nth-child(3 of .ts-rate)) .value {font-size: 1.5rem; line-height: 1.1}
  .stMain:has(.st-key-lesson-beside .ts-strip) .st-key-lesson-told .ts-rates {column-gap: 1.6rem; align-items: end;
    grid-template-columns: repeat(2, minmax(0, 1fr))}
  .stMain:has(.st-key-lesson-beside .ts-strip) .ts-rate .value {font-size: 1.7rem; line-height: 1.1}
  .st-key-lesson-below {gap: .4rem}
}
@media (min-width: 641px) and (max-height: 800px) {
  .st-key-lesson-beside .ts-strip {max-width: 88%}
}
/* Notes stay on the screen, whatever is above them. */
.stVerticalBlock > :has(> .st-key-lesson-notes), .st-key-lesson-notes {position: sticky; bottom: 0; z-index: 5;
  background: var(--st-background-color, Canvas)}
.st-key-lesson-notes p {font-size: .95rem; line-height: 1.35}
.st-key-lesson-notes [data-testid="stAlertContainer"] {padding: .5rem .8rem; min-height: 0}
.st-key-lesson-beside [data-testid="stSlider"] {margin-bottom: -.4rem}
@media (max-width: 640px) {
  .st-key-lesson-join, .st-key-lesson-beside .ts-strip figure:nth-child(n + 9) {display: none}
  .st-key-lesson-beside [data-testid="stHtml"] > img, .ts-nine {max-width: 62vw !important; margin: auto}
  .stMain [data-testid="stHorizontalBlock"] {row-gap: .4rem}
}
.ts-nine {display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .4rem; max-width: 24rem}
.ts-nine img {width: 100%; image-rendering: pixelated; border-radius: .25rem; display: block}
.ts-guess {font-size: 1.35rem; margin: 0}
</style>
"""


@one_sentence
def show() -> None:
    """Draws the page."""
    st.set_page_config(initial_sidebar_state="collapsed")
    session = Session()
    present(session.identity)
    jobs().leave(session.identity)
    st.html(STYLE)
    lessons, faults = found_lessons()
    for fault in faults:
        st.warning(plain(fault), icon=":material/broken_image:")
    if not lessons:
        return
    choice = Choice("lesson", DEFAULT if DEFAULT in lessons else next(iter(lessons)), one_of(lessons))
    lesson = lessons[session.get(choice)]
    at = Choice("step", 1, integer_in(1, len(lesson.steps)))
    readable, _ = subjects()
    main = attacked_model(session, readable)
    if main is None:
        st.info("There is no attacked model yet. Make one with: `python scripts/train.py --attack badnets`")
        return
    step = lesson.steps[session.get(at) - 1]
    data = tested(main)
    stage = Stage(
        session, main, partner(readable, main, "+"), partner(readable, main, CONTROL), data, image_choice(data)
    )
    session.get(stage.image), session.get(NOTES)
    answered = [number for number, each in enumerate(lesson.steps) if _answered(lesson, each, main)]

    def gone(to: Position) -> None:
        for number in to.answered:
            answer(lesson, lesson.steps[number], main)
        if to.step + 1 != session.get(at):
            session.forget("at-")
        session.set(at, to.step + 1)

    lesson_bar(
        titles=[each.title for each in lesson.steps], step=session.get(at) - 1, answered=answered,
        taught=f"{lesson.name} {main.identity}", key="lesson-bar", on_go=gone,
    )  # fmt: skip
    with st.container(horizontal=True, key="lesson-head", gap="small"):
        st.title(f"{session.get(at)}. {step.title}", anchor=False)
        _settings(session, choice, lessons, readable, main)
        _students(session, lesson, at, main)
    read_link(session)
    facts = facts_of(stage)

    # What stands of the step before is no answer to this one: hidden until this run has come past it.
    before = st.empty()
    if st.session_state.get("lesson-drawn") != (lesson.name, step.name):
        before.html("<style>.stApp .stMain [data-stale='true'] {visibility: hidden}</style>")
    st.session_state["lesson-drawn"] = lesson.name, step.name

    @st.fragment(key=f"lesson-{lesson.name}-{step.name}")
    @one_sentence
    def body() -> None:
        if _answered(lesson, step, main) and lesson.steps.index(step) not in answered:
            st.rerun()  # answered by the button below: the bar shows it too
        _body(stage, lesson, step, facts)
        session.write_link()

    body()
    if step.notes and session.get(NOTES):
        with st.container(key="lesson-notes"):
            st.info(f"**For the teacher.** {fill(step.notes, facts)}", icon=":material/school:")
    before.empty()
    session.write_link()


def attacked_model(session: Session, readable: Mapping[str, Subject]) -> Subject | None:
    """The standard attack that is shown: the selected one, or the one that the selected enhanced one is made from."""
    taught = [key for key, subject in readable.items() if not subject.is_control and not _enhanced(subject)]
    ready = [key for key in taught if readable[key].dataset.available() and readable[key].checkpoint.has_weights]
    default = next((key for key in FIRST if key in ready), next(iter(ready), next(iter(taught), "")))
    if not default:
        return None
    key = session.get(model_choice(readable, default))
    if key not in taught:
        attack = readable[key].attack
        front = "/".join(key.split("/")[:2])
        key = f"{front}/{attack.base.title if isinstance(attack, Enhanced) else ''}"
        # Of the same data set and network where there is one: a link shows the same on every machine.
        default = next((sibling for sibling in taught if sibling.startswith(f"{front}/")), default)
    return readable[key] if key in taught else readable[default]


def _enhanced(subject: Subject) -> bool:
    return isinstance(subject.attack, Enhanced)


def partner(readable: Mapping[str, Subject], main: Subject, name: str) -> Subject | None:
    """Another model of the same data and network: ``+`` is the enhanced version of the attack."""
    front, _, attack = main.key.rpartition("/")
    return readable.get(f"{front}/{attack}+" if name == "+" else f"{front}/{name}")


def facts_of(stage: Stage) -> dict[str, object]:
    """What every text of a lesson may use; see :data:`dashboard.lessons.words.FACTS`."""
    main, facts = stage.main, dict[str, object]()
    facts["target"], facts["attack"] = main.target_name, plain(main.attack.label)
    facts["dataset"], facts["network"] = main.dataset_label, models[main.card.model].label
    label = int(stage.data.labels[stage.index]) if stage.data is not None else None
    facts["truth"] = main.classes[label] if label is not None else "another class"
    stored = {"accuracy": main.card.clean_accuracy, "asr_trained": main.card.attack_success_rate}
    if stage.control is not None:
        stored["accuracy_clean"] = stage.control.card.clean_accuracy
    facts |= {name: Amount.of(rate) for name, rate in stored.items() if rate is not None and rate.total}
    return facts


# ---- what was answered, in this session


def _key(lesson: Lesson, step: Step, main: Subject) -> tuple[str, str, str]:
    return lesson.name, step.name, main.identity


def _guesses() -> dict[tuple[str, str, str], dict[int, int | None]]:
    guesses: dict[tuple[str, str, str], dict[int, int | None]] = st.session_state.setdefault("lesson-guesses", {})
    return guesses


def _answered(lesson: Lesson, step: Step, main: Subject) -> bool:
    asks = step.quiz or step.question.kind != "none"
    return not asks or _key(lesson, step, main) in _guesses()


def answer(lesson: Lesson, step: Step, main: Subject, *, untouched: bool = False) -> None:
    """Shows the answer of a step from now on, beside what was guessed.

    Args:
        lesson: The lesson.
        step: Its step.
        main: The model it is answered for.
        untouched: Whether a slider that nobody has moved counts as a guess.
    """
    guesses: dict[int, int | None] = {}
    for number, question in enumerate(step.quiz or (step.question,)):
        value = st.session_state.get(f"guess-{step.name}-{number}")
        moved = question.kind != "slider" or untouched or st.session_state.get(f"moved-{step.name}")
        guesses[number] = value if moved else None
    _guesses().setdefault(_key(lesson, step, main), guesses)


# ---- what is drawn


def _settings(
    session: Session, choice: Choice[str], lessons: Mapping[str, Lesson], readable: Mapping[str, Subject], main: Subject
) -> None:
    """Model, lesson and notes, behind one button."""
    taught = [key for key, subject in readable.items() if not subject.is_control and not _enhanced(subject)]

    def picked() -> None:
        session.set(model_choice(readable, main.key), st.session_state["lesson-model"])
        session.forget("at-")

    page = f"location?model={quote(main.key)}"
    st.html(f'<a href="{page}" target="_self" style="color: inherit">Explore on your own</a>', width="content")
    with st.popover(main.dataset_label, icon=":material/tune:", help="Model, lesson, notes for the teacher"):
        st.session_state["lesson-model"] = main.key
        st.selectbox(
            "Model", taught, key="lesson-model", on_change=if_chosen("lesson-model", picked),
            format_func=lambda key: f"{readable[key].title}, {readable[key].dataset_label}",
        )  # fmt: skip
        if len(lessons) > 1:
            names = session.widget(choice)
            st.selectbox("Lesson", list(lessons), format_func=lambda name: lessons[name].title, **names)
        st.toggle("Notes for the teacher", **session.widget(NOTES))
        about_data(session, main, tested(main))


def _students(session: Session, lesson: Lesson, at: Choice[int], main: Subject) -> None:
    """Link and QR code to this very step."""
    with (
        st.container(key="lesson-join", width="content"),
        st.popover("Join", icon=":material/qr_code_2:", help="Link and QR code to this step, for the students"),
    ):
        page = st.context.url
        if not page:
            st.caption("The address of this page is not known.")
            return
        parameters = {"step": str(session.get(at)), "model": main.key}
        if lesson.name != DEFAULT:
            parameters = {"lesson": lesson.name, **parameters}
        address = address_of(page, parameters)
        st.html(qr_code(address))
        st.code(address, language=None, wrap_lines=True)
        if is_local(address):
            st.caption(
                "This address works on this computer only. For the students, start the application with "
                "`streamlit run dashboard/app.py --server.address 0.0.0.0`, and open it under the computer's address "
                "in the network, which the terminal shows as *Network URL*. With `TRIGGER_SERVED=1` set before, others "
                "look and measure, and training and repairs need the token that the terminal shows."
            )


def _body(stage: Stage, lesson: Lesson, step: Step, facts: Mapping[str, object]) -> None:
    """Text, question, answer, and the scene: still before the answer, live with it."""
    answered = _answered(lesson, step, stage.main)
    if step.quiz:
        st.markdown(fill(step.text, facts))
        _quiz(stage, lesson, step, facts, answered)
        return
    left, words = st.columns([6, 7], gap="large")
    beside, pictures = left.container(key="lesson-beside"), left.container(key="lesson-pictures")
    below = st.container(key="lesson-below")
    with words, st.container(key="lesson-told"):
        st.markdown(fill(step.text, facts))
        if step.question.kind != "none":
            with st.container(key="lesson-question"):
                _ask(stage, lesson, step, facts, answered)
        if answered:
            numbers = step.scene.numbers(stage)
            with st.container(key="lesson-answer"):
                _tell(step.question, 0, _guesses().get(_key(lesson, step, stage.main), {}), facts, numbers)
        under = st.container()
    places = Places(beside, pictures, under, below)
    if answered:
        step.scene.live(stage, places)
    else:
        step.scene.still(stage, places)
    if stage.data is None:
        below.caption(
            f"The images of {stage.main.dataset_label} are not on this machine; the numbers are the stored ones."
        )


def _ask(stage: Stage, lesson: Lesson, step: Step, facts: Mapping[str, object], answered: bool) -> None:
    question = step.question
    st.markdown(fill(question.text, facts))
    if answered:
        return
    _input(step, question, 0, facts)
    # By a callback: the press of a button is forgotten when its run is overtaken by another one before it comes here.
    st.button(
        "Show the answer", type="primary", key=f"answer-{step.name}",
        on_click=partial(answer, lesson, step, stage.main, untouched=True),
    )  # fmt: skip


def _input(step: Step, question: Question, number: int, facts: Mapping[str, object]) -> None:
    """The slider or the options of a question."""
    key = f"guess-{step.name}-{number}"

    def moved() -> None:
        st.session_state[f"moved-{step.name}"] = True

    if question.kind == "slider":
        st.slider("Of 100", 0, 100, 50, key=key, on_change=moved, label_visibility="collapsed")
    else:
        st.radio(
            question.text, range(len(question.options)), index=None, key=key, label_visibility="collapsed",
            format_func=lambda index: fill(question.options[index], facts), horizontal=not step.quiz,
        )  # fmt: skip


def _tell(
    question: Question,
    number: int,
    guesses: Mapping[int, int | None],
    facts: Mapping[str, object],
    numbers: Mapping[str, Amount],
) -> None:
    """What was guessed beside what is true, and the sentence made from the measured numbers."""
    guess, right = guesses.get(number), question.right(numbers)
    amount = numbers.get(question.truth)
    if question.kind == "slider" and amount is not None:
        mine = f"You said **{guess}** of 100. " if guess is not None else ""
        st.markdown(f"{mine}Measured: **{amount:of100} of 100**.")
    elif question.kind == "choice" and right is not None:
        mark = "" if guess is None else ":green[**Yes:**] " if guess == right else ":red[**No:**] "
        st.markdown(f"{mark}**{fill(question.options[right], facts)}**")
    try:
        st.markdown(fill(question.answer, {**facts, **numbers}))
    except Unmeasured:
        st.caption(UNMEASURED)


def _quiz(stage: Stage, lesson: Lesson, step: Step, facts: Mapping[str, object], answered: bool) -> None:
    """All questions of a step at once, in two columns."""
    numbers: Mapping[str, Any] = step.scene.numbers(stage) if answered else {}
    guesses = _guesses().get(_key(lesson, step, stage.main), {})
    columns = [column for _ in range(0, len(step.quiz), 2) for column in st.columns(2, gap="large")]
    for number, question in enumerate(step.quiz):
        with columns[number], st.container(key=f"lesson-quiz-{number}"):
            st.markdown(f"**{number + 1}. {fill(question.text, facts)}**")
            if answered:
                _tell(question, number, guesses, facts, numbers)
            else:
                _input(step, question, number, facts)
    if any(guess is not None for guess in guesses.values()):
        right = sum(
            guesses.get(n) is not None and guesses[n] == question.right(numbers) for n, question in enumerate(step.quiz)
        )
        st.markdown(f"### {right} of {len(step.quiz)} right")
    if not answered:
        shown = partial(answer, lesson, step, stage.main)
        st.button("Show the answers", type="primary", key=f"answer-{step.name}", on_click=shown)
