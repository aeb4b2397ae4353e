"""Checkpoints on disk: whole or not at all, and whatever is damaged harms nothing else."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cards import card_of, model_of
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from core.attacks import attacks
from core.data import datasets
from core.models import build_model
from core.runtime import atomic_files as files_module
from core.runtime.atomic_files import write_atomically
from core.store.card import Card, Damaged, Missing, environment
from core.store.local import Store
from core.store.weights import rounded, weights_fingerprint


@pytest.fixture(scope="module")
def model():
    return model_of()


@pytest.fixture
def stored(store, model):
    """A store with two checkpoints; the first is the one that tests damage."""
    store.save(model, card_of(model, "badnets"))
    store.save(model, card_of(model, "benign"))
    return store


KEY, OTHER = "shapes10/resnet20/badnets", "shapes10/resnet20/benign"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def one_sentence(error):
    text = str(error)
    assert text
    assert "\n" not in text
    return text


# Writing


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "new" / "deep" / "x.json"
    for content in (b"first", b"", bytes(range(256)) * 100):
        write_atomically(path, content)
        assert path.read_bytes() == content
        assert names_in(path.parent) == ["x.json"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("function", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("before", [b"old", None])
def test_a_disk_that_is_full_while_writing(tmp_path, monkeypatch, function, before):
    path = tmp_path / "x.json"
    if before is not None:
        path.write_bytes(before)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files_module.os, function, full)
    with pytest.raises(OSError, match="could not be saved") as caught:
        write_atomically(path, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.strerror == f"x.json could not be saved in {tmp_path}: No space left on device"
    assert names_in(tmp_path) == ([] if before is None else ["x.json"])
    if before is not None:
        assert path.read_bytes() == before


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interruption_while_writing_leaves_nothing_behind(tmp_path, monkeypatch, interruption):
    (tmp_path / "x.json").write_bytes(b"old")

    def interrupted(*arguments):
        raise interruption

    monkeypatch.setattr(files_module.os, "fsync", interrupted)
    with pytest.raises(interruption):
        write_atomically(tmp_path / "x.json", b"new")
    assert names_in(tmp_path) == ["x.json"]
    assert (tmp_path / "x.json").read_bytes() == b"old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "x.json", tmp_path / "file" / "deep" / "x.json"):
        with pytest.raises(OSError, match=r"x.json could not be saved in .*file"):
            write_atomically(path, b"new")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(small_disk, model):
    store = Store(small_disk)
    store.save(model, card_of(model))
    (small_disk / "ballast").write_bytes(
        b"0" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 65536)
    )
    other = model_of(seed=1)
    with pytest.raises(OSError, match=r"model.safetensors could not be saved in .*: No space left on device"):
        store.save(other, card_of(other))
    with pytest.raises(OSError, match="No space left on device"):
        store.checkpoint(KEY).save_result("location", {"hits": list(range(100_000))})
    assert names_in(small_disk / KEY) == ["card.json", "model.safetensors"]
    assert torch.equal(store.checkpoint(KEY).model().fc.weight, model.fc.weight.half().float())
    (small_disk / "ballast").unlink()
    store.save(other, card_of(other))
    assert store.checkpoint(KEY).card().weights == weights_fingerprint(rounded(other))


# Renaming takes no space; what is tried is a disk that fills up while the contents are written.
@pytest.mark.parametrize(("function", "survived"), [("fsync", 0), ("fsync", 1), ("fsync", 2), ("replace", 0)])
def test_a_checkpoint_that_was_there_survives_a_failed_save(stored, monkeypatch, function, survived):
    """Weights and card are two files: a disk that fills up between them must not part the old pair."""
    before, other = stored.checkpoint(KEY).card(), model_of(seed=1)
    working, calls = getattr(os, function), []

    def fails_later(*arguments):
        calls.append(arguments)
        if len(calls) > survived:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return working(*arguments)

    monkeypatch.setattr(files_module.os, function, fails_later)
    try:
        stored.save(other, card_of(other))
    except OSError:
        monkeypatch.undo()
        assert stored.checkpoint(KEY).card() == before
        stored.checkpoint(KEY).model()
    else:
        monkeypatch.undo()
        assert stored.checkpoint(KEY).card().weights != before.weights
        stored.checkpoint(KEY).model()
    assert names_in(stored.root / KEY) == ["card.json", "model.safetensors"]


# Reading


def test_a_card_survives_json(model):
    for card in (card_of(model), card_of(model, "badnets-gray", history=(), environment={})):
        assert Card.from_json(card.to_json()) == card
        assert json.loads(card.to_json())["clean_accuracy"] == {"hits": 9, "total": 10}


def test_the_card_of_a_training_that_diverged_is_json(model):
    """JSON knows no NaN: a browser or jq would refuse the whole card."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    card = card_of(model, history=({"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": float("inf")}))
    text = card.to_json()
    json.loads(text, parse_constant=refuse)
    assert len(Card.from_json(text).history) == 2


