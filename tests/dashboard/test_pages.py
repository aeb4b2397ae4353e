"""Every page runs without a browser: with and without data, from good and from nonsense links."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from pages import (
    ALL,
    GRAY,
    MEASURING,
    PAGES,
    READING_IMAGES,
    SHIPPED,
    WHITE,
    _alone,
    component,
    link,
    page,
    readout,
)
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.defenses import defenses
from core.inference.predictor import Predictor
from core.store.local import DEFAULT_ROOT, Store
from core.store.shipped import write_shipped
from core.sweeps.adaptive import AdaptiveMap, looks_for
from core.sweeps.base import attacked, success_at
from core.sweeps.results import StoredResults
from core.sweeps.strength import StrengthCurve
from core.transforms import transform_from_spec
from dashboard.lessons.words import Amount
from dashboard.server.places import Visited
from dashboard.server.resources import jobs
from dashboard.server.subjects import subjects
from dashboard.views.appearance import stored_curve
from dashboard.views.location import Mapped, images_of, precision_of, stored_map
from dashboard.words.escaping import plain

__all__ = ["_alone"]  # the fixture that keeps data and cache away


# Every model on two pages, and one clean, standard and enhanced one on all.
EVERYWHERE = ("/benign", "/badnets", "/consistent+")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (name, key)
        for key in SHIPPED
        if key.startswith("shapes10/")
        for name in ALL
        if name in ("location", "saliency") or key.endswith(EVERYWHERE)
    ],
)
def test_every_shipped_model_shows(name: str, key: str) -> None:
    test = page(name, model=key)
    assert not test.exception
    assert not test.warning
    assert not test.error
    # What is stored is on more images than are measured here, or is what was measured.
    assert name not in MEASURING or min(map(int, re.findall(r"of (\d+) images", readout(test)))) >= 256


@pytest.mark.parametrize("name", PAGES)
def test_nonsense_in_a_link_is_one_sentence_each(name: str) -> None:
    test = page(name, model="nix", n="77", row="99", col="x", image="-1", compare="<b>", value="256", opacity="1e9")
    assert not test.exception
    said = [warning.value for warning in test.warning]
    assert len(said) == 8
    assert any("row = '99'; allowed is an integer from 2 to 31." in text for text in said)
    assert any("value = '256'; allowed is an integer from 0 to 255." in text for text in said)
    assert re.search(r"of \d+ images", readout(test))


def test_a_link_reproduces_the_view() -> None:
    test = page("location", model=GRAY, row="17", col="9", value="200", n="64", image="3")
    pad = component(test, "pad")
    assert (pad["row"], pad["col"]) == (17, 9)
    assert test.slider(key="choice-value").value == 200
    assert component(test, "strip")["selected"] == 3
    assert "of 64 images" in readout(test)
    # What it shows is in the link again.
    expected = {"row": "17", "col": "9", "value": "200", "n": "64", "image": "3"}
    assert expected.items() <= link(test).items()


@pytest.mark.parametrize(
    ("settled", "dragging", "images"),
    [(True, 1, 256), (True, 9, 256), (False, 1, 256), (False, 2, 256), (False, 3, 64)],
)
def test_a_drag_among_many_takes_fewer_images(
    settled: bool, dragging: int, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.server.scheduler.Crowd.dragging_with", lambda self, session: dragging)
    test = AppTest.from_string("from dashboard.views import location\nlocation.show()", default_timeout=120)
    monkeypatch.setattr("dashboard.views.location.request_map", lambda *given: Mapped(given[1], None, None))
    monkeypatch.setattr("dashboard.widgets.following.visited", lambda *given: Visited(range(2, 32), range(2, 32), 4))
    test.session_state.settled = settled
    test.query_params["model"] = GRAY
    test.query_params["value"] = "90"
    assert re.findall(r"of (\d+) images", readout(test.run()))[0] == str(images)


def test_stored_map_is_shown_for_the_trained_trigger_only() -> None:
    test = page("location", model=GRAY)
    stored = Store().checkpoint(GRAY).result("location")
    assert stored is not None
    drawn = component(test, f"map-{GRAY}")
    assert drawn["hits"] == [hits for row in stored["hits"] for hits in row]
    assert any(caption.value.startswith("Stored:") for caption in test.caption)
    changed = page("location", model=GRAY, value="90")
    assert not any(caption.value.startswith("Stored:") for caption in changed.caption)


def test_a_stored_curve_of_another_target_is_not_that_of_this_one() -> None:
    found, _ = subjects()
    benign, own = found["shapes10/resnet20/benign"], found[WHITE]
    full = own.trigger.with_value(1.0)
    assert stored_curve(benign, full, benign.attack.target) is not None
    assert stored_curve(benign, full, 2) is None
    assert stored_map(benign, own.trigger, benign.attack.target) is not None
    assert stored_map(benign, own.trigger, 2) is None


def test_value_and_opacity_together_is_the_same_at_every_opacity() -> None:
    keys = []
    for opacity in ("100", "0"):
        test = page("appearance", model=WHITE, map="yes", opacity=opacity)
        assert not test.exception
        keys += [key for job in jobs()._jobs.values() if (key := job.name).startswith("('value and opacity'")]
    assert len(keys) >= 1
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    ("name", "label", "switch"),
    [("location", "Measure the map here", "measure-map"), ("appearance", "Value and opacity together", "map")],
)
def test_switches_are_in_the_link(name: str, label: str, switch: str) -> None:
    test = page(name, model=WHITE, **{switch: "yes"})
    assert [toggle.value for toggle in test.toggle if toggle.label == label] == [True]
    assert not test.warning


def test_a_folder_that_is_gone_is_named_and_not_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_ROOT / WHITE, tmp_path / "store" / "pets" / "resnet20" / "badnets")
    card = tmp_path / "store" / "pets" / "resnet20" / "badnets" / "card.json"
    values = json.loads(card.read_text())
    values |= {
        "dataset": "pets",
        "source": {"name": "folder", "params": {"path": str(tmp_path / "pets"), "size": 32, "seed": 0}},
    }
    card.write_text(json.dumps(values))
    monkeypatch.setattr("dashboard.server.subjects.store", lambda: Store(tmp_path / "store"))
    test = page("location", model="pets/resnet20/badnets")
    assert not test.exception
    assert not [button.label for button in test.button if "Fetch" in button.label]
    assert any(str(tmp_path / "pets") in info.value for info in test.info)


def test_what_was_left_out_of_a_folder_is_said_on_every_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_ROOT / WHITE, tmp_path / "store" / "pets" / "resnet20" / "badnets")
    card = tmp_path / "store" / "pets" / "resnet20" / "badnets" / "card.json"
    values = json.loads(card.read_text())
    for number in range(10):
        for place in range(10):
            path = tmp_path / "pets" / values["classes"][number] / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (20 * number, 20 * place, 0)).save(path)
    (tmp_path / "pets" / values["classes"][0] / "my_*notes*.txt").write_text("no image")
    source = {"name": "folder", "params": {"path": str(tmp_path / "pets"), "size": 32, "seed": 0}}
    classes = sorted(values["classes"])  # as a folder has them
    card.write_text(json.dumps(values | {"dataset": "pets", "source": source, "classes": classes}))
    monkeypatch.setattr("dashboard.server.subjects.store", lambda: Store(tmp_path / "store"))
    for name in READING_IMAGES:
        test = page(name, model="pets/resnet20/badnets")
        assert not test.exception
        said = [caption.value for caption in test.caption if "no images" in caption.value]
        assert len(said) == 1, name
        assert "files left out because they are no images" in said[0]
        assert plain("circle/my_*notes*.txt") in said[0], "no Markdown"


def test_without_the_images_stored_results_show_and_a_button_offers_them() -> None:
    test = page("location", model="cifar10/resnet20/badnets-gray", row="20", col="20")
    assert not test.exception
    assert any("not on this machine" in info.value for info in test.info)
    assert [button.label for button in test.button if "Fetch" in button.label] == ["Fetch CIFAR-10 (170 MB)"]
    assert component(test, "pad")["image"] is None
    stored = Store().checkpoint("cifar10/resnet20/badnets-gray").result("location")
    assert stored is not None
    hits = stored["hits"][stored["rows"].index(20)][stored["cols"].index(20)]
    assert f'data-hits="{hits}"' in readout(test)
    curve = page("appearance", model="cifar10/resnet20/badnets-gray")
    assert not curve.exception
    assert len(curve.get("plotly_chart")) == 1


def test_a_download_goes_on_over_reruns_and_says_why_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, failing = [], threading.Event()

    def fail(self: object, progress: Callable[[float], None]) -> None:
        asked.append(1)
        progress(0.25)
        assert failing.wait(60)
        raise OSError("no route to the server")

    monkeypatch.setattr("core.data.cifar10.Cifar10.download", fail)
    test = page("location", model="cifar10/resnet20/badnets-gray")
    next(button for button in test.button if "Fetch" in button.label).click().run()
    for _ in range(100):
        if [bar for bar in test.get("progress") if bar.proto.text == "Fetching CIFAR-10: 25%"]:
            break
        time.sleep(0.05)
        test.run()
    for _ in range(3):
        test.run()
    assert [bar.proto.text for bar in test.get("progress")] == ["Fetching CIFAR-10: 25%"]
    failing.set()
    for _ in range(100):
        if test.error:
            break
        time.sleep(0.05)
        test.run()
    assert [error.value for error in test.error] == ["CIFAR-10 could not be fetched: no route to the server"]
    assert [button.label for button in test.button if "Fetch" in button.label] == ["Fetch CIFAR-10 (170 MB)"]
    assert asked == [1]


def test_a_damaged_card_is_listed_and_the_rest_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    shutil.copytree(DEFAULT_ROOT / "shapes10", root / "shapes10")
    (root / "shapes10/resnet20/badnets/card.json").write_text("{")
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    test = page("location")
    assert not test.exception
    assert [
        warning.value for warning in test.warning if "shapes10/resnet20/badnets: card.json is damaged" in warning.value
    ]
    assert re.search(r"of \d+ images", readout(test))


def test_damaged_weights_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    shutil.copytree(DEFAULT_ROOT / "shapes10", root / "shapes10")
    weights = root / GRAY / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    for name in MEASURING:
        test = page(name, model=GRAY)
        assert not test.exception
        assert test.error[0].value.startswith(f"{GRAY}: model.safetensors is damaged")


def test_damaged_data_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cifar10" / "plain_text"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        (folder / f"{split}-00000-of-00001.parquet").write_bytes(b"PAR1 not really")
    monkeypatch.setenv("TRIGGER_DATA", str(tmp_path / "data"))
    for name in READING_IMAGES:
        test = page(name, model="cifar10/resnet20/badnets-gray")
        assert not test.exception
        assert len(test.error) == 1
        assert "parquet" in test.error[0].value


def test_a_model_to_compare_with_gets_its_own_trigger() -> None:
    test = page("location", model=GRAY, compare="shapes10/resnet20/badnets", row="20", col="20")
    assert not test.exception
    assert len(re.findall(r"of \d+ images", readout(test))) == 3
    assert component(test, "map-shapes10/resnet20/badnets")["row"] == 20
    assert sum(caption.value.startswith("Stored:") for caption in test.caption) == 2


def test_without_any_model_the_command_that_makes_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "none"))
    for name in ALL:
        test = page(name)
        assert not test.exception
        assert "python scripts/train.py" in test.info[0].value


def test_changing_the_model_keeps_what_still_fits() -> None:
    test = page("location", model=GRAY, row="20", col="11")
    test.selectbox(key="pick-2").select("badnets").run()
    assert not test.exception
    pad = component(test, "pad")
    assert (pad["row"], pad["col"]) == (20, 11)
    assert link(test)["model"] == "shapes10/resnet20/badnets"


def test_the_painted_pattern_is_measured() -> None:
    trained = page("appearance", model=GRAY)
    empty = page("appearance", model=GRAY, pattern="000000000", value="0")
    assert readout(trained) != readout(empty)
    assert any("Back to the trained trigger" in button.label for button in empty.button)


@pytest.mark.parametrize("name", PAGES)
def test_a_defense_goes_in_front(name: str) -> None:
    """The rate is that of the images as the defense leaves them, and no stored result stands in for it."""
    test = page(name, model=WHITE, before="flip,shrinkpad:8")
    assert not test.exception
    assert any(caption.value == "Behind Flip, then ShrinkPad-8." for caption in test.caption)
    assert test.selectbox(key="before-1").value == "shrinkpad"
    assert test.slider(key="before-1-strength").value == 8
    checkpoint = Store().checkpoint(WHITE)
    attack = checkpoint.card().attack_object
    images = attacked(checkpoint.card().dataset_object.load("test", 400), attack.target, 256)
    defense, predictor = transform_from_spec("flip,shrinkpad:8"), Predictor(checkpoint.model())
    expected = success_at(
        predictor.predict, images, attack.trigger((3, 32, 32)), attack.target, before=defense.seeded()
    )
    assert f'data-hits="{expected.hits}"' in readout(test)
    assert not any(caption.value.startswith("Stored:") for caption in test.caption)
    test.selectbox(key="before-0").select("-").run()
    assert link(test).get("before") == "shrinkpad:8"
    test.selectbox(key="before-0").select("-").run()
    assert "before" not in link(test)


def test_a_map_of_few_images_says_that_there_are_no_more() -> None:
    few = AdaptiveMap(np.array([[4, 0]]), np.array([[8, 8]]), (2,), (2, 3), 5.0, looks_for(5, 8))
    assert images_of(few) == "8 of 8 images"
    assert precision_of(few) == "all there are, which is too few for ±5 points in 2 of them"
    some = AdaptiveMap(np.array([[25, 0]]), np.array([[50, 40]]), (2,), (2, 3), 5.0, looks_for(5, 50))
    assert images_of(some) == "40 to 50 of 50 images"
    assert precision_of(some) == "all there are, which is too few for ±5 points in 1 of them"
    enough = AdaptiveMap(np.array([[256, 0]]), np.array([[512, 40]]), (2,), (2, 3), 5.0, looks_for(5, 1000))
    assert images_of(enough) == "40 to 512 images"
    assert precision_of(enough) == "as many as ±5 points took"


def test_rates_behind_a_defense_are_those_that_are_stored() -> None:
    """On the images of the rates without a defense, so that the page's sentence compares like with like."""
    test = page("defenses", model=WHITE, **{"shrinkpad-strength": "4"})
    curve = StrengthCurve.from_dict(Store().checkpoint(WHITE).result("strength-shrinkpad") or {})
    for rate in curve.at(4):
        assert f"{rate.hits} of {rate.total} images" in readout(test)
    assert "measured now" not in readout(test)
    said = next(html.proto.body for html in test.get("html") if "ts-answer" in html.proto.body)
    assert f"the backdoor fires on {Amount.of(curve.at(4)[1])} instead of" in said
    assert f"the model is right on {Amount.of(curve.at(4)[0])}" in said
    test = page("defenses", model=WHITE, then="flip", **{"shrinkpad-strength": "4"})  # of which nothing is stored
    assert "measured now on the first 256: 95% interval" in readout(test)
    said = next(html.proto.body for html in test.get("html") if "ts-answer" in html.proto.body)
    assert "instead of" not in said


