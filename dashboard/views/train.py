"""Page *Train*: a model of one's own, attacked or clean, with everything the attack declares."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from core import formatting
from core.attacks import Attack, Enhanced, Enhancement, attacks
from core.attacks.badnets import Benign
from core.card_images import at, is_folder
from core.data import Dataset, datasets
from core.estimate import Estimate, estimate
from core.inference import select_device
from core.models import models
from core.randomness import generator_for
from core.recipes import RECIPES, recipe_for
from core.steps import pays
from core.training import Plan, with_free_name
from core.unfinished import Epoch, read_unfinished
from dashboard import presenting
from dashboard.answers import poisoning_answer
from dashboard.controls import PLOT_CONFIG, downloads, one_sentence
from dashboard.figures import COLOURS
from dashboard.jobs import Job
from dashboard.parameters import parametrised
from dashboard.resources import jobs, present, store
from dashboard.saved import Source, file_name
from dashboard.saved_tables import training_rows
from dashboard.session import Choice, Session, integer_in, one_of, yes_no
from dashboard.trainings import Training, Trainings, trainings

EXPLANATION = """
Here a model is trained on this machine: clean, or with a backdoor. Choose how the attack poisons the training images;
while it trains you see how the model learns its task (**clean accuracy**) and the backdoor (**attack success rate**).
A training goes on when the page is closed, survives a restart of the application, and its model is in every list as
soon as it is finished. A model that came with the repository is never replaced here.
"""
# A folder of one's own needs a path, which only the command line takes.
DATASETS = [name for name in datasets if name != "folder"]
DATASET: Choice[str] = Choice("train-on", "shapes10", one_of(DATASETS))
MODEL: Choice[str] = Choice("train-model", "resnet20", one_of(models))
ATTACK: Choice[str] = Choice("train-attack", "badnets", one_of(attacks))
ENHANCED = yes_no("train-enhanced")
RECIPE: Choice[str] = Choice("train-recipe", "fast", one_of(RECIPES))
SEED: Choice[int] = Choice("train-seed", 0, integer_in(0, 9999))
NAME: Choice[str] = Choice("train-name", "", str)
POLL_SECONDS = 1.0


@one_sentence
def show() -> None:
    """Draws the page."""
    session = Session()
    present(session.identity)
    presenting.present(session)
    answer = presenting.page_head(session, "Train", EXPLANATION)
    what, how, long = st.columns(3, gap="medium")
    plan = _choose_plan(session, what, how, long)
    for complaint in session.complaints():
        st.warning(complaint, icon=":material/link_off:")
    presenting.say(answer, _poisoning(plan))
    with long:
        _offer(session, plan)
    st.markdown("### Trainings")
    _draw_trainings()
    session.write_link()


def _poisoning(plan: Plan) -> str:
    """What the chosen attack will do to the training set."""
    if not plan.dataset.available():
        return f"{plan.dataset.label} is not on this machine: nothing can be trained on it here."
    labels = _training_labels(_described(plan.dataset))
    attack = plan.attack
    base = attack.base if isinstance(attack, Enhanced) else attack
    if isinstance(base, Benign):
        return f"No attack: the model is trained on {len(labels):,} images as they are."
    poisoned = int(attack.select(labels, generator_for(plan.seed, "select")).sum())
    return poisoning_answer(attack.label, poisoned, len(labels), plan.dataset.classes[attack.target])


def _choose_plan(session: Session, what: DeltaGenerator, how: DeltaGenerator, long: DeltaGenerator) -> Plan:
    """What is to be trained, chosen in three columns."""
    with what:
        st.markdown("##### What")
        st.selectbox("Data set", DATASETS, format_func=lambda one: datasets[one].label, **session.widget(DATASET))
        st.selectbox("Network", list(models), format_func=lambda one: models[one].label, **session.widget(MODEL))
        st.selectbox("Attack", list(attacks), format_func=lambda one: attacks[one].label, **session.widget(ATTACK))
        st.toggle(
            "Enhanced (Sec. 4.2)",
            help="Every poisoned image is flipped and shrunk at random before the model sees it.",
            **session.widget(ENHANCED),
        )
    kind, model = attacks[session.get(ATTACK)], session.get(MODEL)
    dataset = datasets[session.get(DATASET)]()
    with how:
        st.markdown(f"##### {kind.label}")
        defaults = kind.by_model.get(model, {})
        attack: Attack = parametrised(session, kind, f"train-{kind.name}", defaults, dataset.classes)
    if session.get(ENHANCED):
        with what:
            attack = Enhanced(base=attack, enhancement=parametrised(session, Enhancement, "train-enhancement"))
    with long:
        st.markdown("##### How long")
        st.selectbox("Recipe", RECIPES, help="The paper's, or a short one of the same class.", **session.widget(RECIPE))
        recipe = recipe_for(session.get(RECIPE), model)
        epochs = Choice("train-epochs", recipe.epochs, integer_in(1, 1000))
        st.number_input("Epochs", 1, 1000, help=f"The recipe has {recipe.epochs}.", **session.widget(epochs))
        st.number_input(
            "Seed",
            0,
            9999,
            help="The same seed draws the same images and weights.",
            **session.widget(SEED),
        )
    recipe = replace(recipe, epochs=session.get(epochs))
    return Plan(
        dataset=dataset,
        model=model,
        attack=attack,
        recipe_name=session.get(RECIPE),
        recipe=recipe,
        seed=session.get(SEED),
    )


def _offer(session: Session, plan: Plan) -> None:
    """Says how long it will take, and the button that starts it."""
    running = trainings(str(store().root))
    if not plan.dataset.available():
        st.info(f"{plan.dataset.label} is not on this machine; the page *Trigger location* offers to fetch it.")
        return
    _draw_estimate(session, plan)
    named, agreed = _choose_name(session, plan)
    if named is None:
        return
    busy = any(one.running and one.key == named.key for one in running.unfinished())
    if st.button("Start", type="primary", disabled=not agreed or busy, icon=":material/play_arrow:"):
        running.start(named)
        st.rerun()


def _choose_name(session: Session, plan: Plan) -> tuple[Plan | None, bool]:
    """The plan with the name that its model will have, or None if it cannot have it; and whether it can start so."""
    free = with_free_name(plan, store())
    automatic = free.key.rpartition("/")[2]
    st.text_input(
        "Name",
        placeholder=automatic,
        help="The attack, and what differs from its defaults; or a name of your own.",
        **session.widget(NAME),
    )
    try:
        named = replace(plan, name=given) if (given := session.get(NAME).strip()) else free
        key = store().checkpoint(named.key).key
    except ValueError as error:
        st.error(str(error))
        return None, False
    if store().is_shipped(key):
        came, command = "came with the repository and is not replaced here", "scripts/train.py --replace"
        st.error(f"`{key}` {came}; choose another name, such as `{automatic}`, or replace it with `{command}`.")
        return None, False
    unfinished = read_unfinished(store().checkpoint(key).folder)
    if unfinished is not None and not plan.trains_like(unfinished.plan):
        st.error(f"`{key}` is a training with other settings that has not ended; discard it, or choose another name.")
        return None, False
    if key.endswith(f"/{plan.attack.title}"):
        st.markdown(f"The model will be `{key}`, the one that the paper's numbers are compared with.")
    else:
        st.markdown(f"The model will be `{key}`.")
    if not store().checkpoint(key).exists:
        return named, True
    help_text = "It stays until the new one is finished, and is replaced then."
    return named, st.checkbox(f"Replace the stored `{key}`", help=help_text)


def _draw_estimate(session: Session, plan: Plan) -> None:
    """How long it will take, measured with a few steps of it."""
    device = select_device()
    images = len(_training_labels(_described(plan.dataset)))
    compiled = pays(plan.effective_recipe, images, device)
    described = json.dumps({**plan.to_dict(), "recipe": plan.effective_recipe.to_dict()}, sort_keys=True)
    job: Job[Estimate] = jobs().request(
        ("estimate", described, str(device)),
        Estimate,
        lambda: estimate(plan, images, device),
        session.identity,
        cached=False,
    )
    jobs().leave(session.identity, (job,))
    running = job.snapshot().running

    @st.fragment(run_every=0.5 if running else None)
    def waiting() -> None:
        snapshot = job.snapshot()
        if running and not snapshot.running:
            st.rerun()
        found = snapshot.result
        if snapshot.error:
            st.error(f"This cannot be trained: {snapshot.error.partition(': ')[2] or snapshot.error}")
        elif found is None or found.seconds == 0:
            st.markdown("Timing a few steps ...")
        else:
            epochs = plan.effective_recipe.epochs
            st.markdown(
                f"**About {duration(found.seconds)}**: {epochs} epochs of {images:,} images at "
                f"{found.images_per_second:,.0f} images a second, timed here just now."
                + (" A training as long as this is compiled first, and is a little faster." if compiled else "")
            )

    waiting()


def _described(dataset: Dataset) -> str:
    return json.dumps({"name": dataset.name, "params": dataset.to_dict()}, sort_keys=True)


@st.cache_resource(show_spinner=False)
def _training_labels(source: str) -> Tensor:
    described = json.loads(source)
    return datasets[described["name"]].from_dict(described["params"]).load("train").labels


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{formatting.number(seconds / 3600)} hours"


def _draw_trainings() -> None:
    """Every training that has not ended, with its curves and what can be done with it."""
    every = trainings(str(store().root))
    listed = every.unfinished()
    if not listed:
        st.caption("None is running or interrupted.")
        return

    @st.fragment(key="trainings", run_every=POLL_SECONDS if any(one.running for one in listed) else None)
    @one_sentence
    def live() -> None:
        now = every.unfinished()
        if [(one.key, one.running) for one in now] != [(one.key, one.running) for one in listed]:
            st.rerun()
        for one in now:
            _draw_training(every, one)

    live()


def _draw_training(every: Trainings, one: Training) -> None:
    """One training: its name and buttons, its progress, its curves."""
    with st.container(border=True):
        epochs = one.plan.effective_recipe.epochs if one.plan is not None else 0
        title, buttons = st.columns([3, 2], vertical_alignment="center")
        title.markdown(f"**{one.key}** · {'running' if one.running else 'interrupted'}")
        with buttons.container(horizontal=True, horizontal_alignment="right"):
            if one.running and st.button("Pause", key=f"pause {one.key}", icon=":material/pause:"):
                every.pause(one.key)
                st.rerun()
            plan = None if one.running or one.plan is None else _placed(one.key, one.plan)
            if plan is not None and st.button("Continue", key=f"continue {one.key}", icon=":material/play_arrow:"):
                every.start(plan)
                st.rerun()
            if st.button("Discard", key=f"discard {one.key}", icon=":material/delete:"):
                every.forget(one.key)
                st.rerun()
        if one.error:
            st.error(one.error)
        if (
            not one.running
            and one.plan is not None
            and is_folder(one.plan.dataset)
            and not one.plan.dataset.available()
        ):
            st.text_input(
                "The folder is now at",
                key=f"moved-{one.key}",
                placeholder=str(one.plan.dataset.to_dict()["path"]),
                help="Where its images were moved since the training began; then continue.",
            )
        left = ""
        if one.history:
            last = one.history[-1]
            left = f", about {duration(last.seconds / last.epoch * (epochs - last.epoch))} left" * one.running
        st.progress(one.done, f"{len(one.history)} of {epochs} epochs{left}")
        if one.history:
            figure = curves(one.history)
            st.plotly_chart(figure, key=f"curves {one.key}", config=PLOT_CONFIG, width="stretch")
            dataset, network, name = one.key.split("/")
            source = Source(dataset, "", network, name)
            downloads(
                file_name("training", source), partial(training_rows, source, one.history), partial(go.Figure, figure)
            )


def _placed(key: str, plan: Plan) -> Plan | None:
    """A plan whose images are where the page says they are now; none where that is no folder."""
    path = str(st.session_state.get(f"moved-{key}", "")).strip()
    if not path:
        return plan
    try:
        return replace(plan, at=at(plan.dataset, path))
    except (ValueError, OSError) as error:
        st.error(str(error))
        return None


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
