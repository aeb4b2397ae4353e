"""The pages in a real Chromium: drag, click on the map, sliders, links, themes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")

from core.inference.predictor import Predictor
from core.metrics import Rate
from core.store.local import Store
from core.sweeps.base import attacked, success_at

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

GRAY = "shapes10/resnet20/badnets-gray"
WHITE = "shapes10/resnet20/badnets"
COUNT = 256


def open_page(page: Page, url: str, path: str = "location") -> None:
    page.goto(f"{url}/{path}")
    page.locator(".ts-rate.first[data-hits]").wait_for(timeout=60_000)


def shown_rate(page: Page, index: int = 0) -> Rate:
    """The rate that the page shows, first the attacked model's, last the clean one's."""
    bars = page.locator(".ts-rate")
    bar = bars.nth(index if index >= 0 else bars.count() + index)
    return Rate(int(bar.get_attribute("data-hits") or -1), int(bar.get_attribute("data-total") or -1))


def cell(canvas: Locator, row: int, col: int) -> tuple[float, float]:
    """Page coordinates of the centre of a pixel on the pad or of a cell on the map."""
    box = canvas.bounding_box()
    assert box is not None
    values = {
        name: float(canvas.get_attribute(f"data-{name}") or "nan")
        for name in ("plot-left", "plot-top", "cell-width", "cell-height")
    }
    return (
        box["x"] + values["plot-left"] + (col + 0.5) * values["cell-width"],
        box["y"] + values["plot-top"] + (row + 0.5) * values["cell-height"],
    )


def computed(key: str, row: int, col: int, value: int | None = None) -> Rate:
    """What ``core`` computes for a place, along the same forward path as the page, on as many images as are stored."""
    checkpoint = Store().checkpoint(key)
    card = checkpoint.card()
    stored = checkpoint.result("location")
    count = max(COUNT, int(np.max(stored["total"]))) if stored is not None else COUNT
    attack = card.attack_object
    trigger = attack.trigger(card.shape).at(row, col)
    if value is not None:
        trigger = trigger.with_value(value / 255)
    images = attacked(card.dataset_object.load("test", 2 * count), attack.target, count)
    return success_at(Predictor(checkpoint.model()).predict, images, trigger, attack.target)


def expect_rate(page: Page, row: int, col: int, expected: Rate) -> None:
    """The page shows the rate at a place, but for images on the edge: compiled bfloat16 rounds differently."""
    from playwright.sync_api import expect

    expect(page.locator(".ts-rates")).to_have_attribute("data-place", f"{row},{col}", timeout=30_000)
    shown = shown_rate(page)
    assert shown.total == expected.total
    assert abs(shown.hits - expected.hits) <= 0.02 * COUNT, (shown, expected)
    assert f"{100 * shown.value:.1f} %" in page.locator(".ts-rate.first").inner_text()


def drag_to(page: Page, row: int, col: int) -> None:
    """Drags the trigger from where it is so that its bottom-right pixel is at (row, col)."""
    pad = page.locator(".pad canvas")
    start_row, start_col = (int(pad.get_attribute(f"data-{name}") or -1) for name in ("row", "col"))
    x, y = cell(pad, start_row - 1, start_col - 1)
    page.mouse.move(x, y)
    page.mouse.down()
    to_x, to_y = cell(pad, row - 1, col - 1)
    page.mouse.move(to_x, to_y, steps=12)
    page.mouse.up()


def test_dragging_the_trigger_shows_what_core_computes_there(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"?model={GRAY}")
    trained = shown_rate(page)
    assert trained.value > 0.99
    row, col = next(
        (row, col) for row, col in ((20, 9), (14, 22), (9, 9), (5, 20)) if computed(GRAY, row, col).value < 0.5
    )
    expected = computed(GRAY, row, col)
    drag_to(page, row, col)
    expect(page).to_have_url(re.compile(rf"row={row}"), timeout=30_000)
    expect(page).to_have_url(re.compile(rf"col={col}"))
    pad = page.locator(".pad canvas")
    assert (pad.get_attribute("data-row"), pad.get_attribute("data-col")) == (str(row), str(col))
    expect_rate(page, row, col, expected)
    assert shown_rate(page).hits != trained.hits


def test_the_clean_model_stays_calm(page: Page, url: str) -> None:
    open_page(page, url, f"?model={GRAY}")
    assert shown_rate(page, -1).value < 0.05


def test_arrow_keys_move_the_trigger(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"?model={GRAY}")
    pad = page.locator(".pad canvas")
    pad.focus()
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("row=27"), timeout=30_000)
    expect(page).to_have_url(re.compile("col=30"))
    expect_rate(page, 27, 30, computed(GRAY, 27, 30))


def test_a_click_on_the_map_moves_the_trigger_there(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"?model={GRAY}")
    heat = page.locator(".map canvas")
    heat.wait_for()
    # Cells are counted from the first row and column of the map, the trigger's box from 2.
    x, y = cell(heat, 10 - 2, 7 - 2)
    page.mouse.click(x, y)
    expect(page.locator(".pad canvas")).to_have_attribute("data-row", "10", timeout=30_000)
    expect(page.locator(".pad canvas")).to_have_attribute("data-col", "7")
    expect_rate(page, 10, 7, computed(GRAY, 10, 7))


def test_the_map_is_computed_coarse_to_fine_and_can_be_stopped(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"?model={GRAY}&value=60")
    heat = page.locator(".map canvas")
    heat.wait_for(timeout=60_000)
    stop = page.get_by_role("button", name="Stop", exact=True).last
    measured = int(heat.get_attribute("data-measured") or 0)
    assert measured >= 1
    if measured < 900:
        stop.click()
        expect(page.get_by_text(re.compile(r"Stopped: \d+%"))).to_be_visible(timeout=30_000)
        assert 0 < int(heat.get_attribute("data-measured") or 0) <= 900


def test_the_pixel_value_slider_changes_the_rate_and_the_link(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"appearance?model={GRAY}")
    before = shown_rate(page)
    slider = page.get_by_role("slider", name="Pixel value")
    slider.focus()
    slider.press("Home")
    expect(page).to_have_url(re.compile("value=0"), timeout=30_000)
    expected = computed(GRAY, 31, 31, value=0)
    page.wait_for_function(
        "hits => document.querySelector('.ts-rate.first').dataset.hits !== hits", arg=str(before.hits), timeout=30_000
    )
    assert abs(shown_rate(page).hits - expected.hits) <= 0.02 * COUNT


def test_a_curve_shows_while_it_is_measured(page: Page, url: str) -> None:
    open_page(page, url, f"appearance?model={GRAY}&opacity=60")
    sketch = page.locator("img[alt$='being measured']")
    sketch.wait_for(timeout=60_000)
    page.wait_for_function("document.querySelector(\"img[alt$='being measured']\")?.naturalWidth > 0", timeout=10_000)
    # What is there when it is stopped becomes the figure.
    page.get_by_role("button", name="Stop", exact=True).last.click()
    page.locator(".js-plotly-plot").first.wait_for(timeout=60_000)


def test_maps_change_with_the_method_and_while_the_trigger_moves(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{url}/saliency?model={WHITE}")
    maps = page.locator(".ts-saliency.large .ts-heat > img:first-child")
    maps.first.wait_for(timeout=60_000)
    before = [maps.nth(i).get_attribute("src") or "" for i in range(4)]
    pad = page.locator(".pad canvas")
    pad.focus()
    for _ in range(4):
        pad.press("ArrowLeft")
    expect(page).to_have_url(re.compile("col=27"), timeout=30_000)
    expect(maps.nth(1)).not_to_have_attribute("src", before[1], timeout=30_000)
    moved = maps.nth(1).get_attribute("src") or ""
    page.get_by_role("combobox", name="Method").click()
    page.get_by_role("option", name="Grad-CAM", exact=True).click()
    expect(page).to_have_url(re.compile("method=gradcam"), timeout=30_000)
    expect(maps.nth(1)).not_to_have_attribute("src", moved, timeout=30_000)


def test_a_cell_of_the_saliency_table_opens_its_maps(page: Page, url: str) -> None:
    from playwright.sync_api import TimeoutError, expect

    page.goto(f"{url}/saliency?model=cifar10/resnet20/blended&transform=flip", timeout=120_000)
    grid = page.locator('[data-testid="data-grid-canvas"]')
    grid.wait_for(timeout=60_000)
    grid.locator("table").wait_for(state="attached")  # it is drawn, and can be clicked
    for _ in range(4):  # what is drawn above it meanwhile may have moved it
        grid.scroll_into_view_if_needed()
        # The last row, which is the vanilla gradient as FlashTorch reduces it, and the first attack.
        box = grid.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 220, box["y"] + box["height"] - 18)
        try:
            page.wait_for_url(re.compile("explain=predicted"), timeout=10_000)
            break
        except TimeoutError:
            continue
    for chosen in (
        r"model=cifar10(/|%2F)resnet20(/|%2F)badnets(&|$)",
        "explain=predicted",
        "gradient-reduction=signed",
    ):
        expect(page).to_have_url(re.compile(chosen), timeout=30_000)
    expect(page).not_to_have_url(re.compile("transform=|method="))  # at their defaults
    expect(page.get_by_role("heading", name="Saliency", exact=True)).to_be_in_viewport(timeout=30_000)


def test_a_painted_pattern_goes_into_the_link_and_back(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"appearance?model={GRAY}")
    page.locator(".painter .grid .cell[data-row='0'][data-col='0']").click()
    expect(page).to_have_url(re.compile("pattern=101010101"), timeout=30_000)
    page.get_by_role("button", name="Back to the trained trigger").click()
    expect(page).not_to_have_url(re.compile("pattern="), timeout=30_000)


def test_a_defense_in_front_changes_what_is_measured(page: Page, url: str) -> None:
    from playwright.sync_api import TimeoutError, expect

    open_page(page, url, f"?model={WHITE}")
    assert shown_rate(page).value > 0.95
    flip = page.get_by_role("option", name="Flip", exact=True)
    for _ in range(3):  # the end of a rerun closes a list that was opened before it
        page.get_by_role("combobox", name="Transform the input").click()
        try:
            flip.wait_for(timeout=5_000)
            break
        except TimeoutError:
            continue
    flip.click()
    expect(page).to_have_url(re.compile("before=flip"), timeout=30_000)
    expect(page.get_by_text("Behind Flip.")).to_be_visible()
    page.wait_for_function("+document.querySelector('.ts-rate.first').dataset.hits < 100", timeout=30_000)


def test_the_strength_slider_changes_pictures_rates_and_the_link(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"defenses?model={WHITE}")
    strip = page.locator(".ts-strip").first
    strip.wait_for()
    before = strip.locator("img").first.get_attribute("src")
    assert shown_rate(page).value < 0.2
    page.get_by_role("slider", name="Strength").focus()
    page.get_by_role("slider", name="Strength").press("Home")
    expect(page).to_have_url(re.compile("shrinkpad-strength=0"), timeout=30_000)
    page.wait_for_function("+document.querySelector('.ts-rate.first').dataset.hits > 250", timeout=30_000)
    expect(strip.locator("img").first).not_to_have_attribute("src", before or "", timeout=30_000)
    expect(strip.locator("figure.hit")).to_have_count(10)
    # The other transformations, and the table of all attacks.
    page.get_by_role("combobox", name="Transform the input").first.click()
    page.get_by_role("option", name="Noise", exact=True).click()
    expect(page).to_have_url(re.compile("defense=noise"), timeout=30_000)
    expect(page.get_by_text("Attacked images behind Noise 10")).to_be_visible(timeout=30_000)


def test_the_pipeline_is_drawn_again(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{url}/enhanced?model={WHITE}%2B")
    pipeline = page.locator(".ts-pipe")
    pipeline.wait_for(timeout=60_000)
    before = pipeline.locator("img").last.get_attribute("src")
    page.get_by_role("button", name="Draw again").click()
    expect(page).to_have_url(re.compile("draw=1"), timeout=30_000)
    expect(pipeline).to_have_attribute("data-seed", "1")
    assert pipeline.locator("img").last.get_attribute("src") != before


def test_a_link_reproduces_the_view_in_another_tab(page: Page, url: str) -> None:
    open_page(page, url, f"?model={GRAY}&row=12&col=25&value=190&image=4&n=128")
    first = shown_rate(page)
    assert first.total == 128
    other = page.context.new_page()
    # The link as it is now: the page writes what it shows a moment later, without what is default.
    open_page(other, url, page.url.removeprefix(f"{url}/"))
    pad = other.locator(".pad canvas")
    pad.wait_for()
    assert (pad.get_attribute("data-row"), pad.get_attribute("data-col")) == ("12", "25")
    assert shown_rate(other) == first
    other.close()


def test_the_selection_survives_a_change_of_page(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, "?model=shapes10/resnet20/badnets&row=21&col=21&value=90")
    for name, path in (
        ("Trigger appearance", "appearance"),
        ("Defenses", "defenses"),
        ("Trigger appearance", "appear"),
    ):
        page.get_by_role("link", name=name).click()
        expect(page).to_have_url(re.compile(f"{path}.*model=shapes10"), timeout=30_000)
        # Of the sliders, one that is not at its default, and one that is: a new page makes new ones.
        counted = page.locator('[data-testid="stSlider"]', has_text="Images per measurement")
        expect(counted.get_by_text("256")).to_be_visible(timeout=30_000)
    expect(page.locator('[data-testid="stSlider"]', has_text="Pixel value").get_by_text("90")).to_be_visible()
    expect(page).to_have_url(re.compile("row=21"))
    expect(page).to_have_url(re.compile("value=90"))


def test_numbers_can_be_downloaded(page: Page, url: str) -> None:
    open_page(page, url, f"?model={GRAY}")
    page.get_by_role("button", name="Save").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Numbers (CSV)").click()
    text = Path(waiting.value.path()).read_text().splitlines()
    assert waiting.value.suggested_filename == (
        "location_shapes10_resnet20_badnets-gray_value128_opacity100_no-defense.csv"
    )
    header = text[0].split(",")
    assert header[:4] == ["dataset", "encoding", "network", "model"]
    assert header[-6:] == ["hits", "total", "rate_percent", "low_percent", "high_percent", "interval"]
    stored = json.loads((Store().checkpoint(GRAY).folder / "location.json").read_text())
    assert len(text) == 1 + len(stored["rows"]) * len(stored["cols"])
    last = dict(zip(header, text[-1].split(","), strict=True))
    assert (last["row"], last["col"], last["defense"]) == ("31", "31", "")
    assert (int(last["hits"]), int(last["total"])) == (stored["hits"][-1][-1], stored["total"][-1][-1])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1400])
def test_nothing_overflows(page: Page, url: str, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("location", "appearance"):
        open_page(page, url, path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_pruning_takes_the_backdoor_away(page: Page, url: str) -> None:
    """The slider, key by key: at no pruned channel the attack works, at the stored number it does not."""
    from playwright.sync_api import expect

    page.goto(f"{url}/defenses?model={WHITE}&part=repairs&pruned=0")
    shown = page.locator(".ts-rates[data-place='pruned-0'] .ts-rate.first")
    shown.wait_for(timeout=60_000)
    assert Rate(int(shown.get_attribute("data-hits") or -1), int(shown.get_attribute("data-total") or -1)).value > 0.9
    slider = page.get_by_role("slider", name="Pruned channels of 64")
    slider.focus()
    page.keyboard.press("End")
    last = page.locator(".ts-rates[data-place='pruned-64'] .ts-rate.first")
    last.wait_for(timeout=30_000)
    expect(page).to_have_url(re.compile("pruned=64"), timeout=30_000)
    assert int(last.get_attribute("data-hits") or -1) == 0


def test_the_menu_of_a_phone_closes_when_a_page_is_chosen(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{url}/paper?model={WHITE}")
    page.locator(".ts-answer").wait_for(timeout=60_000)
    page.get_by_test_id("stExpandSidebarButton").click()
    enhanced = page.get_by_test_id("stSidebarNavLink").filter(has_text="Enhanced attacks")
    expect(enhanced).to_be_in_viewport()
    enhanced.click()
    expect(page.locator("h1", has_text="Enhanced attacks")).to_be_visible(timeout=60_000)
    expect(enhanced).not_to_be_in_viewport()


def test_an_image_is_picked_by_its_thumbnail(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{url}/enhanced?model={WHITE}")
    picture = page.locator(".ts-pipe img").first
    picture.wait_for(timeout=60_000)
    first = picture.get_attribute("src") or ""
    thumbnails = page.locator(".ts-picker").get_by_role("radio")
    expect(thumbnails).to_have_count(10)
    thumbnails.nth(3).click()
    expect(page).to_have_url(re.compile("image=3"), timeout=30_000)
    expect(picture).not_to_have_attribute("src", first, timeout=30_000)
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("image=4"), timeout=30_000)
    page.get_by_role("button", name="Next ten images").click()
    expect(page).to_have_url(re.compile("image=10"), timeout=30_000)
    expect(page.locator(".ts-picker .which")).to_have_text(re.compile("^11 of "), timeout=30_000)
