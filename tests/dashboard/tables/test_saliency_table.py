"""The table of saliency methods: numbers as stored, controls, and a cell that opens its maps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from pages import _alone, component, page  # noqa: F401

from core.attribution.methods import methods
from core.metrics import Rate
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.saliency import Energies, Energy, Localisation, Mean
from core.sweeps.saliency_methods import MEASURES, RANDOMISED, TRAINED, MethodScores, SaliencyMethods, measured
from dashboard.figures.saliency import method_map
from dashboard.saving.figures import to_html

KEY = "shapes10/resnet20/badnets"


def energy(share: float) -> Energy:
    mean = Mean(100, share, 0.1)
    more = Localisation(mean, mean, mean, Rate(round(100 * share), 100), Rate(round(100 * share), 100))
    return Energy(100, share, 0.1, 0.01, round(100 * share), more)


def scores(method: str, network: str, attacked: float, transformed: float) -> MethodScores:
    return MethodScores(
        method,
        methods[method]().to_dict(),
        "target",
        network,
        Energies(energy(attacked), energy(transformed), 100, 100),
    )


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    shutil.copytree(DEFAULT_ROOT / KEY, root / KEY)
    checkpoint = Store(root).checkpoint(KEY)
    card = checkpoint.card()
    attack = card.attack_object
    entries = (
        scores("gradient", TRAINED, 0.8, 0.3),
        scores("gradient", RANDOMISED, 0.1, 0.1),
        scores("guided", TRAINED, 0.5, 0.4),
        scores("guided", RANDOMISED, 0.5, 0.4),
    )
    source = {"trigger": attack.trigger(card.shape).fingerprint, "target": attack.target}
    checkpoint.save_result("saliency-methods", SaliencyMethods(entries, 4).to_dict() | source)
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(root))
    st.cache_resource.clear()


def test_methods_stand_beside_controls(stored: None) -> None:
    test = page("saliency", model=KEY)
    assert not test.exception
    table = test.dataframe[-1].value
    assert table.loc["Vanilla gradient", "BadNets"] == pytest.approx(80)
    assert table["No better, on attacked images, than"].to_dict() == {
        "Vanilla gradient": "",
        "Guided Backprop": "random weights (BadNets)",
    }
    test.segmented_control(key="choice-images-of").set_value("transformed").run()
    assert test.dataframe[-1].value.loc["Guided Backprop", "BadNets"] == pytest.approx(40)
    test.segmented_control(key="choice-explained").set_value(RANDOMISED).run()
    table = test.dataframe[-1].value
    assert table.loc["Vanilla gradient", "BadNets"] == pytest.approx(10)
    assert "No better, on attacked images, than" not in table
    test.selectbox(key="choice-measure").set_value("recovery").run()
    assert not test.exception
    assert any("How often the true class comes back" in caption.value for caption in test.caption)


def test_a_compared_method_is_shown_with_its_stored_numbers(stored: None) -> None:
    test = page("saliency", model=KEY, method="guided")
    assert not test.exception
    table = test.table[0].value
    assert table.loc["BadNets", "Pointing game, attacked image"].startswith("50.0 (")
    assert table.loc["BadNets", "Mass accuracy, ShrinkPad-4"].startswith("40.0 (")
    assert not any(button.label == "Measure" for button in test.button)
    other = page("saliency", model=KEY, method="guided", explain="true")
    assert not other.table
    assert any(button.label == "Measure" for button in other.button)
    assert not other.info, "the command would measure the paper's method"


def test_numbers_of_a_few_images_are_left_out() -> None:
    few = Energy(500, 0.1, 0.1, 0.01, 5, Localisation(*[Mean(500, 0.1, 0.1)] * 3, Rate(4, 4), Rate(40, 400)))
    energies = Energies(few, few, 500, 500)
    assert measured(MEASURES["recovery"], energies, "attacked") is None
    found = measured(MEASURES["deletion"], energies, "transformed")
    assert found is not None
    assert found[:1] + found[3:] == (0.1, 400, 40)


@pytest.mark.parametrize("name", ["badnets-gray", "badnets+camera", "benign"])
def test_a_model_beside_the_six_attacks_has_its_own_row_and_sentence(name: str) -> None:
    key = f"shapes10/resnet20/{name}"
    test = page("saliency", model=key)
    assert not test.exception
    stored = Store().checkpoint(key).result("saliency")
    assert stored is not None
    of_it = Energies.from_dict({name: stored[name] for name in ("attacked", "transformed", "seen", "images")})
    table = test.table[0].value
    assert len(table) == 7
    assert table.iloc[-1]["Pointing game, attacked image"].startswith(f"{100 * of_it.attacked.peak_rate.value:.1f} (")
    (answer,) = [html.proto.body for html in test.get("html") if '<p class="ts-answer"' in html.proto.body]
    assert f"matters most to {table.index[-1]} is on the trigger in" in answer


def test_all_attacks_follow_the_trigger_where_that_is_asked_for() -> None:
    still = page("saliency", model=KEY, row="9", col="9")
    grid = next(html.proto.body for html in still.get("html") if 'class="pair"' in html.proto.body)
    followed = page("saliency", model=KEY, row="9", col="9", **{"all-follow": "yes"})
    assert not followed.exception
    moved = component(followed, "grid-maps")
    assert moved["place"] == [9, 9]
    assert moved["html"].count('class="pair"') == grid.count('class="pair"')
    assert moved["html"] != grid
    assert not [html for html in followed.get("html") if 'class="pair"' in html.proto.body]


def test_the_table_is_saved_as_a_figure() -> None:
    frame = pd.DataFrame({"BadNets": [80.0, float("nan")]}, index=["Vanilla gradient", "Grad-CAM"])
    figure = method_map(frame, "Relevance mass accuracy")
    assert list(figure.data[0].x) == ["BadNets"]
    assert list(figure.data[0].y) == ["Vanilla gradient", "Grad-CAM"]
    assert figure.data[0].z[0][0] == 80
    assert "Grad-CAM" in to_html(figure, "saliency-methods")