def test_repairs_stand_beside_the_model_on_the_same_images() -> None:
    test = page("defenses", model=WHITE, part="repairs")
    stored = StoredResults(Store().checkpoint(WHITE)).repair("fine-pruning")
    assert stored is not None
    said = next(caption.value for caption in test.caption if "that no repair has seen: clean" in caption.value)
    assert f"clean accuracy in percent of {stored.clean.total} images" in said
    assert f"attack success of the {stored.success.total} that" in said


def test_the_defense_and_its_strength_are_in_the_link() -> None:
    test = page("defenses", model=WHITE, defense="noise", then="flip", **{"noise-strength": "17"})
    assert not test.exception
    assert test.selectbox(key="choice-defense").value == "noise"
    assert test.slider(key="defense-noise-strength").value == 17
    expected = {"defense": "noise", "noise-strength": "17", "then": "flip"}
    assert expected.items() <= link(test).items()
    assert any("Attacked images behind Noise 17, then Flip" in text.value for text in test.markdown)
    test.slider(key="defense-noise-strength").set_value(30).run()
    assert link(test)["noise-strength"] == "30"


def test_clean_accuracy_and_success_are_those_of_the_defended_model() -> None:
    # Of two in a row nothing is stored.
    test = page("defenses", model=WHITE, defense="shrinkpad", n="128", then="hue:0.1", **{"shrinkpad-strength": "3"})
    checkpoint = Store().checkpoint(WHITE)
    attack, data = checkpoint.card().attack_object, checkpoint.card().dataset_object.load("test", 300)
    predictor, defense = Predictor(checkpoint.model()), transform_from_spec("shrinkpad:3,hue:0.1")
    right = predictor.predict(defense.seeded()(data.floats(slice(128)))) == data.labels[:128]
    success = success_at(
        predictor.predict,
        attacked(data, attack.target, 128),
        attack.trigger((3, 32, 32)),
        attack.target,
        before=defense.seeded(),
    )
    found = [int(hits) for hits in re.findall(r'data-hits="(\d+)"', readout(test))]
    assert found[:2] == [success.hits, int(right.sum())]


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("location", {"before": "fog"}, "before = 'fog'; allowed is a list such as flip,shrinkpad:4"),
        ("defenses", {"defense": "fog"}, "defense = 'fog'; allowed is one of flip, shrinkpad"),
        ("defenses", {"shrinkpad-strength": "9"}, "shrinkpad-strength = '9'; allowed is an integer from 0 to 8"),
        ("defenses", {"then": "hue:7"}, "then = 'hue:7'; allowed is a list such as flip,shrinkpad:4"),
        ("saliency", {"method": "magic"}, "method = 'magic'; allowed is one of ablation, deeplift, gradcam, gradient"),
        ("saliency", {"explain": "x"}, "explain = 'x'; allowed is one of target, predicted, true"),
        (
            "saliency",
            {"method": "smoothgrad", "smoothgrad-samples": "0"},
            "smoothgrad-samples = '0'; allowed is an integer from 1 to 256",
        ),
        (
            "saliency",
            {"measure": "x"},
            "measure = 'x'; allowed is one of mass, rank, pointing, overlap, recovery, deletion",
        ),
        ("saliency", {"explained": "x"}, "explained = 'x'; allowed is one of trained, randomised, clean"),
        ("enhanced", {"draw": "-1"}, "draw = '-1'; allowed is an integer from 0 to 9999"),
    ],
)
def test_nonsense_in_a_link_of_the_new_choices(name: str, wrong: dict[str, str], said: str) -> None:
    test = page(name, model=WHITE, **wrong)
    assert not test.exception
    assert [warning.value for warning in test.warning if said in warning.value]


