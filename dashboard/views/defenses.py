"""Page *Defenses*: transformations in front of the model, repairs of it, what they stop and cost (Tables 1 to 4)."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from core.metrics import Performance, Rate, clean_accuracy
from core.paper.claims import judge_defenses, judge_repairs
from core.params import params_of
from core.sweeps.strength import StrengthCurve, strength_sweep
from core.transforms import Compose, Transform, transforms
from core.trigger import stamp
from dashboard.figures import sweeps as figures
from dashboard.figures.html import Reading, Shown, data_url, live_note, rate_bars, stored_note, strip
from dashboard.figures.panels import Block, Panel
from dashboard.figures.preview import strength_sketch
from dashboard.figures.sweeps import StrengthLine
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import strength_rows
from dashboard.server.jobs import Job, gathered
from dashboard.server.predictions import predictions, success
from dashboard.server.resources import Tested, jobs, predictor, results_of, tested, tested_for
from dashboard.server.subjects import Subject, subjects
from dashboard.state.session import Choice, Session, one_of
from dashboard.tables.claims import draw_verdicts
from dashboard.tables.defenses import REPAIRS, defense_tables
from dashboard.tables.rows import siblings, transforms_offered
from dashboard.views.cost import draw_cost
from dashboard.views.repairs import draw_repairs
from dashboard.widgets.controls import (
    Chosen,
    choose,
    choose_count,
    image_choice,
    image_picker,
    one_sentence,
    progress_bar,
)
from dashboard.widgets.download import about_data
from dashboard.widgets.live import draw_strip
from dashboard.widgets.page_head import begin, read_link, say, three_areas
from dashboard.widgets.save_menu import PLOT_CONFIG, downloads, picture_downloads
from dashboard.widgets.transforms import build, parse_spec, strength_slider
from dashboard.words.answers import defense_answer
from dashboard.words.escaping import plain

EXPLANATION = """
The defender changes every image a little before the model sees it, and hopes that the backdoor no longer recognises
its trigger. **Flip** and **ShrinkPad** move the trigger away from where it was in training; noise and colour shifts
leave it in place. **Repairs** change the model instead, and take time. A good defense brings the **attack success
rate** down and keeps the **clean accuracy** up.
"""
CURVE_IMAGES = 512
POLL_SECONDS = 0.3
# Those of the paper first; of others, which can be trained with too, curves are measured here.
OFFERED = transforms_offered()
DEFENSE: Choice[str] = Choice("defense", "shrinkpad", one_of(OFFERED))
MOST_SHOWN = 9
PARTS = {"transforms": "Transformations", "repairs": "Repairs", "cost": "Cost against effect"}
PART: Choice[str] = Choice("part", "transforms", one_of(PARTS))

THEN: Choice[str] = Choice("then", "", parse_spec)


def strength_choice(kind: type[Transform], shape: tuple[int, int, int]) -> Choice[float]:
    """The strength of a transformation on images of a shape (C, H, W); by default its own for that."""
    transform = kind.sized(shape)
    param = params_of(kind)[kind.strength]
    if param.unit == "pixels":
        param = replace(param, high=kind.grid_for(shape)[-1])

    def parse(text: str) -> float:
        try:
            return float(param.check(transform.strength, float(text)))
        except ValueError:
            raise ValueError(param.allowed()) from None

    return Choice(f"{transform.name}-strength", transform.value, parse, lambda value: f"{value:g}")


def request_curve(
    session: Session, subject: Subject, transform: Transform, then: Compose, data: Tested | None
) -> StrengthCurve | Job[StrengthCurve] | None:
    """The stored curve, or a job that computes one where that is possible."""
    stored = subject.results.strength(transform.name) if not then.steps else None
    if stored is not None or data is None:
        return stored
    model = predictor(subject)
    if model is None:
        return None
    images, target, trigger = data.clean.subset(slice(CURVE_IMAGES)), subject.attack.target, subject.trigger
    return jobs().request(
        (
            "strength",
            subject.weights,
            trigger.fingerprint,
            data.name,
            len(images),
            transform.name,
            transform.grid_for(subject.card.shape),
            then.spec,
        ),
        StrengthCurve,
        lambda: strength_sweep(model.predict, images, trigger, target, transform, then=then),
        session.identity,
    )


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Defenses", EXPLANATION)
    chosen = choose(session)
    if chosen is None:
        return
    main = chosen.main
    data = tested(main)
    image = image_choice(data)
    name = session.get(DEFENSE)
    strength = strength_choice(transforms[name], main.card.shape)
    count = choose_count(session)
    read_link(session, strength, image, THEN, PART)
    about_data(session, main, data)
    st.segmented_control(
        "Part", list(PARTS), format_func=lambda part: PARTS[part], required=True, label_visibility="collapsed",
        **session.widget(PART),
    )  # fmt: skip
    part = session.get(PART)
    if part == "transforms":
        _draw_transforms(session, chosen, data, count, image, answer)
    elif part == "repairs":
        draw_repairs(session, main, data, image, answer)
    else:
        draw_cost(main, answer)
    if part != "cost":
        defense_tables(session, main, REPAIRS if part == "repairs" else None)
    if part == "repairs":
        stored = results_of(main)
        targets = {title: card.attack_object.target for title, card in stored.cards.items()}
        draw_verdicts("What the paper says about it (Sec. 5.1)", judge_repairs(stored.repairs, targets))
    if part == "transforms":
        readable, _ = subjects()
        curves = {
            subject.attack.title: subject.results.strengths
            for subject in siblings(readable, main)
            if not subject.is_variant
        }
        draw_verdicts("What the paper says about it (Sec. 5.1 to 5.3, 5.6)", judge_defenses(curves))
    session.write_link()


def _draw_transforms(
    session: Session, chosen: Chosen, data: Tested | None, count: int, image: Choice[int], answer: DeltaGenerator
) -> None:
    """The part of the page about transformations in front of the model."""
    main = chosen.main
    name = session.get(DEFENSE)
    strength = strength_choice(transforms[name], main.card.shape)
    left, right, below = three_areas()
    with left:
        st.selectbox(
            "Transform the input",
            OFFERED,
            format_func=lambda n: transforms[n].title,
            **session.widget(DEFENSE),
        )
        transform = transforms[name]().at(session.get(strength))
        strength_slider(
            "Strength",
            transform,
            f"defense-{name}-strength",
            lambda value: session.set(strength, value),
            main.card.shape,
        )
        then = build(session, THEN, "Then", "Then", main.card.shape)
        defense = Compose((transform, *then.steps))
        readings = _readings(chosen, transform, then, data, count)
        st.html(rate_bars(readings, defense.spec))
    # On other images than those without a defense, a difference may be chance.
    without = Performance(main.card.clean_accuracy, main.card.attack_success_rate)
    comparable = not main.repair and (readings[1].rate.total, readings[0].rate.total) == tuple(r.total for r in without)
    before = without if comparable else None
    say(answer, defense_answer(main, defense.label, readings[1].rate, readings[0].rate, before))
    requested = [
        (s, colour, request_curve(session, s, transform, then, tested_for(s, main, data)[0] if data else None))
        for s, colour in _drawn(chosen)
    ]
    jobs().leave(session.identity, tuple(r for _, _, r in requested if isinstance(r, Job)))
    with right:
        _draw_curves(session, chosen, requested, transform, then)
    if data is not None:
        with below:
            answers = predictions(main, main.trigger, data, count, before=defense)
            if answers is not None:
                st.markdown(f"**Attacked images behind {defense.label}**, as the model gets them, and what it says")
                draw_strip(session.get(image), main, data, main.trigger, answers, defense)
                image_picker(session, "First of the images", image, data)
            _draw_strengths(session.get(image), main, data, transform, then)


def _drawn(chosen: Chosen) -> list[tuple[Subject, str]]:
    """The models with a curve: the clean one's success rate is near zero everywhere, and is left out."""
    listed = chosen.all()
    return listed[:-1] if chosen.control is not None else listed


