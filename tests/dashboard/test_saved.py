"""What is saved: figures for a paper whatever the page's theme, and tables and names that say what they are of."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from PIL import Image
from saved_examples import CLASSES, CURVE, MAP, PHOTOGRAPHS, SOURCE, STRENGTH, all_figures, all_tables

from core.metrics import Rate
from dashboard.saving import figures as exported
from dashboard.saving import tables as saved_tables
from dashboard.saving.figures import DRAWN, cannot_draw, drawn, for_paper, to_html
from dashboard.saving.names import ALL, RATE_COLUMNS, SOURCE_COLUMNS, Mean, Source, file_name, table, to_csv

DASHBOARD = Path(__file__).parents[2] / "dashboard"
FIGURES, TABLES = all_figures(), all_tables()
# A figure that is no figure: the box on a photograph is dragged, and is an input.
NOT_SAVED = {"for_paper"}


def test_there_is_an_example_of_every_figure_and_table() -> None:
    makers = {
        node.name
        for path in DASHBOARD.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and node.returns is not None
        and "go.Figure" in ast.unparse(node.returns)
    }
    assert makers - NOT_SAVED == {name.partition(" ")[0] for name in FIGURES}
    assert set(saved_tables.__all__) == set(TABLES)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [exported.COLUMN, exported.SCREEN])
@pytest.mark.parametrize("name", FIGURES)
def test_a_saved_figure_is_light_and_nothing_overlaps(name: str, width: int, dark: bool) -> None:
    figure = go.Figure(FIGURES[name])
    if dark:
        figure.layout.template = pio.templates["plotly_dark"]
        figure.update_layout(paper_bgcolor="black", font_color="white")
    before = figure.to_json()
    made = for_paper(figure, width)
    assert figure.to_json() == before, "the page keeps its own"
    layout = made.layout
    assert layout.template.layout.plot_bgcolor == layout.plot_bgcolor == layout.paper_bgcolor == "white"
    assert layout.template.layout.colorway == pio.templates["plotly_white"].layout.colorway
    assert layout.font.color == "#1a1a1a"
    axes = [layout[axis] for axis in layout if re.fullmatch(r"[xy]axis\d?", axis)]
    assert len(axes) >= 2
    assert all(axis.automargin and axis.title.font.size == axis.tickfont.size == 15 for axis in axes)
    # A legend below, in the room that is kept for it.
    assert (layout.legend.yref, layout.legend.yanchor) == ("container", "bottom")
    entries = [trace.name for trace in made.data if trace.showlegend is not False and trace.name]
    if len(entries) > 1:
        assert layout.showlegend
        assert layout.margin.b >= 20
    widest = max((len(line) for entry in entries for line in entry.split("<br>")), default=0)
    assert widest * exported.CHARACTER + exported.ENTRY <= width


@pytest.mark.parametrize("name", ["norms", "factor_bars", "place_map"])
def test_every_category_is_named(name: str) -> None:
    figure = FIGURES[name]
    axis, values = ("xaxis", figure.data[0].x) if name != "factor_bars" else ("yaxis", figure.data[0].y)
    made = for_paper(figure).layout[axis]
    assert made.type == "category"
    assert list(made.ticktext) == list(dict.fromkeys(values))
    assert name != "norms" or list(made.ticktext) == list(CLASSES)


def test_the_html_file_needs_no_network_and_saves_itself() -> None:
    text = to_html(FIGURES["norms"], "a name")
    assert "<title>a name</title>" in text
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="http', text)
    found = re.search(r"const saved = (\{.*\});\n", text)
    assert found is not None
    saved = json.loads(found[1].replace("<\\/", "</"))
    assert saved["figure"]["layout"]["width"] == exported.COLUMN
    assert saved["figure"]["layout"]["paper_bgcolor"] == "white"
    assert saved["name"] == "a name"


@pytest.mark.skipif(bool(cannot_draw()), reason=cannot_draw())
@pytest.mark.parametrize("kind", DRAWN)
def test_figures_are_drawn(kind: str) -> None:
    content = drawn(FIGURES["norms"], kind)
    expected = for_paper(FIGURES["norms"]).layout
    if kind == "png":
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert picture.shape[:2] == (4 * expected.height, 4 * expected.width)
        assert (picture[0] == 255).all()
    elif kind == "svg":
        text = content.decode()
        assert all(f">{name}</text>" in text for name in CLASSES)
    else:
        assert content.startswith(b"%PDF")


def test_beyond_a_few_that_wait_figures_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keeps one of the server's few threads waiting, in which all files are made."""
    monkeypatch.setattr(exported, "cannot_draw", lambda: "")
    monkeypatch.setattr(exported.pio, "to_image", lambda *_, **__: b"drawn")
    with ThreadPoolExecutor(1 + exported.WAITING) as threads:
        with exported._drawing:
            asked = [threads.submit(drawn, FIGURES["norms"], "pdf") for _ in range(1 + exported.WAITING)]
            deadline = time.monotonic() + 30
            while exported._asking._value and time.monotonic() < deadline:  # until all of them wait
                time.sleep(0.01)
            with pytest.raises(ValueError, match="Too many figures are being drawn at the moment"):
                drawn(FIGURES["norms"], "pdf")
        assert [one.result() for one in asked] == [b"drawn"] * (1 + exported.WAITING)
    assert drawn(FIGURES["norms"], "pdf") == b"drawn"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="kind = 'gif' is not allowed: png, svg, pdf"):
        drawn(FIGURES["norms"], "gif")


