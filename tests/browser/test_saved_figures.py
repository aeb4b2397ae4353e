"""Saved figures in a real Chromium: nothing is clipped, no text lies on another, and the file saves itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright.sync_api")

from saved_examples import CLASSES, all_figures

from dashboard.saving.figures import COLUMN, for_paper, to_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FIGURES = all_figures()

# Draws each figure as it is saved and gives where its texts are, by what they are, in pixels of the figure.
MEASURE = """async (figures) => {
  const found = {};
  for (const [name, figure] of Object.entries(figures)) {
    const place = document.createElement("div");
    document.body.append(place);
    await Plotly.newPlot(place, figure.data, figure.layout, { staticPlot: true });
    const from = place.getBoundingClientRect();
    const boxes = (query) => [...place.querySelectorAll(query)].filter((e) => e.textContent).map((e) => {
      const box = e.getBoundingClientRect();
      return [box.left - from.left, box.top - from.top, box.right - from.left, box.bottom - from.top];
    });
    found[name] = {
      titles: boxes(".xtitle, .ytitle, .y2title, .gtitle"),
      xticks: boxes(".xaxislayer-above .xtick text, .xaxislayer-below .xtick text"),
      yticks: boxes(".yaxislayer-above text, .yaxislayer-below text"),
      bar: boxes(".colorbar text"),
      legend: boxes(".legend .legendtext"),
      notes: boxes(".annotation text"),
      names: [...place.querySelectorAll(".xtick text, .ytick text")].map((e) => e.textContent),
    };
    place.remove();
  }
  return found;
}"""


@pytest.fixture(scope="module")
def texts(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Where the texts of every saved figure are."""
    file = tmp_path_factory.mktemp("saved") / "figure.html"
    file.write_text(to_html(FIGURES["norms"], "figure"), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    found: dict[str, dict[str, Any]] = page.evaluate(
        MEASURE, {name: json.loads(for_paper(figure).to_json()) for name, figure in FIGURES.items()}
    )
    page.context.close()
    return found


def overlap(one: list[float], other: list[float]) -> float:
    """Area in square pixels that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_clipped_or_lies_on_another(name: str, texts: dict[str, dict[str, Any]]) -> None:
    found, layout = texts[name], for_paper(FIGURES[name]).layout
    kinds = ("titles", "xticks", "yticks", "bar", "legend", "notes")
    assert found["titles"]
    assert found["xticks"]
    for kind in kinds:
        for left, top, right, bottom in found[kind]:
            assert left >= -1, (kind, left)
            assert top >= -1, (kind, top)
            assert right <= layout.width + 1, (kind, right)
            assert bottom <= layout.height + 1, (kind, bottom)
    for index, kind in enumerate(kinds):
        for other in kinds[index:]:
            pairs = [
                (a, b) for i, a in enumerate(found[kind]) for j, b in enumerate(found[other]) if kind != other or i < j
            ]
            # Slanted names of categories have boxes that overlap although the names do not.
            if kind == other == "xticks" and name == "norms":
                continue
            assert all(overlap(a, b) <= 12 for a, b in pairs), (kind, other)


def test_all_categories_are_drawn(texts: dict[str, dict[str, Any]]) -> None:
    assert set(CLASSES) <= set(texts["norms"]["names"])
    bars = for_paper(FIGURES["factor_bars"]).layout.yaxis.ticktext
    assert set(bars) <= set(texts["factor_bars"]["names"])


def test_the_html_file_saves_itself(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "figure.html"
    file.write_text(to_html(FIGURES["norms"], "a figure"), encoding="utf-8")
    context = browser.new_context(color_scheme="dark", offline=True)
    page = context.new_page()
    page.goto(file.as_uri())
    with page.expect_download() as waiting:
        page.get_by_role("button", name="SVG").click()
    assert waiting.value.suggested_filename == "a figure.svg"
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert all(f">{name}</text>" in text for name in CLASSES)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="PNG").click()
    picture = np.asarray(Image.open(waiting.value.path()).convert("RGB"))
    assert picture.shape[1] == 4 * COLUMN
    assert (picture[0] == 255).all()
    context.close()
