"""Served mode: a stranger looks, drags and measures; what trains, repairs, fetches or deletes needs the token."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from pages import ALL, WHITE, _alone, page
from squares import six_colours
from starlette.websockets import WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackendOperationRequest, BackMsg
from streamlit.testing.v1 import AppTest

from core.attacks import attacks
from core.data import dataset_from, datasets
from core.defenses import defenses
from core.store.local import DEFAULT_ROOT, Store
from core.training.trainer import Plan, train
from dashboard.server import owner as module
from dashboard.server.limits import IMAGES_SERVED, PHOTOGRAPHS_SERVED
from dashboard.server.owner import LONGEST_DELAY, NotAllowed, Owners, is_owner, is_served, owners
from dashboard.server.resources import jobs
from dashboard.server.strangers import guard
from dashboard.server.subjects import Subject
from dashboard.server.trainings import Trainings
from dashboard.views.repairs import start_repair, stop_repair
from dashboard.widgets.download import rename_folder, start_fetching, stop_fetching

__all__ = ["_alone"]  # the fixture that keeps data and cache away

SECRET = "a token that nobody guesses"
ACTING = {"Start", "Run", "Run again", "Continue", "Pause", "Discard", "Take out", "Delete", "Delete it", "Cancel"}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server for strangers, started anew."""
    monkeypatch.setenv("TRIGGER_SERVED", "1")
    monkeypatch.setenv("TRIGGER_OWNER_TOKEN", SECRET)
    monkeypatch.setattr(module, "_made", [])


def acting(test: AppTest) -> list[str]:
    return [button.label for button in test.button if button.label in ACTING or button.label.startswith("Fetch")]


def fields(test: AppTest) -> list[str]:
    return [field.label for field in test.text_input if field.label == "The folder is now at"]


def give(test: AppTest, token: str) -> AppTest:
    """Gives a token in the first field that asks for it."""
    field = next(field for field in test.text_input if field.label == "Owner's token")
    return field.set_value(token).run()


