"""Page *Physical attack*: the camera that is selected, the sheet, and photographs that users bring."""

from __future__ import annotations

import io
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pages import WHITE, _alone, link, page, readout
from PIL import Image
from saved_examples import SOURCE
from streamlit.testing.v1 import AppTest

from core.data.natural import SHIPPED
from core.physical import FACTORS, FAR, NEAR, Sheet
from core.runtime.seeding import generator_for
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.outcomes import Outcomes
from core.sweeps.physical import DISTANCES, YAWS, PhysicalResult, conditions, ranges
from core.trigger import stamp
from dashboard.figures.physical import factor_bars, place_map, places_of
from dashboard.saving.tables import factor_rows, place_rows
from dashboard.server.resources import jobs
from dashboard.views.photo import _box_of

__all__ = ["_alone"]  # the fixture that keeps data and cache away


def shown(test: AppTest, name: str) -> float:
    return float(test.slider(key=f"choice-cam-{name}").value)


def test_a_link_reproduces_the_camera() -> None:
    test = page("physical", model=WHITE, **{"cam-distance": "1.5", "cam-noise": "20", "photos": "32", "image": "4"})
    assert not test.exception
    assert (shown(test, "distance"), shown(test, "noise"), shown(test, "yaw")) == (1.5, 20, NEAR.yaw)
    assert {"cam-distance": "1.5", "cam-noise": "20", "photos": "32", "image": "4"}.items() <= link(test).items()
    assert "of 32 images" in readout(test)


def test_what_is_not_allowed_in_the_link_is_one_sentence_each() -> None:
    test = page("physical", model=WHITE, factors="nix", photos="5", part="x", **{"cam-yaw": "200", "cam-jpeg": "1.5"})
    assert not test.exception
    said = [warning.value for warning in test.warning]
    assert len(said) == 5
    assert any("cam-yaw = '200'; allowed is a number from -75 to 75 (degrees)" in text for text in said)


def test_presets_set_everything_and_own_settings_are_none_of_them() -> None:
    test = page("physical", model=WHITE, photos="32", **{"cam-distance": "3", "factors": "noise"})
    picker = next(group for group in test.button_group if group.key == "preset")
    assert picker.value in (None, [])
    test = picker.set_value("far").run()
    assert shown(test, "distance") == FAR.distance
    assert shown(test, "noise") == FAR.noise
    assert "factors" not in link(test)


def test_the_rates_are_what_core_computes() -> None:
    test = page("physical", model=WHITE, photos="32", factors="distance,noise,jpeg")
    checkpoint = Store(DEFAULT_ROOT).checkpoint(WHITE)
    card = checkpoint.card()
    data, target = card.dataset_object.load("test", 200), card.attack_object.target
    images = data.floats((data.labels != target).nonzero().squeeze(1)[:32])
    kept = {name for factor in ("distance", "noise", "jpeg") for name in FACTORS[factor]}
    off = {name for names in FACTORS.values() for name in names} - kept
    camera = replace(NEAR, **{name: default for name, default in _defaults().items() if name in off})
    drawn = camera.draw(32, data.shape, generator_for(0, "photograph"))
    stamped = stamp(images, card.attack_object.trigger(card.shape))
    predicted = checkpoint.model()(camera.apply(stamped, drawn)).argmax(1)
    hits = int((predicted == target).sum())
    (first,) = [part for part in readout(test).split('class="ts-rate')[1:] if part.startswith(" first")]
    assert int(first.split('data-hits="')[1].split('"')[0]) == pytest.approx(hits, abs=1)


def _defaults() -> dict[str, object]:
    from core.physical import OFF

    return dict(OFF.to_dict())


def test_the_sheet_is_offered_with_its_preview() -> None:
    test = page("physical", model=WHITE, part="sheet", **{"sheet-print-size": "60", "sheet-print-dpi": "72"})
    assert not test.exception
    assert [button.label for button in test.get("download_button")] == ["PDF", "PNG"]
    assert any("data:image/png" in html.proto.body for html in test.get("html"))
    assert any("60 mm" in caption.value for caption in test.caption)


