"""Every page runs without a browser: with and without data, from good and from nonsense links."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.store import DEFAULT_ROOT, Store
from dashboard.resources import jobs

PAGES = ("location", "appearance")
SHIPPED = Store().keys()
GRAY = "shapes10/resnet20/badnets-gray"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No data but shapes10, an own cache, and nothing left over from another test."""
    monkeypatch.delenv("TRIGGER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dashboard.resources.compile_in_background", _nothing_to_compile)
    st.cache_resource.clear()
    yield
    jobs().close()


class _Done:
    def wait(self) -> int:
        return 0


def _nothing_to_compile(*_: Any) -> _Done:
    return _Done()


def page(name: str, **query: str) -> AppTest:
    """Runs a page with a link's parameters."""
    test = AppTest.from_string(f"from dashboard.views import {name}\n{name}.show()", default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def link(test: AppTest) -> dict[str, str]:
    """The link's parameters; AppTest keeps some as texts, some as lists of one."""
    values = {name: test.query_params[name] for name in test.query_params}
    return {name: value if isinstance(value, str) else value[0] for name, value in values.items()}


def component(test: AppTest, key: str) -> dict[str, Any]:
    """The data a canvas component was given."""
    for element in test.get("bidi_component"):
        if key in element.proto.id:
            data: dict[str, Any] = json.loads(element.proto.json)
            return data
    raise AssertionError(f"no component {key}")


def readout(test: AppTest) -> str:
    """The HTML of the rates."""
    return next(html.proto.body for html in test.get("html") if "ts-rates" in html.proto.body)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("key", [key for key in SHIPPED if key.startswith("shapes10/")])
def test_every_shipped_model_shows(name: str, key: str) -> None:
    test = page(name, model=key)
    assert not test.exception
    assert not test.warning
    assert "of 256 images" in readout(test)


@pytest.mark.parametrize("name", PAGES)
def test_nonsense_in_a_link_is_one_sentence_each(name: str) -> None:
    test = page(name, model="nix", n="77", row="99", col="x", image="-1", compare="<b>", value="256", opacity="1e9")
    assert not test.exception
    said = [warning.value for warning in test.warning]
    assert len(said) == 8
    assert any("row = '99'; allowed is an integer from 2 to 31." in text for text in said)
    assert any("value = '256'; allowed is an integer from 0 to 255." in text for text in said)
    assert "of 256 images" in readout(test)


def test_a_link_reproduces_the_view() -> None:
    test = page("location", model=GRAY, row="17", col="9", value="200", n="64", image="3")
    pad = component(test, "pad")
    assert (pad["row"], pad["col"]) == (17, 9)
    assert test.slider(key="choice-value").value == 200
    assert test.slider(key="choice-image").value == 3
    assert "of 64 images" in readout(test)
    # What it shows is in the link again.
    expected = {"row": "17", "col": "9", "value": "200", "n": "64", "image": "3"}
    assert expected.items() <= link(test).items()


def test_stored_map_is_shown_for_the_trained_trigger_only() -> None:
    test = page("location", model=GRAY)
    stored = Store().checkpoint(GRAY).result("location")
    assert stored is not None
    drawn = component(test, f"map-{GRAY}")
    assert drawn["hits"] == [hits for row in stored["hits"] for hits in row]
    assert any(caption.value.startswith("Stored:") for caption in test.caption)
    changed = page("location", model=GRAY, value="90")
    assert not any(caption.value.startswith("Stored:") for caption in changed.caption)


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
    assert "of 256 images" in readout(test)


def test_damaged_weights_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    shutil.copytree(DEFAULT_ROOT / "shapes10", root / "shapes10")
    weights = root / GRAY / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    for name in PAGES:
        test = page(name, model=GRAY)
        assert not test.exception
        assert test.error[0].value.startswith(f"{GRAY}: model.safetensors is damaged")


def test_damaged_data_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cifar10" / "plain_text"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        (folder / f"{split}-00000-of-00001.parquet").write_bytes(b"PAR1 not really")
    monkeypatch.setenv("TRIGGER_DATA", str(tmp_path / "data"))
    for name in PAGES:
        test = page(name, model="cifar10/resnet20/badnets-gray")
        assert not test.exception
        assert len(test.error) == 1
        assert "parquet" in test.error[0].value


def test_a_model_to_compare_with_gets_its_own_trigger() -> None:
    test = page("location", model=GRAY, compare="shapes10/resnet20/badnets", row="20", col="20")
    assert not test.exception
    assert readout(test).count("of 256 images") == 3
    assert component(test, "map-shapes10/resnet20/badnets")["row"] == 20
    assert sum(caption.value.startswith("Stored:") for caption in test.caption) == 2


def test_without_any_model_the_command_that_makes_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "none"))
    for name in PAGES:
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


def test_the_application_starts() -> None:
    app = Path(__file__).parents[2] / "dashboard" / "app.py"
    test = AppTest.from_file(str(app), default_timeout=120).run()
    assert not test.exception
    assert test.title[0].value == "Trigger location"
