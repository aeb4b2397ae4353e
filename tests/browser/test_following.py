"""What follows the trigger in the browser alone: with the server's process stopped, nothing else can."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")

from core.metrics import Rate
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.location import LocationMap
from core.sweeps.place_classes import RESULT, PlaceClasses, attacked_set
from core.sweeps.runner import foreign_map

if TYPE_CHECKING:
    from conftest import Serve
    from playwright.sync_api import Locator, Page

ROOT = Path(__file__).resolve().parents[2]
GRAY, WHITE, CLEAN = (f"shapes10/resnet20/{name}" for name in ("badnets-gray", "badnets", "benign"))
PHOTOS = "cifar10/resnet20/badnets-gray"
IMAGES = 40
PLACES = ((20, 9), (5, 28), (17, 17), (31, 12))


def made_up(checkpoint_key: str, store: Store, data_fingerprint: str | None = None) -> None:
    """Stores predictions that no model makes, so that what the page shows can have come from nowhere else."""
    checkpoint, control = (
        store.checkpoint(checkpoint_key),
        store.checkpoint(f"{checkpoint_key.rsplit('/', 1)[0]}/benign"),
    )
    card = checkpoint.card()
    attack = card.attack_object
    trigger, target = attack.trigger(card.shape), attack.target
    rows, cols = (tuple(axis) for axis in trigger.places(*card.shape[1:]))
    rng = np.random.default_rng(3)
    if data_fingerprint is None:
        images = attacked_set(card.dataset_object.load("test", 2 * IMAGES), target, IMAGES)
        labels, fingerprint = images.labels.numpy().astype(np.uint8), images.fingerprint
    else:
        labels, fingerprint = np.zeros(IMAGES, np.uint8), data_fingerprint
    classes = rng.integers(0, len(card.classes), (len(rows), len(cols), IMAGES), dtype=np.uint8)
    source = {"trigger": trigger.fingerprint, "target": target}
    checkpoint.save_result(RESULT, PlaceClasses(classes, labels, rows, cols, fingerprint).to_dict() | source)
    hits = rng.integers(0, 1000, (len(rows), len(cols)))
    counts = LocationMap(hits, np.full_like(hits, 1000), rows, cols)
    checkpoint.save_result("location", counts.to_dict() | source)
    of_clean = LocationMap(1000 - hits, np.full_like(hits, 1000), rows, cols)
    control.save_result(foreign_map(trigger), of_clean.to_dict() | source)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("store")
    for key in (GRAY, WHITE, CLEAN, PHOTOS, "cifar10/resnet20/benign"):
        shutil.copytree(DEFAULT_ROOT / key, root / key)
    found = Store(root)
    made_up(GRAY, found)
    made_up(PHOTOS, found, "0" * 16)
    return found


@pytest.fixture(scope="module")
def url(serve: Serve, store: Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("home")
    environment = {name: str(home) for name in ("TRIGGER_DATA", "XDG_CACHE_HOME", "HOME")}
    return serve(ROOT / "dashboard" / "app.py", environment | {"TRIGGER_CHECKPOINTS": str(store.root)})


def read(store: Store, key: str, name: str, row: int, col: int) -> Rate:
    values = store.checkpoint(key).result(name)
    assert values is not None
    return LocationMap.from_dict(values).at(row, col)


def table_of(store: Store, key: str) -> PlaceClasses:
    values = store.checkpoint(key).result(RESULT)
    assert values is not None
    return PlaceClasses.from_dict(values)


def open_page(page: Page, url: str, path: str) -> None:
    page.goto(f"{url}/{path}", timeout=120_000)
    page.locator(".ts-rate.first[data-hits]").wait_for(timeout=120_000)
    page.locator(".pad canvas[data-cell-width]").wait_for(timeout=60_000)
    page.locator(".ts-strip[data-place]").wait_for(timeout=60_000)
    page.wait_for_function("window.triggerOnPage.knows(20, 9)", timeout=60_000)


def centre(canvas: Locator, row: int, col: int) -> tuple[float, float]:
    """Where the pointer holds the trigger by its middle pixel when its place is (row, col)."""
    box = canvas.bounding_box()
    assert box is not None
    left, top, size = (
        float(canvas.get_attribute(f"data-{name}") or "nan") for name in ("plot-left", "plot-top", "cell-width")
    )
    return box["x"] + left + (col - 0.5) * size, box["y"] + top + (row - 0.5) * size


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The server answers nothing in here."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def shown(page: Page, index: int) -> Rate:
    bar = page.locator(".ts-rate").nth(index)
    return Rate(int(bar.get_attribute("data-hits") or -1), int(bar.get_attribute("data-total") or -1))


def said(page: Page) -> list[str]:
    return page.locator(".ts-pictures .said").all_inner_texts()


def expect_all(page: Page, store: Store, key: str, row: int, col: int) -> None:
    """Rates, images, and the marks on pad and map are those of a place, as they are stored."""
    from playwright.sync_api import expect

    card = store.checkpoint(key).card()
    trigger = card.attack_object.trigger(card.shape)
    control = f"{key.rsplit('/', 1)[0]}/benign"
    expect(page.locator(".ts-rates")).to_have_attribute("data-place", f"{row},{col}")
    attacked, clean = read(store, key, "location", row, col), read(store, control, foreign_map(trigger), row, col)
    assert (shown(page, 0), shown(page, 1)) == (attacked, clean)
    low, high = attacked.interval
    text = page.locator(".ts-rate.first").inner_text()
    assert f"{100 * attacked.value:.1f} %" in text
    assert f"{100 * low:.1f} to {100 * high:.1f} %, {attacked.hits} of 1000 images" in text
    expect(page.locator(".map canvas")).to_have_attribute("data-row", str(row))
    expect(page.locator(".map canvas")).to_have_attribute("data-col", str(col))
    expect(page.locator(".ts-strip")).to_have_attribute("data-place", f"{row},{col}")
    expected = table_of(store, key).at(row, col)[:10]
    assert said(page) == [card.classes[answer] for answer in expected]
    target = card.attack_object.target
    assert page.locator(".ts-pictures figure.hit").count() == int((expected == target).sum())
    assert page.locator("[data-waiting='true']").count() == 0
    moved = max(abs(row - trigger.row), abs(col - trigger.col))
    home = read(store, key, "location", *trigger.location)
    expect(page.locator(".ts-answer")).to_have_text(
        f"Moved by {moved} pixel{'s' * (moved != 1)}, the backdoor fires on {100 * attacked.value:.1f}% instead of "
        f"{100 * home.value:.1f}% of the images."
    )


@pytest.mark.parametrize("key", [GRAY, PHOTOS], ids=["with images", "without images"])
def test_a_drag_is_answered_while_the_server_is_stopped(
    key: str, page: Page, url: str, store: Store, servers: dict[str, subprocess.Popen[bytes]]
) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"?model={key}")
    pad = page.locator(".pad canvas")
    page.mouse.move(*centre(pad, 31, 31))
    page.mouse.down()
    with stopped(servers[url]):
        for row, col in PLACES:
            page.mouse.move(*centre(pad, row, col))
            expect_all(page, store, key, row, col)
    page.mouse.up()
    # Let go, the place reaches the server, which says the same.
    expect(page).to_have_url(re.compile(rf"row={PLACES[-1][0]}|col={PLACES[-1][1]}"), timeout=30_000)
    expect_all(page, store, key, *PLACES[-1])


def test_saliency_maps_that_were_shown_come_back_while_the_server_is_stopped(
    page: Page, url: str, servers: dict[str, subprocess.Popen[bytes]]
) -> None:
    from playwright.sync_api import expect

    page.goto(f"{url}/saliency?model={GRAY}", timeout=120_000)
    maps, pad = page.locator(".ts-maps"), page.locator(".pad canvas[data-cell-width]")
    map_of_it = maps.locator(".ts-heat > img:first-child").nth(1)
    pad.wait_for(timeout=60_000)

    def expect_known(row: int, col: int) -> str:
        expect(maps).to_have_attribute("data-place", f"{row},{col}", timeout=30_000)
        expect(maps).to_have_attribute("data-waiting", "false")
        return map_of_it.get_attribute("src") or ""

    seen = {(31, 31): expect_known(31, 31)}
    page.mouse.move(*centre(pad, 31, 31))
    page.mouse.down()
    for row, col in PLACES[:2]:
        page.mouse.move(*centre(pad, row, col))
        seen[row, col] = expect_known(row, col)
    assert len(set(seen.values())) == 3
    with stopped(servers[url]):
        for row, col in PLACES[:1]:
            page.mouse.move(*centre(pad, row, col))
            assert expect_known(row, col) == seen[row, col]
        page.mouse.move(*centre(pad, 12, 12))
        expect(maps).to_have_attribute("data-waiting", "true")
        row, col = PLACES[0]
        expect(maps.locator(".where")).to_have_text(f"Computing row 12, column 12; shown: row {row}, column {col}.")
        assert map_of_it.get_attribute("src") == seen[PLACES[0]]
        assert float(page.locator(".ts-maps .ts-saliency").first.evaluate("e => getComputedStyle(e).opacity")) < 0.6
    page.mouse.up()
    assert expect_known(12, 12) not in seen.values()


def test_a_drag_over_the_map_is_answered_while_the_server_is_stopped(
    page: Page, url: str, store: Store, servers: dict[str, subprocess.Popen[bytes]]
) -> None:
    open_page(page, url, f"?model={GRAY}")
    heat = page.locator(".map canvas")
    heat.wait_for()

    def cell(row: int, col: int) -> tuple[float, float]:
        x, y = centre(heat, row - 2, col - 2)
        size = float(heat.get_attribute("data-cell-width") or "nan")
        return x + size, y + size

    page.mouse.move(*cell(31, 31))
    page.mouse.down()
    with stopped(servers[url]):
        for row, col in PLACES:
            page.mouse.move(*cell(row, col))
            expect_all(page, store, GRAY, row, col)
            assert page.locator(".pad canvas").get_attribute("data-row") == str(row)
    page.mouse.up()


def test_a_number_of_another_place_is_marked(page: Page, url: str, servers: dict[str, subprocess.Popen[bytes]]) -> None:
    """Nothing is stored of this look: until the server answers, the number that stands is dimmed and says so."""
    from playwright.sync_api import expect

    page.goto(f"{url}/?model={GRAY}&before=flip", timeout=120_000)
    page.locator(".ts-rate.first[data-hits]").wait_for(timeout=120_000)
    page.locator(".pad canvas[data-cell-width]").wait_for(timeout=60_000)
    rates = page.locator(".ts-rates")
    place = rates.get_attribute("data-place")
    pad = page.locator(".pad canvas")
    page.mouse.move(*centre(pad, 31, 31))
    page.mouse.down()
    with stopped(servers[url]):
        page.mouse.move(*centre(pad, 8, 9))
        expect(rates).to_have_attribute("data-waiting", "true")
        assert rates.get_attribute("data-place") == place
        # The map that is measured meanwhile may know one of the models there, and not the other.
        assert "the number is that of the last one" in page.locator(".ts-rate[data-waiting='true']").first.inner_text()
    page.mouse.up()
    expect(rates).to_have_attribute("data-place", "8,9", timeout=60_000)
    expect(rates).to_have_attribute("data-waiting", "false")


def test_an_image_of_the_strip_is_shown_large(page: Page, url: str) -> None:
    from playwright.sync_api import expect

    open_page(page, url, f"?model={GRAY}")
    page.locator(".ts-pictures canvas").nth(3).click()
    expect(page).to_have_url(re.compile("image=3"), timeout=30_000)
    expect(page.locator(".ts-pictures figure.selected")).to_have_count(1)
    page.get_by_role("button", name="The next ten images").click()
    expect(page).to_have_url(re.compile("image=10"), timeout=30_000)
    expect(page.locator(".ts-pictures .which")).to_have_text("images 11 to 20 of 1000")


@pytest.mark.parametrize("path", ["", "location", "appearance", "paper"])
def test_no_request_leaves_the_machine(path: str, page: Page, url: str) -> None:
    hosts: list[str] = []
    page.on("request", lambda request: hosts.append(urlsplit(request.url).hostname or ""))
    page.goto(f"{url}/{path}", timeout=120_000)
    page.locator("h1").first.wait_for(timeout=120_000)
    page.wait_for_timeout(1500)
    if path == "location":
        pad = page.locator(".pad canvas")
        pad.focus()
        pad.press("ArrowLeft")
        page.wait_for_timeout(1000)
    # Addresses such as data: and blob: have no host.
    assert set(hosts) <= {"127.0.0.1", ""}


def test_a_finger_scrolls_beside_the_trigger_and_drags_on_it(browser, url: str, store: Store) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_page(page, url, f"?model={GRAY}")
    pad = page.locator(".pad canvas")
    client = context.new_cdp_session(page)

    def swipe(start: tuple[float, float], end: tuple[float, float]) -> None:
        def touch(kind: str, *points: tuple[float, float]) -> None:
            client.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
            )

        touch("touchStart", start)
        for step in range(1, 11):
            touch("touchMove", tuple(a + (b - a) * step / 10 for a, b in zip(start, end, strict=True)))
        touch("touchEnd")
        page.wait_for_timeout(500)

    def scrolled() -> float:
        return float(page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop"))

    x, y = centre(pad, 12, 12)
    swipe((x, y), (x, y - 150))
    assert scrolled() > 50
    assert (pad.get_attribute("data-row"), pad.get_attribute("data-col")) == ("31", "31")
    before = scrolled()
    swipe(centre(pad, 31, 31), centre(pad, 22, 12))
    assert scrolled() == before
    assert (pad.get_attribute("data-row"), pad.get_attribute("data-col")) == ("22", "12")
    context.close()


def test_the_buttons_beside_the_title_can_be_pressed(page: Page, url: str) -> None:
    """Streamlit's own bar lies over them."""
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 1280, "height": 720})
    open_page(page, url, f"?model={GRAY}")
    popovers = page.locator(".st-key-title-row [data-testid=stPopover] button:visible")
    for number, text in ((0, "A backdoored model was trained"), (1, "Attack success rate")):
        popovers.nth(number).click(timeout=20_000)
        expect(page.locator("[data-testid=stPopoverBody]").get_by_text(text).first).to_be_visible(timeout=20_000)
        page.keyboard.press("Escape")
    page.locator(".st-key-choice-present label").click(timeout=20_000)
    expect(page).to_have_url(re.compile("present=yes"), timeout=30_000)


