"""Page *Open a model*: a file of another toolbox becomes a model that every page shows."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import streamlit as st

from core.data import Dataset, cache_folder
from core.importing.elsewhere import UNKNOWN, Asked, ImportStep
from core.importing.reading import LARGEST
from core.models import models
from core.store.card import Card, Damaged, Missing
from core.workers.process import in_process
from dashboard.server.jobs import Job
from dashboard.server.limits import UPLOADED
from dashboard.server.owner import ask_for_owner, is_owner, require_owner
from dashboard.server.resources import jobs
from dashboard.server.scheduler import waiting_file
from dashboard.server.subjects import store, subjects
from dashboard.server.uploads import forget_uploads
from dashboard.state.session import Choice, Session, one_of
from dashboard.widgets.controls import GOES_ON, one_sentence, progress_bar
from dashboard.widgets.own_images import KINDS, NAMES, choose_dataset, dataset_label
from dashboard.widgets.own_trigger import choose_painted, choose_picture
from dashboard.widgets.page_head import begin, read_link, say
from dashboard.words.escaping import plain

EXPLANATION = """
A classifier that was trained elsewhere is opened here: a file of BackdoorBench, BackdoorBox, TrojanZoo,
backdoor-toolbox, NAD or ABL, or weights of torchvision, timm or Hugging Face. Nothing in the file is run. The network
is recognised from the names and shapes of its weights; how it wants its images (order of the colours, mean and
deviation) is **measured** on training images. The model is stored with a card, and is then in every list.
"""
FROM_FILE, PICTURE, PAINTED, SEARCH = "file", "picture", "painted", "search"
TRIGGERS = {
    FROM_FILE: "What the file tells, or none",
    PICTURE: "A picture or array of it",
    PAINTED: "Painted here",
    SEARCH: "Not known: search for it",
}
DATASET: Choice[str] = Choice("open-data", "cifar10" if "cifar10" in NAMES else NAMES[0], one_of(NAMES))
TRIGGER: Choice[str] = Choice("open-trigger", FROM_FILE, one_of(TRIGGERS))
WAYS = ("auto", "rgb:unit", "bgr:unit", "rgb:dataset", "bgr:dataset", "rgb:imagenet", "rgb:half", "rgb:bytes")
ORIGIN = {
    "file": "File",
    "sha256": "SHA-256",
    "format": "Format",
    "trained_by": "Trained by",
    "preprocessing": "Images as",
    "measured_on": "Measured on",
}
"""What is shown of where a model came from, by its name in the card."""
OPENED = {
    "BackdoorBench": "attack_result.pt: the trigger is found in its poisoned images",
    "BackdoorBox": "ckpt_epoch_N.pth, and its trigger as a picture",
    "TrojanZoo": "weights, with the mark beside them under the same name",
    "backdoor-toolbox": "full_base_aug_seed=N.pt, and its trigger as a picture, with its mask or without",
    "NAD, ABL": "training checkpoints, .tar",
    "torchvision, timm, Hugging Face": "weights, or a folder with config.json and model.safetensors",
}
"""What is opened, and how its trigger is known."""
POLL_SECONDS = 1.0
KEY = ("import",)
"""One model is opened at a time: whoever asks next finds the one under way."""


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Open a model", EXPLANATION)
    say(answer, "A model from another toolbox becomes one that every page here shows.")
    job: Job[ImportStep] | None = jobs().find(KEY)
    jobs().leave(session.identity, (job,) if job is not None else ())
    read_link(session)
    if not ask_for_owner(session.identity, "opening a model", "open-model"):
        session.write_link()
        return
    if job is not None and job.snapshot().running:
        _draw_progress(session, job)
    else:
        if job is not None:
            _draw_outcome(job)
            st.divider()
        _draw_form(session)
    _draw_known()
    session.write_link()


def _draw_form(session: Session) -> None:
    """What is asked for, in three columns, and the button."""
    model, trigger, then = st.columns(3, gap="medium")
    with model:
        st.markdown("##### The model")
        path = st.text_input(
            "File or folder on this machine",
            key="open-path",
            placeholder="/path/to/attack_result.pt",
            help="A .pt, .pth, .th, .tar or .safetensors file, or a folder with config.json and model.safetensors.",
        ).strip()
        given = st.file_uploader(
            f"or a file up to {UPLOADED.each // 2**20} MiB from your device",
            type=["pt", "pth", "th", "tar", "safetensors"],
            key="open-file",
        )
        spec = f"{session.get(DATASET)}{':PATH' * (session.get(DATASET) in KINDS)}"
        st.caption(
            f"Larger ones, up to {LARGEST // 2**30} GiB: put the file on this machine and name it above, or run "
            f"`python scripts/import.py FILE --dataset {spec}` there."
        )
        name = st.selectbox("Data set that it classifies", NAMES, format_func=dataset_label, **session.widget(DATASET))
        dataset = choose_dataset(session, name, "open", "opening a model")
    with trigger:
        st.markdown("##### Its trigger")
        how = st.radio("Trigger", list(TRIGGERS), format_func=TRIGGERS.__getitem__, **session.widget(TRIGGER))
        picture = None
        details: dict[str, Any] = {}
        if how in (PICTURE, PAINTED):
            picture = choose_picture("open") if how == PICTURE else choose_painted("open")
            details = {} if picture is None else {name: getattr(picture, name) for name in ("place", "mask", "alpha")}
        elif how == SEARCH:
            st.caption(
                "Neural Cleanse searches for the smallest trigger of every class and takes that of the class that "
                "stands out. This takes minutes; what is found need not be what the attacker used."
            )
        details["target"] = st.text_input(
            "Target label", key="open-target", placeholder="what the model answers",
            help="A class or its index. Without it: the class that the model takes most images with the trigger for.",
        ).strip()  # fmt: skip
    with then:
        st.markdown("##### In the list")
        details["name"] = st.text_input("Name", key="open-name", placeholder="that of the file", max_chars=60).strip()
        details["trained_by"] = st.text_input("Trained by", key="open-by", max_chars=100).strip()
        with st.expander("More"):
            details["preprocess"] = st.selectbox(
                "How it wants its images", WAYS, key="open-ways",
                format_func=lambda way: "measure it" if way == "auto" else way,
            )  # fmt: skip
            details["model"] = st.text_input(
                "Network", key="open-network", placeholder="recognised",
                help="Only where it is not recognised; also torchvision.NAME and timm.NAME.",
            ).strip()  # fmt: skip
            details["classes"] = st.text_input(
                "Classes in the model's order", key="open-classes", placeholder="as in the data set",
                help="All of them, with commas between.",
            ).strip()  # fmt: skip
        missing = _missing(bool(path or given is not None), how != PICTURE or picture is not None, dataset)

        def open_it() -> None:
            files = {"model": given.getvalue()} if given is not None else {}
            names = {"model": given.name} if given is not None else {}
            if picture is not None:
                files["picture"], names["picture"] = picture.content, picture.name
            assert dataset is not None
            asked = Asked(
                path=path, dataset=dataset.name, parameters=dataset.to_dict(),
                trigger=UNKNOWN if how == SEARCH else "", **details,
            )  # fmt: skip
            try:
                start_import(asked, files, names, session.identity)
            except (ValueError, OSError) as error:
                st.session_state["open-refused"] = str(error)
            else:
                forget_uploads(session.identity)

        st.button("Open", type="primary", disabled=bool(missing), icon=":material/folder_open:", on_click=open_it)
        if missing:
            st.caption(missing)
        if refused := st.session_state.pop("open-refused", ""):
            st.error(plain(refused), icon=":material/error:")


def _missing(file: bool, trigger: bool, dataset: Dataset | None) -> str:
    """What is not given yet of what opening a model needs; empty if nothing."""
    if not file:
        return "Name a file, or bring one."
    if not trigger:
        return "The trigger's picture is missing."
    return "The data set's images are missing." if dataset is None else ""


def _draw_known() -> None:
    """What can be opened, and the models that were."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("##### What can be opened")
        st.table({"From": [*OPENED], "File": [*OPENED.values()]})
    with right:
        st.markdown("##### Opened before")
        opened = {key: subject for key, subject in subjects()[0].items() if subject.card.is_imported}
        if not opened:
            st.caption("None yet. A model that was opened is in the lists of all pages.")
            return
        st.table(
            {
                "Model": [
                    f"[{plain(subject.title)}](location?model={quote(key)}), {plain(subject.dataset_label)}"
                    for key, subject in opened.items()
                ],
                "Clean accuracy": [str(subject.card.clean_accuracy) for subject in opened.values()],
                "Attack success rate": [str(subject.card.attack_success_rate) for subject in opened.values()],
            }
        )


