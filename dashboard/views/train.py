"""Page *Train*: a model of one's own, attacked or clean, with everything the attack declares."""

from __future__ import annotations

import json
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from core.attacks import Attack, Enhanced, Enhancement, attacks
from core.attacks.badnets import Benign
from core.attacks.own_trigger import OwnTrigger
from core.data import Dataset, datasets
from core.models import models
from core.paper.constants import ATTACKS, GRAY
from core.params import params_of
from core.recipe import RECIPES, recipe_for
from core.runtime.seeding import generator_for
from core.training.state import read_unfinished
from core.training.trainer import Plan, with_free_name
from core.transforms.spatial import LARGEST
from core.trigger import size_factor, stamp
from dashboard.figures.html import Shown, data_url, strip
from dashboard.server.owner import ask_for_owner
from dashboard.server.resources import jobs
from dashboard.server.subjects import store
from dashboard.server.trainings import trainings
from dashboard.state.session import Choice, Session, integer_in, one_of, yes_no
from dashboard.views.trained import draw_trainings
from dashboard.widgets.controls import one_sentence
from dashboard.widgets.download import offer_download
from dashboard.widgets.estimate import draw_estimate
from dashboard.widgets.layer_preview import draw_layer_preview
from dashboard.widgets.own_images import NAMES, choose_dataset, dataset_label
from dashboard.widgets.own_trigger import choose_attack_trigger
from dashboard.widgets.page_head import begin, read_link, say
from dashboard.widgets.parameters import parameter_choice, parametrised
from dashboard.words.answers import poisoning_answer
from dashboard.words.escaping import plain

EXPLANATION = """
Here a model is trained on this machine: clean, or with a backdoor. Choose how the attack poisons the training images;
while it trains you see how the model learns its task (**clean accuracy**) and the backdoor (**attack success rate**).
A training goes on when the page is closed, survives a restart of the application, and its model is in every list as
soon as it is finished. One is trained at a time, others wait in a queue, which survives a restart too. A model that
came with the repository is never replaced here.
"""
DATASET: Choice[str] = Choice("train-on", "shapes10", one_of(NAMES))
MODEL: Choice[str] = Choice("train-model", "resnet20", one_of(models))
ATTACK: Choice[str] = Choice("train-attack", "badnets", one_of(attacks))
ENHANCED = yes_no("train-enhanced")
RECIPE: Choice[str] = Choice("train-recipe", "fast", one_of(RECIPES))
SEED: Choice[int] = Choice("train-seed", 0, integer_in(0, 9999))
LAYER = "train-enhancement"
OF_THE_PAPER = frozenset({*ATTACKS, GRAY, Benign.name})
PAPER = (3, 32, 32)
NAME: Choice[str] = Choice("train-name", "", str)
EXAMPLES = 10


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Train", EXPLANATION)
    what, how, long = st.columns(3, gap="medium")
    plan = _choose_plan(session, what, how, long)
    read_link(session)
    say(answer, _poisoning(plan) if plan is not None else "Choose images and trigger to train on.")
    if plan is not None and isinstance(plan.attack, Enhanced):
        draw_layer_preview(plan.attack, plan.dataset, plan.seed)
    with long:
        if plan is not None:
            _offer(session, plan)
    if plan is not None and not isinstance(plan.attack, Enhanced):
        _draw_examples(plan)
    draw_trainings(trainings(str(store().root)), session.identity)
    session.write_link()


def _poisoning(plan: Plan) -> str:
    """What the chosen attack will do to the training set."""
    if not plan.dataset.available():
        return f"{plan.dataset.label} is not on this machine: nothing can be trained on it here."
    labels, _ = _training(_described(plan.dataset))
    attack = plan.attack
    base = attack.base if isinstance(attack, Enhanced) else attack
    if isinstance(base, Benign):
        return f"No attack: the model is trained on {len(labels):,} images as they are."
    poisoned = int(attack.select(labels, generator_for(plan.seed, "select")).sum())
    return poisoning_answer(plain(attack.label), poisoned, len(labels), plain(plan.dataset.classes[attack.target]))