def test_a_checkpoint_comes_back_with_its_rounded_weights(stored, model):
    checkpoint = stored.checkpoint(KEY)
    assert checkpoint.has_weights
    assert checkpoint.card() == card_of(model)
    loaded = checkpoint.model()
    assert not loaded.training
    assert torch.equal(loaded.conv1.weight, model.conv1.weight.half().float())
    assert torch.equal(loaded.bn1.weight, model.bn1.weight)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    # Stored again, it is the same checkpoint.
    assert weights_fingerprint(rounded(loaded)) == checkpoint.card().weights
    state = load_file(stored.root / KEY / "model.safetensors")
    assert {state[name].dtype for name in ("conv1.weight", "fc.weight", "stage3.0.conv1.weight")} == {torch.float16}
    assert {state[name].dtype for name in ("fc.bias", "bn1.running_var", "normalise.mean")} == {torch.float32}


def test_a_new_checkpoint_takes_the_place_of_an_old_one(stored):
    other = model_of(seed=1)
    stored.save(other, card_of(other))
    assert torch.equal(stored.checkpoint(KEY).model().fc.weight, other.fc.weight.half().float())
    assert stored.keys() == [KEY, OTHER]


def test_fingerprints_tell_weights_apart(model):
    state = rounded(model)
    changed = dict(state)
    changed["fc.bias"] = state["fc.bias"] + 1e-6
    assert weights_fingerprint(state) == weights_fingerprint(dict(reversed(state.items())))
    assert weights_fingerprint(changed) != weights_fingerprint(state)


def test_an_empty_store_lists_nothing(tmp_path):
    assert Store(tmp_path / "none").keys() == []
    assert list(Store(tmp_path / "none").cards()) == []


def test_what_is_missing_says_what_makes_it(stored):
    with pytest.raises(Missing, match=r"no checkpoint cifar10/vgg19/badnets; make it with: python scripts/train.py"):
        stored.checkpoint("cifar10/vgg19/badnets").card()
    with pytest.raises(Missing, match="--dataset cifar10 --model vgg19 --attack badnets"):
        stored.checkpoint("cifar10/vgg19/badnets").model()
    variant = "there is no checkpoint .*--attack badnets --target 2 --enhanced --max-shrink 6$"
    with pytest.raises(Missing, match=variant):
        stored.checkpoint("cifar10/vgg19/badnets-target2+max6").card()
    with pytest.raises(Missing, match=r"--attack badnets --name badnets-mine$"):
        stored.checkpoint("cifar10/vgg19/badnets-mine").card()
    (stored.root / KEY / "model.safetensors").unlink()
    assert not stored.checkpoint(KEY).has_weights
    assert stored.checkpoint(KEY).card().key == KEY
    with pytest.raises(Missing, match=r"weights of .* are not stored here; make them with: .*--attack badnets"):
        stored.checkpoint(KEY).model()


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a",
        "a/b",
        "a/b/c/d",
        "../x/y",
        "x/../y",
        "x/y/..",
        "/x/y",
        "x//y",
        "a/b/c\n",
        "a\\b/c/d",
        "./x/y",
        "x/./y",
        "x/y/.",
    ],
)
def test_a_key_is_three_plain_names(stored, key):
    with pytest.raises(ValueError, match=r"checkpoint = .* is not allowed: it reads DATASET/MODEL/ATTACK"):
        stored.checkpoint(key)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