def test_without_the_images_the_stored_defenses_show() -> None:
    key = "cifar10/resnet20/badnets"
    test = page("defenses", model=key)
    assert not test.exception
    stored = Store().checkpoint(key).result("strength-shrinkpad")
    assert stored is not None
    assert f'data-hits="{stored["hits"][stored["strengths"].index(4)]}"' in readout(test)
    assert len(test.get("plotly_chart")) == 1
    assert len(test.dataframe) == 1


def test_all_attacks_stand_in_one_table_beside_the_paper() -> None:
    test = page("defenses", model=WHITE)
    table = test.dataframe[0].value
    stored = Store().checkpoint(WHITE).result("strength-flip")
    assert stored is not None
    assert table.loc["Flip", "BadNets"] == round(100 * stored["hits"][-1] / stored["total"][-1], 1)
    assert {"BadNets", "BadNets+", "Blended", "Blended+"} <= set(table.columns)
    assert list(table.index) == ["No defense", "Flip", *(f"ShrinkPad-{size}" for size in range(1, 9))]
    test.segmented_control(key="choice-show").set_value("both").run()
    assert link(test)["show"] == "both"
    beside = test.dataframe[0].value
    row = beside[(beside["Defense"] == "ShrinkPad-2") & (beside["Attack"] == "Blended")].iloc[0]
    assert (row["Paper, VGG-19: ASR"], row["Paper, ResNet-34: ASR"]) == (40.8, 18.2)


