"""The audit report on a page: made at the press of a button, by the owner only, and then a file to save."""

from __future__ import annotations

import time

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.server.owner import NotAllowed
from dashboard.server.resources import jobs
from dashboard.server.subjects import subjects
from dashboard.widgets import report

KEY = "shapes10/resnet20/badnets"


@pytest.fixture(autouse=True)
def cache_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr("dashboard.server.resources.compile_aside", lambda *_: None)
    monkeypatch.delenv("TRIGGER_SERVED", raising=False)
    st.cache_resource.clear()
    yield
    jobs().close()
    st.cache_resource.clear()


def page() -> AppTest:
    test = AppTest.from_string("from dashboard.views import location\nlocation.show()", default_timeout=120)
    test.query_params["model"] = KEY
    return test.run()


def button(test: AppTest):
    return [button for button in test.button if button.label == "Make an audit report"]


def test_a_report_is_made_and_can_be_saved():
    test = page()
    assert not test.exception
    subject = subjects()[0][KEY]
    button(test)[0].click().run()
    job = jobs().find(("report", KEY, subject.weights))
    until = time.monotonic() + 120
    while job.snapshot().running and time.monotonic() < until:
        time.sleep(0.1)
    assert job.snapshot().error == ""
    test.run()
    assert not test.exception
    made = report.report_file(subject).read_text()
    assert f"<h1>Audit of {KEY}</h1>" in made
    saves = [element.proto.label for element in test.get("download_button")]
    assert "Save the report" in saves


def test_a_visitor_makes_no_report(monkeypatch):
    monkeypatch.setenv("TRIGGER_SERVED", "1")
    test = page()
    assert not test.exception
    assert not button(test)
    with pytest.raises(NotAllowed, match="Making a report needs the owner"):
        report.start_report(subjects()[0][KEY], "a visitor")