def _choose_plan(session: Session, what: DeltaGenerator, how: DeltaGenerator, long: DeltaGenerator) -> Plan | None:
    """What is to be trained, chosen in three columns; None where images or trigger are not chosen yet."""
    with what:
        st.markdown("##### What")
        st.selectbox("Data set", NAMES, format_func=dataset_label, **session.widget(DATASET))
        dataset = choose_dataset(session, session.get(DATASET), "train", "training on images of one's own")
        st.selectbox("Network", list(models), format_func=lambda name: models[name].label, **session.widget(MODEL))
        st.selectbox(
            "Attack", list(attacks), format_func=lambda name: plain(attacks[name].label), **session.widget(ATTACK)
        )
        st.toggle(
            "Enhanced (Sec. 4.2)",
            help="Images are transformed at random before the model sees them, by default flipped and shrunk: the "
            "poisoned ones and, unless that is switched off, the benign ones.",
            **session.widget(ENHANCED),
        )
    kind, model = attacks[session.get(ATTACK)], session.get(MODEL)
    shape = (dataset.shape if dataset is not None else None) or PAPER
    factor, side = size_factor(*shape[1:]), min(shape[1:])
    classes = dataset.classes if dataset is not None and (dataset.available() or not _needs_files(dataset)) else ()
    with how:
        st.markdown(f"##### {plain(kind.label)}")
        most = {"scale": max(1, side // 6)}
        prefix = f"train-{kind.name}"
        settled = choose_attack_trigger(session, prefix, shape) if kind is OwnTrigger else {}
        attack: Attack = parametrised(session, kind, prefix, kind.defaults(model, shape), classes, most, settled)
    if session.get(ENHANCED):
        with what:
            layer = parameter_choice(LAYER, "transforms", params_of(Enhancement)["transforms"])
            sized = {} if session.get(layer).strip() else Enhancement.defaults(shape)
            most = {"max_shrink": min(LARGEST * factor, side - 1)}
            enhancement = parametrised(session, Enhancement, LAYER, sized, highest=most)
            attack = Enhanced(base=attack, enhancement=enhancement)
    with long:
        st.markdown("##### How long")
        st.selectbox(
            "Recipe",
            RECIPES,
            help="paper: its epochs, 164 or 300; fast: 30; short: 10, for networks of which one takes minutes.",
            **session.widget(RECIPE),
        )
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
    if dataset is None or settled is None:
        return None
    return Plan(
        dataset=dataset,
        model=model,
        attack=attack,
        recipe_name=session.get(RECIPE),
        recipe=recipe,
        seed=session.get(SEED),
    )


def _draw_examples(plan: Plan) -> None:
    """Test images with the trigger of a standard attack, nothing where there is none, or the images are not here."""
    attack = plan.attack
    if not plan.dataset.available() or isinstance(attack, Benign):
        return
    images, labels = _examples(_described(plan.dataset))
    _, channels, height, width = images.shape
    try:
        stamped = stamp(images, attack.trigger((channels, height, width)))
    except ValueError:
        return  # it is said beside the button
    classes, target = plan.dataset.classes, plan.dataset.classes[attack.target]
    st.markdown("##### Test images with this trigger")
    pictures = [
        Shown(data_url(image), f"to be “{target}”", classes[label], False)
        for image, label in zip(stamped, labels.tolist(), strict=True)
    ]
    st.html(f'<div class="ts-ten">{strip(pictures, target)}</div>')
    st.html("<style>.ts-ten .ts-strip {grid-template-columns: repeat(auto-fill, minmax(6rem, 1fr))}</style>")


def _offer(session: Session, plan: Plan) -> None:
    """Says how long it will take, and the button that starts it."""
    running = trainings(str(store().root))
    if not plan.dataset.available():
        jobs().leave(session.identity)
        if type(plan.dataset).download is not Dataset.download:
            offer_download(session, plan.dataset, f"{plan.dataset.label} is not on this machine.")
        else:
            st.info(_where(plan.dataset), icon=":material/image_not_supported:")
        return
    if not ask_for_owner(session.identity, "starting a training", "train"):
        jobs().leave(session.identity)
        return
    labels, shape = _training(_described(plan.dataset))
    draw_estimate(session, plan, len(labels), shape)
    named, agreed = _choose_name(session, plan)
    if named is None:
        return
    listed = running.unfinished()
    busy = any((training.running or training.place) and training.key == named.key for training in listed)
    if any(training.running for training in listed):
        st.caption("One model is trained at a time: this one waits its turn.")
    if st.button("Start", type="primary", disabled=not agreed or busy, icon=":material/play_arrow:"):
        running.start(named, session.identity)
        st.rerun()


def _where(dataset: Dataset) -> str:
    """Where a data set that is missing is looked for."""
    try:
        dataset.load("test", 1)
    except (OSError, ValueError) as error:
        return plain(error)
    return ""


def _needs_files(dataset: Dataset) -> bool:
    """Whether the class names of a data set are in its files."""
    try:
        return not dataset.classes
    except (OSError, ValueError):
        return True


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
        st.error(plain(error))
        return None, False
    if store().is_shipped(key):
        came, command = "came with the repository and is not replaced here", "scripts/train.py --replace"
        st.error(f"`{key}` {came}; choose another name, such as `{automatic}`, or replace it with `{command}`.")
        return None, False
    training = read_unfinished(store().checkpoint(key).folder)
    if training is not None and not plan.trains_like(training.plan):
        st.error(f"`{key}` is a training with other settings that has not ended; discard it, or choose another name.")
        return None, False
    if plan.attack.title in OF_THE_PAPER and key.endswith(f"/{plan.attack.title}"):
        st.markdown(f"The model will be `{key}`, the one that the paper's numbers are compared with.")
    else:
        st.markdown(f"The model will be `{key}`.")
    if not store().checkpoint(key).exists:
        return named, True
    help_text = "It stays until the new one is finished, and is replaced then."
    return named, st.checkbox(f"Replace the stored `{key}`", help=help_text)


def _described(dataset: Dataset) -> str:
    return json.dumps({"name": dataset.name, "params": dataset.to_dict()}, sort_keys=True)


@st.cache_resource(show_spinner=False, max_entries=4)
def _examples(source: str) -> tuple[Tensor, Tensor]:
    """The first test images ``(N, C, H, W)`` in [0, 1], and their classes."""
    described = json.loads(source)
    found = datasets[described["name"]].from_dict(described["params"]).load("test", EXAMPLES)
    return found.floats(), found.labels


@st.cache_resource(show_spinner="Reading the images")
def _training(source: str) -> tuple[Tensor, tuple[int, int, int]]:
    """Labels of a training set, and the shape of its images."""
    described = json.loads(source)
    dataset = datasets[described["name"]].from_dict(described["params"])
    if dataset.shape is not None:
        return dataset.labels("train"), dataset.shape
    data = dataset.load("train")
    return data.labels, data.shape
