"""The list on the page *Train*: what is trained, waits or was interrupted, and the models that are finished."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote

import plotly.graph_objects as go
import streamlit as st

from core import formatting
from core.metrics import Rate
from core.store.card import Card, Damaged
from core.store.card_images import at, is_folder
from core.store.local import CARD, DEFAULT_ROOT
from core.training.speeds import seconds_left
from core.training.state import Epoch
from core.training.trainer import Plan
from dashboard.figures.base import COLOURS
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import training_rows
from dashboard.server.owner import is_owner
from dashboard.server.trainings import Training, Trainings
from dashboard.widgets.controls import one_sentence
from dashboard.widgets.estimate import duration
from dashboard.widgets.save_menu import PLOT_CONFIG, downloads
from dashboard.words.escaping import plain

__all__ = ["curves", "draw_trainings", "finished"]

POLL_SECONDS = 1.0
MOST_FINISHED = 10
"""Finished models that are listed, the latest first."""
PAGES = {"location": "Trigger location", "appearance": "Trigger appearance", "defenses": "Defenses"}


def draw_trainings(every: Trainings, session: str) -> None:
    """Every training that has not ended and the latest that have, with their curves and what can be done with them.

    Args:
        every: The trainings of the store.
        session: Identity of the session that looks at them.
    """
    st.markdown("### Trainings")
    listed = every.unfinished()
    if not listed:
        st.caption("None is running or interrupted.")
    else:

        @st.fragment(
            key="trainings",
            run_every=POLL_SECONDS if any(training.running or training.place for training in listed) else None,
        )
        @one_sentence
        def live() -> None:
            now = every.unfinished()
            if [_state(training) for training in now] != [_state(training) for training in listed]:
                st.rerun()
            for training in now:
                _draw_training(every, training, session)

        live()
    done = finished(every)
    if done:
        st.markdown("### Finished")
        for model in done[:MOST_FINISHED]:
            _draw_finished(every, model, session)
        if len(done) > MOST_FINISHED:
            st.caption(f"{len(done) - MOST_FINISHED} older ones are in the lists of the other pages.")


def _state(training: Training) -> tuple[str, bool, int]:
    return training.key, training.running, training.place


def _draw_training(every: Trainings, training: Training, session: str) -> None:
    """One training: its name and buttons, its progress, its curves."""
    with st.container(border=True):
        epochs = training.plan.effective_recipe.epochs if training.plan is not None else 0
        title, buttons = st.columns([3, 2], vertical_alignment="center")
        state = "running" if training.running else "interrupted"
        if training.place:
            state = f"waits, number {training.place} in the queue"
        title.markdown(f"**{training.key}** · {state}")
        title.caption(f"Started by {every.starter(training.key, session)}")
        with buttons.container(horizontal=True, horizontal_alignment="right"):
            _draw_buttons(every, training, session)
        if training.error:
            st.error(plain(training.error))
        if _asks_for_folder(training) and is_owner(session):
            st.text_input(
                "The folder is now at",
                key=f"moved-{training.key}",
                placeholder=str(training.plan.dataset.to_dict()["path"]) if training.plan is not None else "",
                help="Where its images were moved since the training began; then continue.",
            )
        left = ""
        if training.history:
            left = f", about {duration(seconds_left(training.history) or 0)} left" * training.running
        st.progress(training.done, f"{len(training.history)} of {epochs} epochs{left}")
        if training.history:
            _draw_curves(training.key, training.history, "curves")


def _draw_buttons(every: Trainings, training: Training, session: str) -> None:
    """What this session may do with a training; :class:`Trainings` asks again."""
    stands = not training.running and not training.place
    plan = _placed(training.key, training.plan, session) if stands and training.plan is not None else None
    if plan is not None and is_owner(session) and st.button("Continue", key=f"continue {training.key}", icon=PLAY):
        every.start(plan, session)
        st.rerun()
    if not every.may(training.key, session):
        return
    if training.place:
        if st.button("Take out", key=f"take out {training.key}", icon=":material/close:"):
            every.take_out(training.key, session)
            st.rerun()
        return
    if training.running and st.button("Pause", key=f"pause {training.key}", icon=":material/pause:"):
        every.pause(training.key, session)
        st.rerun()
    if st.button("Discard", key=f"discard {training.key}", icon=":material/delete:"):
        every.forget(training.key, session)
        st.rerun()


PLAY = ":material/play_arrow:"


def _asks_for_folder(training: Training) -> bool:
    """Whether a training cannot go on because its folder of images is not where it was."""
    plan = None if training.running or training.place else training.plan
    return plan is not None and is_folder(plan.dataset) and not plan.dataset.available()


def _placed(key: str, plan: Plan, session: str) -> Plan | None:
    """A plan whose images are where the owner says they are now; none where that is no folder."""
    path = str(st.session_state.get(f"moved-{key}", "")).strip() if is_owner(session) else ""
    if not path:
        return plan
    try:
        return replace(plan, at=at(plan.dataset, path))
    except (ValueError, OSError) as error:
        st.error(plain(error))
        return None


@dataclass(frozen=True)
class Finished:
    """A model that was trained on this machine, or put into the store by hand.

    Attributes:
        key: Where it is stored.
        card: What it is.
        at: When it was stored, in seconds since 1970.
    """

    key: str
    card: Card
    at: float


def finished(every: Trainings) -> list[Finished]:
    """The stored models that did not come with the repository, the latest first."""
    models = []
    for key, card in every.store.cards():
        if not isinstance(card, Damaged) and not every.store.is_shipped(key):
            try:
                models.append(Finished(key, card, (every.store.root / key / CARD).stat().st_mtime))
            except FileNotFoundError:
                continue  # deleted meanwhile
    return sorted(models, key=lambda model: -model.at)


def _draw_finished(every: Trainings, model: Finished, session: str) -> None:
    """One finished model: its rates, the pages that show it, its curves, and how to delete it."""
    card, key = model.card, model.key
    clean, success = (f"{formatting.percent(r.value)}%" for r in (card.clean_accuracy, card.attack_success_rate))
    stored = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.at))
    with st.expander(f"{key} · {stored} · clean accuracy {clean}, attack success rate {success}"):
        links = [f"[{title}]({page}?model={quote(key, safe='/')})" for page, title in PAGES.items()]
        made = f"Trained in {duration(card.seconds)}."
        if card.is_imported:
            made = f"Imported from `{plain(card.recipe['params'].get('file', 'a file'))}`, trained elsewhere."
        st.markdown(f"{made} See it on: {', '.join(links)}.")
        history = _history(card.history)
        if history:
            _draw_curves(key, history, "finished")
        st.caption("To delete it, with everything that was measured on it:")
        root = "checkpoints" if every.store.root == DEFAULT_ROOT else "$TRIGGER_CHECKPOINTS"
        st.code(f'rm -r "{root}/{key}"', language=None)
        if every.may(key, session) and every.was_trained_here(key):
            with st.popover("Delete", icon=":material/delete:"):
                sure = st.checkbox(f"Yes, delete `{key}` for everybody", key=f"sure {key}")
                if st.button("Delete it", key=f"delete {key}", disabled=not sure) and sure:
                    every.delete(key, session)
                    st.rerun()


def _history(entries: tuple[Mapping[str, Any], ...]) -> tuple[Epoch, ...]:
    """The epochs of a card; none where they are not as the trainings of this version write them."""
    try:
        return tuple(
            Epoch(
                int(entry["epoch"]), len(entries), float("nan" if entry["loss"] is None else entry["loss"]),
                Rate(**entry["clean_accuracy"]), Rate(**entry["attack_success_rate"]),
                float(entry["seconds"]), float(entry["images_per_second"]),
            )
            for entry in entries
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return ()


def _draw_curves(key: str, history: tuple[Epoch, ...], where: str) -> None:
    """The curves of a training, to be saved too; ``where`` says in which of the lists they are."""
    figure = curves(history)
    st.plotly_chart(figure, key=f"{where} {key}", config=PLOT_CONFIG, width="stretch")
    dataset, network, model = key.split("/")
    source = Source(dataset, "", network, model)
    name = file_name("training", source)
    downloads(name, partial(training_rows, source, history), partial(go.Figure, figure), where)


def curves(history: tuple[Epoch, ...]) -> go.Figure:
    """Clean accuracy and attack success rate with 95% intervals, and the loss on an axis of its own, over epochs."""
    figure = go.Figure()
    epochs = [epoch.epoch for epoch in history]
    for name, colour, rates in (
        ("attack success rate", COLOURS[0], [epoch.attack_success_rate for epoch in history]),
        ("clean accuracy", COLOURS[1], [epoch.clean_accuracy for epoch in history]),
    ):
        values = [100 * rate.value for rate in rates]
        ends = [rate.interval for rate in rates]
        bars = {
            "type": "data",
            "symmetric": False,
            "array": [100 * high - value for (_, high), value in zip(ends, values, strict=True)],
            "arrayminus": [value - 100 * low for (low, _), value in zip(ends, values, strict=True)],
            "thickness": 1,
        }
        figure.add_scatter(x=epochs, y=values, name=name, mode="lines+markers", line={"color": colour}, error_y=bars)
    losses = [epoch.loss for epoch in history]
    figure.add_scatter(
        x=epochs, y=losses, name="loss", yaxis="y2", line={"color": COLOURS[2], "dash": "dot"}, mode="lines"
    )
    figure.update_layout(
        height=280,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"title": "epoch", "dtick": 1 if len(history) <= 12 else None},
        yaxis={"title": "%", "range": [0, 102]},
        yaxis2={
            "title": "loss",
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
            "tickformat": ".1f",
        },
        legend={"orientation": "h", "y": -0.25},
    )
    return figure