@example("a..b")
@example("..")
def test_every_folder_of_images_has_a_key(name):
    """Whatever a user calls a folder: its models can be stored, and inside the store."""
    title = datasets["folder"](path=f"somewhere/{name}").title
    checkpoint = Store("root").checkpoint(f"{title}/resnet20/badnets")
    assert len(checkpoint.folder.relative_to("root").parts) == 3
    assert ".." not in checkpoint.folder.parts


def changed(card, path, value):
    """The card's JSON with one entry replaced, or taken out."""
    values = json.loads(card)
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(values)


OPTIONAL = {"history", "environment", "name", "beginning", "seed", "seconds", "preprocessing", "warnings"}
FIELDS = sorted(set(Card.__dataclass_fields__) - OPTIONAL)


def assert_damaged(stored, content):
    (stored.root / KEY / "card.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Damaged, match=f"^{KEY}: card.json is damaged: ") as caught:
        stored.checkpoint(KEY).card()
    one_sentence(caught.value)
    with pytest.raises(Damaged):
        stored.checkpoint(KEY).model()
    assert stored.checkpoint(KEY).result("location") is None
    listed = dict(stored.cards())
    assert list(listed) == [KEY, OTHER]
    assert isinstance(listed[KEY], Damaged)
    assert isinstance(listed[OTHER], Card)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        '"card"',
        "{}",
        b"\xff\xfe\x00",
        b"\x80\x04K\x01.",
        "[" * 100_000,
        '{"schema": 1}',
        "NaN",
    ],
    ids=lambda content: repr(content)[:12],
)
def test_what_is_no_card_is_damaged(stored, content):
    assert_damaged(stored, content)


@pytest.mark.parametrize("field", FIELDS)
def test_a_card_that_lacks_a_field_is_damaged(stored, field):
    assert_damaged(stored, changed((stored.root / KEY / "card.json").read_text(), [field], KeyError))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schema"], 99),
        (["schema"], "1"),
        (["surplus"], 1),
        (["attack", "name"], "badnet"),
        (["attack", "name"], None),
        (["attack", "name"], ["badnets"]),
        (["attack", "params", "value"], 300),
        (["attack", "params", "target"], 10),
        (["attack", "params", "target"], 10**400),
        (["attack", "params", "colour"], 1),
        (["attack", "params"], None),
        (["attack"], "badnets"),
        (["model"], "resnet1"),
        (["model"], 20),
        (["model"], None),
        (["dataset"], 7),
        (["source", "name"], "mnist"),
        (["source", "params", "seed"], "x"),
        (["source"], None),
        (["weights"], None),
        (["shape"], [3, 32]),
        (["shape"], [3, 32, "32"]),
        (["shape"], [3, 0, 32]),
        (["shape"], None),
        (["classes"], None),
        (["classes"], "abcdefghij"),
        (["classes"], list(range(10))),
        (["clean_accuracy"], 0.9),
        (["clean_accuracy"], {"hits": 9}),
        (["clean_accuracy"], {"hits": 11, "total": 10}),
        (["clean_accuracy"], {"hits": "9", "total": "10"}),
        (["attack_success_rate"], {"hits": 0.5, "total": 1}),
        (["attack_success_rate"], None),
        (["encoding"], None),
        (["seed"], "zero"),
        (["seconds"], "long"),
        (["recipe"], "fast"),
        (["history"], 5),
        (["history"], [1, 2]),
        (["environment"], []),
        (["name"], 3),
        (["name"], "../badnets"),
        (["name"], ".hidden"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_card_with_a_wrong_entry_is_damaged(stored, path, value):
    assert_damaged(stored, changed((stored.root / KEY / "card.json").read_text(), path, value))


@given(st.integers(0, 10_000), st.binary(max_size=3))
def test_a_card_cut_off_or_overwritten_anywhere_is_read_or_refused(position, noise):
    text = GOOD_CARD
    position %= len(text)
    for content in (text[:position], text[:position] + noise.decode("latin1") + text[position + len(noise) :]):
        # Any other error would reach the list of checkpoints, and end it.
        with contextlib.suppress(ValueError):
            assert isinstance(Card.from_json(content), Card)


GOOD_CARD = card_of(model_of()).to_json()


def test_a_card_that_is_a_folder_is_damaged(stored):
    (stored.root / KEY / "card.json").unlink()
    (stored.root / KEY / "card.json").mkdir()
    listed = dict(stored.cards())
    assert isinstance(listed[KEY], Damaged)
    assert isinstance(listed[OTHER], Card)


@pytest.mark.parametrize("folder", ["shapes10/resnet20/badnets copy", "my photos/resnet20/badnets", ".trash/a/b"])
def test_a_folder_with_an_odd_name_harms_nothing_else(stored, folder):
    """A copy made by hand in a file manager must not take the whole list down."""
    shutil.copytree(stored.root / KEY, stored.root / folder)
    listed = dict(stored.cards())
    assert isinstance(listed[KEY], Card)
    assert isinstance(listed[OTHER], Card)


def weights_file(stored):
    return stored.root / KEY / "model.safetensors"


def assert_weights_refused(stored, message=""):
    with pytest.raises(Damaged, match=f"^{KEY}: model.safetensors .*{message}") as caught:
        stored.checkpoint(KEY).model()
    one_sentence(caught.value)
    stored.checkpoint(OTHER).model()


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 0.5, -1])
def test_truncated_weights_are_damaged(stored, keep):
    content = weights_file(stored).read_bytes()
    weights_file(stored).write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    assert_weights_refused(stored, "is damaged")