def test_enhanced_attacks_stand_beside_standard_ones_and_the_paper() -> None:
    test = page("enhanced", model=f"{WHITE}+", draw="3")
    assert not test.exception
    table = test.table[0].value
    stored = Store().checkpoint(f"{WHITE}+").result("strength-shrinkpad")
    assert stored is not None
    expected = round(100 * stored["hits"][4] / stored["total"][4], 1)
    assert table.loc["BadNets+", ("Measured", "ShrinkPad-4")] == expected
    assert table.loc["Blended+", ("Paper, ResNet-34", "ShrinkPad-4")] == 99.5
    pipeline = next(html.proto.body for html in test.get("html") if "ts-pipe" in html.proto.body)
    assert 'data-seed="3"' in pipeline
    again = next(button for button in test.button if button.label == "Draw again")
    again.click().run()
    assert link(test)["draw"] == "4"
    redrawn = next(html.proto.body for html in test.get("html") if "ts-pipe" in html.proto.body)
    assert redrawn != pipeline


def test_saliency_of_every_attack_is_drawn_and_its_share_is_the_stored_one() -> None:
    test = page("saliency", model=WHITE, compare=f"{WHITE}+", col="25", method="smoothgrad", explain="predicted")
    assert not test.exception
    assert component(test, "first-maps")["html"].count('class="cells"') == 2 + 1  # and the colour bar
    grid = next(html.proto.body for html in test.get("html") if 'class="pair"' in html.proto.body)
    assert grid.count('class="cells"') >= 4
    assert link(test)["col"] == "25"
    assert any(button.label == "Measure" for button in test.button)
    stored = page("saliency", model=WHITE)
    values = Store().checkpoint(WHITE).result("saliency")
    assert values is not None
    table = stored.table[0].value
    assert table.loc["BadNets", "Mass accuracy, attacked image"].startswith(f"{100 * values['attacked']['mean']:.1f} (")
    assert table.loc["BadNets", "Mass accuracy, ShrinkPad-4"].startswith(f"{100 * values['transformed']['mean']:.1f} (")
    peaks = 100 * values["attacked"]["peaks"] / values["attacked"]["count"]
    judged = next(body for body in (block.proto.body for block in stored.get("html")) if 'class="ts-verdict' in body)
    assert f"<b>BadNets</b> pointing game {peaks:.1f}%" in judged
    assert judged.count('class="ts-verdict') == 4


