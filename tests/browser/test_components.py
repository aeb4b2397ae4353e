"""The trigger pad and the location map in a real browser, on the demo page beside this file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

DEMO = Path(__file__).with_name("component_demo.py")
PAD = ".pad canvas"
MAP = ".map canvas"
FIRST = 2  # the demo's smallest row and column: a 3 x 3 box inside the image


@pytest.fixture(scope="module")
def url(browser: Browser, serve: Callable[..., str]) -> str:
    # The browser first: without one nothing is started.
    return serve(DEMO)


@pytest.fixture
def demo(page: Page, url: str) -> Page:
    return opened(page, url)


def opened(page: Page, url: str) -> Page:
    page.goto(url)
    for canvas in (PAD, MAP):
        page.wait_for_selector(f"{canvas}[data-cell-width]")
    said(page, 31, 31)
    return page


def said(page: Page, row: int, col: int, state: str = "final") -> None:
    """Wait until Python shows this place."""
    expect(page.get_by_text(f"python: row {row}, column {col}, {state}", exact=True)).to_be_visible()


def shown(canvas: Locator, row: int, col: int) -> None:
    """Wait until a component shows this place."""
    expect(canvas).to_have_attribute("data-row", str(row))
    expect(canvas).to_have_attribute("data-col", str(col))


def number(canvas: Locator, name: str) -> float:
    value = canvas.get_attribute(f"data-{name}")
    assert value is not None
    return float(value)


def bounds(canvas: Locator) -> FloatRect:
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    return box


def centre(canvas: Locator, row: float, col: float, first: int = 0) -> tuple[float, float]:
    """Middle of the cell of an image pixel, in CSS pixels of the window."""
    box = bounds(canvas)
    x = box["x"] + number(canvas, "plot-left") + (col - first + 0.5) * number(canvas, "cell-width")
    y = box["y"] + number(canvas, "plot-top") + (row - first + 0.5) * number(canvas, "cell-height")
    return x, y


def test_mouse_drag_moves_the_trigger_and_python_follows(demo: Page) -> None:
    pad = demo.locator(PAD)
    demo.mouse.move(*centre(pad, 30, 30))
    demo.mouse.down()
    expect(pad).to_have_attribute("data-dragging", "true")
    demo.mouse.move(*centre(pad, 20, 14), steps=12)
    shown(pad, 21, 15)  # held by its middle
    said(demo, 21, 15, "moving")  # while the button is still down
    demo.mouse.up()
    expect(pad).to_have_attribute("data-dragging", "false")
    said(demo, 21, 15)
    shown(pad, 21, 15)
    shown(demo.locator(MAP), 21, 15)


def test_trigger_is_held_where_it_was_touched(demo: Page) -> None:
    pad = demo.locator(PAD)
    demo.mouse.move(*centre(pad, 31, 31))  # its corner, not its middle
    demo.mouse.down()
    shown(pad, 31, 31)
    demo.mouse.move(*centre(pad, 28, 27), steps=4)
    demo.mouse.up()
    said(demo, 28, 27)


def test_press_elsewhere_brings_the_centre_there(demo: Page) -> None:
    demo.mouse.click(*centre(demo.locator(PAD), 8, 9))
    said(demo, 9, 10)


def test_drag_beyond_the_border_is_clamped(demo: Page) -> None:
    pad = demo.locator(PAD)
    box = bounds(pad)
    demo.mouse.move(*centre(pad, 30, 30))
    demo.mouse.down()
    demo.mouse.move(box["x"] - 60, box["y"] - 60, steps=8)
    shown(pad, FIRST, FIRST)
    demo.mouse.move(box["x"] + box["width"] + 80, box["y"] + 40, steps=8)
    demo.mouse.up()
    expect(pad).to_have_attribute("data-col", "31")
    said(demo, int(number(pad, "row")), 31)


def test_press_without_a_move_tells_python_nothing(demo: Page) -> None:
    demo.evaluate(
        """() => {
            window.sent = 0;
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (...args) { window.sent++; return send.apply(this, args); };
        }"""
    )
    demo.mouse.click(*centre(demo.locator(PAD), 30, 30))
    demo.wait_for_timeout(300)
    assert demo.evaluate("window.sent") == 0


def test_arrow_keys_shift_and_home(demo: Page) -> None:
    pad = demo.locator(PAD)
    pad.focus()
    demo.keyboard.press("ArrowLeft")
    demo.keyboard.press("ArrowUp")
    demo.keyboard.press("ArrowUp")
    said(demo, 29, 30)
    demo.keyboard.press("Shift+ArrowUp")
    demo.keyboard.press("Shift+ArrowLeft")
    said(demo, 25, 26)
    expect(demo.locator(".pad .status")).to_have_text("Trigger at row 25, column 26 \u00b7 6 up, 5 left")
    assert demo.evaluate("document.scrollingElement.scrollTop") == 0
    demo.keyboard.press("Home")
    said(demo, 31, 31)
    demo.keyboard.press("ArrowDown")  # already at the border
    shown(pad, 31, 31)
    assert pad.evaluate("canvas => canvas.getRootNode().activeElement === canvas")  # focus outlives the reruns


def test_back_to_the_trained_place_without_a_keyboard(demo: Page) -> None:
    home = demo.get_by_role("button", name="Back to trained place")
    expect(home).to_be_hidden()
    demo.mouse.click(*centre(demo.locator(PAD), 8, 9))
    said(demo, 9, 10)
    home.click()
    said(demo, 31, 31)


def test_touch_drag(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 420, "height": 900}, has_touch=True, is_mobile=True)
    page = opened(context.new_page(), url)
    pad = page.locator(PAD)
    cdp = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches: list[dict[str, Any]] = [{"x": x, "y": y} for x, y in points]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    touch("touchStart", centre(pad, 30, 30))
    for step in range(1, 9):
        touch("touchMove", centre(pad, 30 - step, 30 - 2 * step))
    shown(pad, 23, 15)
    touch("touchEnd")
    said(page, 23, 15)
    context.close()


TOUCHED = """(canvas) => {
    const { plotLeft, plotTop, cellWidth, cellHeight, row, col } = canvas.dataset;
    const bounds = canvas.getBoundingClientRect();
    const keeps = (r, c) => {
        const clientX = bounds.left + +plotLeft + (c + 0.5) * cellWidth;
        const clientY = bounds.top + +plotTop + (r + 0.5) * cellHeight;
        const touch = new Touch({ identifier: 1, target: canvas, clientX, clientY });
        const event = new TouchEvent("touchstart", { touches: [touch], cancelable: true, bubbles: true });
        canvas.dispatchEvent(event);
        return event.defaultPrevented;
    };
    return [keeps(+row, +col), keeps((+row + 16) % 32, (+col + 16) % 32)];
}"""


def test_page_scrolls_with_a_finger_outside_the_trigger_only(browser: Browser, url: str) -> None:
    context = browser.new_context(has_touch=True)
    page = context.new_page()
    opened(page, url)
    assert page.locator(PAD).evaluate("e => getComputedStyle(e).touchAction") == "manipulation"
    assert page.locator(PAD).evaluate(TOUCHED) == [True, False], "the trigger keeps the finger, the image scrolls"
    assert page.locator(".pad").evaluate("e => getComputedStyle(e).touchAction") == "auto"
    assert page.locator(MAP).evaluate("e => getComputedStyle(e).touchAction") == "manipulation"
    context.close()


def test_place_set_by_python_moves_the_trigger_and_remounts_nothing(demo: Page) -> None:
    pad = demo.locator(PAD)
    for canvas in (pad, demo.locator(MAP)):
        canvas.evaluate("canvas => { canvas.mark = 'the same element'; }")
    demo.mouse.click(*centre(pad, 20, 20))
    said(demo, 21, 21)
    demo.get_by_role("button", name="Put at 10, 12").click()
    for canvas in (pad, demo.locator(MAP)):
        shown(canvas, 10, 12)
        assert canvas.evaluate("canvas => canvas.mark") == "the same element"


def pixel(pad: Locator, row: int, col: int) -> tuple[int, ...]:
    """Colour that the pad shows for an image pixel."""
    ratio = pad.page.evaluate("devicePixelRatio")
    x = (number(pad, "plot-left") + (col + 0.5) * number(pad, "cell-width")) * ratio
    y = (number(pad, "plot-top") + (row + 0.5) * number(pad, "cell-height")) * ratio
    colour = pad.evaluate("(canvas, at) => [...canvas.getContext('2d').getImageData(...at, 1, 1).data]", [x, y])
    return tuple(colour[:3])


def wait_for_pixel(pad: Locator, row: int, col: int, right: Callable[[tuple[int, ...]], bool]) -> None:
    for _ in range(100):
        if right(pixel(pad, row, col)):
            return
        pad.page.wait_for_timeout(50)
    pytest.fail(f"pixel {row}, {col} is {pixel(pad, row, col)}")


def test_pixels_are_blended_as_in_equation_1(demo: Page) -> None:
    pad = demo.locator(PAD)
    box = [(row, col) for row in (8, 9, 10) for col in (8, 9, 10)]
    image = [pixel(pad, *place) for place in box]
    demo.mouse.click(*centre(pad, 9, 9))
    said(demo, 10, 10)
    white = [False, False, True, False, True, False, True, False, True]
    for alpha in (255, 51, 3):
        opacity = demo.get_by_label("Opacity of the trigger, 0 to 255")
        opacity.fill(str(alpha))
        opacity.press("Enter")
        expected = [
            tuple(round((1 - alpha / 255) * value + alpha / 255 * 255 * on) for value in colour)
            for colour, on in zip(image, white, strict=True)
        ]
        wait_for_pixel(pad, *box[0], lambda colour, first=expected[0]: colour == first)  # type: ignore[misc]
        got = [pixel(pad, *place) for place in box]
        assert all(abs(g - e) <= 1 for gs, es in zip(got, expected, strict=True) for g, e in zip(gs, es, strict=True))


def test_pad_works_without_an_image(demo: Page) -> None:
    pad = demo.locator(PAD)
    assert max(pixel(pad, 2, 2)) - min(pixel(pad, 2, 2)) > 50  # blue sky
    demo.get_by_text("No image").click()
    wait_for_pixel(pad, 2, 2, lambda colour: max(colour) - min(colour) < 20)
    demo.mouse.click(*centre(pad, 8, 9))
    said(demo, 9, 10)


def test_slow_script_gets_fewer_messages_and_never_pulls_back(page: Page, serve: Callable[..., str]) -> None:
    # Longer than the time-out of an unacknowledged message: old positions come back after newer ones have left.
    opened(page, serve(DEMO, {"DEMO_DELAY": "0.7"}))
    pad = page.locator(PAD)
    pad.evaluate(
        """canvas => {
            canvas.seen = [];
            new MutationObserver(() => canvas.seen.push(canvas.dataset.col)).observe(canvas, {attributes: true});
        }"""
    )
    started = page.evaluate("performance.now()")
    (x, y), cell = centre(pad, 30, 30), number(pad, "cell-width")
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 26):
        page.mouse.move(x - step * cell, y)
        page.wait_for_timeout(60)
    page.mouse.up()
    elapsed = page.evaluate("performance.now()") - started
    said(page, 31, 6)
    page.wait_for_timeout(1500)  # whatever was still under way has come back
    said(page, 31, 6)
    shown(pad, 31, 6)
    seen = [int(col) for col in pad.evaluate("canvas => canvas.seen")]
    assert seen == sorted(seen, reverse=True)
    messages = int(page.get_by_text("messages: ").inner_text().split()[1])
    assert 2 <= messages <= 2 + elapsed / 500


def test_click_on_a_cell_picks_that_cell(demo: Page) -> None:
    heat = demo.locator(MAP)
    for row, col in ((28, 31), (2, 2), (17, 5)):
        demo.mouse.click(*centre(heat, row, col, FIRST))
        said(demo, row, col)
        shown(heat, row, col)
        shown(demo.locator(PAD), row, col)


def test_dragging_over_the_map_picks_all_along(demo: Page) -> None:
    heat = demo.locator(MAP)
    demo.mouse.move(*centre(heat, 12, 8, FIRST))
    demo.mouse.down()
    said(demo, 12, 8)
    demo.mouse.move(*centre(heat, 12, 20, FIRST), steps=10)
    said(demo, 12, 20)
    demo.mouse.up()
    demo.mouse.move(*centre(heat, 25, 25, FIRST))
    demo.wait_for_timeout(200)
    said(demo, 12, 20)


def test_tap_on_the_map_picks(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 420, "height": 900}, has_touch=True, is_mobile=True)
    page = opened(context.new_page(), url)
    page.touchscreen.tap(*centre(page.locator(MAP), 14, 22, FIRST))
    said(page, 14, 22)
    expect(page.locator(".tip")).to_contain_text("row 14, column 22")
    context.close()


def test_tooltip(demo: Page) -> None:
    tip = demo.locator(".tip")
    expect(tip).to_be_hidden()
    demo.mouse.move(*centre(demo.locator(MAP), 31, 28, FIRST))
    # exp(-9 / 18) = 0.6065, and its Wilson interval for n = 1000
    expect(tip).to_have_text("row 31, column 28: ASR 60.7 % (57.6\u201363.7, 607 of 1000)")
    demo.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_tooltip_of_an_unmeasured_place(demo: Page) -> None:
    heat = demo.locator(MAP)
    expect(heat).to_have_attribute("data-measured", "900")
    stride = demo.get_by_label("Measured every n-th place")
    stride.fill("4")
    stride.press("Enter")
    expect(heat).to_have_attribute("data-measured", "64")
    demo.mouse.move(*centre(heat, 30, 31, FIRST))
    expect(demo.locator(".tip")).to_have_text("row 30, column 31: not measured yet")


COLOUR = """(canvas, [x, y]) => {
  const ratio = window.devicePixelRatio || 1;
  return [...canvas.getContext("2d").getImageData(x * ratio, y * ratio, 1, 1).data];
}"""


def test_an_unmeasured_place_is_gray(demo: Page) -> None:
    """It has no colour of the scale, such as that of a measured place beside it."""
    heat = demo.locator(MAP)
    stride = demo.get_by_label("Measured every n-th place")
    stride.fill("4")
    stride.press("Enter")
    expect(heat).to_have_attribute("data-measured", "64")
    demo.wait_for_timeout(200)  # it is painted in the next frame

    def spread(row: int, col: int) -> int:
        cell = number(heat, "cell-width")
        x = number(heat, "plot-left") + (col - FIRST + 0.5) * cell
        y = number(heat, "plot-top") + (row - FIRST + 0.5) * cell
        red, green, blue, _ = heat.evaluate(COLOUR, [x, y])
        return int(max(red, green, blue) - min(red, green, blue))

    assert spread(15, 15) > 50
    for place in ((15, 16), (16, 15), (17, 17)):
        assert spread(*place) < 20


def test_map_by_keyboard(demo: Page) -> None:
    heat = demo.locator(MAP)
    demo.get_by_role("button", name="PNG").focus()
    demo.keyboard.press("Tab")
    tip = demo.locator(".tip")
    expect(tip).to_contain_text("row 31, column 31: ASR 100.0 %")
    demo.keyboard.press("ArrowUp")
    demo.keyboard.press("Shift+ArrowLeft")
    expect(tip).to_contain_text("row 30, column 27")
    expect(demo.locator(".map .status")).to_contain_text("row 30, column 27")
    shown(heat, 31, 31)  # looking is not picking
    demo.keyboard.press("Enter")
    said(demo, 30, 27)
    demo.keyboard.press("Escape")
    expect(tip).to_be_hidden()


def test_png_download(demo: Page, tmp_path: Path) -> None:
    with demo.expect_download() as waiting:
        demo.get_by_role("button", name="PNG").click()
    assert waiting.value.suggested_filename == "demo-map.png"
    target = tmp_path / "map.png"
    waiting.value.save_as(target)
    content = target.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20], "big") == 1560  # 520 pixels at three times the resolution


def test_the_picture_of_a_dark_page_is_light(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, color_scheme="dark")
    page = opened(context.new_page(), url)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="PNG").click()
    picture = np.asarray(Image.open(waiting.value.path()).convert("RGB"))
    assert (picture[0] == 255).all()
    assert (picture == 26).all(2).any(), "text is dark"
    context.close()


def test_dark_theme(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, color_scheme="dark")
    page = opened(context.new_page(), url)
    for component in (".pad", ".map"):
        colour = page.locator(component).evaluate("e => getComputedStyle(e).color")
        assert min(map(int, re.findall(r"\d+", colour)[:3])) > 180, f"{component} writes in {colour} on dark"
    page.mouse.click(*centre(page.locator(MAP), 9, 9, FIRST))
    said(page, 9, 9)
    context.close()


@pytest.mark.parametrize("width", [360, 420, 900, 1400])
def test_components_fit_their_column(browser: Browser, url: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    opened(page, url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for canvas, widest in ((page.locator(PAD), 640), (page.locator(MAP), 760)):
        assert min(240, width) < bounds(canvas)["width"] <= min(widest, width)
    page.context.close()
