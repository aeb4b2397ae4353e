"""Page *Saliency*: what the network looks at, standard against enhanced attacks (Sec. 5.4, Fig. 10)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from core import formatting
from core.attribution.methods import Method, displayed, methods
from core.models import models
from core.paper.claims import judge_saliency
from core.paper.constants import ATTACKS
from core.sweeps.saliency import TARGETS, Energies, Energy, targets_of
from core.sweeps.saliency_examples import shown_twice
from core.transforms import Compose
from core.transforms.spatial import ShrinkPad
from core.trigger import Trigger
from core.workers.saliency import energies_in_background
from dashboard.figures.heatmap import heat, overlaid
from dashboard.figures.panels import Block, Panel, block_html
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import energy_rows
from dashboard.server.jobs import Job
from dashboard.server.resources import Tested, explained, jobs, tested, tested_for
from dashboard.server.scheduler import waiting_file
from dashboard.server.subjects import Subject, store, subjects
from dashboard.state.session import Choice, Session, one_of, yes_no
from dashboard.state.trigger import place_choices, selected_look, stamped_on
from dashboard.tables.claims import draw_verdicts
from dashboard.tables.rows import siblings
from dashboard.tables.saliency import draw_methods
from dashboard.widgets.controls import (
    choose,
    csv_button,
    image_choice,
    model_choice,
    one_sentence,
    picture_downloads,
    progress_bar,
)
from dashboard.widgets.download import about_data
from dashboard.widgets.live import draw_pad
from dashboard.widgets.page_head import begin, read_link, say
from dashboard.widgets.parameters import parametrised
from dashboard.widgets.transforms import build, parse_spec
from dashboard.words.answers import saliency_answer
from dashboard.words.escaping import plain

EXPLANATION = """
A saliency map says how much every pixel matters for one answer of the network: the brighter, the more. On an attacked
image a backdoored network looks at the **trigger**, not at the object. Behind a transformation the standard attack's
network looks at the object again, and the **enhanced** attack's still at the trigger, wherever it has moved.
"""
METHOD: Choice[str] = Choice("method", "gradient", one_of(methods))
EXPLAIN: Choice[str] = Choice("explain", "target", one_of(TARGETS))
TRANSFORM: Choice[str] = Choice("transform", "shrinkpad", parse_spec)
LAYOUTS = {"overlay": "Over the image", "beside": "Beside the image"}
LAYOUT: Choice[str] = Choice("layout", "beside", one_of(LAYOUTS))
FOLLOWS = yes_no("all-follow")
WHOSE = {"target": "the target label", "predicted": "the predicted class", "true": "the true class"}
ENERGY_IMAGES = 500
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Asked:
    """What is asked of every model: how, whose logit, behind what, shown how."""

    method: Method
    explain: str
    before: Compose
    layout: str

    @property
    def is_stored(self) -> bool:
        """Whether results for it are stored: the paper's method, the target's logit, behind ShrinkPad-4."""
        return self.method == methods["gradient"]() and (self.explain, self.before.spec) == ("target", "shrinkpad")


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Saliency", EXPLANATION)
    chosen = choose(session)
    if chosen is None:
        return
    main = chosen.main
    with st.sidebar:
        st.selectbox("Method", methods.names(), format_func=lambda n: methods[n].label, **session.widget(METHOD))
        method = parametrised(session, methods[session.get(METHOD)], session.get(METHOD))
        st.selectbox(
            "Which answer is explained", TARGETS, format_func=lambda which: WHOSE[which], **session.widget(EXPLAIN)
        )
        transform = replace(TRANSFORM, default=Compose((ShrinkPad.sized(main.card.shape),)).spec)
        before = build(session, transform, "Transform the input", "Then", main.card.shape)
        st.toggle(
            "All attacks follow the trigger",
            help="The maps of every attack below, each with its own trigger at the place that is chosen.",
            **session.widget(FOLLOWS),
        )
        st.selectbox("Show the maps", list(LAYOUTS), format_func=lambda n: LAYOUTS[n], **session.widget(LAYOUT))
    asked = Asked(method, session.get(EXPLAIN), before, session.get(LAYOUT))
    data = tested(main)
    image = image_choice(data)
    row, col = place_choices(main)
    read_link(session, image, row, col)
    about_data(session, main, data)
    found, _ = subjects()
    if data is not None:
        both = [main] + ([chosen.other] if chosen.other is not None else [])

        @st.fragment(key="saliency-live")
        @one_sentence
        def live() -> None:
            left, right = st.columns([7, 13], gap="large")
            place = session.get(row), session.get(col)
            with right:
                for subject in both:
                    trigger = stamped_on(subject, main, selected_look(session, main.trigger), *place)
                    if _can_show(subject, trigger, session.get(image), asked):
                        st.html(_row(subject, trigger, data, session.get(image), asked))
                    else:
                        st.info(_lacking(subject))
            with left:
                draw_pad(session, main, main.trigger.at(*place), data, row, col, image)
            if session.get(FOLLOWS):
                _draw_grid(session, found, main, data, session.get(image), asked, place)
            if session.settled:
                session.write_link()

        live()
        if not session.get(FOLLOWS):
            _draw_grid(session, found, main, data, session.get(image), asked)
    _draw_energies(session, found, main, data, asked, answer)
    every = [(subject, subject.results.saliency_methods) for subject in siblings(found, main)]
    compared = [(subject, stored) for subject, stored in every if stored is not None]
    if compared:
        model = model_choice(found, main.key)
        draw_methods(session, compared, {"method": METHOD, "explain": EXPLAIN, "model": model})
    session.write_link()


def panels_of(subject: Subject, trigger: Trigger, data: Tested, index: int, asked: Asked) -> tuple[Panel, ...]:
    """One stamped image, as it is and behind the transformation: each as image and map, or the map over the image."""
    panels = []
    images, masks = shown_twice(data.images[index : index + 1], trigger, asked.before, index)
    stored = None if subject.checkpoint.has_weights else stored_example(subject, trigger, index, asked)
    predicted: tuple[int, ...]
    if stored is not None:
        maps, predicted = stored
    else:
        model, label = explained(subject), data.labels[index : index + 1].repeat(2)
        with jobs().turnstile.interactive():
            classes = model.predict(images)
            wanted = targets_of(asked.explain, classes, label, subject.attack.target)
            maps, predicted = displayed(asked.method(model, images, wanted)), tuple(classes.tolist())
    for n, what in enumerate(("attacked image", asked.before.label)):
        said = subject.classes[predicted[n]]
        if asked.layout == "overlay":
            panels.append(Panel(overlaid(images[n], maps[n]), masks[n, 0], what, said))
        else:
            panels += [Panel(images[n], None, what, said), Panel(heat(maps[n]), masks[n, 0], f"saliency, {what}")]
    return tuple(panels)


def stored_example(
    subject: Subject, trigger: Trigger, index: int, asked: Asked
) -> tuple[Tensor, tuple[int, int]] | None:
    """The stored maps of a test image, ``(2, H, W)``, and the predicted classes, where they are what is asked for."""
    examples = subject.results.saliency_examples if asked.is_stored else None
    if examples is None or trigger.fingerprint != subject.trigger.fingerprint:
        return None
    return examples.of(index)


def _can_show(subject: Subject, trigger: Trigger, index: int, asked: Asked) -> bool:
    """Whether there are weights, or a stored map of just this."""
    return subject.checkpoint.has_weights or stored_example(subject, trigger, index, asked) is not None


def _lacking(subject: Subject) -> str:
    """What can be seen of a model without its weights."""
    examples = subject.results.saliency_examples
    if examples is None:
        return f"Maps of {plain(subject.title)} need its weights."
    numbers = ", ".join(map(str, examples.indices))
    return (
        f"Of {plain(subject.title)} maps of the test images {numbers} are stored, with the trigger at its own place: "
        "the vanilla gradient of the target label, and behind ShrinkPad-4. All else needs its weights."
    )


def _row(subject: Subject, trigger: Trigger, data: Tested, index: int, asked: Asked) -> str:
    block = Block(subject.title, panels_of(subject, trigger, data, index, asked))
    return f'{STYLE}<div class="ts-saliency large{" two" * (len(block.panels) == 2)}">{block_html(block)}</div>'


def _draw_grid(
    session: Session,
    found: dict[str, Subject],
    main: Subject,
    data: Tested,
    index: int,
    asked: Asked,
    place: tuple[int, int] | None = None,
) -> None:
    """Fig. 10: one row per attack, standard on the left and enhanced on the right; by default at their own places."""
    listed = {subject.attack.title: subject for subject in siblings(found, main)}
    if not listed:
        return
    heading, save = st.columns([6, 1], vertical_alignment="bottom")
    heading.markdown(
        f"### Standard and enhanced attacks (Fig. 10): {models[main.card.model].label}, {main.dataset_label}"
    )
    triggers = {name: subject.trigger for name, subject in listed.items()}
    if place is not None:
        triggers = {
            name: stamped_on(subject, main, selected_look(session, main.trigger), *place)
            for name, subject in listed.items()
        }
    rows = _blocks(listed, triggers, data, index, asked)
    html = f'{STYLE}<div class="ts-saliency">{"".join(_pair(row) for row in rows)}</div>'
    with save:
        source = Source.of(main).all_attacks()
        picture_downloads(file_name(f"saliency-{asked.method.name}-{asked.before.spec}", source), rows)
    st.html(html)


def _blocks(
    listed: dict[str, Subject], triggers: dict[str, Trigger], data: Tested, index: int, asked: Asked
) -> list[list[Block]]:
    """The grid's pictures; those of the last run where nothing changed."""
    subjects = [listed.get(name) for name in ATTACKS]
    looks = tuple(trigger.fingerprint for trigger in triggers.values())
    key = (tuple(s and s.weights for s in subjects), looks, data.name, index, repr(asked))
    known = st.session_state.get("saliency-grid")
    if known is None or known[0] != key:
        blocks = [
            Block(s.label, panels_of(s, triggers[s.attack.title], data, index, asked))
            if s is not None and _can_show(s, triggers[s.attack.title], index, asked)
            else Block("")
            for s in subjects
        ]
        known = (key, [blocks[start : start + 2] for start in range(0, len(blocks), 2)])
        st.session_state["saliency-grid"] = known
    grid: list[list[Block]] = known[1]
    return grid


