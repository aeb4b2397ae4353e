"""The page *Defenses* with transformations that no table of the paper has: what is not stored is measured there."""

from __future__ import annotations

import pytest
from pages import _alone, page

from core.transforms import transforms
from dashboard.views.defenses import OFFERED

__all__ = ["_alone"]  # the fixture that keeps data and cache away


def test_every_transformation_is_offered_those_of_the_paper_first():
    assert set(OFFERED) == set(transforms)
    assert OFFERED[:2] == ["flip", "shrinkpad"]
    assert OFFERED.index("saturation") < OFFERED.index("camera")


@pytest.mark.parametrize(("name", "strength", "said"), [("blur", "1.5", "Blur 1.5"), ("camera", "50", "Camera (50 %)")])
def test_one_without_stored_results_stands_in_front_of_the_model(name, strength, said):
    query = {"defense": name, f"{name}-strength": strength}
    test = page("defenses", model="shapes10/resnet20/badnets", **query)
    assert not test.exception
    assert not test.warning, [warning.value for warning in test.warning]
    assert test.selectbox(key="choice-defense").value == name
    shown = [html.proto.body for html in test.get("html")]
    assert any(said in body for body in shown), shown[:3]
