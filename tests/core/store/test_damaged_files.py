"""Files of checkpoints with random damage: each reads fine or is refused in one sentence, and nothing else is harmed.

``MUTATIONS=20000 python -m pytest tests/test_damaged_files.py`` tries more of them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mutations import HOSTILE_VALUES, mutated, paths, removed, replaced, written
from PIL import Image
from safetensors.torch import save_file

from core.models import build_model
from core.paper.comparison import compared
from core.paper.results import Results
from core.reproduction.alpha_study import read_study
from core.schemas.base import LARGEST_FILE, checked, read_json
from core.schemas.results import schema_of
from core.store.card import Card, Damaged
from core.store.card_images import OtherData, images_of
from core.store.local import DEFAULT_ROOT, Checkpoint, Store
from core.store.weights import rounded, weights_fingerprint
from core.sweeps.place_classes import RESULT, PlaceClasses
from core.sweeps.results import StoredResults, repaired_model, reversed_triggers
from core.training.state import ABOUT, STATE, read_unfinished
from core.training.trainer import Plan

KEY = "shapes10/resnet20/badnets"
OTHER = "shapes10/resnet20/benign"
COUNT = int(os.environ.get("MUTATIONS", "500"))
PARTS = 5
SHIPPED = sorted(DEFAULT_ROOT.glob("*/*/*/*.json"))


def said(error: Exception | str) -> str:
    """The sentence of an error, which is one of readable length."""
    text = str(error)
    assert text
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.fixture
def two(tmp_path: Path) -> Store:
    """A store with an attacked model that has all kinds of results, and the clean one; both without weights."""
    for key in (KEY, OTHER):
        shutil.copytree(DEFAULT_ROOT / key, tmp_path / key, ignore=shutil.ignore_patterns("*.safetensors"))
    return Store(tmp_path)


def use(store: Store) -> Card | Damaged:
    """What pages and scripts compute from the files of the attacked model; the clean one must be there whatever."""
    cards = dict(store.cards())
    assert isinstance(cards[OTHER], Card)
    card = cards[KEY]
    if isinstance(card, Card):
        assert card.command.startswith("python ")
        assert card.key.count("/") == 2
        card.attack_object.trigger(card.shape).places(*card.shape[1:])
    else:
        said(card)
    found = Results.read(store, "shapes10", "resnet20")
    compared(found)
    found.verdicts()
    for result in (*found.maps.values(), *found.appearances.values(), *found.photographs.values()):
        assert 0 <= result.done <= 1
        assert len(result.interval) == 2
    for curves in found.curves.values():
        assert all(0 <= curve.done <= 1 and curve.clean.interval for curve in curves.values())
    for energies in found.energies.values():
        assert 0 <= energies.done <= 1
        assert len(energies.attacked.interval) == 2
    return card


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.relative_to(DEFAULT_ROOT).as_posix())
def test_what_is_shipped_is_as_its_schema_says(file: Path) -> None:
    kind = schema_of(file.stem)
    if kind is not None:
        checked(kind, read_json(file))
    elif file.name == "card.json":
        Card.from_json(file.read_bytes())
    else:
        assert read_study(file.parent)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_damage_is_refused_or_harmless(two: Store, part: int) -> None:
    rng = random.Random(part)
    files = sorted((two.root / KEY).glob("*.json"))
    whole = {file: file.read_text() for file in files}
    outcomes = {True: 0, False: 0}
    for _ in range(COUNT // PARTS):
        file = rng.choice(files) if rng.random() < 0.6 else two.root / KEY / "card.json"
        file.write_bytes(mutated(whole[file], rng))
        card = use(two)
        if file.name != "card.json":
            assert isinstance(card, Card)
        elif isinstance(card, Damaged):
            outcomes[False] += 1
        else:
            outcomes[True] += 1
        file.write_text(whole[file])
    assert min(outcomes.values()) > 0, "both must happen, or nothing was tried"


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=lambda value: str(value)[:20])
def test_every_field_of_a_card_may_be_anything(two: Store, value: object) -> None:
    """Every field replaced by each of the values: huge, of another type, not a number, nested 100,000 times."""
    file = two.root / KEY / "card.json"
    values = json.loads(file.read_text())
    values["history"] = values["history"][:2]
    for at in paths(values):
        try:
            Card.from_json(written(replaced(values, at, value)))
        except ValueError as error:
            said(error)


def test_every_field_of_a_card_may_be_missing(two: Store) -> None:
    values = json.loads((two.root / KEY / "card.json").read_text())
    for at in paths(values)[1:]:
        try:
            Card.from_json(written(removed(values, at)))
        except ValueError as error:
            said(error)


@pytest.mark.parametrize(
    ("at", "value", "sentence"),
    [
        (("classes",), ["one"], r"classes"),
        (("clean_accuracy", "hits"), True, r"clean_accuracy\.hits = True is not allowed"),
        (("seconds",), "@nan@", "seconds = nan is not allowed"),
        (("seconds",), "@1e400@", "seconds = inf is not allowed"),
        (("seed",), "@huge@", "seed = a number of many digits is not allowed"),
        (("seed",), "@digits@", "no JSON that can be read"),
        (("encoding",), "@nested@", "no JSON that can be read"),
        (("encoding",), "x" * 100_000, "encoding = 'xxx"),
        (("encoding",), "a\0b", "control characters"),
        (("dataset",), "<script>", "dataset = '<script>' is not allowed"),
        (("shape", 1), 10**6, r"shape\.1 = 1000000 is not allowed"),
        (("shape", 1), 2, "does not fit|is not allowed|larger"),
        (("source", "params"), {"path": "a\0b"}, "control characters"),
        (("history", 0, "epoch"), 10**50, r"history\.0\.epoch = a number of many digits is not allowed"),
    ],
)
def test_what_a_damaged_card_is_said_to_be(two: Store, at: tuple, value: object, sentence: str) -> None:
    file = two.root / KEY / "card.json"
    values = json.loads(file.read_text())
    if at == ("source", "params"):
        values["source"]["name"] = "folder"
    file.write_bytes(written(replaced(values, at, value)))
    with pytest.raises(Damaged, match=f"^{KEY}: card.json is damaged: .*({sentence})") as caught:
        two.checkpoint(KEY).card()
    said(caught.value)


def test_the_path_of_a_user_who_is_not_known_is_no_damage(two: Store) -> None:
    """It is from another machine; what is stored shows all the same."""
    file = two.root / KEY / "card.json"
    values = json.loads(file.read_text())
    values["source"] = {"name": "folder", "params": {"path": "~nouser/x"}}
    file.write_bytes(written(values))
    card = two.checkpoint(KEY).card()
    assert not card.dataset_object.available()
    use(two)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("repair-fine-pruning", ("record", "order"), [0, 0, 1]),
        ("repair-fine-pruning", ("record", "order"), list(range(63))),
        ("repair-fine-pruning", ("record", "pruned"), 65),
        ("repair-fine-pruning", ("report", "hits"), []),
        ("repair-neural-cleanse", ("record", "norms"), [1.0]),
        ("repair-neural-cleanse", ("record", "flagged"), [10]),
        ("repair-neural-cleanse", ("record", "flagged"), [True]),
        ("repair-neural-cleanse", ("record", "indices"), ["x"] * 10),
        ("repair-neural-cleanse", ("runs",), [{"seed": 0}]),
        ("repair-neural-cleanse", ("seconds",), "@infinity@"),
        ("repair-auto-encoder", ("clean", "hits"), "@infinity@"),
        ("repair-auto-encoder", ("defense", "name"), "nix"),
    ],
)
def test_a_damaged_repair_is_none(two: Store, name: str, at: tuple, value: object) -> None:
    file = two.root / KEY / f"{name}.json"
    before = file.read_text()
    assert StoredResults(two.checkpoint(KEY)).repair(name.removeprefix("repair-")) is not None
    file.write_bytes(written(replaced(json.loads(before), at, value)))
    assert StoredResults(two.checkpoint(KEY)).repair(name.removeprefix("repair-")) is None
    use(two)


def test_a_result_of_another_kind_of_model_is_none(two: Store) -> None:
    """Its numbers are possible, but not of ten classes and 32 x 32 pixels."""
    checkpoint = two.checkpoint(KEY)
    table = PlaceClasses(np.full((1, 2, 3), 9, np.uint8), np.arange(3, dtype=np.uint8), (2,), (2, 3), "0" * 16)
    checkpoint.save_result(RESULT, table.to_dict())
    other = replace(table, classes=table.classes + 1).to_dict()["classes"]
    for name, at, value in (
        (RESULT, ("labels", 0), 10),
        (RESULT, ("classes",), other),
        ("location", ("rows",), [*range(2, 31), 900]),
    ):
        file = checkpoint.folder / f"{name}.json"
        values = json.loads(file.read_text())
        file.write_bytes(written(values))
        assert checkpoint.result(name) is not None
        file.write_bytes(written(replaced(values, at, value)))
        assert checkpoint.result(name) is None
        file.write_bytes(written(values))


def test_a_file_that_is_too_large_is_not_read(two: Store) -> None:
    with (two.root / KEY / "card.json").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(Damaged, match="more than 32 MiB"):
        two.checkpoint(KEY).card()


def plan_of(card: Card) -> dict:
    return {
        "dataset": card.source,
        "model": card.model,
        "attack": card.attack,
        "recipe": card.recipe,
        "seed": card.seed,
    }


@pytest.mark.parametrize("file", [ABOUT, STATE])
def test_a_damaged_training_is_an_interrupted_one_or_none(two: Store, file: str) -> None:
    folder, card = two.root / KEY, two.checkpoint(KEY).card()
    plan, epochs = plan_of(card), card.recipe["params"]["epochs"]
    history = [{**entry, "epochs": epochs} for entry in card.history]
    texts = {"plan": json.dumps({**plan, "data": ["a", "b"]}), "history": json.dumps(history)}
    rng, outcomes = random.Random(7), set()
    for _ in range(COUNT // 4):
        damaged = dict(texts)
        about = json.dumps({"process": 4321, "plan": plan}).encode()
        if file == ABOUT:
            about = mutated(about.decode(), rng)
        else:
            name = rng.choice(sorted(texts))
            damaged[name] = mutated(texts[name], rng).decode(errors="replace")
        (folder / ABOUT).write_bytes(about)
        save_file({"model.x": torch.zeros(1)}, folder / STATE, metadata=damaged)
        found = read_unfinished(folder)
        outcomes.add(found is None or bool(found.history))
        if found is not None:
            assert found.process is None, "no process holds the lock"
            assert [epoch.epoch for epoch in found.history] == list(range(1, len(found.history) + 1))
            try:
                assert len(found.history) <= Plan.from_dict(found.plan).effective_recipe.epochs
            except ValueError as error:
                said(error)
    assert outcomes == {True, False}


@pytest.mark.parametrize("process", [0, -1, 1, True, "1", 2**40])
def test_no_process_is_shown_that_a_file_makes_up(two: Store, process: object) -> None:
    folder = two.root / KEY
    (folder / ABOUT).write_text(json.dumps({"process": process, "plan": plan_of(two.checkpoint(KEY).card())}))
    found = read_unfinished(folder)
    assert found is not None
    assert (found.running, found.process) == (False, None)


def test_who_reads_while_a_model_is_replaced_gets_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    card = replace(Store().checkpoint(KEY).card(), history=())
    pairs = []
    for seed in (1, 2):
        model = build_model("resnet20", classes=10, seed=seed)
        pairs.append((model, replace(card, seed=seed, weights=weights_fingerprint(rounded(model)))))
    store.save(*pairs[0])
    ended = threading.Event()

    def replacing() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            store.save(*pairs[number % 2])

    writer = threading.Thread(target=replacing)
    writer.start()
    seen = set()
    try:
        for _ in range(200):
            found, model = store.checkpoint(KEY).card_and_model()
            assert weights_fingerprint(rounded(model)) == found.weights
            seen.add(found.seed)
    finally:
        ended.set()
        writer.join()
    assert seen == {1, 2}


def test_a_reader_that_comes_between_the_two_files_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are renamed first, so that a reader can find the new ones with the old card."""
    store, card = Store(tmp_path), replace(Store().checkpoint(KEY).card(), history=())
    old, new = (build_model("resnet20", classes=10, seed=seed) for seed in (1, 2))
    store.save(old, replace(card, weights=weights_fingerprint(rounded(old))))
    checkpoint, after = store.checkpoint(KEY), replace(card, weights=weights_fingerprint(rounded(new)))
    read, times = Checkpoint.card, 0

    def between(self: Checkpoint) -> Card:
        nonlocal times
        times += 1
        found = read(self)
        if times == 1:
            store.save(new, after)
        return found

    monkeypatch.setattr(Checkpoint, "card", between)
    found, _ = checkpoint.card_and_model()
    assert found.weights == after.weights
    assert times == 2


