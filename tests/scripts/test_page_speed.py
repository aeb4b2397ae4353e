"""The command that measures reruns of pages, and with it that a rerun of any page parses no file of a checkpoint."""

from __future__ import annotations

import json

import page_speed
import pytest
from test_scripts import script

from core.store.local import DEFAULT_ROOT

__all__ = ["script"]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(page_speed, "PAUSE", 0.0)
    monkeypatch.setattr(page_speed, "WARM_UP", 1)


@pytest.mark.parametrize("page", ["location", "defenses", "defenses, repairs", "defenses, cost", "enhanced", "paper"])
def test_a_rerun_parses_nothing_again(page, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TRIGGER_DATA", raising=False)
    measured = page_speed.reruns(page, "shapes10/resnet20/badnets", 1)
    assert (measured.cards, measured.results) == (0, 0)


def test_files_that_are_parsed_are_counted():
    from core.store.card import Card
    from core.store.local import Store

    folder = DEFAULT_ROOT / "shapes10/resnet20/badnets"
    with page_speed.counted() as counts:
        Card.from_json((folder / "card.json").read_text())
        for _ in range(2):
            assert Store().checkpoint("shapes10/resnet20/badnets").result("saliency") is not None
    assert counts["results"] == 2
    assert counts["cards"] >= 1


def test_the_command_prints_a_line_for_each_page(script):
    status, out, _ = script("page_speed", "--pages", "paper", "--reruns", 1, "--json", "-")
    assert status == 0
    (found,) = json.loads(out)["pages"]
    assert (found["page"], found["cards"], found["results"]) == ("paper", 0, 0)
    assert 0 < found["fastest"] <= found["milliseconds"] <= 60_000
    status, _, err = script("page_speed", "--reruns", 0)
    assert status == 2
    assert "--reruns = 0 is not allowed" in err
