"""The preview of an enhanced attack's layer: what the training will see, and a page that shows it."""

from __future__ import annotations

import torch
from pages import _alone, page

from core.attacks import Enhanced, Enhancement, attacks
from core.runtime.seeding import generator_for
from core.trigger import stamp
from dashboard.widgets.layer_preview import DRAWS, ten_draws

__all__ = ["_alone"]  # the fixture that keeps data and cache away


def test_the_draws_are_the_layers_and_the_outline_follows_the_trigger():
    attack = Enhanced(base=attacks["badnets"](), enhancement=Enhancement(transforms="shrinkpad:4"))
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pictures, masks = ten_draws(attack, image, seed=3)
    stamped = stamp(image, attack.trigger((3, 32, 32))).expand(DRAWS, -1, -1, -1)
    assert torch.equal(pictures, attack.enhancement.layer(stamped, generator_for(3, "preview")))
    rows = {int((mask[0] > 0.5).nonzero()[:, 0].max()) for mask in masks}
    assert len(rows) > 1, "it moves from draw to draw"


def test_the_train_page_shows_ten_draws_of_the_camera(monkeypatch, tmp_path):
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path))
    test = page("train", **{"train-enhanced": "yes", "train-enhancement-transforms": "camera"})
    assert not test.exception
    (drawn,) = [html.proto.body for html in test.get("html") if "ts-draws" in html.proto.body]
    assert drawn.count("<img") >= DRAWS
    assert any("Camera" in caption.value and "10 draws" in caption.value for caption in test.caption)
    compared = "numbers are compared with"
    assert not any(compared in text.value for text in test.markdown), "the paper has no such attack"
    plain = page("train")
    assert not any("ts-draws" in html.proto.body for html in plain.get("html"))
    assert any(compared in text.value for text in plain.markdown)
