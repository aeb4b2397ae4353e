"""Saliency maps of a page: draws of a transformation, one scale for all, and the numbers that are saved of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import streamlit as st
import torch
from pages import WHITE, _alone, component, page  # noqa: F401

from core.attribution.methods import Explained, displayed, methods
from core.inference.predictor import Predictor
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.runner import Sweep, carry_out
from core.sweeps.saliency_examples import RESULT
from core.transforms import Compose, transform_from_spec
from core.trigger import stamp
from dashboard.figures.heatmap import heat
from dashboard.saving.names import to_json
from dashboard.server import resources
from dashboard.server.subjects import subjects
from dashboard.widgets.saliency_maps import Asked, Maps, blocks_of, colour_bar, is_drawn, largest_of, map_rows, maps_of

SHAPE = (3, 32, 32)


def asked(**changes: object) -> Asked:
    values = {"method": methods["gradient"](), "explain": "target", "before": transform_from_spec("shrinkpad")}
    return Asked(**{**values, "layout": "beside", **changes})  # type: ignore[arg-type]


def made_up(largest: float) -> Maps:
    """Two maps of a shipped model, of which only the second has anything on the trigger: a quarter, not the peak."""
    subject = subjects()[0][WHITE]
    saliency, masks = torch.zeros(2, 32, 32), torch.zeros(2, 1, 32, 32)
    masks[:, :, 10:12, 10:12] = 1
    saliency[0, 0, 0] = saliency[1, 20, 20] = largest
    saliency[1, 10, 10] = largest / 3
    return Maps(subject, subject.trigger, torch.rand(2, *SHAPE), masks, saliency, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("spec", "drawn"), [("", False), ("flip", False), ("shrinkpad", True), ("noise", True), ("flip,shrinkpad:1", True)]
)
def test_which_transformations_draw(spec: str, drawn: bool) -> None:
    assert is_drawn(transform_from_spec(spec) if spec else Compose(), SHAPE) is drawn


def test_a_draw_changes_what_is_behind_the_transformation_and_nothing_else() -> None:
    def pictures(**query: str) -> list[str]:
        test = page("saliency", model=WHITE, **query)
        assert not test.exception
        return re.findall(r'<div class="ts-heat"><img src="([^"]+)"', component(test, "first-maps")["html"])

    first, third = pictures(), pictures(**{"map-draw": "3"})
    assert first[:2] == third[:2]
    assert first[2] != third[2]
    assert first[3] != third[3]


@pytest.mark.parametrize("explain", ["target", "predicted", "true"])
def test_models_of_one_network_have_together_the_maps_that_each_has_alone(explain: str) -> None:
    network = WHITE.rpartition("/")[0]
    each = [subjects()[0][f"{network}/{name}"] for name in ("badnets", "badnets+", "blended")]
    wanted = [(each[0], each[0].trigger.at(20, 9)), (each[1], each[1].trigger), (each[2], each[2].trigger)]
    data = resources.tested(each[0])
    assert data is not None
    together = maps_of(wanted, data, 3, asked(explain=explain))
    for maps, (subject, trigger) in zip(together, wanted, strict=True):
        assert (maps.subject, maps.trigger) == (subject, trigger)
        (alone,) = maps_of([(subject, trigger)], data, 3, asked(explain=explain))
        assert torch.equal(maps.images, alone.images)
        assert torch.equal(maps.masks, alone.masks)
        assert torch.equal(maps.predicted, alone.predicted)
        assert float((maps.saliency - alone.saliency).abs().sum()) < 0.005 * float(alone.saliency.sum())


def test_stored_maps_stand_beside_the_images_that_they_are_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Test images of the target, which no page shows, are counted in the store and not on the page."""
    shutil.copytree(DEFAULT_ROOT / WHITE, tmp_path / WHITE)
    checkpoint = Store(tmp_path).checkpoint(WHITE)
    model = checkpoint.model()
    *_, last = carry_out(Sweep(RESULT), checkpoint, model, Predictor(model), 14)
    assert last.result.indices != tuple(range(14)), "one of the first test images is of the target"
    (checkpoint.folder / "model.safetensors").unlink()
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path))
    st.cache_resource.clear()
    subject, plainly = subjects()[0][WHITE], Explained(model)
    data = resources.tested(subject)
    assert data is not None
    for index in range(14):
        (maps,) = maps_of([(subject, subject.trigger)], data, index, asked())
        assert maps.stored
        assert torch.equal(maps.images[:1], stamp(data.images[index : index + 1], subject.trigger))
        assert torch.equal(plainly.predict(maps.images), maps.predicted)
        own = displayed(methods["gradient"]()(plainly, maps.images, torch.full((2,), subject.attack.target)))
        assert float((maps.saliency - own).abs().max()) <= 0.5 / 255 + 1e-5
        assert len(map_rows([maps], index, asked())) == 1, "a picture is no measurement: only the heading"
    with pytest.raises(OSError, match="model"):
        maps_of([(subject, subject.trigger)], data, 14, asked())