def _readings(chosen: Chosen, transform: Transform, then: Compose, data: Tested | None, count: int) -> list[Reading]:
    """Attack success and clean accuracy of the model under study, of one beside it and of the clean one."""
    readings = []
    defense = Compose((transform, *then.steps))
    for subject, colour in chosen.all():
        own = chosen.main.trigger if subject.is_control else subject.trigger
        rates: Performance | None = None
        kept: Performance | None = None
        attacked = untouched = None
        if data is not None:
            tested_images, target = tested_for(subject, chosen.main, data)
            attacked = predictions(subject, own, tested_images, count, before=defense)
            untouched = predictions(subject, None, tested_images, count, before=defense)
        if data is not None and attacked is not None and untouched is not None:
            rates = Performance(
                clean_accuracy(untouched, tested_images.clean.labels[:count]), success(attacked, target)
            )
        if own.fingerprint == subject.trigger.fingerprint and subject.attack.target == chosen.main.attack.target:
            curve = subject.results.strength(transform.name) if not then.steps else None
            if curve is not None and transform.value in curve.strengths:
                kept = curve.at(transform.value)
        name, nothing = _name(subject, chosen.main), (Rate(0, 0), Rate(0, 0))
        both = zip(("clean accuracy", "attack success rate"), rates or nothing, kept or nothing, strict=True)
        # The stored rate is on more images, those of the rates without a defense.
        for what, now, before in reversed(list(both)):
            note = stored_note(before) if kept else live_note(now) if rates else ""
            readings.append(Reading(f"{name}: {what}", before if kept else now, colour, note))
    return readings


