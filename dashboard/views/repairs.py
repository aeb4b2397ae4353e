"""The repairs on the page *Defenses*: Fine-Pruning, Neural Cleanse and Auto-Encoder at work on one model (Table 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from core import formatting
from core.data import cache_folder
from core.defenses import Repair, defenses
from core.metrics import Performance
from core.sweeps.repair import OWN, Repaired
from core.sweeps.results import StoredResults, reversed_triggers
from core.trigger import stamp
from core.workers.process import in_process
from dashboard.figures import repairs as repair_figures
from dashboard.figures.base import COLOURS
from dashboard.figures.heatmap import PICTURE_STYLE, heat
from dashboard.figures.html import Reading, rate_bars
from dashboard.figures.panels import Block, Panel, block_html
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import norm_rows
from dashboard.server.jobs import Job
from dashboard.server.owner import ask_for_owner, is_owner, require_owner
from dashboard.server.predictions import predictions
from dashboard.server.resources import Tested, jobs, predictor
from dashboard.server.scheduler import waiting_file
from dashboard.server.subjects import Subject, repairs_of, store
from dashboard.state.session import Choice, Session, one_of
from dashboard.views.pruning import draw_pruning
from dashboard.widgets.controls import GOES_ON, image_picker, progress_bar
from dashboard.widgets.live import draw_answers
from dashboard.widgets.page_head import say
from dashboard.widgets.parameters import parametrised
from dashboard.widgets.save_menu import PLOT_CONFIG, downloads
from dashboard.words.answers import repair_answer
from dashboard.words.escaping import plain

__all__ = ["draw_repairs"]

REPAIR: Choice[str] = Choice("with", "fine-pruning", one_of(defenses))
POLL_SECONDS = 0.5
STRIP = 10
EXPLANATIONS = {
    "fine-pruning": "Channels of the network's last block are removed that are hardly active on clean images, least "
    "active first: that is where a backdoor may sit. How many is decided on clean validation images; the slider shows "
    "what any number would do.",
    "neural-cleanse": "For every class, the smallest trigger is sought that makes the model answer with it. A class "
    "whose trigger is far smaller than the others' is flagged as a target; the model is then trained to ignore that "
    "trigger.",
    "auto-encoder": "Every image is compressed and drawn again by a network that was trained on clean images only. The "
    "trigger is lost on the way, and so is some detail.",
}


def draw_repairs(
    session: Session, main: Subject, data: Tested | None, image: Choice[int], answer: DeltaGenerator
) -> None:
    """Draws the part of the page about repairs; what it answers goes into the place ``answer``."""
    left, right = st.columns([8, 13], gap="large")
    with left:
        st.selectbox("Repair", list(defenses), format_func=lambda n: defenses[n].label, **session.widget(REPAIR))
        name = session.get(REPAIR)
        st.caption(EXPLANATIONS.get(name, defenses[name].__doc__ or ""))
        with st.expander("Settings", icon=":material/tune:"):
            repair = parametrised(session, defenses[name], name)
        # What was run here comes before what came along.
        place = next(
            (stored_name for stored_name in (f"{name}{OWN}", name) if _settings(main, stored_name) == repair), ""
        )
        stored = StoredResults(main.checkpoint).repair(place) if place else None
        _draw_run(session, main, repair, stored, data)
        if stored is not None:
            _draw_rates(stored)
        after = Performance(stored.clean, stored.success) if stored is not None else None
        without = Performance(stored.clean_before, stored.success_before) if stored is not None else None
        say(answer, repair_answer(main, defenses[name].label, after, without))
    with right:
        if name == "fine-pruning":
            draw_pruning(session, main, data, stored, image)
        elif name == "neural-cleanse" and stored is not None:
            _draw_reversed(main, stored, place)
        elif name == "auto-encoder" and stored is not None and data is not None:
            _draw_redrawn(session, main, replace(main, repair=place), data, image)
        elif stored is None:
            st.info("Nothing is stored for this model and these settings yet: run it here, or with the command shown.")


def _settings(main: Subject, name: str) -> Repair | None:
    """The settings of a stored repair."""
    stored = StoredResults(main.checkpoint).repair(name)
    return stored.repair if stored is not None else None


def _repair_key(main: Subject, repair: Repair) -> tuple[object, ...]:
    return "repair", main.weights, repair.name, sorted(repair.to_dict().items())


def start_repair(main: Subject, repair: Repair, by: str) -> Job[Repaired]:
    """Runs a repair, or finds the same one under way; it goes on to its end, whoever leaves the page.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
    """
    require_owner(by, "running a repair")
    # What came with the repository is what the tables are made of, and stays.
    own = store().is_shipped(main.key)
    return jobs().request(
        _repair_key(main, repair), Repaired, partial(_repair_elsewhere, main.key, repair, own), by,
        heavy=False, cached=False, to_end=True, anew=True,
    )  # fmt: skip


def stop_repair(job: Job[Repaired], by: str) -> None:
    """Stops a repair, unless somebody else who started it has it before them.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
    """
    require_owner(by, "stopping a repair")
    jobs().stop(by, [job])


def _draw_run(session: Session, main: Subject, repair: Repair, stored: Repaired | None, data: Tested | None) -> None:
    """A button that runs the repair, its progress for everybody, and a way to stop it."""
    me = session.identity
    if main.repair:
        st.info("This is a repaired model already: choose “Repair the model: No repair” to repair the model itself.")
        return
    job: Job[Repaired] | None = jobs().find(_repair_key(main, repair))
    jobs().leave(me, (job,) if job is not None else ())
    if job is None or not job.snapshot().running:
        if job is not None and (failed := job.snapshot().error):
            st.error(f"The repair failed: {plain(failed)}")
        label = "Run again" if stored is not None else "Run"
        runnable = data is not None and main.checkpoint.has_weights
        if (
            runnable
            and ask_for_owner(me, "running a repair", "repair")
            and st.button(label, icon=":material/play_arrow:")
        ):
            start_repair(main, repair, me)
            st.rerun()
        if stored is None:
            st.code(f"python scripts/defend.py {repair.name} --checkpoint {main.key}", language=None, wrap_lines=True)
        return
    running = job

    @st.fragment(run_every=POLL_SECONDS)
    def progress() -> None:
        snapshot = running.snapshot()
        if not snapshot.running:
            st.rerun()
        note = snapshot.result.note if snapshot.result is not None else "starting"
        text = f"{repair.label}: {note}, {snapshot.seconds:.0f} s"
        stop = partial(stop_repair, running, me)
        progress_bar(snapshot.done, [running], "stop-repair", text, stop=stop, stoppable=is_owner(me))
        st.caption(GOES_ON)

    progress()


def _repair_elsewhere(key: str, repair: Repair, own: bool) -> Iterator[Repaired]:
    """Repairs a model in a process of its own, one at a time on this machine."""
    described = {"name": repair.name, "params": repair.to_dict()}
    first = Repaired(defense=described, done=0, note="starting, or waiting for another repair")
    arguments = {"store": str(store().root), "key": key, "defense": described, "own": own}
    alone = cache_folder() / "repairs.lock"
    function = "core.sweeps.repair:stored_repair_sweep"
    return in_process(function, arguments, first, alone=alone, courtesy=waiting_file())


def _draw_rates(stored: Repaired) -> None:
    st.html(
        rate_bars(
            [
                Reading("Attack success rate after the repair", stored.success, COLOURS[0]),
                Reading("Attack success rate before", stored.success_before, COLOURS[0]),
                Reading("Clean accuracy after the repair", stored.clean, COLOURS[2]),
                Reading("Clean accuracy before", stored.clean_before, COLOURS[2]),
            ],
            "repair",
        )
    )
    st.caption(
        f"Took {formatting.seconds(stored.seconds)} s. Measured on the half of the test set that the repair has not "
        "seen."
    )


def _draw_reversed(main: Subject, stored: Repaired, place: str) -> None:
    """Every label's reversed trigger, the size of its mask and its index, beside the true trigger."""
    record, classes = stored.record, main.classes
    indices = [float(index) for index in record["indices"]]
    names = [classes[label] for label in record["flagged"]]
    if names:
        verdict = f"flagged as the target of a backdoor: **{', '.join(names)}**"
    else:
        verdict = "no class is flagged: no mask is far smaller than the others"
    truth = "it is a clean model" if main.is_control else f"the true target is **{main.target_name}**"
    st.markdown(f"Neural Cleanse: {verdict}; {truth}.")
    figure = repair_figures.norms(classes, record["norms"], indices, record["flagged"])
    source = replace(Source.of(main), repair="neural-cleanse")
    st.plotly_chart(figure, key="norms", config=PLOT_CONFIG, width="stretch")
    note, tools = st.columns([3, 1.2], vertical_alignment="center")
    note.caption(
        "Size of the smallest trigger found for each class (L1 norm of its mask). The number on a bar is its anomaly "
        "index, how far it lies from the others; a class with a small trigger and an index above 2 is flagged."
    )
    with tools:
        downloads(file_name("reversed-triggers", source), lambda: norm_rows(source, classes, record), lambda: figure)
    if len(stored.runs) > 1:
        _draw_seeds(main, stored)
    tensors = reversed_triggers(main.checkpoint, place)
    if tensors is None:
        return
    masks, patterns = tensors
    ground = torch.full(main.card.shape, 0.5)
    panels = [Panel(stamp(ground[None], main.trigger)[0], None, "the trigger of training")]
    for label, name in enumerate(classes):
        mark = " (flagged)" if label in record["flagged"] else ""
        stamped = (1 - masks[label]) * ground + masks[label] * patterns[label]
        panels.append(Panel(stamped, None, f"{name}{mark}", f"{formatting.number(record['norms'][label])} px"))
    st.markdown("**Reversed triggers on a gray image**, and the size of their masks")
    st.html(f'{STYLE}<div class="ts-reversed">{block_html(Block("", tuple(panels)))}</div>')
    with st.expander("Masks alone"):
        shown = tuple(Panel(heat(masks[label, 0]), None, name) for label, name in enumerate(classes))
        st.html(f'{STYLE}<div class="ts-reversed">{block_html(Block("", shown))}</div>')


