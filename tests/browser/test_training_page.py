"""Page *Train* in a real Chromium: a training starts, is seen by a second user, and is paused and discarded."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")

from core.store.local import Store
from core.training.state import read_unfinished
from dashboard.server.trainings import Trainings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
KEY = "shapes10/resnet20/blended+max2"


def test_a_training_is_started_seen_by_a_second_user_paused_and_discarded(
    page: Page, browser: Browser, serve: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from playwright.sync_api import expect

    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    home = {"TRIGGER_DATA": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "TRIGGER_CHECKPOINTS": str(checkpoints)}
    url = serve(APP, home)
    query = "train-attack=blended&train-enhanced=yes&train-enhancement-max-shrink=2"
    page.goto(f"{url}/train?{query}")
    expect(page.get_by_role("button", name="Start")).to_be_visible(timeout=400_000)
    folder, discarded = Store(checkpoints).checkpoint(KEY).folder, []

    def end() -> None:
        """A failed test must not leave the training running; its process takes a while to be known."""
        for _ in range(4000):
            found = read_unfinished(folder)
            if discarded or (found is not None and found.process is not None):
                break
            time.sleep(0.1)
        Trainings(Store(checkpoints), tmp_path).pause(KEY, "me")

    request.addfinalizer(end)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text(f"{KEY} · running")).to_be_visible(timeout=400_000)

    context = browser.new_context()
    second = context.new_page()
    second.goto(f"{url}/train")
    expect(second.get_by_text(f"{KEY} · running")).to_be_visible(timeout=400_000)

    # Where the process holds the training, it can be paused; before that, its modules are still being loaded.
    for _ in range(4000):
        found = read_unfinished(folder)
        if found is not None and found.process is not None:
            break
        page.wait_for_timeout(100)
    assert found is not None
    assert found.process is not None
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text(f"{KEY} · interrupted")).to_be_visible(timeout=400_000)
    expect(second.get_by_text(f"{KEY} · interrupted")).to_be_visible(timeout=400_000)
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("None is running or interrupted")).to_be_visible(timeout=400_000)
    assert not folder.exists()
    discarded.append(True)
    context.close()