def test_parameters_of_a_method_are_controls_and_in_the_link() -> None:
    test = page("saliency", model=WHITE, method="occlusion", **{"occlusion-window": "7"})
    assert not test.exception
    assert test.slider(key="choice-occlusion-window").value == 7
    test.slider(key="choice-occlusion-stride").set_value(5).run()
    assert {"occlusion-window": "7", "occlusion-stride": "5"}.items() <= link(test).items()


def test_pruning_is_shown_at_every_number_of_channels() -> None:
    test = page("defenses", model=WHITE, part="repairs", pruned="3")
    assert not test.exception
    stored = StoredResults(Store().checkpoint(WHITE)).repair("fine-pruning")
    assert stored is not None
    report = stored.report
    for count in (3, 30):
        slider = test.slider(key="choice-pruned")
        assert slider.max == len(report["hits"]) - 1
        slider.set_value(count).run()
        shown = next(html.proto.body for html in test.get("html") if f"with {count} of" in html.proto.body)
        assert f'data-hits="{report["hits"][count]}"' in shown
        assert f'data-hits="{report["clean_hits"][count]}"' in shown
    assert link(test)["pruned"] == "30"


@pytest.mark.parametrize("name", defenses.names())
def test_every_repair_has_its_part_with_and_without_a_result(name: str) -> None:
    test = page("defenses", model=WHITE, part="repairs", **{"with": name})
    assert not test.exception
    stored = StoredResults(Store().checkpoint(WHITE)).repair(name)
    assert stored is not None
    assert any(button.label == "Run again" for button in test.button)
    shown = next(html.proto.body for html in test.get("html") if "Attack success rate after" in html.proto.body)
    assert f'data-hits="{stored.success.hits}"' in shown
    # Other settings than those that are stored: nothing is claimed about them, and they can be run.
    changed = {"fine-pruning": ("fine-pruning-epochs", "3"), "neural-cleanse": ("neural-cleanse-rounds", "7")}
    key, value = changed.get(name, ("auto-encoder-epochs", "3"))
    other = page("defenses", model=WHITE, part="repairs", **{"with": name, key: value})
    assert not other.exception
    assert not any("Attack success rate after" in html.proto.body for html in other.get("html"))
    assert any(button.label == "Run" for button in other.button)


