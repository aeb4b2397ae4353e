"""Figures, tables and HTML pieces show the numbers they were given."""

from __future__ import annotations

import base64
import csv
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from saved_examples import SOURCE

from core.attacks import Enhanced, Enhancement, attacks
from core.metrics import Rate
from core.sweeps.appearance import AppearanceCurve, AppearanceMap
from core.sweeps.location import LocationMap
from core.sweeps.strength import StrengthCurve
from dashboard.figures import repairs as repair_figures
from dashboard.figures import sweeps as figures
from dashboard.figures.html import Reading, Shown, data_url, live_note, rate_bars, strip
from dashboard.figures.panels import (
    ACROSS,
    GAP,
    SHEETS,
    WIDTH,
    Block,
    Panel,
    block_html,
    sheet_file,
    sheet_image,
    sheet_svg,
)
from dashboard.figures.preview import curves_sketch, map_sketch, strength_sketch
from dashboard.figures.sweeps import Curve, StrengthLine
from dashboard.saving.names import to_csv
from dashboard.saving.tables import appearance_map_rows, appearance_rows, location_rows, strength_rows
from dashboard.views.enhanced import pipeline
from dashboard.widgets.live import rgba, trigger_picture


@pytest.fixture
def location() -> LocationMap:
    return LocationMap(np.array([[1, 2], [3, 0]]), np.array([[4, 4], [4, 0]]), (2, 3), (5, 6))


@pytest.fixture
def curve() -> AppearanceCurve:
    return AppearanceCurve(np.array([0, 5, 9]), np.array([10, 10, 0 + 10]), (0, 128, 255))


def parsed(rows: list[list[object]]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(rows))))


def test_location_table_has_one_row_per_place(location: LocationMap) -> None:
    rows = parsed(location_rows(SOURCE, location))
    assert [(row["row"], row["col"], row["hits"], row["total"]) for row in rows] == [
        ("2", "5", "1", "4"),
        ("2", "6", "2", "4"),
        ("3", "5", "3", "4"),
        ("3", "6", "0", "0"),
    ]
    low, high = Rate(1, 4).interval
    assert float(rows[0]["rate_percent"]) == 25
    ends = float(rows[0]["low_percent"]), float(rows[0]["high_percent"])
    assert ends == pytest.approx((100 * low, 100 * high), abs=1e-4)
    assert rows[3]["rate_percent"] == ""


def test_location_figure_puts_row_zero_on_top(location: LocationMap) -> None:
    figure = figures.location_map(location, (3, 6), "a title")
    heat = figure.data[0]
    assert (list(heat.y), list(heat.x)) == ([2, 3], [5, 6])
    np.testing.assert_allclose(heat.z[0], [25, 50])
    assert figure.layout.yaxis.range == (3.5, 1.5)


def test_curves_leave_out_what_is_not_measured() -> None:
    partial = AppearanceCurve(np.array([0, 0, 9]), np.array([10, 0, 10]), (0, 128, 255))
    figure = figures.appearance_curves([Curve("a", partial, "#d1495b")], trained=128, current=64)
    line = next(trace for trace in figure.data if trace.mode == "lines")
    assert (list(line.x), list(line.y)) == ([0, 255], [0, 90])
    assert not [trace for trace in figure.data if trace.mode == "markers"]


def test_curves_mark_the_trained_value(curve: AppearanceCurve) -> None:
    figure = figures.appearance_curves([Curve("a", curve, "#d1495b")], trained=128, current=64)
    mark = next(trace for trace in figure.data if trace.mode == "markers")
    assert (list(mark.x), list(mark.y)) == ([128], [50])
    assert [shape.x0 for shape in figure.layout.shapes] == [64]
    assert [row["pixel_value"] for row in parsed(appearance_rows([(SOURCE, curve)]))] == ["0", "128", "255"]


def test_pixel_values_end_at_255(curve: AppearanceCurve) -> None:
    drawn = [Curve("a", curve, "#d1495b")]
    surface = AppearanceMap(np.array([[1, 2]]), np.full((1, 2), 4), (0, 255), (100,))
    for figure in (
        figures.appearance_curves(drawn, trained=128, current=64),
        figures.appearance_map(surface, None, (0, 0)),
    ):
        ticks = figure.layout.xaxis.tickvals
        assert (ticks[0], ticks[-1], max(ticks)) == (0, 255, 255)
    url = re.search(r"base64,([^\"]+)", curves_sketch(drawn, 64))
    assert url is not None
    texts = re.findall(r">(\d+)</text>", base64.b64decode(url[1]).decode())
    assert "255" in texts
    assert "256" not in texts


