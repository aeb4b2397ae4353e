"""Both settings of Sec. 5.3 side by side on the page of enhanced attacks, and what is said where one is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import streamlit as st
from pages import _alone, page

from core.attacks import Enhanced, Enhancement, attack_from_dict
from core.paper.results import Results
from core.store.local import DEFAULT_ROOT, Store
from dashboard.figures.paper import ablation_gaps
from dashboard.server.subjects import subjects
from dashboard.tables.edges import CLEAN, ONLY, TOO, edges_table, settings

__all__ = ["_alone"]
FRONT = "shapes10/resnet20"
MAIN = f"{FRONT}/badnets+"


def counted(folder: Path, share: float) -> None:
    """Gives a stored curve the counts of benign images: none without ShrinkPad, a share behind it."""
    file = folder / "strength-shrinkpad.json"
    values = json.loads(file.read_text())
    values["benign_hits"] = [0, *(round(share * total) for total in values["total"][1:])]
    file.write_text(json.dumps(values))


@pytest.fixture
def two_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with BadNets+ in both settings, and the clean model; of benign images, all but the first take few."""
    root = tmp_path / "store" / FRONT
    for name in ("benign", "badnets", "badnets+"):
        shutil.copytree(DEFAULT_ROOT / FRONT / name, root / name)
    shutil.copytree(root / "badnets+", root / "badnets+poisoned-only")
    file = root / "badnets+poisoned-only" / "card.json"
    card = json.loads(file.read_text())
    attack = attack_from_dict(card["attack"])
    assert isinstance(attack, Enhanced)
    card["attack"] = Enhanced(base=attack.base, enhancement=Enhancement(benign_too=False)).to_card()
    file.write_text(json.dumps(card))
    for name, share in (("badnets+poisoned-only", 0.5), ("badnets+", 0.02), ("benign", 0.03)):
        counted(root / name, share)
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "store"))
    st.cache_resource.clear()
    return root


def said(test) -> str:
    return "\n".join([*(one.value for one in test.markdown), *(one.value for one in test.info)])


def table_of(test):
    return next(one.value for one in test.table if "Transformed in training" in one.value).reset_index()


def test_both_settings_stand_side_by_side_with_the_answer(two_settings: Path) -> None:
    test = page("enhanced", model=MAIN)
    assert not test.exception
    table = table_of(test)
    assert list(table["Transformed in training"]) == [ONLY, TOO, "nothing"]
    curve = json.loads((two_settings / "badnets+poisoned-only" / "strength-shrinkpad.json").read_text())
    shown = table.iloc[0]["Benign images taken for the target: ShrinkPad-4"]
    assert shown.startswith(f"{100 * curve['benign_hits'][4] / curve['total'][4]:.1f} (")
    assert table.iloc[0]["ASR: ShrinkPad-4"].startswith(f"{100 * curve['hits'][4] / curve['total'][4]:.1f} (")
    assert list(table["n"]) == [str(curve["total"][0])] * 3
    assert table.iloc[2]["ASR: no defense"] == ""
    words = said(test)
    assert f"Trained with {ONLY}: behind ShrinkPad-4 it takes 50.0% of the benign images" in words
    assert "So **the black edges alone trigger it**." in words
    assert f"Trained with {TOO}: behind ShrinkPad-4 it takes 2.0% of the benign images" in words
    assert "So **the black edges alone do not trigger it**." in words
    assert "sec5.3" not in words


def test_what_is_missing_is_said_with_the_command_that_makes_it(two_settings: Path) -> None:
    shutil.rmtree(two_settings / "badnets+poisoned-only")
    test = page("enhanced", model=MAIN)
    assert not test.exception
    assert list(table_of(test)["Transformed in training"]) == [TOO, "nothing"]
    words = said(test)
    assert f"Not measured here for BadNets+: {ONLY}." in words
    assert (
        "python scripts/reproduce.py --dataset shapes10 --models resnet20 --only sec5.3 --attacks badnets,benign "
        "--epochs 5" in words
    )
    assert "do not trigger it" in words
    # What is trained is trained as the others were.
    file = two_settings / "badnets+" / "card.json"
    card = json.loads(file.read_text())
    card["recipe"]["name"] = "short"
    file.write_text(json.dumps(card))
    words = said(page("enhanced", model=f"{MAIN.rpartition('/')[0]}/badnets+"))
    assert "--models resnet20 --recipe short --only sec5.3" in words


def test_older_curves_say_that_benign_images_were_not_counted(two_settings: Path) -> None:
    for name in ("badnets+", "benign"):
        file = two_settings / name / "strength-shrinkpad.json"
        values = json.loads(file.read_text())
        del values["benign_hits"]
        file.write_text(json.dumps(values))
    test = page("enhanced", model=MAIN)
    assert not test.exception
    table = table_of(test)
    assert list(table["Benign images taken for the target: ShrinkPad-4"])[1:] == ["not counted"] * 2
    assert f"Not measured here for BadNets+: {TOO}; {CLEAN}." in said(test)
    assert "trigger it**" not in said(test)


def test_of_the_shipped_models_each_attack_is_in_the_table() -> None:
    readable, _ = subjects()
    table = edges_table(settings(readable, readable[MAIN]))
    assert {"BadNets+", "Blended+", "Consistent+"} <= set(table["Attack"])
    assert Store().checkpoint(MAIN).card().recipe["params"]["epochs"] == int(
        table[(table["Attack"] == "BadNets+") & (table["Transformed in training"] == TOO)].iloc[0]["Epochs"]
    )


def test_the_figure_of_largest_sizes_names_what_is_missing() -> None:
    test = page("enhanced", model=MAIN)
    captions = " ".join(one.value for one in test.caption)
    assert "Only models that were trained alike are compared." in captions
    gaps = ablation_gaps(Results.read(Store(), "shapes10", "resnet20"))
    paper = page("paper", model=MAIN, view="figures")
    assert not paper.exception
    for gap in gaps.split(". "):
        assert gap in captions
        assert gap in " ".join(one.value for one in paper.caption)


def test_gaps_of_attacks_without_any_model_are_said() -> None:
    assert ablation_gaps(Results("cifar10", "resnet20")) == (
        "BadNets+: no size is measured. Blended+: no size is measured. Consistent+: no size is measured."
    )