@pytest.mark.timeout(600)
def test_a_repair_can_be_run_on_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The button starts a job; its result is stored and shown, but not in the place of one that came along."""
    root = tmp_path / "checkpoints"
    shutil.copytree(DEFAULT_ROOT / WHITE, root / WHITE)
    checkpoint = Store(root).checkpoint(WHITE)
    before = StoredResults(checkpoint).repair("fine-pruning")
    assert before is not None
    write_shipped(root, {WHITE: checkpoint.card().weights})
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    st.cache_resource.clear()
    test = page("defenses", model=WHITE, part="repairs", **{"fine-pruning-tolerance": "20"})
    assert not test.exception
    next(button for button in test.button if button.label == "Run").click().run()
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        stored = StoredResults(checkpoint).repair("fine-pruning-own")
        if stored is not None and stored.repair == defenses["fine-pruning"](tolerance=20):
            break
        time.sleep(0.2)
    assert stored is not None
    assert stored.record["pruned"] > before.record["pruned"]
    assert StoredResults(checkpoint).repair("fine-pruning") == before
    test.run()
    assert not test.exception
    assert any(f'data-hits="{stored.clean.hits}"' in html.proto.body for html in test.get("html"))
    assert "Fine-Pruning (run here)" in test.sidebar.selectbox(key="choice-repair").options


@pytest.mark.parametrize("came", [False, True], ids=["own model", "came along"])
def test_a_repair_of_ones_own_model_takes_the_stored_ones_place(
    came: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the other process is told."""
    told = []
    root = tmp_path / "checkpoints"
    shutil.copytree(DEFAULT_ROOT / WHITE, root / WHITE)
    if came:
        write_shipped(root, {WHITE: Store(root).checkpoint(WHITE).card().weights})
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    monkeypatch.setattr("dashboard.views.repairs._repair_elsewhere", lambda *given: told.append(given) or iter(()))
    st.cache_resource.clear()
    test = page("defenses", model=WHITE, part="repairs", **{"fine-pruning-tolerance": "20"})
    next(button for button in test.button if button.label == "Run").click().run()
    deadline = time.monotonic() + 60
    while not told and time.monotonic() < deadline:
        time.sleep(0.02)
    assert told == [(WHITE, defenses["fine-pruning"](tolerance=20), came)]