def _pair(row: list[Block]) -> str:
    return f'<div class="pair">{"".join(f"<div>{block_html(block)}</div>" for block in row)}</div>'


STYLE = """
<style>
.ts-saliency h4 {font-size: .95rem; margin: .2rem 0 .3rem; padding: 0}
.ts-saliency .cells {display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .5rem}
.ts-saliency figure {margin: 0; font-size: .875rem; line-height: 1.25; overflow-wrap: anywhere}
.ts-saliency.large.two .cells {grid-template-columns: repeat(2, minmax(0, 14rem))}
@media (max-width: 640px) {.ts-saliency.large .cells {grid-template-columns: repeat(2, minmax(0, 1fr))}}
.ts-saliency figcaption {margin-top: .15rem; opacity: .85}
.ts-saliency .pair {display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr));
  gap: .4rem 1.6rem; margin-bottom: .8rem}
.ts-heat {position: relative; aspect-ratio: 1}
.ts-heat img {width: 100%; height: 100%; image-rendering: pixelated; border-radius: .2rem; display: block}
</style>
"""


def stored_energies(subject: Subject) -> Energies | None:
    """The stored shares of a model, if they were measured with its own trigger."""
    return subject.results.saliency


def _request(session: Session, subject: Subject, data: Tested | None, asked: Asked) -> Energies | Job[Energies] | None:
    """The stored shares, or a job that measures them where that is possible."""
    stored = stored_energies(subject) if asked.is_stored else None
    if stored is not None or data is None or not subject.checkpoint.has_weights:
        return stored
    images = min(ENERGY_IMAGES, len(data))
    key = (
        "saliency", subject.weights, subject.trigger.fingerprint, data.name, images, asked.method.name,
        sorted(asked.method.to_dict().items()), asked.explain, asked.before.spec,
    )  # fmt: skip
    return jobs().request(
        key,
        Energies,
        lambda: energies_in_background(
            str(store().root), subject.key, asked.method, asked.before, images=images, repair=subject.repair,
            explain=asked.explain, courtesy=waiting_file(),
        ),
        session.identity,
        heavy=False,
    )  # fmt: skip