def _name(subject: Subject, main: Subject) -> str:
    """The attack, and the network too where that is another one."""
    return subject.label if subject.card.model == main.card.model else subject.title


def _draw_curves(
    session: Session,
    chosen: Chosen,
    requested: list[tuple[Subject, str, StrengthCurve | Job[StrengthCurve] | None]],
    transform: Transform,
    then: Compose,
) -> None:
    wanted = [r for _, _, r in requested if isinstance(r, Job)]
    polling = any(job.snapshot().running for job in wanted)
    param = params_of(type(transform))[transform.strength]
    axis = f"{transform.title}: {transform.strength}" + (f" ({param.unit})" if param.unit else "")

    @st.fragment(key="strengths", run_every=POLL_SECONDS if polling else None)
    @one_sentence
    def curves() -> None:
        results, errors, shares = gathered([request for _, _, request in requested])
        drawn = [(request, result) for request, result in zip(requested, results, strict=True) if result is not None]
        lines = [StrengthLine(_name(subject, chosen.main), result, colour) for (subject, colour, _), result in drawn]
        running = any(job.snapshot().running for job in wanted)
        if polling and not running:
            st.rerun()
        for error in errors:
            st.error(f"The curve could not be computed: {plain(error)}")
        behind = f", then {then.label}" if then.steps else ""
        st.markdown(f"**{transform.title}{behind}: what it stops and what it costs** ({chosen.main.dataset_label})")
        if lines and shares:
            st.html(strength_sketch(lines, transform.value))
        elif lines:
            figure = figures.strength_curves(lines, axis, transform.value)
            st.plotly_chart(figure, key="strength-curve", config=PLOT_CONFIG, width="stretch")
            counts = ", ".join(
                f"{line.name}: {int(line.result.clean_total.max())} clean, {int(line.result.total.max())} attacked"
                for line in lines
            )
            caption, tools = st.columns([3, 1.2], vertical_alignment="center")
            caption.caption(f"Images per point; bars are 95% intervals. {counts}.")
            with tools:
                curves_of = [(Source.of(subject, before=then), result) for (subject, *_), result in drawn]
                main_source = replace(curves_of[0][0], defense=",".join(filter(None, (transform.name, then.spec))))
                downloads(
                    file_name("strength", main_source, len(drawn) - 1),
                    lambda: strength_rows(
                        curves_of,
                        lambda source, at: replace(source, defense=Compose((transform.at(at), *then.steps)).spec),
                    ),
                    lambda: figure,
                )
        elif not running and not errors:
            st.info("No curve of this defense is stored, and nothing can be measured here.")
        if running:
            progress_bar(min(shares, default=0.0), wanted, "stop-strengths")

    curves()


def _draw_strengths(index: int, subject: Subject, data: Tested, transform: Transform, then: Compose) -> None:
    """One attacked image at every strength (Fig. 8 and 9), and what the model says about each."""
    model = predictor(subject)
    if model is None:
        return
    classes, target = subject.classes, subject.attack.target
    stamped = stamp(data.images[index : index + 1], subject.trigger)
    every = [transform.at(strength) for strength in transform.grid_for(subject.card.shape)[:MOST_SHOWN]]
    steps = [step for step in every if step.possible(subject.card.shape)]
    pictures = torch.cat([Compose((step, *then.steps)).seeded()(stamped) for step in steps])
    with jobs().turnstile.interactive():
        answers = model.predict(pictures).tolist()
    truth = classes[int(data.labels[index])]
    answered = list(zip(pictures, answers, steps, strict=True))
    shown = [
        Shown(data_url(picture), classes[answer], truth, answer == target, step.label)
        for picture, answer, step in answered
    ]
    heading, save = st.columns([6, 1], vertical_alignment="center")
    heading.markdown(f"**One attacked image at every strength** (true class: {truth})")
    with save:
        panels = tuple(Panel(picture, None, step.label, classes[answer]) for picture, answer, step in answered)
        source = replace(Source.of(subject), defense=",".join(filter(None, (transform.name, then.spec))))
        title = f"{subject.title}, {subject.dataset_label}: one attacked image, true class {truth}"
        picture_downloads(file_name("pictures", source), [[Block(title, panels)]])
    st.html(strip(shown, subject.target_name))
