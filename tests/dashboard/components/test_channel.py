"""What a component's browser sends: acted on and acknowledged, or neither."""

from __future__ import annotations

from typing import Any

import pytest
import streamlit as st

from dashboard.components.channel import Component
from dashboard.components.messages import whole


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """With what the component was mounted, each time; the session state is a plain dictionary."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(st.components.v2, "component", lambda *names, **files: lambda **given: calls.append(given))
    monkeypatch.setattr(st, "session_state", {})
    return calls


def draw(heard: list[int]) -> None:
    component = Component("image_picker", ("wire.js", "picker.js"), "picker.css")
    component.converse("x", {"a": [1]}, "image", lambda sent: whole(sent["index"], 0, 9), heard.append)  # type: ignore[index]


def test_a_message_is_acted_on_and_its_number_goes_back_with_the_next_run(mounted: list[dict[str, Any]]) -> None:
    heard: list[int] = []
    draw(heard)
    assert mounted[0]["data"] == {"a": (1,), "ack": 0}
    st.session_state["x"] = {"image": {"index": 0, "seq": 5}}
    mounted[0]["on_image_change"]()
    draw(heard)
    assert heard == [0]
    assert mounted[1]["data"] == {"a": (1,), "ack": 5}


@pytest.mark.parametrize(
    "state",
    [
        None,
        "text",
        {},
        {"image": None},
        {"image": {"index": 3}},
        {"image": {"index": 10, "seq": 6}},
        {"image": {"index": 3, "seq": True}},
        {"image": {"index": 3, "seq": 2**53 + 1}},
    ],
)
def test_what_is_malformed_is_neither_acted_on_nor_acknowledged(state: Any, mounted: list[dict[str, Any]]) -> None:
    heard: list[int] = []
    st.session_state["x:ack"] = 5
    draw(heard)
    st.session_state["x"] = state
    mounted[0]["on_image_change"]()
    draw(heard)
    assert heard == []
    assert mounted[1]["data"]["ack"] == 5
