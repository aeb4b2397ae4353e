"""The lesson in a real Chromium: from end to end by keys and by buttons, on a projector and on a telephone."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")

if TYPE_CHECKING:
    from playwright.sync_api import Page

STEPS = 9
PATIENCE = 240_000  # ms; the first prediction of a model comes with loading it, and the machine may be busy
pytestmark = pytest.mark.timeout(1200)


def open_step(page: Page, url: str, step: int, more: str = "") -> None:
    page.goto(f"{url}/lesson?step={step}{more}", timeout=PATIENCE, wait_until="domcontentloaded")
    reached(page, step)


def reached(page: Page, step: int, answered: bool | None = None) -> None:
    """Waits until the page itself, not only the bar, is at a step."""
    state = "" if answered is None else f"[data-answered='{str(answered).lower()}']"
    page.locator(f".bar[data-step='{step}']{state}").wait_for(timeout=PATIENCE)
    page.locator("h1", has_text=re.compile(rf"^{step}\. ")).wait_for(timeout=PATIENCE)


def sees_the_answer(page: Page, step: int) -> None:
    reached(page, step, True)
    shown = ".st-key-lesson-answer" if step < STEPS else ".st-key-lesson-quiz-3"
    page.locator(shown, has_text=re.compile(r"\d%")).wait_for(timeout=PATIENCE)


def test_the_lesson_by_keys_from_end_to_end_and_back(page: Page, url: str) -> None:
    open_step(page, url, 1)
    for step in range(1, STEPS + 1):
        reached(page, step, False)
        page.keyboard.press("ArrowRight" if step % 2 else "PageDown")
        sees_the_answer(page, step)
        if step < STEPS:
            page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")  # there is nothing further
    for step in range(STEPS - 1, 0, -1):
        page.keyboard.press("ArrowLeft")
        sees_the_answer(page, step)  # what was answered stays answered


def test_keys_faster_than_the_pages_lose_no_answer(page: Page, url: str) -> None:
    open_step(page, url, 1)
    for _ in range(2 * STEPS - 1):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(50)
    sees_the_answer(page, STEPS)
    for step in range(STEPS - 1, 0, -1):
        page.keyboard.press("ArrowLeft")
        sees_the_answer(page, step)


def test_the_lesson_by_buttons_from_end_to_end(page: Page, url: str) -> None:
    open_step(page, url, 1)
    for step in range(1, STEPS + 1):
        reached(page, step, False)
        # By the step's own key: the last step's text stays until this one's has come.
        page.locator(f"[class*='st-key-answer-{step:02d}-'] button").click(timeout=PATIENCE)
        sees_the_answer(page, step)
        if step < STEPS:
            page.locator(".bar .forward").click(timeout=PATIENCE)
    assert page.locator(".bar .forward").is_disabled()
    page.get_by_role("button", name="Step 3 of 9: Move it").click(timeout=PATIENCE)
    sees_the_answer(page, 3)
    page.locator(".bar .back").click(timeout=PATIENCE)
    sees_the_answer(page, 2)


def test_the_pad_and_the_sliders_keep_their_arrow_keys(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_step(page, url, 3)
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    shown = page.locator("[data-testid='stSliderThumbValue']")
    expect(shown).to_have_text("51", timeout=PATIENCE)
    reached(page, 3, False)
    page.get_by_role("button", name="Show the answer").click(timeout=PATIENCE)
    sees_the_answer(page, 3)
    pad = page.locator(".pad canvas")
    pad.focus()
    page.keyboard.press("ArrowLeft")
    expect(pad).to_have_attribute("data-col", "30")
    expect(page).to_have_url(re.compile("at-col=30"), timeout=PATIENCE)
    reached(page, 3, True)
    page.locator("h1").click(timeout=PATIENCE)
    page.keyboard.press("ArrowLeft")
    reached(page, 2)
    expect(page).not_to_have_url(re.compile("at-col"), timeout=PATIENCE)  # a step begins with its own state


def test_links_of_before_open_what_they_name_and_nothing_opens_the_lesson(page: Page, url: str) -> None:
    model = "model=shapes10/resnet20/badnets-gray"
    for path, title, ends in (
        ("", "1. What a backdoor is", r"/lesson(\?|$)"),
        (f"?{model}&row=20", "Trigger location", r"/location\?.*row=20"),
        (f"location?{model}&row=20", "Trigger location", r"/location\?.*row=20"),
        ("?step=3", "3. Move it", r"/lesson\?(.*&)?step=3"),
    ):
        page.goto(f"{url}/{path}", timeout=PATIENCE, wait_until="domcontentloaded")
        page.locator("h1", has_text=title).wait_for(timeout=PATIENCE)
        page.wait_for_url(re.compile(ends), timeout=PATIENCE)


def test_the_code_leads_to_this_very_step(page: Page, url: str) -> None:
    open_step(page, url, 5, "&model=shapes10/resnet20/blended")
    page.get_by_role("button", name="Join").click(timeout=PATIENCE)
    address = page.locator("[data-testid='stCode']").inner_text().strip()
    assert address == f"{url}/lesson?step=5&model=shapes10/resnet20/blended"
    assert page.get_by_alt_text(f"QR code of {address}").bounding_box() is not None


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_step_fits_a_projector_without_scrolling(page: Page, url: str, step: int) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    open_step(page, url, step)
    for answered in (False, True):
        if answered:
            page.keyboard.press("ArrowRight")
            sees_the_answer(page, step)
        page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=PATIENCE)
        page.wait_for_timeout(500)
        main = page.locator("[data-testid=stMain]")
        high, room = main.evaluate("main => [main.scrollHeight, main.clientHeight]")
        assert high <= room, (step, answered, high)


def test_a_telephone_shows_all_of_it_without_scrolling_sideways(page: Page, url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for step in (1, 3, 7):
        open_step(page, url, step)
        page.locator(".bar .forward").click(timeout=PATIENCE)
        sees_the_answer(page, step)
        wide, room = page.locator("[data-testid=stMain]").evaluate("main => [main.scrollWidth, main.clientWidth]")
        assert wide <= room, (step, wide)
