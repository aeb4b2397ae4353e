"""Page *Physical attack* in a real Chromium: a photograph is uploaded or taken, a slider moves, the map is clicked."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")

import cv2
import numpy as np

from core.physical import Sheet
from core.store.local import Store
from core.trigger import stamp

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEY = "shapes10/resnet20/badnets"
PATIENCE = 90_000


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """A page with six attacked images, photographed from the side on a brown table."""
    card = Store().checkpoint(KEY).card()
    data = card.dataset_object.load("test", 60)
    others = data.floats((data.labels != card.attack_object.target).nonzero().squeeze(1)[:6])
    page = np.asarray(Sheet(print_dpi=120).page(stamp(others, card.attack_object.trigger(card.shape)), ["x"] * 6))
    height, width = page.shape[:2]
    outline = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    seen = np.array([[90, 60], [1010, 10], [1090, 1330], [20, 1380]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(outline, seen)
    photo = cv2.warpPerspective(page, matrix, (1120, 1400), borderValue=(120, 100, 80), flags=cv2.INTER_LINEAR)
    done, file = cv2.imencode(".jpg", cv2.cvtColor(cv2.GaussianBlur(photo, (0, 0), 0.8), cv2.COLOR_RGB2BGR))
    assert done
    return bytes(file)


def answers(page: Page) -> dict[str, str]:
    """What each model says."""
    texts = page.get_by_role("heading", name=" says ").all_inner_texts()
    return {text.split(" says ")[0]: text.split(" says ")[1].split(",")[0] for text in texts}


def test_an_uploaded_photograph_is_found_and_both_models_answer(page: Page, url: str, photograph: bytes) -> None:
    from playwright.sync_api import expect

    page.goto(f"{url}/physical?model={KEY}&part=photo")
    page.locator("input[type=file]").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photograph}, timeout=PATIENCE
    )
    expect(page.get_by_text("6 images of the sheet found")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("heading", name="BadNets+ says")).to_be_visible(timeout=PATIENCE)
    straight = answers(page)
    assert set(straight) == {"BadNets", "BadNets+"}
    sources = page.get_by_alt_text("what the network gets").evaluate_all("all => all.map(one => one.src)")
    page.get_by_text("The whole photograph").click()
    # Another picture reaches the networks when more of the photograph does.
    expect(page.get_by_alt_text("what the network gets").first).not_to_have_attribute(
        "src", sources[0], timeout=PATIENCE
    )
    assert set(answers(page)) == set(straight)


def test_what_is_no_photograph_is_one_sentence(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{url}/physical?model={KEY}&part=photo")
    page.locator("input[type=file]").set_input_files(
        {"name": "photo.png", "mimeType": "image/png", "buffer": b"<html>nothing</html>"}, timeout=PATIENCE
    )
    expect(page.get_by_text("the file is no image that is read here")).to_be_visible(timeout=PATIENCE)


def test_a_box_is_dragged_over_another_picture(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    picture = np.zeros((400, 600, 3), dtype=np.uint8)
    picture[:, :300] = (30, 160, 40)  # blue, green, red
    done, file = cv2.imencode(".png", picture)
    assert done
    page.goto(f"{url}/physical?model={KEY}&part=photo&photo-of=picture&factors=-")
    page.locator("input[type=file]").set_input_files(
        {"name": "any.png", "mimeType": "image/png", "buffer": bytes(file)}, timeout=PATIENCE
    )
    attacked = page.get_by_alt_text("attacked", exact=True)
    expect(attacked).to_be_visible(timeout=PATIENCE)
    before = attacked.get_attribute("src")
    plot = page.locator(".js-plotly-plot .nsewdrag")
    expect(plot).to_be_visible(timeout=PATIENCE)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.05 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.4 * box["height"], steps=4)
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    page.mouse.up()
    expect(attacked).not_to_have_attribute("src", before or "", timeout=PATIENCE)
    # Only the left half was taken: the picture's middle column is green, as its edges are.
    middle = attacked.evaluate(
        """image => { const c = document.createElement("canvas"); c.width = c.height = 32;
        const d = c.getContext("2d"); d.drawImage(image, 0, 0); return [...d.getImageData(20, 16, 1, 1).data]; }"""
    )
    assert middle[1] > 120 > middle[0], middle


def test_the_webcam_takes_a_picture(browser: Browser, url: str, photograph: bytes, tmp_path: Path) -> None:
    """Chromium's fake camera shows the photograph; the button takes it."""
    from playwright.sync_api import expect

    film = tmp_path / "film.mjpeg"
    film.write_bytes(_padded(photograph))
    launched = browser.browser_type.launch(
        executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
        args=[
            "--headless", "--no-sandbox", "--disable-gpu", "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}",
        ],
    )  # fmt: skip
    try:
        context = launched.new_context(viewport={"width": 1400, "height": 1000}, permissions=["camera"])
        page = context.new_page()
        page.goto(f"{url}/physical?model={KEY}&part=photo&source=camera")
        button = page.get_by_role("button", name="Take Photo")
        expect(button).to_be_enabled(timeout=PATIENCE)
        page.wait_for_timeout(1000)
        button.click()
        expect(page.get_by_role("heading", name="BadNets+ says")).to_be_visible(timeout=PATIENCE)
        assert set(answers(page)) == {"BadNets", "BadNets+"}
    finally:
        launched.close()


def _padded(photograph: bytes) -> bytes:
    """The photograph in a camera's format, 640 x 480."""
    photo = cv2.imdecode(np.frombuffer(photograph, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert photo is not None
    frame = np.full((480, 640, 3), 90, dtype=np.uint8)
    small = cv2.resize(photo, (384, 480), interpolation=cv2.INTER_AREA)
    frame[:, 128:512] = small
    done, file = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return bytes(file)


def test_a_slider_changes_rate_and_link_and_a_click_on_the_map_goes_there(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{url}/physical?model={KEY}&photos=32")
    rates = page.locator(".ts-rates")
    expect(rates).to_be_visible(timeout=PATIENCE)
    before = rates.get_attribute("data-place")
    thumb = page.get_by_role("slider", name=re.compile("^Distance"))
    thumb.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(rates).not_to_have_attribute("data-place", before or "", timeout=PATIENCE)
    expect(page).to_have_url(re.compile("cam-distance=1.3"), timeout=PATIENCE)
    expect(page.get_by_text("Measuring ...")).to_have_count(0, timeout=PATIENCE)  # the maps are drawn for good
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    plot.scroll_into_view_if_needed(timeout=PATIENCE)
    page.wait_for_timeout(500)
    box = plot.bounding_box()
    assert box is not None
    # The lowest row is distance 1, the middle column yaw 0.
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * (1 - 0.5 / 7))
    expect(page).to_have_url(re.compile(r"cam-distance=1&|cam-distance=1$"), timeout=PATIENCE)
    expect(page).to_have_url(re.compile("cam-yaw=0"), timeout=PATIENCE)