def test_weights_of_another_training_are_refused(stored):
    other = rounded(model_of(seed=1))
    weights_file(stored).write_bytes(save(other))
    assert_weights_refused(stored, "and card.json do not belong together")


def test_one_flipped_bit_is_noticed(stored):
    content = bytearray(weights_file(stored).read_bytes())
    content[-1000] ^= 1
    weights_file(stored).write_bytes(bytes(content))
    assert_weights_refused(stored)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: rounded(build_model("resnet20", classes=4, seed=0)),
        lambda state: {"x": torch.zeros(3)},
        lambda state: {name: tensor for name, tensor in state.items() if name != "fc.bias"},
        lambda state: state | {"surplus": torch.zeros(1)},
        lambda state: {name: t.bfloat16() if t.is_floating_point() else t for name, t in state.items()},
        lambda state: {name: t.double() for name, t in state.items()},
        lambda state: {},
    ],
)
def test_weights_of_another_model_are_refused(stored, change):
    save_file(change(rounded(model_of())), weights_file(stored))
    assert_weights_refused(stored)


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (Path(self.marker),))


@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.parametrize("name", ["model.safetensors", "card.json", "location.json"])
def test_nothing_is_ever_unpickled(stored, tmp_path, kind, name):
    marker, file = tmp_path / "executed", stored.root / KEY / name
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Exploit(marker)))
    else:
        torch.save({"fc.weight": Exploit(marker)}, file)
    checkpoint = stored.checkpoint(KEY)
    if name == "location.json":
        assert checkpoint.result("location") is None
    else:
        with pytest.raises(Damaged):
            checkpoint.model()
    list(stored.cards())
    assert not marker.exists()
    pickle.loads(pickle.dumps(Exploit(marker)))
    assert marker.exists(), "the exploit does not work: the test would prove nothing"


# Results


RESULT = {"rows": [2, 3], "cols": [4, 5], "hits": [[1, 2], [3, 4]], "total": [[5, 5], [5, 5]], "seconds": 0.5}