@pytest.mark.parametrize(
    ("value", "expected"), [("", False), ("0", False), ("No", False), ("false", False), ("1", True), ("maybe", True)]
)
def test_any_other_value_than_no_serves(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_SERVED", value)
    assert is_served() == expected


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("name", [*ALL, "lesson", "train"])
def test_a_stranger_sees_every_page_and_nothing_that_acts(name: str) -> None:
    test = page(name, **({} if name in ("train", "lesson") else {"model": WHITE}))
    assert not test.exception
    assert not test.error
    assert acting(test) == []


REPAIRING = {"model": WHITE, "part": "repairs", "fine-pruning-tolerance": "20"}
FETCHING = {"model": "cifar10/resnet20/badnets"}


@pytest.mark.parametrize(
    ("name", "query", "button"),
    [("train", {}, "Start"), ("defenses", REPAIRING, "Run"), ("location", FETCHING, "Fetch CIFAR-10 (170 MB)")],
    ids=["train", "repair", "fetch"],
)
def test_the_token_is_asked_for_once_and_a_wrong_one_is_refused(
    name: str, query: dict[str, str], button: str, served: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", LONGEST_DELAY)
    test = page(name, **query)
    assert acting(test) == []
    assert any("needs the owner of this server" in caption.value for caption in test.caption)
    give(test, "wrong")
    assert [error.value for error in test.error] == ["This is not the owner's token."]
    assert acting(test) == []
    give(test, SECRET)
    assert "the next token is looked at in" in test.error[0].value, "while it waits, the right one counts no more"
    assert acting(test) == []
    again = give(page(name, **query), SECRET)
    assert not again.error
    assert button in acting(again)
    assert not any(field.label == "Owner's token" for field in again.run().text_input)
    assert SECRET not in str(dict(again.query_params))
    assert SECRET not in str(again.session_state._state.filtered_state)


@pytest.mark.parametrize("name", ["train", "defenses", "location"])
def test_by_default_everybody_is_the_owner(name: str) -> None:
    test = page(name, **{"train": {}, "defenses": REPAIRING, "location": FETCHING}[name])
    assert len(acting(test)) == 1
    assert not any(field.label == "Owner's token" for field in test.text_input)


@pytest.fixture
def acts(tmp_path: Path) -> dict[str, Callable[[str], object]]:
    """What acts, by name: called with the identity of a session."""
    shutil.copytree(DEFAULT_ROOT / WHITE, tmp_path / "store" / WHITE)
    store = Store(tmp_path / "store")
    subject = Subject(store.checkpoint(WHITE), store.checkpoint(WHITE).card())
    every = Trainings(store, tmp_path / "trainings")
    plan = Plan(
        dataset=dataset_from(f"folder:{six_colours(tmp_path / 'six')}"), model="vgg19", attack=attacks["badnets"]()
    )
    repair = defenses["fine-pruning"]()
    job = jobs().request(("a repair",), type(None), lambda: iter(()), "somebody", to_end=True, cached=False)  # type: ignore[type-var]
    data = datasets["cifar10"]()
    return {
        "train": lambda by: every.start(plan, by),
        "take out": lambda by: every.take_out(plan.key, by),
        "pause": lambda by: every.pause(plan.key, by),
        "discard": lambda by: every.forget(plan.key, by),
        "delete": lambda by: every.delete(WHITE, by),
        "repair": lambda by: start_repair(subject, repair, by),
        "stop a repair": lambda by: stop_repair(job, by),
        "fetch": lambda by: start_fetching(data, by),
        "cancel": lambda by: stop_fetching(data, by),
        "rename": lambda by: rename_folder(subject, "/", by),
    }


NAMES = "train", "take out", "pause", "discard", "delete", "repair", "stop a repair", "fetch", "cancel", "rename"


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("name", NAMES)
def test_the_functions_that_act_refuse_a_stranger(name: str, acts: dict[str, Callable[[str], object]]) -> None:
    with pytest.raises(NotAllowed, match="needs the owner of this server"):
        acts[name]("a stranger")
    assert not jobs().find(("download", "cifar10"))


@pytest.mark.usefixtures("served")
def test_what_another_one_started_is_not_a_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(
        dataset=dataset_from(f"folder:{six_colours(tmp_path / 'six')}"), model="resnet20", attack=attacks["badnets"]()
    )
    every = Trainings(Store(tmp_path / "store"), tmp_path / "trainings")
    monkeypatch.setattr(Trainings, "_begin", lambda self, plan, device: None)
    assert owners().offer("the owner", SECRET) == ""
    every.start(plan, "the owner")
    assert [every.starter(plan.key, who) for who in ("the owner", "a stranger")] == ["you", "the owner"]
    assert [every.may(plan.key, who) for who in ("the owner", "a stranger")] == [True, False]
    with pytest.raises(NotAllowed, match="or who started the training"):
        every.pause(plan.key, "a stranger")


@pytest.mark.usefixtures("served")
def test_a_training_under_way_is_shown_to_a_stranger_without_its_buttons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "store"))
    st.cache_resource.clear()
    plan = Plan(
        dataset=dataset_from(f"folder:{six_colours(tmp_path / 'six')}"), model="resnet20", attack=attacks["badnets"]()
    )
    running = train(plan, Store(tmp_path / "store"))
    next(running)
    test = page("train")
    assert any("six/resnet20/badnets" in text.value and "running" in text.value for text in test.markdown)
    assert any("Started by the command line" in caption.value for caption in test.caption)
    assert acting(test) == []
    assert {"Pause", "Discard"} <= set(acting(give(test, SECRET)))
    running.close()


@pytest.mark.usefixtures("served")
def test_a_stranger_names_no_folder_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "store"))
    st.cache_resource.clear()
    plan = Plan(
        dataset=dataset_from(f"folder:{six_colours(tmp_path / 'six')}"), model="resnet20", attack=attacks["badnets"]()
    )
    running = train(plan, Store(tmp_path / "store"))
    next(running), running.close()
    shutil.move(tmp_path / "six", tmp_path / "moved")
    assert fields(page("train")) == []
    assert fields(give(page("train"), SECRET)) == ["The folder is now at"]