def test_where_there_is_no_browser_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido")
    from choreographer.browsers.chromium import Chromium

    monkeypatch.setattr(Chromium, "find_browser", lambda **_: None)
    cannot_draw.cache_clear()
    assert "need Chrome or Chromium on the machine that runs the application" in cannot_draw()
    with pytest.raises(ValueError, match="need Chrome"):
        drawn(FIGURES["norms"], "png")
    cannot_draw.cache_clear()


def test_where_kaleido_is_missing_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    cannot_draw.cache_clear()
    assert cannot_draw().startswith("PNG, SVG and PDF need the package kaleido")
    cannot_draw.cache_clear()


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_the_same_columns_around_its_own(name: str) -> None:
    header, *rows = TABLES[name]
    assert tuple(header[: len(SOURCE_COLUMNS)]) == SOURCE_COLUMNS
    assert tuple(header[-len(RATE_COLUMNS) :]) == RATE_COLUMNS
    assert len(set(header)) == len(header)
    assert all(len(row) == len(header) for row in rows)
    for row in csv.DictReader(io.StringIO(to_csv([header, *rows]))):
        assert (row["dataset"], row["network"]) == ("cifar10", "resnet20")
        if row["hits"]:
            share = Rate(int(row["hits"]), int(row["total"]))
            low, high = share.interval
            assert float(row["rate_percent"]) == pytest.approx(100 * share.value, abs=1e-3)
            ends = float(row["low_percent"]), float(row["high_percent"])
            assert ends == pytest.approx((100 * low, 100 * high), abs=1e-3)
            assert row["interval"] == "95% Wilson"
        elif row["low_percent"]:
            assert row["interval"] in ("95% normal", "95% over photographs", "95% paired")


def test_rows_say_which_trigger_and_defense() -> None:
    header, *rows = TABLES["appearance_rows"]
    rows = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["pixel_value"], row["hits"]) for row in rows] == list(zip(CURVE.values, CURVE.hits, strict=True))
    behind = saved_tables.strength_rows(
        [(SOURCE, STRENGTH)], lambda source, at: replace(source, defense=f"shrinkpad:{at:g}")
    )
    place = behind[0].index("defense")
    assert [row[place] for row in behind[1::2]] == ["shrinkpad:0", "shrinkpad:2", "shrinkpad:4"]
    cells = TABLES["location_rows"]
    assert cells[1][len(SOURCE_COLUMNS) :][:5] == [2, 2, "attack success rate", 0, 900]
    assert len(cells) == 1 + MAP.hits.size
    assert len(TABLES["factor_rows"]) == 1 + 2 * len(PHOTOGRAPHS.conditions)


def test_what_was_not_measured_is_empty() -> None:
    header, none, mean = table((), [(SOURCE, (), "q", Rate(0, 0)), (SOURCE, (), "q", Mean(0.5))])
    assert dict(zip(header, none, strict=True))["rate_percent"] == ""
    assert mean[-6:] == ["", "", 50.0, "", "", ""]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (SOURCE, "location_cifar10_resnet20_badnets_value128_opacity100_no-defense"),
        (
            Source("my pets", "", "vgg19", "blended+max2", 0, 20, "1.\n.1", "fine-pruning", "shrinkpad:4,flip"),
            "location_my-pets_vgg19_blended+max2_value0_opacity20_painted_fine-pruning_shrinkpad-4-flip",
        ),
        (SOURCE.all_attacks(), f"location_cifar10_resnet20_{ALL}"),
    ],
)
def test_names_say_what_is_in_the_file(source: Source, expected: str) -> None:
    assert file_name("location", source) == expected
    assert re.fullmatch(r"[\w.+-]+", expected)


def test_a_file_of_several_models_says_how_many() -> None:
    assert "_badnets_and2others_" in file_name("pixel-value", SOURCE, 2)