def test_the_table_is_sent_once(page: Page, url: str) -> None:
    """Not with the reruns: a file of its own, fetched by who has not got it."""
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url) if request.url.endswith(".json") else None)
    open_page(page, url, f"?model={GRAY}")
    pad = page.locator(".pad canvas")
    pad.focus()
    for _ in range(3):
        pad.press("ArrowLeft")
    page.wait_for_url(re.compile("col=28"), timeout=30_000)
    tables = [address for address in fetched if "/media/" in address]
    assert len(tables) == len(set(tables)) == 2  # of the model and of the clean model


def test_a_slider_is_answered_while_it_is_held_and_the_server_is_stopped(
    page: Page, url: str, store: Store, servers: dict[str, subprocess.Popen[bytes]]
) -> None:
    """The rate of every pixel value on the way is the stored one; an opacity without stored rates is marked."""
    from playwright.sync_api import expect

    curve = store.checkpoint(GRAY).result("appearance")
    assert curve is not None
    page.goto(f"{url}/appearance?model={GRAY}", timeout=120_000)
    rates = page.locator(".ts-rates")
    rates.wait_for(timeout=120_000)
    page.wait_for_function("[...window.triggerOnPage.files.values()].some(found => found.hits)", timeout=60_000)

    def handle(name: str) -> tuple[float, float, float]:
        """Centre of the handle, and how wide its way is."""
        thumb = page.locator(f".st-key-choice-{name} [data-testid=stSliderThumbValue]").locator("xpath=..")
        box = thumb.bounding_box()
        track = page.locator(f".st-key-choice-{name} [role=group]").bounding_box()
        assert box is not None
        assert track is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, track["width"]

    x, y, wide = handle("value")
    page.mouse.move(x, y)
    page.mouse.down()
    seen = set()
    with stopped(servers[url]):
        for share in (-0.1, -0.3, -0.45, 0.2):
            page.mouse.move(x + share * wide, y)
            value = int(page.locator(".st-key-choice-value input[type=range]").get_attribute("aria-valuetext") or -1)
            expect(rates).to_have_attribute("data-place", f"100,{value}")
            index = curve["values"].index(value)
            assert shown(page, 0) == Rate(curve["hits"][index], curve["total"][index])
            seen.add(value)
        # What the server drew of the value before is marked, as it cannot follow.
        assert [
            page.locator(part).first.evaluate("part => getComputedStyle(part).opacity")
            for part in (".ts-answer", ".st-key-as-it-looks")
        ] == ["0.35", "0.35"]
    page.mouse.up()
    assert len(seen) == 4
    expect(page).to_have_url(re.compile(r"value=\d+"), timeout=60_000)
    x, y, wide = handle("opacity")
    page.mouse.move(x, y)
    page.mouse.down()
    with stopped(servers[url]):
        page.mouse.move(x - 0.3 * wide, y)
        expect(rates).to_have_attribute("data-waiting", "true")
        assert "not measured yet" in page.locator(".ts-rate.first").inner_text()
    page.mouse.up()
    expect(rates).to_have_attribute("data-waiting", "false", timeout=60_000)