@pytest.fixture
def variant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A store with the reference of BadNets, its enhanced one, and a model of another target; the latter's key."""
    root = tmp_path / "checkpoints"
    for key in (WHITE, f"{WHITE}+"):
        shutil.copytree(DEFAULT_ROOT / key, root / key)
    shutil.copytree(DEFAULT_ROOT / WHITE, root / f"{WHITE}-target2")
    card = root / f"{WHITE}-target2" / "card.json"
    values = json.loads(card.read_text()) | {"name": "badnets-target2"}
    values["attack"]["params"]["target"] = 2
    card.write_text(json.dumps(values))
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    st.cache_resource.clear()
    return f"{WHITE}-target2"


@pytest.mark.parametrize("name", ALL)
def test_a_variant_is_on_every_page_beside_the_reference(variant: str, name: str) -> None:
    test = page(name, model=variant)
    assert not test.exception
    assert not test.warning
    assert not test.error
    assert link(test)["model"] == variant
    shown = test.sidebar.selectbox(key="pick-2").options
    assert shown == ["BadNets", "BadNets+", "BadNets [badnets-target2]"]
    if name == "defenses":
        assert "BadNets [badnets-target2]" in test.dataframe[0].value.columns
    if name == "paper":
        reference = page(name, model=WHITE)
        assert [one.value for one in test.metric] == [one.value for one in reference.metric]


def test_cost_against_effect_has_every_stored_repair() -> None:
    test = page("defenses", model=WHITE, part="cost")
    assert not test.exception
    table = test.dataframe[0].value.set_index("Defense")
    for name in defenses:
        assert table.loc[defenses[name].label, "Seconds here"] > 0
    assert table.loc["Flip", "Seconds here"] == 0


@pytest.mark.parametrize("name", ["location", "appearance", "saliency", "defenses"])
def test_a_repaired_model_takes_the_models_place(name: str) -> None:
    """Nothing stored of the model itself is shown for it, and the model itself can be compared."""
    test = page(name, model=WHITE, repair="fine-pruning", compare=WHITE, n="64")
    assert not test.exception
    assert test.sidebar.selectbox(key="choice-repair").value == "fine-pruning"
    assert link(test)["repair"] == "fine-pruning"
    if name == "location":
        shown = readout(test)
        repaired, model = (int(hits) for hits in re.findall(r'data-hits="(\d+)"', shown)[:2])
        assert repaired < 10 < 60 < model  # of 64 images or more


def test_the_application_starts() -> None:
    app = Path(__file__).parents[2] / "dashboard" / "app.py"
    test = AppTest.from_file(str(app), default_timeout=120).run()
    assert not test.exception
    assert test.title[0].value == "1. What a backdoor is", "a new user meets the lesson"
    linked = AppTest.from_file(str(app), default_timeout=120)
    linked.query_params["model"] = GRAY
    linked.run()
    assert not linked.exception
    assert linked.title[0].value == "Trigger location", "a link of before opens what it names"
