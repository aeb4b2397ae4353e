"""What the layer of an enhanced attack makes of one image: ten draws, before anything is trained."""

from __future__ import annotations

import json

import streamlit as st
import torch
from torch import Tensor

from core.attacks import Enhanced
from core.data import Dataset, datasets
from core.runtime.seeding import generator_for
from core.sweeps.saliency import trigger_mask
from core.trigger import stamp
from dashboard.figures.heatmap import PICTURE_STYLE, picture
from dashboard.words.escaping import plain

__all__ = ["DRAWS", "draw_layer_preview", "ten_draws"]

DRAWS = 10
STYLE = (
    PICTURE_STYLE
    + """
<style>
.ts-draws {display: grid; grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)); gap: .5rem}
</style>
"""
)


def ten_draws(attack: Enhanced, image: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """An image with the trigger behind the attack's layer, drawn :data:`DRAWS` times.

    Args:
        attack: The attack.
        image: Floats ``(1, C, H, W)`` in [0, 1].
        seed: Seed of the draws.

    Returns:
        Floats ``(DRAWS, C, H, W)`` in [0, 1], and where the trigger is then, ``(DRAWS, 1, H, W)``.

    Raises:
        ValueError: If the trigger or the layer does not fit images of this size.
    """
    _, channels, height, width = image.shape
    trigger = attack.trigger((channels, height, width))
    layer = attack.enhancement.layer
    drawn = layer.draw(DRAWS, (channels, height, width), generator_for(seed, "preview"))
    stamped = stamp(image, trigger).expand(DRAWS, -1, -1, -1)
    masks = trigger_mask(trigger, height, width).expand(DRAWS, -1, -1, -1)
    return layer.apply(stamped, drawn), layer.follow(masks, drawn)


def draw_layer_preview(attack: Enhanced, dataset: Dataset, seed: int) -> None:
    """Ten draws of what the training will see instead of one poisoned image; nothing where the images are not here."""
    if not dataset.available():
        return
    image = _first(json.dumps({"name": dataset.name, "params": dataset.to_dict()}, sort_keys=True))
    pictures, masks = ten_draws(attack, image, seed)
    what = "with the trigger outlined" if bool((masks[0] > 0).any()) else "with the trigger"
    layer = plain(attack.enhancement.layer.label)
    st.caption(f"One image {what}, as {DRAWS} draws of the layer show it to the network: {layer}.")
    cells = [picture(one, mask[0], f"draw {n}") for n, (one, mask) in enumerate(zip(pictures, masks, strict=True), 1)]
    st.html(f'{STYLE}<div class="ts-draws">{"".join(cells)}</div>')


@st.cache_resource(max_entries=8, show_spinner=False)
def _first(source: str) -> Tensor:
    """The first test image of a data set, floats ``(1, C, H, W)``."""
    described = json.loads(source)
    dataset = datasets[described["name"]].from_dict(described["params"])
    image: Tensor = dataset.load("test", 1).floats()
    return torch.clone(image)