@pytest.mark.parametrize(
    ("name", "key", "limit"), [("location", "n", IMAGES_SERVED), ("physical", "photos", PHOTOGRAPHS_SERVED)]
)
def test_a_stranger_measures_with_fewer_images(name: str, key: str, limit: int, served: None) -> None:
    test = page(name, **{"model": WHITE, key: str(4 * limit if name == "physical" else 1000)})
    slider = test.select_slider(key=f"choice-{key}")
    assert max(map(int, slider.options)) == limit
    assert slider.value == limit
    assert not test.exception


def test_a_token_is_made_once_and_printed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRIGGER_SERVED", "1")
    monkeypatch.delenv("TRIGGER_OWNER_TOKEN", raising=False)
    monkeypatch.setattr(module, "_made", [])
    token = owners().token
    assert len(token) >= 43
    assert owners().token == token
    assert capfd.readouterr().err.count(token) == 1
    assert Owners().token != token


def test_a_token_of_ones_own_is_not_printed_and_not_short(
    served: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert owners().token == SECRET
    assert SECRET not in capfd.readouterr().err
    monkeypatch.setattr(module, "_made", [])
    monkeypatch.setenv("TRIGGER_OWNER_TOKEN", "short")
    with pytest.raises(ValueError, match="at least 16 characters"):
        is_owner("anybody")


def test_wrong_tokens_cost_ever_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("dashboard.server.owner.time.monotonic", lambda: now)
    some = Owners(SECRET)
    assert some.offer("me", "wrong") == "This is not the owner's token."
    assert "in 1 seconds" in some.offer("me", SECRET)
    assert "me" not in some
    now += 1
    assert some.offer("me", "wrong again") == "This is not the owner's token."
    assert "in 2 seconds" in some.offer("me", SECRET)
    for _ in range(10):
        now += LONGEST_DELAY
        some.offer("me", "wrong")
    assert "in 60 seconds" in some.offer("me", SECRET)
    assert some.offer("another session", f" {SECRET} ") == "", "who was not wrong does not wait"
    now += LONGEST_DELAY
    assert some.offer("me", SECRET) == ""
    assert "me" in some


def test_nobody_keeps_the_owner_out() -> None:
    some = Owners(SECRET)
    said = {some.offer(f"session {number}", f"guess {number}") for number in range(200)}
    assert said == {"This is not the owner's token."}
    assert some.offer("one more", SECRET) == ""


class Runtime:
    """What of Streamlit's runtime hears the browsers."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []
        self.pages = 0
        self._session_mgr = self

    def num_active_sessions(self) -> int:
        return self.pages

    def handle_backmsg(self, session_id: str, msg: BackMsg, *, client: object = None) -> None:
        self.heard.append(msg.WhichOneof("type"))

    def connect_session(self, client: object, user_info: object) -> str:
        self.pages += 1
        return f"session {self.pages}"


def test_no_forged_message_clears_everybodys_caches() -> None:
    server = Runtime()
    guard(server)
    for message in (
        BackMsg(clear_cache=True),
        BackMsg(load_git_info=True),
        BackMsg(set_run_on_save=True),
        BackMsg(debug_shutdown_runtime=True),
        BackMsg(),
        BackMsg(backend_operation_request=BackendOperationRequest(install_skills={})),
        BackMsg(backend_operation_request=BackendOperationRequest(dismiss_skills_nudge={})),
        BackMsg(backend_operation_request=BackendOperationRequest()),
        BackMsg(backend_operation_request=BackendOperationRequest(deferred_file={"file_id": "any"})),
        BackMsg(stop_script=True),
    ):
        server.handle_backmsg("any", message, client=None)
    assert server.heard == ["backend_operation_request", "stop_script"]


def test_pages_beyond_the_limit_are_refused_until_others_close() -> None:
    server = Runtime()
    guard(server, most=2)
    assert [server.connect_session(client=None, user_info={}) for _ in range(2)] == ["session 1", "session 2"]
    with pytest.raises(WebSocketDisconnect):
        server.connect_session(client=None, user_info={})
    server.pages -= 1
    assert server.connect_session(client=None, user_info={}) == "session 2"