def test_a_live_rate_says_on_which_images_it_is_and_what_is_stored() -> None:
    note = live_note(Rate(7, 256), Rate(360, 9000))
    assert note == (
        "measured now on the first 256: 95% interval 1.3 to 5.5 %, 7 of 256 images; stored, on 9000 images: 4.0 %"
    )
    assert live_note(Rate(7, 256)) == live_note(Rate(7, 256), Rate(0, 0)) == note.split(";")[0]
    assert live_note(Rate(0, 0)) == ""


def test_value_and_opacity_table() -> None:
    result = AppearanceMap(np.array([[1, 2], [3, 4]]), np.full((2, 2), 4), (0, 255), (0, 100))
    rows = parsed(appearance_map_rows(SOURCE, result))
    assert [(row["opacity_percent"], row["pixel_value"], row["hits"]) for row in rows] == [
        ("0", "0", "1"),
        ("0", "255", "2"),
        ("100", "0", "3"),
        ("100", "255", "4"),
    ]
    figure = figures.appearance_map(result, (128, 100), (0, 0))
    np.testing.assert_allclose(figure.data[0].z, [[25, 50], [75, 100]])


def test_rate_bars_state_n_and_interval_and_escape() -> None:
    html = rate_bars([Reading("<script>", Rate(3, 4), "#fff"), Reading("nothing", Rate(0, 0), "#fff")])
    assert "<script>" not in html
    assert "75.0 %" in html
    assert "95% interval 30.1 to 95.4 %, 3 of 4 images" in html
    assert "not measured" in html
    assert "nan" not in html


def test_strip_frames_what_was_hit_and_escapes() -> None:
    html = strip([Shown("data:,", "<deer>", "cat", True), Shown("data:,", "dog", "dog", False)], "deer")
    assert "<deer>" not in html
    assert html.count('class="hit"') == 1
    assert "1 of 2 shown images predicted as deer" in html


