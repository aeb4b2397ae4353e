"""The pattern painter in a real browser, on the demo page beside this file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Locator, Page, expect

DEMO = Path(__file__).with_name("painter_demo.py")
GRID = ".painter .grid"
TRIGGER = "001010101"


@pytest.fixture(scope="module")
def url(browser: Browser, serve: Callable[..., str]) -> str:
    # The browser first: without one nothing is started.
    return serve(DEMO)


@pytest.fixture
def demo(page: Page, url: str) -> Page:
    return opened(page, url)


def opened(page: Page, url: str) -> Page:
    page.goto(url)
    page.wait_for_selector(f"{GRID}[data-cell]")
    said(page, TRIGGER)
    return page


def said(page: Page, pattern: str) -> None:
    """Wait until Python and the painter show this pattern."""
    expect(page.get_by_text(f"python: {pattern}", exact=True)).to_be_visible()
    expect(page.locator(GRID)).to_have_attribute("data-pattern", pattern)


def cell(page: Page, row: int, col: int) -> Locator:
    return page.locator(f'{GRID} .cell[data-row="{row}"][data-col="{col}"]')


def centre(page: Page, row: float, col: float) -> tuple[float, float]:
    """Middle of a cell, in CSS pixels of the window, from the geometry that the grid publishes."""
    grid = page.locator(GRID)
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    assert box is not None
    left, top, size = (float(grid.get_attribute(f"data-{name}") or "nan") for name in ("left", "top", "cell"))
    return box["x"] + left + (col + 0.5) * size, box["y"] + top + (row + 0.5) * size


def fill(page: Page, label: str, value: int) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def focused(page: Page) -> str | None:
    name: str | None = page.locator(GRID).evaluate("grid => grid.getRootNode().activeElement?.ariaLabel ?? null")
    return name


def test_click_takes_a_cell_from_black_to_lit_to_clear_and_back(demo: Page) -> None:
    for state, name in (("1", "non-black"), (".", "clear"), ("0", "black")):
        demo.mouse.click(*centre(demo, 0, 1))
        said(demo, "0" + state + TRIGGER[2:])
        expect(cell(demo, 0, 1)).to_have_attribute("aria-label", f"row 1 of 3, column 2 of 3: {name}")


def test_drag_gives_the_first_cells_new_state_to_all_cells_passed_over(demo: Page) -> None:
    demo.mouse.move(*centre(demo, 0, 0))
    demo.mouse.down()
    expect(demo.locator(GRID)).to_have_attribute("data-painting", "true")
    demo.mouse.move(*centre(demo, 0, 2))  # in one step: the cell between is passed over all the same
    demo.mouse.move(*centre(demo, 2, 2), steps=7)
    said(demo, "111011101")  # while the button is still down
    demo.mouse.move(*centre(demo, 2, 30), steps=3)  # beside the grid nothing is painted
    demo.mouse.up()
    demo.mouse.move(*centre(demo, 1, 0))
    demo.wait_for_timeout(200)
    said(demo, "111011101")
    expect(demo.locator(GRID)).to_have_attribute("data-painting", "false")


def test_right_button_paints_nothing(demo: Page) -> None:
    demo.mouse.click(*centre(demo, 1, 0), button="right")
    demo.wait_for_timeout(200)
    said(demo, TRIGGER)


def test_keys(demo: Page) -> None:
    demo.get_by_label("Value of lit cells, 0 to 255", exact=True).focus()
    for _ in range(5):  # over the buttons of the number input
        demo.keyboard.press("Tab")
        if focused(demo):
            break
    assert focused(demo) == "row 1 of 3, column 1 of 3: black"
    ring = cell(demo, 0, 0).evaluate("e => getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth")
    assert ring == "solid3px"
    demo.keyboard.press("ArrowDown")
    demo.keyboard.press("Space")
    said(demo, "001110101")
    expect(demo.locator(".painter .status")).to_have_text("row 2 of 3, column 1 of 3: non-black")
    demo.keyboard.press("Enter")
    said(demo, "001.10101")
    demo.keyboard.press("End")
    demo.keyboard.press("1")
    said(demo, "001.11101")
    demo.keyboard.press("ArrowDown")
    demo.keyboard.press("ArrowRight")  # already at the border
    demo.keyboard.press(".")
    said(demo, "001.1110.")
    demo.keyboard.press("Shift+ArrowUp")
    demo.keyboard.press("0")
    said(demo, "000.1110.")
    assert demo.evaluate("document.scrollingElement.scrollTop") == 0
    assert focused(demo) == "row 1 of 3, column 3 of 3: black"  # focus outlives the reruns
    assert demo.locator(f'{GRID} [tabindex="0"]').count() == 1


def test_keys_go_on_where_the_pointer_was(demo: Page) -> None:
    demo.mouse.click(*centre(demo, 2, 1))
    said(demo, "001010111")
    expect(cell(demo, 2, 1)).to_have_css("outline-style", "none")  # no ring for a mouse
    demo.keyboard.press("ArrowUp")
    expect(cell(demo, 1, 1)).to_have_css("outline-style", "solid")
    demo.keyboard.press(".")
    said(demo, "0010.0111")


def test_ring_comes_back_with_the_tab_key_after_a_click(demo: Page) -> None:
    demo.mouse.click(*centre(demo, 1, 1))
    said(demo, "0010.0101")
    demo.keyboard.press("Shift+Tab")
    assert focused(demo) is None
    demo.keyboard.press("Tab")
    expect(cell(demo, 1, 1)).to_have_css("outline-style", "solid")


def test_touch_paints(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 420, "height": 900}, has_touch=True, is_mobile=True)
    page = opened(context.new_page(), url)
    page.touchscreen.tap(*centre(page, 1, 1))
    said(page, "0010.0101")
    cdp = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches: list[dict[str, Any]] = [{"x": x, "y": y} for x, y in points]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    touch("touchStart", centre(page, 0, 0))
    for step in range(1, 9):
        touch("touchMove", centre(page, step / 4, 0))
    touch("touchEnd")
    said(page, "1011.0101")
    assert page.locator(".painter").evaluate("e => getComputedStyle(e).touchAction") == "auto"
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    context.close()


def test_pattern_set_by_python_is_shown_and_remounts_nothing(demo: Page) -> None:
    demo.mouse.click(*centre(demo, 0, 0))
    said(demo, "101010101")
    cell(demo, 0, 0).evaluate("cell => { cell.mark = 'the same element'; }")
    demo.get_by_role("button", name="Ring").click()
    said(demo, "1111.1111")
    assert cell(demo, 0, 0).evaluate("cell => cell.mark") == "the same element"
    demo.mouse.click(*centre(demo, 1, 1))
    said(demo, "111101111")


def test_last_cell_cannot_be_cleared(demo: Page) -> None:
    demo.get_by_role("button", name="One cell").click()
    said(demo, "....1....")
    note, legend = demo.locator(".painter .note"), demo.locator(".painter .legend")
    expect(note).to_be_hidden()
    demo.mouse.click(*centre(demo, 1, 1))  # lit: clear is skipped
    said(demo, "....0....")
    expect(note).to_be_visible()
    expect(legend).to_be_hidden()
    expect(note).to_be_hidden()  # it goes again
    demo.keyboard.press(".")
    expect(note).to_be_visible()
    expect(demo.locator(".painter .status")).to_have_text("One cell has to stay.")
    said(demo, "....0....")
    demo.keyboard.press("ArrowRight")
    demo.keyboard.press("1")
    demo.keyboard.press(".")
    said(demo, "....0....")


def test_dragging_clear_over_everything_leaves_a_cell(demo: Page) -> None:
    demo.get_by_role("button", name="Ring").click()
    said(demo, "1111.1111")
    demo.mouse.move(*centre(demo, 0, 0))
    demo.mouse.down()
    for row, col in ((0, 2), (1, 2), (1, 0), (2, 0), (2, 2)):
        demo.mouse.move(*centre(demo, row, col), steps=3)
    demo.mouse.up()
    said(demo, "........1")


@pytest.mark.parametrize("value", [255, 128, 20])
def test_lit_cells_have_the_gray_value(demo: Page, value: int) -> None:
    if value != 255:
        fill(demo, "Value of lit cells, 0 to 255", value)
    expect(cell(demo, 0, 2)).to_have_css("background-color", f"rgb({value}, {value}, {value})")
    expect(cell(demo, 0, 0)).to_have_css("background-color", "rgb(0, 0, 0)")
    expect(demo.locator(".painter")).to_have_attribute("data-dim", "true" if value == 20 else "false")


def test_size_changes_and_every_size_fits(demo: Page) -> None:
    for height, width in ((3, 5), (32, 5), (32, 32), (1, 32), (1, 1)):
        fill(demo, "Height", height)
        fill(demo, "Width", width)
        expect(demo.locator(f"{GRID} .cell")).to_have_count(height * width)
        expect(demo.locator(f"{GRID} .row")).to_have_count(height)
        box = demo.locator(GRID).bounding_box()
        assert box is not None
        assert max(box["width"], box["height"]) <= 150
        assert min(box["width"], box["height"]) >= 4
        row, col = height - 1, width - 1
        before = cell(demo, row, col).get_attribute("data-state") or ""
        demo.mouse.click(*centre(demo, row, col))
        after = {"0": "1", "1": "." if height * width > 1 else "0", ".": "0"}[before]
        expect(cell(demo, row, col)).to_have_attribute("data-state", after)
        said(demo, demo.locator(GRID).get_attribute("data-pattern") or "")


def test_slow_script_never_takes_paint_back(page: Page, serve: Callable[..., str]) -> None:
    # Longer than the time-out of an unacknowledged message: old patterns come back after newer ones have left.
    opened(page, serve(DEMO, {"DEMO_DELAY": "0.7"}))
    page.locator(GRID).evaluate(
        """grid => {
            grid.seen = [];
            new MutationObserver(() => grid.seen.push(grid.dataset.pattern)).observe(grid, {attributes: true});
        }"""
    )
    page.mouse.move(*centre(page, 0, 0))
    page.mouse.down()
    for row, col in ((0, 1), (1, 0), (1, 2), (2, 1)):
        page.mouse.move(*centre(page, row, col), steps=3)
        page.wait_for_timeout(300)
    page.mouse.up()
    page.wait_for_timeout(2000)  # whatever was still under way has come back
    said(page, "111111111")
    lit = [pattern.count("1") for pattern in page.locator(GRID).evaluate("grid => grid.seen")]
    assert lit == sorted(lit)
    assert int(page.get_by_text("messages: ").inner_text().split()[1]) <= 5


def test_dark_theme(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, color_scheme="dark")
    page = opened(context.new_page(), url)
    colour = page.locator(".painter").evaluate("e => getComputedStyle(e).color")
    assert min(map(int, re.findall(r"\d+", colour)[:3])) > 180, f"the legend is written in {colour} on dark"
    page.mouse.click(*centre(page, 0, 0))
    said(page, "1" + TRIGGER[1:])
    context.close()


def test_grid_for_screen_readers(demo: Page) -> None:
    grid = demo.get_by_role("grid", name="Pattern of the trigger")
    expect(grid.get_by_role("row")).to_have_count(3)
    expect(grid.get_by_role("gridcell")).to_have_count(9)
    expect(grid.get_by_role("gridcell", name="row 1 of 3, column 3 of 3: non-black")).to_be_visible()
