"""A store at an address: what is written arrives, what is read is fetched, and nothing is seen half-written."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest

from core.store.card import Missing
from core.store.local import DEFAULT_ROOT, Store
from core.store.remote import RemoteStore, open_store
from core.store.weights import weights_fingerprint

KEY = "shapes10/resnet20/badnets"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=["file", "memory"])
def address(request, tmp_path):
    """An empty place, in a folder and in fsspec's memory."""
    if request.param == "file":
        return f"file://{tmp_path}/there"
    files = fsspec.filesystem("memory")
    if files.exists("/there"):
        files.rm("/there", recursive=True)
    return "memory://there"


@pytest.fixture
def filled(address):
    """The address with one shipped checkpoint."""
    files, base = fsspec.core.url_to_fs(address)
    for path in (DEFAULT_ROOT / KEY).iterdir():
        if path.suffix == ".json" or path.name == "model.safetensors":
            files.makedirs(f"{base}/{KEY}", exist_ok=True)
            files.put_file(str(path), f"{base}/{KEY}/{path.name}")
    return address


def elsewhere(address, monkeypatch, tmp_path, name="other"):
    """The store as another machine sees it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    return RemoteStore(address)


def test_an_address_is_told_from_a_folder(tmp_path, address):
    assert type(open_store(tmp_path)) is Store
    assert type(open_store(None)) is Store
    assert isinstance(open_store(address), RemoteStore)


def test_an_empty_address_holds_nothing(address):
    store = open_store(address)
    assert store.keys() == []
    with pytest.raises(Missing, match="there is no checkpoint"):
        store.checkpoint(KEY).card()


def test_reading(filled):
    store = open_store(filled)
    assert store.keys() == [KEY]
    here = Store().checkpoint(KEY)
    assert store.checkpoint(KEY).card() == here.card()
    assert store.checkpoint(KEY).result("location") == here.result("location")
    theirs, ours = store.checkpoint(KEY).model().state_dict(), here.model().state_dict()
    assert weights_fingerprint(theirs) == weights_fingerprint(ours)


def test_what_is_written_is_seen_elsewhere(address, monkeypatch, tmp_path):
    store, here = open_store(address), Store().checkpoint(KEY)
    store.save(here.model(), here.card())
    store.checkpoint(KEY).save_result("location", here.result("location"))
    other = elsewhere(address, monkeypatch, tmp_path)
    assert other.keys() == [KEY]
    assert other.checkpoint(KEY).result("location")["hits"] == here.result("location")["hits"]
    other.checkpoint(KEY).model()


def test_what_changes_elsewhere_is_fetched_and_what_is_gone_is_removed(filled, monkeypatch, tmp_path):
    first, here = open_store(filled), Store().checkpoint(KEY)
    values = here.result("location")
    assert first.checkpoint(KEY).result("saliency") is not None
    other = elsewhere(filled, monkeypatch, tmp_path)
    changed = values | {"hits": [[0] * len(row) for row in values["hits"]]}
    checkpoint = other.checkpoint(KEY)
    checkpoint.save_result("location", changed)
    (checkpoint.folder / "saliency.json").unlink()
    other.publish(KEY)
    assert first.checkpoint(KEY).result("location")["hits"] == values["hits"], "fetched once, until it is asked to"
    first.fetch(KEY)
    assert first.checkpoint(KEY).result("location")["hits"] == changed["hits"]
    assert first.checkpoint(KEY).result("saliency") is None


def test_workers_that_share_a_cache_take_turns(filled, monkeypatch):
    """One fetches a checkpoint while another stores a result of it: neither loses a file of the other."""
    writer, readers = open_store(filled), [open_store(filled) for _ in range(3)]
    checkpoint = writer.checkpoint(KEY)
    get = type(writer.files).get_file

    def slowly(self, *arguments, **options):
        time.sleep(0.01)
        return get(self, *arguments, **options)

    monkeypatch.setattr(type(writer.files), "get_file", slowly)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(reader.checkpoint, KEY) for reader in readers]
        for number in range(3):
            checkpoint.save_result(f"flag-{number}", {"value": number})
        for one in running:
            one.result().model()
    assert [checkpoint.result(f"flag-{number}")["value"] for number in range(3)] == [0, 1, 2]
    assert not list(checkpoint.folder.glob("*.tmp"))


def test_publishing_sends_only_what_has_changed(filled, monkeypatch):
    store = open_store(filled)
    checkpoint = store.checkpoint(KEY)
    sent = []
    put = type(store.files).put_file
    monkeypatch.setattr(
        type(store.files), "put_file", lambda self, a, b, **kw: (sent.append(a), put(self, a, b, **kw))[1]
    )
    store.publish(KEY)
    assert sent == []
    checkpoint.save_result("flag", {"value": 1})
    assert [path.rsplit("/", 1)[1] for path in sent] == ["flag.json"]


def test_weights_go_first_and_the_card_last(address, monkeypatch):
    store, here = open_store(address), Store().checkpoint(KEY)
    sent = []
    put = type(store.files).put_file
    monkeypatch.setattr(
        type(store.files), "put_file", lambda self, a, b, **kw: (sent.append(a), put(self, a, b, **kw))[1]
    )
    folder = store.checkpoint(KEY).folder
    shutil.copytree(here.folder, folder, dirs_exist_ok=True)
    store.publish(KEY)
    names = [path.rsplit("/", 1)[1] for path in sent]
    assert names[-1] == "card.json"
    suffixes = [name.rsplit(".", 1)[1] for name in names]
    assert suffixes == sorted(suffixes, reverse=True)


@pytest.mark.parametrize("address", ["nix://there"])
def test_an_address_that_cannot_be_opened_is_said_in_one_sentence(address):
    with pytest.raises(ValueError, match=r"store = .* cannot be opened"):
        open_store(address)