@pytest.mark.parametrize("channels", [1, 3])
def test_data_url_is_the_image(channels: int) -> None:
    image = torch.rand(channels, 5, 7, generator=torch.Generator().manual_seed(0))
    url = data_url(image)
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))
    expected = (image * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(decoded, expected)


def test_pad_pattern_is_the_trigger() -> None:
    trigger = attacks["badnets-gray"]().trigger((3, 32, 32))
    pixels = rgba(trigger)
    assert (pixels.shape, pixels.dtype) == ((3, 3, 4), np.uint8)
    assert pixels[..., 3].tolist() == [[255] * 3] * 3
    assert pixels[..., 0].tolist() == [[0, 0, 128], [0, 128, 0], [128, 0, 128]]
    assert rgba(trigger.with_opacity(0.2))[0, 0, 3] == 51


def test_trigger_picture_without_an_image_shows_a_ground() -> None:
    trigger = attacks["badnets"]().trigger((3, 32, 32))
    assert trigger_picture(trigger, None, (3, 32, 32)).startswith('<img src="data:image/png')


def drawing(html: str) -> ElementTree.Element:
    """The vector graphic in a picture, without its namespace."""
    match = re.search(r"data:image/svg\+xml;base64,([^\"]+)", html)
    assert match is not None
    text = base64.b64decode(match[1]).decode()
    return ElementTree.fromstring(text.replace(' xmlns="http://www.w3.org/2000/svg"', ""))


def test_sketches_draw_what_is_measured_and_nothing_else() -> None:
    partial = AppearanceCurve(np.array([0, 0, 9]), np.array([10, 0, 10]), (0, 128, 255))
    root = drawing(curves_sketch([Curve("a & b", partial, "#d1495b")], current=64))
    (line,) = root.findall("polyline")
    points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    assert len(points) == 2
    (left, bottom), (right, top) = points
    # 0 and 90 percent against the grid lines at 0, 20, ..., 100 percent.
    level = [found for found in root.findall("line") if found.attrib["y1"] == found.attrib["y2"]]
    grid = sorted(float(found.attrib["y1"]) for found in level)
    assert len(grid) == 6
    assert bottom == pytest.approx(grid[-1], abs=0.1)
    assert top == pytest.approx((grid[0] + grid[1]) / 2, abs=0.1)
    assert right > left

    surface = AppearanceMap(np.array([[0, 4], [0, 0]]), np.array([[4, 4], [0, 4]]), (0, 255), (0, 100))
    cells = ElementTree.fromstring(map_sketch(surface)).findall("div")
    # The highest opacity on top, as in the finished map.
    assert [cell.attrib["style"].removeprefix("background:") for cell in cells] == [
        "transparent",
        "rgb(68,1,84)",
        "rgb(68,1,84)",
        "rgb(253,231,37)",
    ]


@pytest.mark.parametrize(("current", "anchor"), [(0, "left"), (128, "center"), (255, "right")])
def test_the_label_of_the_shown_value_stays_inside(curve: AppearanceCurve, current: int, anchor: str) -> None:
    figure = figures.appearance_curves([Curve("a", curve, "#d1495b")], trained=128, current=current)
    (label,) = figure.layout.annotations
    assert (label.text, label.xanchor) == (f"shown: {current}", anchor)


@pytest.fixture
def strength() -> StrengthCurve:
    counts = (np.array([9, 4, 0]), np.array([9, 8, 0]), np.array([10, 6, 0]), np.array([10, 10, 0]))
    return StrengthCurve(counts[0], counts[1], (0, 2, 4), counts[2], counts[3], 10)


def test_strength_figure_shows_what_is_measured(strength: StrengthCurve) -> None:
    lines = [StrengthLine("BadNets", strength, "#d1495b"), StrengthLine("BadNets+", strength, "#0072b2", "dot")]
    figure = figures.strength_curves(lines, "size", 2, trained=4)
    assert [line.name for line in figure.data] == [
        f"{name}: {what}" for name in ("BadNets", "BadNets+") for what in ("ASR", "clean accuracy")
    ]
    attack, clean = figure.data[:2]
    assert (list(attack.x), list(attack.y)) == ([0, 2], [100, 50])
    assert list(clean.y) == [100, 60]
    low, high = Rate(4, 8).interval
    assert attack.error_y.array[1] == pytest.approx(100 * high - 50)
    assert attack.error_y.arrayminus[1] == pytest.approx(50 - 100 * low)
    assert (attack.line.dash, figure.data[2].line.dash) == ("solid", "dot")
    alone = figures.strength_curves(lines, "size", with_clean=False)
    assert [line.name for line in alone.data] == ["BadNets", "BadNets+"]


def test_many_points_are_a_line_with_a_band() -> None:
    many = np.arange(200)
    full, half = np.full(200, 200), np.full(200, 100)
    curve = StrengthCurve(200 - many, full, tuple(many.tolist()), half, full, 200)
    figure = figures.strength_curves([StrengthLine("BadNets", curve, "#d1495b")], "channels", 2)
    band, line = figure.data[:2]
    assert (band.mode, band.fill, line.mode, line.error_y.array) == ("none", "toself", "lines", None)
    assert band.legendgroup == line.legendgroup == line.name == "BadNets: ASR"
    low, high = Rate(190, 200).interval
    assert (band.y[10], band.y[-11]) == (pytest.approx(100 * high), pytest.approx(100 * low))
    assert sum(trace.showlegend is not False for trace in figure.data) == 2


def test_strength_table_has_one_row_per_strength_and_quantity(strength: StrengthCurve) -> None:
    rows = parsed(strength_rows([(SOURCE, strength)], lambda source, _: source))
    rows.sort(key=lambda row: row["quantity"])
    assert [(row["strength"], row["quantity"], row["hits"], row["total"]) for row in rows] == [
        ("0", "attack success rate", "9", "9"),
        ("2", "attack success rate", "4", "8"),
        ("4", "attack success rate", "0", "0"),
        ("0", "clean accuracy", "10", "10"),
        ("2", "clean accuracy", "6", "10"),
        ("4", "clean accuracy", "0", "0"),
    ]


def test_max_shrink_figure(strength: StrengthCurve) -> None:
    figure = figures.max_shrink_curves([("BadNets+", "#d1495b", "solid", [(0, Rate(1, 10)), (4, Rate(9, 10))])])
    assert (list(figure.data[0].x), list(figure.data[0].y)) == ([0, 4], [10, 90])
    low, high = Rate(9, 10).interval
    assert list(figure.data[0].customdata[1]) == pytest.approx([100 * low, 100 * high, 9, 10])


def test_strength_sketch_draws_both_quantities_of_what_is_measured(strength: StrengthCurve) -> None:
    html = strength_sketch([StrengthLine("a <b>", strength, "#d1495b")], 2)
    tree = drawing(html)
    lines = [entry.get("points", "").split() for entry in tree.iter("polyline")]
    assert [len(points) for points in lines] == [2, 2]
    # 100 % lies at the same height in both, 50 % below 60 %.
    assert lines[0][0] == lines[1][0]
    assert float(lines[0][1].split(",")[1]) > float(lines[1][1].split(",")[1])
    assert 'alt="a &lt;b&gt;, being measured"' in html


def test_the_pipeline_shows_every_step() -> None:
    first = [("benign <image>", torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)))]
    attack = Enhanced(base=attacks["badnets"]())
    html = pipeline(first, attack, 1, "<deer>")
    assert html.count("<img") == 4 + 6
    assert "&lt;deer&gt;" in html
    assert "benign &lt;image&gt;" in html
    assert pipeline(first, attack, 1, "x") == pipeline(first, attack, 1, "x") != pipeline(first, attack, 2, "x")
    longer = Enhanced(base=attacks["blended"](), enhancement=Enhancement(transforms="noise:20,flip,hue"))
    assert pipeline([*first, *first], longer, 1, "x").count("<img") == 6 + 6