def _draw_seeds(main: Subject, stored: Repaired) -> None:
    """The same search with other seeds: which labels each flags, and what is left of the attack."""
    classes, target = main.classes, main.attack.target
    st.markdown(f"**The same with {len(stored.runs)} seeds**; the figures here are those of seed {stored.runs[0].seed}")
    rows = []
    for run in stored.runs:
        index = {} if main.is_control else {f"index of {main.target_name}": float(run.record["indices"][target])}
        rows.append(
            {"seed": str(run.seed)}
            | index
            | {
                "flagged": _flagged(classes, run.record["flagged"]),
                "attack success rate (%)": 100 * run.success.value,
                "clean accuracy (%)": 100 * run.clean.value,
            }
        )
    percent = st.column_config.NumberColumn(format="%.1f")
    columns = dict.fromkeys(("attack success rate (%)", "clean accuracy (%)"), percent)
    columns[f"index of {main.target_name}"] = st.column_config.NumberColumn(format="%.2f")
    st.dataframe(rows, column_config=columns, hide_index=True, width="stretch")
    st.caption(f"Rates of {stored.success.total} attacked and {stored.clean.total} clean images.")


def _flagged(classes: Sequence[str], labels: Sequence[int]) -> str:
    return ", ".join(classes[label] for label in labels) or "none"