def start_import(asked: Asked, files: Mapping[str, bytes], names: Mapping[str, str], by: str) -> Job[ImportStep]:
    """Opens a model in a process of its own, or finds the one under way; it goes on to its end.

    Args:
        asked: What is asked for; an uploaded model takes the place of its path.
        files: Uploaded files: ``model`` and ``picture``, where there are.
        names: Their names.
        by: The session that asks.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
        OSError: If what was uploaded cannot be kept.
    """
    require_owner(by, "opening a model")
    return jobs().request(
        KEY, ImportStep, partial(_import, asked, dict(files), dict(names)), by,
        heavy=False, cached=False, to_end=True, anew=True,
    )  # fmt: skip


def _import(asked: Asked, files: Mapping[str, bytes], names: Mapping[str, str]) -> Iterator[ImportStep]:
    """Keeps uploaded files for as long as they are needed, and imports elsewhere."""
    fields = asdict(asked)
    digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:16]
    folder = cache_folder() / "imports" / digest
    try:
        for what, field in (("model", "path"), ("picture", "trigger")):
            if what in files:
                place = folder / what / (Path(names[what]).name or "model.pt")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(files[what])
                fields[field] = str(place)
        yield from in_process(
            "core.importing.elsewhere:import_elsewhere",
            {"store": str(store().root), "asked": fields},
            ImportStep(0, "starting"),
            courtesy=waiting_file(),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stop_import(job: Job[ImportStep], by: str) -> None:
    """Stops an import; nothing is stored.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
    """
    require_owner(by, "stopping an import")
    job.cancel()


def _draw_progress(session: Session, job: Job[ImportStep]) -> None:
    """What is being done, for everybody, and a way to stop it."""
    me = session.identity

    @st.fragment(key="import-progress", run_every=POLL_SECONDS)
    def progress() -> None:
        snapshot = job.snapshot()
        if not snapshot.running:
            st.rerun()
        note = snapshot.result.note if snapshot.result is not None else "starting"
        text = f"{plain(note)}, {snapshot.seconds:.0f} s"
        progress_bar(
            snapshot.done, [job], "stop-import", text, stop=partial(stop_import, job, me), stoppable=is_owner(me)
        )
        st.caption(GOES_ON)

    progress()


def _draw_outcome(job: Job[ImportStep]) -> None:
    """What the last import has ended with."""
    snapshot = job.snapshot()
    if snapshot.error:
        st.error(f"Nothing was stored: {plain(snapshot.reason)}", icon=":material/error:")
        return
    result = snapshot.result
    if result is None or not result.key:
        st.info("The import was stopped; nothing was stored.")
        return
    try:
        card = store().checkpoint(result.key).card()
    except (Missing, Damaged, ValueError) as error:
        st.error(plain(error), icon=":material/error:")
        return
    _draw_model(result.key, card, result.notes)


def _draw_model(key: str, card: Card, notes: tuple[str, ...]) -> None:
    """The stored model: what it is, what was measured, and where to go on."""
    st.success(f"Stored as {plain(key)}.", icon=":material/check_circle:")
    for warning in card.warnings:
        st.warning(plain(warning[:1].upper() + warning[1:]), icon=":material/warning:")
    for note in notes:
        st.caption(plain(note))
    links = [
        f"[{title}]({page}?model={quote(key)})"
        for page, title in (
            ("location", "Trigger location"), ("appearance", "Trigger appearance"), ("defenses", "Defenses"),
            ("saliency", "Saliency"), ("physical", "Physical attack"),
        )
    ]  # fmt: skip
    st.markdown("Go on with " + ", ".join(links) + ".")
    left, right = st.columns(2, gap="medium")
    with left:
        origin = {name: str(value) for name, value in card.recipe["params"].items()}
        rows = {
            "Network": models[card.model].label,
            "Clean accuracy": str(card.clean_accuracy),
            "Attack success rate": str(card.attack_success_rate),
            "Target label": card.classes[card.attack_object.target],
            **{label: origin[name] for name, label in ORIGIN.items() if origin.get(name)},
        }
        st.table({"What": [*rows], "Value": [plain(value) for value in rows.values()]})
    with right:
        st.markdown("**Clean accuracy of every way to prepare images**, on training images; the first is taken.")
        st.table(
            {
                "Images": [plain(f"{network} {name}") for network, name, _ in card.ways],
                "Clean accuracy": [str(rate) for *_, rate in card.ways],
            }
        )