def test_images_of_another_size_are_refused_before_any_is_decoded(
    two: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = two.checkpoint(KEY).card()
    for name in card.classes:
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (512, 512)).save(tmp_path / "images" / name / f"{number}.png")
    decoded = []
    monkeypatch.setattr("core.data.folder.read_square", lambda path, size: decoded.append(path))
    source = {"name": "folder", "params": {"path": str(tmp_path / "images"), "size": 512}}
    with pytest.raises(OtherData, match=r"are 3 x 512 x 512 .*, but .* was trained on 3 x 32 x 32"):
        images_of(replace(card, source=source, dataset="images"), "test")
    assert not decoded


STATES: dict[str, dict[str, torch.Tensor]] = {
    "nothing": {},
    "something else": {"x": torch.zeros(3)},
    "channels that there are not": {"pruned": torch.tensor([10**6])},
    "weights of another shape": {"pruned": torch.tensor([0]), "model.fc.weight": torch.zeros(2, 2)},
    "weights that are missing": {"pruned": torch.tensor([0]), "model.x": torch.zeros(1)},
    "masks of another shape": {"masks": torch.zeros(3, 1, 8, 8), "patterns": torch.zeros(3, 3, 8, 8)},
    "masks that are no numbers": {
        "masks": torch.full((10, 1, 32, 32), float("nan")),
        "patterns": torch.zeros(10, 3, 32, 32),
    },
}


@pytest.mark.parametrize("what", STATES)
@pytest.mark.parametrize("name", ["fine-pruning", "neural-cleanse", "auto-encoder"])
def test_a_repaired_model_is_made_of_what_fits_or_refused(two: Store, name: str, what: str) -> None:
    """The fingerprint of the tensors is the one that the result names: only their shapes tell."""
    checkpoint = two.checkpoint(KEY)
    shutil.copy(DEFAULT_ROOT / KEY / "model.safetensors", checkpoint.folder)
    values = checkpoint.result(f"repair-{name}")
    assert values is not None
    checkpoint.save_result(f"repair-{name}", values, STATES[what])
    assert checkpoint.tensors(f"repair-{name}") is not None
    assert reversed_triggers(checkpoint, name) is None
    try:
        assert repaired_model(checkpoint, name) is not None
    except ValueError as error:
        said(error)


def test_reversed_triggers_are_those_of_each_class() -> None:
    masks, patterns = reversed_triggers(Store().checkpoint(KEY), "neural-cleanse") or (torch.zeros(0), torch.zeros(0))
    assert masks.shape == (10, 1, 32, 32)
    assert patterns.shape == (10, 3, 32, 32)
