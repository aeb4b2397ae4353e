"""What tests of pages share: a page that is run without a browser, and what is read of it."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.store.local import Store
from dashboard.server.resources import jobs

PAGES = ("location", "appearance")
MEASURING = (*PAGES, "defenses")
READING_IMAGES = (*MEASURING, "enhanced", "saliency", "physical")
ALL = (*READING_IMAGES, "paper")
# Those of the ablation in Fig. 14 differ from the others in nothing that a page looks at.
SHIPPED = [key for key in Store().keys() if "+max" not in key]  # noqa: SIM118 - not a dictionary
GRAY = "shapes10/resnet20/badnets-gray"
WHITE = "shapes10/resnet20/badnets"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No data but shapes10, an own cache, and nothing left over from another test."""
    monkeypatch.delenv("TRIGGER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dashboard.server.compiling.compile_in_background", _nothing_to_compile)
    st.cache_resource.clear()
    yield
    jobs().close()


def _nothing_to_compile(*_: Any) -> Generator[None, None, None]:
    yield from ()


def page(name: str, **query: str) -> AppTest:
    """Runs a page with a link's parameters."""
    test = AppTest.from_string(f"from dashboard.views import {name}\n{name}.show()", default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def link(test: AppTest) -> dict[str, str]:
    """The link's parameters; AppTest keeps some as texts, some as lists of one."""
    values = {name: test.query_params[name] for name in test.query_params}
    return {name: value if isinstance(value, str) else value[0] for name, value in values.items()}


def component(test: AppTest, key: str) -> dict[str, Any]:
    """The data a canvas component was given."""
    for element in test.get("bidi_component"):
        if key in element.proto.id:
            data: dict[str, Any] = json.loads(element.proto.json)
            return data
    raise AssertionError(f"no component {key}")


def readout(test: AppTest) -> str:
    """The HTML of the rates, which a component draws where they follow the trigger."""
    for element in test.get("bidi_component"):
        if element.proto.id.endswith("rates"):
            return str(json.loads(element.proto.json)["html"])
    return next(html.proto.body for html in test.get("html") if "ts-rates" in html.proto.body)