def test_a_result_survives(stored):
    checkpoint = stored.checkpoint(KEY)
    assert checkpoint.result("location") is None
    checkpoint.save_result("location", RESULT)
    found = checkpoint.result("location")
    assert {name: found[name] for name in RESULT} == RESULT
    assert found["weights"] == checkpoint.card().weights
    assert stored.checkpoint(OTHER).result("location") is None
    assert '"hits": [\n  [1,2],\n  [3,4]\n ]' in (checkpoint.folder / "location.json").read_text()


def test_a_result_of_other_weights_does_not_count(stored):
    checkpoint, other = stored.checkpoint(KEY), model_of(seed=1)
    checkpoint.save_result("location", RESULT)
    stored.save(other, card_of(other))
    assert checkpoint.result("location") is None
    checkpoint.save_result("location", RESULT | {"rows": [7, 8]})
    assert checkpoint.result("location")["rows"] == [7, 8]


def test_a_result_of_a_model_that_was_trained_again_meanwhile_is_not_stored(stored, model):
    checkpoint, other = stored.checkpoint(KEY), model_of(seed=1)
    checkpoint.save_result("location", RESULT, model=checkpoint.model())
    measured = checkpoint.model()
    stored.save(other, card_of(other))
    checkpoint.save_result("location", RESULT)
    with pytest.raises(ValueError, match="trained again meanwhile: location, of the model before, is not stored"):
        checkpoint.save_result("location", RESULT | {"rows": [7, 8]}, model=measured)
    assert checkpoint.result("location")["rows"] == RESULT["rows"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"{}", b"\xff", b"[" * 100_000, b'{"schema": 1}'])
def test_a_damaged_result_does_not_count(stored, content):
    (stored.root / KEY / "location.json").write_bytes(content)
    assert stored.checkpoint(KEY).result("location") is None


def test_a_result_of_another_schema_does_not_count(stored):
    checkpoint = stored.checkpoint(KEY)
    checkpoint.save_result("location", RESULT)
    path = checkpoint.folder / "location.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    assert checkpoint.result("location") is None


def test_a_result_needs_a_checkpoint(store):
    with pytest.raises(Missing):
        store.checkpoint(KEY).save_result("location", RESULT)
    assert store.checkpoint(KEY).result("location") is None


def test_the_environment_is_json():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["device"]


def test_a_key_is_made_of_the_card(model):
    card = card_of(model, "badnets-gray")
    assert card.key == "shapes10/resnet20/badnets-gray"
    assert replace(card, dataset="cifar10").key == "cifar10/resnet20/badnets-gray"
    assert replace(card, name="mine+").key == "shapes10/resnet20/mine+"
    assert Card.from_json(replace(card, name="mine").to_json()).name == "mine"
    # A card without a name, as all were once, is that of a reference; one of a reference has none still.
    assert "name" not in json.loads(card.to_json())
    assert Card.from_json(card.to_json()).name == ""
    assert card.attack_object == attacks["badnets-gray"]()
    assert card.dataset_object == datasets["shapes10"]()


def test_tensors_of_a_result_come_back(stored):
    checkpoint = stored.checkpoint(KEY)
    tensors = {"a": torch.arange(6.0).view(2, 3).t(), "b": torch.tensor([1, 2])}
    checkpoint.save_result("own-tensors", {"answer": 42}, tensors)
    found = checkpoint.tensors("own-tensors")
    assert found is not None
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert checkpoint.result("own-tensors")["answer"] == 42
    checkpoint.save_result("plain", {"answer": 1})
    assert checkpoint.tensors("plain") is None
    assert checkpoint.tensors("nothing") is None


def test_tensors_that_do_not_belong_to_their_result_count_as_absent(stored):
    first, second = stored.checkpoint(KEY), stored.checkpoint(OTHER)
    for number, checkpoint in enumerate((first, second)):
        checkpoint.save_result("repair-x", {}, {"a": torch.tensor([number])})
    path = first.folder / "repair-x.safetensors"
    path.write_bytes((second.folder / "repair-x.safetensors").read_bytes())
    assert first.tensors("repair-x") is None
    path.write_bytes(b"nonsense")
    assert first.tensors("repair-x") is None
    path.unlink()
    assert first.tensors("repair-x") is None