def _draw_energies(
    session: Session,
    found: dict[str, Subject],
    main: Subject,
    data: Tested | None,
    asked: Asked,
    answer: DeltaGenerator,
) -> None:
    """How much of the saliency falls on the trigger, over many images."""
    st.markdown(f"### Share of the saliency inside the trigger: {models[main.card.model].label}, {main.dataset_label}")
    listed = siblings(found, main, [*ATTACKS, *([main.name] if main.is_variant else [])])
    wanted = st.session_state.get("energies-measured") == _identity(asked) or asked.is_stored
    if not asked.is_stored and data is not None and not wanted:
        st.caption(f"Not stored for this choice. {ENERGY_IMAGES} images of each attack can be measured here.")
        if st.button("Measure", icon=":material/play_arrow:"):
            st.session_state["energies-measured"] = _identity(asked)
            st.rerun()
    requested = []
    for subject in listed:
        tested_images = tested_for(subject, main, data)[0] if wanted and data is not None else None
        requested.append((subject, _request(session, subject, tested_images, asked)))
    running = tuple(request for _, request in requested if isinstance(request, Job))
    jobs().leave(session.identity, running)
    polling = any(job.snapshot().running for job in running)

    @st.fragment(key="energies", run_every=POLL_SECONDS if polling else None)
    @one_sentence
    def table() -> None:
        for job in running:
            if job.snapshot().error:
                st.error(f"The shares could not be measured: {plain(job.snapshot().error)}")
        if polling and not any(job.snapshot().running for job in running):
            st.rerun()
        so_far = [
            (subject, request.snapshot().result if isinstance(request, Job) else request)
            for subject, request in requested
        ]
        measured = [(subject, energies) for subject, energies in so_far if energies is not None and energies.seen]
        _say_answer(answer, main, measured, asked.before.label)
        if measured:
            _draw_table(main, measured, asked)
            if asked.is_stored and not polling:
                by_title = {subject.name: energies for subject, energies in measured if not subject.is_variant}
                draw_verdicts("What the paper says about it (Sec. 5.4)", judge_saliency(by_title))
        elif not polling:
            st.info(f"Nothing is stored; measure it with: `python scripts/sweep.py saliency --checkpoint {main.key}`")
        if polling:
            done = [job.snapshot().done for job in running]
            progress_bar(sum(done) / len(done), running, "stop-energies")

    table()