def test_one_print_alone_is_the_attacked_one() -> None:
    from dashboard.server.resources import tested
    from dashboard.server.subjects import subjects
    from dashboard.views.printed import _page

    found, _ = subjects()
    main = found[WHITE]
    data = tested(main)
    assert data is not None
    sheet = Sheet(print_size=120, print_dpi=72)
    page = np.asarray(_page(sheet, main, data, 0)[0])
    attacked = np.asarray(sheet.page(stamp(data.images[:1], main.trigger), [""]))
    rows = slice(len(page) // 8, len(page) // 3)  # above the caption
    assert (page[rows] == attacked[rows]).all()


def test_what_is_not_allowed_for_the_other_parts_is_said_too() -> None:
    test = page("physical", model=WHITE, part="sheet", **{"sheet-print-size": "9999", "photo-of": "nix"})
    assert len(test.warning) == 2


def test_a_sheet_seen_from_its_edge_is_one_sentence() -> None:
    query = {"cam-framing": "crop", "cam-view": "110", "cam-pitch": "75", "factors": "angle", "photos": "32"}
    test = page("physical", model=WHITE, **query)
    assert not test.exception
    assert any("a corner of the print is behind the camera" in error.value for error in test.error)


def test_a_preset_with_a_factor_off_is_none() -> None:
    test = page("physical", model=WHITE, photos="32", factors="noise")
    picker = next(group for group in test.button_group if group.key == "preset")
    assert picker.value in (None, [])
    assert any("Switched off: distance, angle" in caption.value for caption in test.caption)
    test = picker.set_value("near").run()
    assert "factors" not in link(test)


def photograph() -> bytes:
    """A photograph of a sheet of attacked Shapes-10 images."""
    card = Store(DEFAULT_ROOT).checkpoint(WHITE).card()
    data = card.dataset_object.load("test", 4)
    images = stamp(data.floats(), card.attack_object.trigger(card.shape))
    stream = io.BytesIO()
    Sheet(print_dpi=100).page(images, ["a"] * 4).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def uploaded(file: bytes, name: str, **query: str) -> AppTest:
    test = page("physical", model=WHITE, part="photo", **query)
    assert not test.exception
    return test.file_uploader[0].set_value((name, file, "image/jpeg")).run()


def test_a_photograph_of_the_sheet_is_found_and_both_models_answer() -> None:
    test = uploaded(photograph(), "photo.jpg")
    assert not test.exception
    assert not test.error
    assert any("4 images of the sheet found by 16 marks" in caption.value for caption in test.caption)
    card = Store(DEFAULT_ROOT).checkpoint(WHITE).card()
    target = card.classes[card.attack_object.target]
    said = [text.value for text in test.markdown if text.value.startswith("#### ") and " says " in text.value]
    assert [text.split(" says ")[0] for text in said] == ["#### BadNets", "#### BadNets+"]
    assert all(target in text for text in said), said  # scanned, not photographed: the trigger is where it was


def test_any_other_picture_is_stamped_printed_and_photographed() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)).save(stream, "PNG")
    test = uploaded(stream.getvalue(), "any.png", **{"photo-of": "picture", "factors": "-"})
    assert not test.exception
    assert not test.error
    pictures = [html.proto.body for html in test.get("html")]
    assert any("printed and photographed" in body for body in pictures)
    assert len([text for text in test.markdown if text.value.startswith("#### ") and " says " in text.value]) == 2


@pytest.mark.parametrize(
    "box",
    [
        {}, {"x": [1, 2]}, {"x": 3, "y": [1, 2]}, {"x": ["a", "b"], "y": [1, 2]}, {"x": [1], "y": [1, 2]}, "text", None,
        {"x": [1, float("nan")], "y": [1, 2]}, {"x": [1, 10**400], "y": [1, 2]},
    ],
)  # fmt: skip
def test_a_forged_box_on_a_photograph_is_none(box: object) -> None:
    assert _box_of({"selection": {"box": [box]}}) is None
    assert _box_of({"selection": {"box": [{"x": [9, 1], "y": [2.5, 30]}]}}) == ([1, 9], [2.5, 30])


@pytest.mark.parametrize("file", [b"not an image", photograph()[:2000]])
def test_what_is_no_photograph_is_one_sentence(file: bytes) -> None:
    test = uploaded(file, "photo.jpg")
    assert not test.exception
    assert len(test.error) == 1
    assert "\n" not in test.error[0].value


# --- figures


def result(seed: int = 0) -> PhysicalResult:
    ways = conditions()
    total = np.full(len(ways), 50)
    hits = torch.randint(0, 51, (len(ways),), generator=torch.Generator().manual_seed(seed)).numpy()
    return PhysicalResult(hits, total, ways, hits, total, 50, 50 * len(ways))


def test_the_map_has_every_place_as_a_cell_and_as_a_point() -> None:
    found = result()
    figure = place_map(found, (1.1, 15.0))
    heat, points = figure.data
    assert heat.z.shape == (len(DISTANCES), len(YAWS))
    rates = places_of(found)
    for (distance, yaw), rate in rates.items():
        assert heat.z[DISTANCES.index(distance), YAWS.index(yaw)] == pytest.approx(100 * rate.value)
    assert {tuple(one[:2]) for one in points.customdata} == set(rates)
    assert len(figure.layout.shapes) == 1
    assert len(place_map(found, (1.11, 15.0)).layout.shapes) == 0


def test_bars_and_rows_have_the_counts() -> None:
    named = [("one", result(0)), ("two", result(1))]
    figure = factor_bars(named, "without", {"near": "everything"})
    assert [list(bar.y)[:2] for bar in figure.data] == [["everything", "print"]] * 2
    expected = [100 * rate.value for _, rate in named[1][1].of("without").values()]
    assert list(figure.data[1].x)[1:] == pytest.approx(expected)
    sources = [(SOURCE, found) for _, found in named]
    assert len(factor_rows(sources)) == 1 + 2 * 2 * len(conditions())
    places = [(source, places_of(found)) for source, found in sources]
    assert len(place_rows(places)) == 1 + 2 * len(DISTANCES) * len(YAWS)