def test_models_that_cannot_be_explained_together_are_explained_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    each = [subjects()[0][f"shapes10/resnet20/{name}"] for name in ("badnets", "badnets+")]
    data = resources.tested(each[0])
    assert data is not None
    wanted = [(subject, subject.trigger) for subject in each]
    expected = maps_of(wanted, data, 1, asked())

    def fails(*_: object) -> None:
        raise RuntimeError("derivative for aten::_native_multi_head_attention is not implemented")

    monkeypatch.setattr("core.attribution.together.Together.explain", fails)
    for maps, before in zip(maps_of(wanted, data, 1, asked()), expected, strict=True):
        assert torch.equal(maps.predicted, before.predicted)
        assert float((maps.saliency - before.saliency).abs().sum()) < 0.005 * float(before.saliency.sum())


def test_results_of_large_images_are_behind_a_shrinkpad_of_their_size() -> None:
    large = asked(before=transform_from_spec("shrinkpad:8"), usual="shrinkpad:8")
    assert large.is_stored
    assert not asked(before=transform_from_spec("shrinkpad:8")).is_stored
    assert not asked(usual="shrinkpad:8").is_stored


def test_maps_on_a_common_scale_can_be_compared() -> None:
    dim, bright = made_up(1.0), made_up(4.0)
    both = [("dim", dim), ("bright", bright)]
    largest = largest_of(maps for _, maps in both)
    assert largest == 4
    own = blocks_of(both, asked())
    assert torch.equal(own[0].panels[1].image, own[1].panels[1].image), "each on its own scale: they look the same"
    common = blocks_of(both, asked(common=True), largest)
    assert torch.equal(common[0].panels[1].image, heat(dim.saliency[0] / 4))
    assert torch.equal(common[1].panels[1].image, heat(bright.saliency[0] / 4))
    assert "from 0 to 4" in colour_bar(asked(common=True), largest).panels[0].caption
    own_scale = colour_bar(asked(explain="true"), None).panels[0].caption
    assert own_scale.startswith("Vanilla gradient for the true class. Each map has its own scale")


def test_the_numbers_of_maps_are_saved() -> None:
    rows = json.loads(to_json(map_rows([made_up(2.0)], 7, asked(draw=3))))
    assert [row["rate_percent"] for row in rows] == [0, 0, pytest.approx(25), 0]
    assert [row["defense"] for row in rows] == [None, None, "shrinkpad", "shrinkpad"]
    assert {(row["image"], row["draw"], row["row"], row["col"], row["largest_saliency"]) for row in rows} == {
        (7, 3, 31, 31, 2.0)
    }
    assert [row["quantity"] for row in rows[:2]] == [
        "Relevance mass accuracy",
        "Pointing game",
    ]