STYLE = (
    PICTURE_STYLE
    + """
<style>
.ts-reversed h4 {display: none}
.ts-reversed .cells {display: grid; grid-template-columns: repeat(auto-fill, minmax(5.6rem, 1fr)); gap: .5rem}
.ts-reversed figure {margin: 0; font-size: .78rem; line-height: 1.25}
</style>
"""
)


def _draw_redrawn(session: Session, main: Subject, subject: Subject, data: Tested, image: Choice[int]) -> None:
    """Original, attacked and redrawn images, with the answers of the model and of the repaired one."""
    if not main.checkpoint.has_weights or subject.repair not in repairs_of(main):
        st.info("The weights are not stored here, so nothing can be drawn.")
        return
    start = session.get(image)
    images, labels = data.images[start : start + STRIP], data.labels[start : start + STRIP]
    stamped = stamp(images, main.trigger)
    model, plain = subject.model(), predictor(main)
    with torch.inference_mode(), jobs().turnstile.interactive():
        redrawn = model.normalise.purifier(stamped)  # type: ignore[operator]
        untouched = plain.predict(images) if plain is not None else None
    before, after = (predictions(s, main.trigger, data, STRIP, start) for s in (main, subject))
    rows = (("Original", images, untouched), ("Attacked", stamped, before), ("Attacked, then redrawn", redrawn, after))
    for title, pictures, answers in rows:
        st.markdown(f"**{title}**")
        if answers is not None:
            draw_answers(main, pictures, labels, answers.tolist())
    image_picker(session, "First of the images", image, data)
