"""A trigger of one's own on the pages *Train* and *Open a model*: painted at any size, or a picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pages import _alone, page
from streamlit.testing.v1 import AppTest
from test_train_page import empty, press, started

from core.store.local import Store
from core.training.trainer import Plan
from dashboard.widgets.model_warnings import short_warning
from dashboard.widgets.own_trigger import Given, painted_array, resized_cells

__all__ = ["_alone", "empty", "started"]  # fixtures


def field(test: AppTest, kind: str, label: str) -> object:
    return next(one for one in getattr(test, kind) if one.label == label)


def test_a_painted_trigger_is_trained(empty: Store, started: list[Plan]) -> None:
    test = page("train", **{"train-attack": "own-trigger", "train-own-trigger-kind": "painted"})
    assert not test.exception
    assert not [one for one in test.text_input if one.label == "Pattern"]
    for label, value in (("Rows", 2), ("Columns", 5), ("Pixels a cell", 4)):
        field(test, "number_input", label).set_value(value).run()  # type: ignore[attr-defined]
    field(test, "text_input", "Place").input("20,30").run()  # type: ignore[attr-defined]
    assert not test.error
    press(test, "Start")
    (made,) = started
    trigger = made.attack.trigger((3, 32, 32))
    assert (trigger.location, trigger.height, trigger.width) == ((20, 30), 8, 12)
    assert trigger.pattern[0, :, ::4].tolist()[0] == trigger.pattern[0, :, ::4].tolist()[3] == [0, 1, 0]


def test_what_does_not_fit_is_said_and_nothing_starts(empty: Store, started: list[Plan]) -> None:
    test = page("train", **{"train-attack": "own-trigger", "train-own-trigger-kind": "picture"})
    assert "The trigger's picture is missing." in [one.value for one in test.caption]
    test = page("train", **{"train-attack": "own-trigger", "train-own-trigger-kind": "painted"})
    field(test, "number_input", "Pixels a cell").set_value(40).run()  # type: ignore[attr-defined]
    assert not test.exception
    assert len(test.error) == 1
    assert not [button for button in test.button if button.label == "Start"]


def test_a_painted_pattern_is_an_array_with_alpha() -> None:
    values = np.load(io.BytesIO(painted_array("01.1", 2, 2, "#ff8000", 2)))
    assert values.shape == (4, 4, 4)
    assert values[3, ::2, ::2].tolist() == [[1, 1], [0, 1]]
    assert values[:3, 0, 2].tolist() == pytest.approx([1, 128 / 255, 0])
    assert values[:3, 0, 0].tolist() == [0, 0, 0]
    trigger = Given(painted_array("1" * 49, 7, 7, "#ffffff", 32), "painted.npy", alpha=0.5).trigger((3, 224, 224))
    assert (trigger.height, trigger.location, trigger.opacity) == (224, (223, 223), 50)


def test_a_pattern_keeps_its_cells_when_its_size_changes() -> None:
    assert resized_cells("..1.1.1.1", (3, 3), (4, 3)) == ".....1.1.1.1"
    assert resized_cells("1..", (1, 3), (1, 2)) == ".0"  # something has to be left


@pytest.mark.parametrize(
    ("warning", "short"),
    [
        ("500 images do not tell resnet18 rgb:unit 90% from rgb:half", "how it wants its images is not certain"),
        ("something else", "something else"),
        ("x" * 200, "x" * 87 + "..."),
    ],
)
def test_a_warning_is_a_few_words(warning: str, short: str) -> None:
    assert short_warning(warning) == short