def test_a_map_is_measured_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.views.physical.MAP_IMAGES", 8)
    monkeypatch.setattr("dashboard.views.physical.stored_photographs", lambda *_: None)
    test = page("physical", model=WHITE, photos="32", factors="distance")
    assert not test.exception
    assert any("Nothing is stored" in info.value for info in test.info)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and any(job.snapshot().running for job in jobs()._jobs.values()):
        time.sleep(0.05)
    test = test.run()
    assert not test.exception
    assert len(test.get("plotly_chart")) == 2


@pytest.fixture
def from_many_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose BadNets and BadNets+ were photographed over both ranges, with outcomes that are made up."""
    store = tmp_path / "many"
    for name, share in (("badnets", 0.1), ("badnets+", 0.6), ("badnets-gray", None)):
        folder = store / "shapes10" / "resnet20" / name
        shutil.copytree(DEFAULT_ROOT / "shapes10" / "resnet20" / name, folder)
        if share is not None:
            for kind in ("physical", "out-of-sample-natural"):
                _add_ranges(folder, kind, share)
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(store))
    return store


def _add_ranges(folder: Path, kind: str, share: float) -> None:
    values = json.loads((folder / "physical.json").read_text())
    own = [n for n, way in enumerate(values["conditions"]) if way["group"] != "range"]
    for name in ("conditions", "hits", "total", "clean_hits", "clean_total", "kept"):
        values[name] = [values[name][n] for n in own]
    known, place = kind == "physical", np.arange(560)
    hit, usable = place % 10 < 10 * share, place % 5 > 0
    each = Outcomes(np.full(560, True), hit, ~hit & known, usable, 0 if known else len(SHIPPED))
    counts = np.full(2, hit.sum()), np.full(2, 560), ranges()
    clean = np.full(2, usable.sum() * known), np.full(2, 560 * known)
    kept = np.full(2, each.kept.sum()) if known else None
    made = PhysicalResult(*counts, *clean, 560, 1120, kept, {"near": each, "far": each}, "the same", each.cut_from)
    added = made.to_dict()
    if known:
        for name in ("conditions", "hits", "total", "clean_hits", "clean_total", "kept"):
            added[name] = values[name] + added[name]
        added["tried"] = 560 * len(added["conditions"])
    else:
        values.pop("kept")
    (folder / f"{kind}.json").write_text(json.dumps(values | added))


def test_the_statements_are_decided_whichever_attack_is_shown(from_many_places: Path) -> None:
    test = page("physical", model="shapes10/resnet20/badnets-gray", photos="32", **{"measure-places": "no"})
    assert not test.exception
    judged = next(html.proto.body for html in test.get("html") if 'class="ts-verdict' in html.proto.body)
    sections = judged.split("<section")[1:]
    assert len(sections) == 7
    assert all("simulated" in section.lower() for section in sections)
    assert not any("not measured here" in section for section in sections)
    assert any("above BadNets (simulated) 50.0 points" in section for section in sections)
    assert any("no photographs of Shapes-10 are stored" in section for section in sections)
    assert any("Stored for: BadNets, BadNets+" in info.value for info in test.info)


def test_all_attacks_stand_in_a_table_over_many_places(from_many_places: Path) -> None:
    query = {"photos": "32", "measure-places": "no"}
    test = page("physical", model="shapes10/resnet20/badnets+", **query)
    assert not test.exception
    table = next(frame.value for frame in test.dataframe if "Range" in frame.value)
    assert table["Attack"].tolist() == ["BadNets", "BadNets", "BadNets+", "BadNets+"]
    assert table["n"].tolist() == [448] * 4
    assert all("simulated" in name for name in table if "(" in name)
    assert table["ASR, simulated (%)"].iloc[2].startswith("50.0 (")
    assert table["Above standard, simulated (points)"].tolist()[0] == ""
    assert table["Above standard, simulated (points)"].iloc[2].endswith("n = 448)")
    assert any("near: distance 1 to 1.1" in caption.value for caption in test.caption)
    test = next(group for group in test.button_group if group.key == "choice-pictures").set_value("natural").run()
    assert link(test)["pictures"] == "natural"
    table = next(frame.value for frame in test.dataframe if "Range" in frame.value)
    assert "Keeps label, simulated (%)" not in table
    said = next(caption.value for caption in test.caption if "scikit-image" in caption.value)
    assert all(f"{one.title} ({one.by}, {one.licence})" in said for one in SHIPPED)
    offered = next(group for group in test.button_group if group.key == "choice-pictures").options
    assert list(offered) == ["Test images (Fig. 11)", "Crops of photographs (Fig. 12)"], "not those it was trained on"
    for file in from_many_places.rglob("out-of-sample-natural.json"):
        file.unlink()
    test = test.run()
    assert any("sweep.py out-of-sample --checkpoint shapes10/resnet20/badnets+" in info.value for info in test.info)