def sheet_of(*rows: list[Block]) -> np.ndarray:
    return np.array(sheet_image(rows))


def test_a_sheet_holds_every_picture_with_its_outline() -> None:
    """Four pure colours in two rows and columns: each covers its own square on the sheet, less its outline."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255)]
    mask = torch.zeros(8, 8)
    mask[2:5, 2:5] = 1
    panels = [
        Panel(torch.tensor(colour).view(3, 1, 1).expand(3, 8, 8) / 255, mask if number else None, "a", "b")
        for number, colour in enumerate(colours)
    ]
    whole = sheet_of(
        [Block("one", (panels[0], panels[1])), Block("")], [Block("", ()), Block("two", tuple(panels[2:]))]
    )
    scale = (WIDTH - (ACROSS + 1) * GAP) // ACROSS // 8
    size, line = 8 * scale, round(0.15 * scale)
    outline = (3 * scale) ** 2 - (3 * scale - 2 * line) ** 2
    for number, colour in enumerate(colours):
        assert (whole == colour).all(2).sum() == size**2 - (outline if number else 0)


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture"):
        sheet_image([[Block("one")]])


def test_a_sheet_is_saved_in_every_format() -> None:
    """As wide as a column, with whole captions, four panels beside each other, and text as text where it can be."""
    caption = "saliency, attacked image behind ShrinkPad-4"
    block = Block(
        "Consistent+ (alpha 1, epsilon 64)", (Panel(torch.rand(3, 8, 8), torch.ones(8, 8), caption, "deer"),) * 4
    )
    rows = [[block, block], [Block(""), block]]
    kinds = {kind: sheet_file(rows, kind, "a <name>") for kind in SHEETS}
    assert isinstance(kinds["png"], bytes)
    assert Image.open(io.BytesIO(kinds["png"])).width == WIDTH
    assert isinstance(kinds["pdf"], bytes)
    assert kinds["pdf"].startswith(b"%PDF")
    svg = kinds["svg"]
    assert isinstance(svg, str)
    tree = ElementTree.fromstring(svg)
    pictures = [one for one in tree.iter() if one.tag.endswith("image")]
    assert len(pictures) == 12
    assert len({one.get("x") for one in pictures}) == 4
    assert all(0 <= int(one.get("x", 0)) <= WIDTH - int(one.get("width", 0)) for one in pictures)
    said = " ".join(one.text or "" for one in tree.iter() if one.tag.endswith("text"))
    assert said.count("deer") == 12
    assert "..." not in said
    assert "&lt;name&gt;" in str(kinds["html"])
    assert sheet_svg(rows) in str(kinds["html"]).replace(' style="width:100%;max-width:60rem;height:auto"', "")
    with pytest.raises(ValueError, match="kind = 'gif' is not allowed"):
        sheet_file(rows, "gif", "")


def test_captions_are_text_not_markup() -> None:
    html = block_html(Block("<i>", (Panel(torch.zeros(1, 4, 4), None, "<b>", "<u>"),)))
    assert not {"<i>", "<u>"} & set(re.findall(r"<\w>", html))
    assert "&lt;b&gt;: <b>&lt;u&gt;</b>" in html
    assert block_html(Block("none")) == ""


def test_flagged_labels_stand_out() -> None:
    figure = repair_figures.norms(("a", "b", "c"), [5.0, 60.0, 70.0], [4.5, 0.0, 0.6], [0])
    bars = figure.data[0]
    assert list(bars.y) == [5, 60, 70]
    assert bars.marker.color[0] != bars.marker.color[1] == bars.marker.color[2]
    assert list(bars.text) == ["4.5", "0.0", "0.6"]


def test_what_costs_nothing_stands_left_of_what_costs_a_second() -> None:
    points = [
        ("Flip", "BadNets", 0.0, Rate(1, 100), Rate(90, 100)),
        ("Flip", "Blended", 0.0, Rate(2, 100), Rate(91, 100)),
        ("Repair", "BadNets", 30.0, Rate(50, 100), Rate(80, 100)),
    ]
    figure = repair_figures.cost_against_effect(points)
    flip, repair = figure.data[:2]
    assert (list(flip.y), list(repair.y)) == ([1, 2], [50])
    assert 0 < max(flip.x) < 1 < repair.x[0] == 30
    assert flip.marker.symbol[0] == repair.marker.symbol[0] != flip.marker.symbol[1]
    low, high = Rate(50, 100).interval
    assert repair.error_y.array[0] == pytest.approx(100 * high - 50)
    assert repair.error_y.arrayminus[0] == pytest.approx(50 - 100 * low)
    assert figure.layout.xaxis.ticktext[0] == "none"