def _say_answer(place: DeltaGenerator, main: Subject, measured: list[tuple[Subject, Energies]], behind: str) -> None:
    """The page's sentence: the attack under study, and its standard or enhanced partner."""
    partner = main.attack.title.partition("+")[0]
    ordered = sorted(measured, key=lambda pair: pair[0].key != main.key)
    both = [pair for pair in ordered if pair[0].key == main.key or pair[0].attack.title in (partner, f"{partner}+")]
    say(place, saliency_answer(both, behind))


def _draw_table(main: Subject, measured: list[tuple[Subject, Energies]], asked: Asked) -> None:
    """The table of shares with what its words mean, and its file."""
    st.table(energy_table(measured, asked.before.label), width="stretch")
    counts = sorted({energies.seen for _, energies in measured})
    caption, tools = st.columns([4, 1], vertical_alignment="center")
    caption.caption(
        f"In percent with 95% intervals, {' to '.join(map(str, counts))} images. Share: how much of the "
        "saliency falls on the trigger, on average. Area: how much of the image the trigger covers, which is "
        "the share of a map that ignores it. Peak: how often the most salient pixel is on the trigger."
    )
    with tools:
        numbers = [(Source.of(subject), energies) for subject, energies in measured]
        name = file_name(f"saliency-{asked.method.name}", Source.of(main).all_attacks())
        csv_button(name, lambda: energy_rows(numbers, asked.before.spec))


def _identity(asked: Asked) -> str:
    return repr((asked.method, asked.explain, asked.before.spec))


def energy_table(measured: list[tuple[Subject, Energies]], label: str) -> pd.DataFrame:
    """One row per attack: share and interval, attacked and transformed, beside the trigger's share of the area."""

    def cell(energy: Energy) -> str:
        return f"{formatting.percent(energy.mean)} ({formatting.interval(energy.interval)})" if energy.count else ""

    def peak(energy: Energy) -> str:
        rate = energy.peak_rate
        return f"{formatting.percent(rate.value)} ({formatting.interval(rate.interval)})" if energy.count else ""

    table = pd.DataFrame(
        {
            "Share, attacked image": [cell(energies.attacked) for _, energies in measured],
            f"Share, {label}": [cell(energies.transformed) for _, energies in measured],
            "Area, attacked image": [formatting.percent(energies.attacked.area) for _, energies in measured],
            f"Area, {label}": [formatting.percent(energies.transformed.area) for _, energies in measured],
            "Peak, attacked image": [peak(energies.attacked) for _, energies in measured],
            f"Peak, {label}": [peak(energies.transformed) for _, energies in measured],
        },
        index=[subject.label for subject, _ in measured],
    )
    table.index.name = "Attack"
    return table
