"""Back and Forward of the browser go through what was selected, one press for each change."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")

from test_browsing import cell, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

GRAY = "shapes10/resnet20/badnets-gray"
WHITE = "shapes10/resnet20/badnets"


def address(page: Page) -> tuple[str, dict[str, str]]:
    """The page and the parameters of the address."""
    parts = urlsplit(page.url)
    return parts.path.strip("/"), {name: values[-1] for name, values in parse_qs(parts.query).items()}


def wait_for(page: Page, path: str, **wanted: str) -> None:
    """Waits until the address is of a page and has these parameters, none of them marked as restored."""
    fit = """([path, wanted]) => {
        const found = Object.fromEntries(new URLSearchParams(location.search));
        return location.pathname.replaceAll("/", "") === path && JSON.stringify(Object.entries(found).sort()) ===
            JSON.stringify(Object.entries(wanted).sort());
    }"""
    try:
        page.wait_for_function(fit, arg=[path, wanted], timeout=90_000)
    except Exception as error:
        raise AssertionError(f"wanted {path} with {wanted}, found {address(page)}") from error


def entries(page: Page) -> int:
    return int(page.evaluate("history.length"))


def value(page: Page) -> int:
    return int(page.get_by_role("slider", name="Pixel value").input_value())


def set_value(page: Page, presses: int) -> None:
    """Moves the slider of the pixel value by keys, in one go."""
    page.get_by_role("slider", name="Pixel value").focus()
    for _ in range(presses):
        page.keyboard.press("ArrowLeft")


def pick(page: Page, key: str, option: str) -> None:
    page.locator(f".st-key-{key}").get_by_role("combobox").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_back_and_forward_go_through_the_selections(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{url}/paper?model={WHITE}")
    wait_for(page, "paper", model=WHITE)
    begun = entries(page)
    page.get_by_role("link", name="Trigger location").click()
    wait_for(page, "location", model=WHITE)
    pick(page, "pick-2", "BadNets (gray)")
    wait_for(page, "location", model=GRAY)
    page.locator(".ts-rate.first[data-hits]").wait_for()
    before = value(page)
    set_value(page, 3)
    changed = {"model": GRAY, "value": str(before - 3)}
    wait_for(page, "location", **changed)
    pick(page, "before-0", "Flip")
    wait_for(page, "location", **changed, before="flip")
    page.get_by_role("link", name="Trigger appearance").click()
    wait_for(page, "appearance", **changed, before="flip")
    assert entries(page) == begun + 5, "one for each change"

    page.go_back()
    wait_for(page, "location", **changed, before="flip")
    page.locator("h1", has_text="Trigger location").wait_for()
    page.go_back()
    wait_for(page, "location", **changed)
    page.go_back()
    wait_for(page, "location", model=GRAY)
    expect(page.get_by_role("slider", name="Pixel value")).to_have_value(str(before))
    page.go_back()
    wait_for(page, "location", model=WHITE)
    page.go_back()
    wait_for(page, "paper", model=WHITE)

    page.go_forward()
    wait_for(page, "location", model=WHITE)
    page.go_forward()
    wait_for(page, "location", model=GRAY)
    page.go_forward()
    wait_for(page, "location", **changed)
    page.go_forward()
    wait_for(page, "location", **changed, before="flip")
    page.go_forward()
    wait_for(page, "appearance", **changed, before="flip")
    assert entries(page) == begun + 5, "nothing was added on the way"


def test_a_drag_is_one_entry(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"location?model={GRAY}")
    begun = entries(page)
    canvas = page.locator(".map canvas")
    canvas.wait_for()
    page.mouse.move(*cell(canvas, 10 - 2, 10 - 2))
    page.mouse.down()
    for place in range(11, 25):
        page.mouse.move(*cell(canvas, 10 - 2, place - 2))
        page.wait_for_timeout(60)
    page.mouse.up()
    wait_for(page, "location", model=GRAY, row="10", col="24")
    assert entries(page) == begun + 1
    handle = page.get_by_role("slider", name="Pixel value")
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(box["x"] - 8 * step, box["y"] + box["height"] / 2)
        page.wait_for_timeout(300)
    page.mouse.up()
    page.wait_for_function("location.search.includes('value=')")
    page.wait_for_timeout(1500)
    assert entries(page) == begun + 2
    page.go_back()
    wait_for(page, "location", model=GRAY, row="10", col="24")
    page.go_back()
    wait_for(page, "location", model=GRAY)
    expect(page.locator(".pad canvas")).to_have_attribute("data-col", "31")


def test_one_press_leaves_the_site(page: Page, url: str) -> None:
    page.goto("about:blank")
    page.goto(url)
    page.wait_for_url(re.compile("/lesson.*model="))
    page.go_back()
    page.wait_for_url("about:blank")


def test_a_missing_model_is_said_and_the_link_names_the_one_that_is_shown(page: Page, url: str) -> None:
    page.goto(f"{url}/location?model=cifar10/resnet20/nothing&value=90")
    page.get_by_text("The link names the model cifar10/resnet20/nothing, which is not stored here").wait_for()
    wait_for(page, "location", model=GRAY, value="90")


def test_fast_presses_end_at_the_entry_and_change_none(page: Page, url: str) -> None:
    """Answers to addresses that were passed come late; they are left aside."""
    from playwright.sync_api import expect

    open_page(page, url, f"location?model={GRAY}&value=117")  # nothing is stored of it: the page follows a map
    shown = [{"model": GRAY, "value": "117"}]
    for presses in (2, 3):
        set_value(page, presses)
        shown.append({"model": GRAY, "value": str(int(shown[-1]["value"]) - presses)})
        wait_for(page, "location", **shown[-1])
        page.wait_for_timeout(1200)  # longer than keys of one change are apart
    pick(page, "before-0", "Flip")
    wait_for(page, "location", **shown[-1], before="flip")
    for name, path in (("Trigger appearance", "appearance"), ("Trigger location", "location")):
        page.get_by_role("link", name=name).click()
        wait_for(page, path, **shown[-1], before="flip")

    def written() -> list[tuple[str, dict[str, list[str]]]]:
        parts = [urlsplit(entry) for entry in page.evaluate("navigation.entries().map(entry => entry.url)")]
        return [(part.path, parse_qs(part.query)) for part in parts]

    before = written()

    for steps in ((-1, -1, -1), (1, 1, -1, -1, -1), (1, 1, 1, 1, -1, 1)):
        at = page.evaluate("navigation.currentEntry.index") + sum(steps)
        for step in steps:
            page.evaluate(f"history.go({step})")
            page.wait_for_timeout(150)
        _, found = before[at]
        expect(page.get_by_role("slider", name="Pixel value")).to_have_value(found["value"][0], timeout=30_000)
        before_model = "Flip" if "before" in found else "No transformation"
        expect(page.locator(".st-key-before-0 input")).to_have_value(before_model, timeout=30_000)
        page.wait_for_timeout(1500)
        assert page.evaluate("navigation.currentEntry.index") == at
        assert written() == before
