"""How triggers and stamped images are shown on the pages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import streamlit as st
import torch
from torch import Tensor

from core.trigger import Trigger, stamp
from dashboard.readouts import Shown, data_url, strip
from dashboard.resources import Subject, Tested, predictions

__all__ = ["draw_strip", "rgba", "trigger_picture"]

STRIP = 10
# Gray ground of a picture whose image is not on this machine.
PLACEHOLDER = 0.55


def rgba(trigger: Trigger) -> npt.NDArray[np.uint8]:
    """A trigger's box as the pad wants it: uint8 ``(h, w, 4)``, opacity in the last channel."""
    colour = trigger.pattern if trigger.pattern.shape[0] == 3 else trigger.pattern[:1].expand(3, -1, -1)
    planes = torch.cat([colour, trigger.alpha.amax(0, keepdim=True)])
    pixels: npt.NDArray[np.uint8] = (planes * 255).round().byte().permute(1, 2, 0).numpy()
    return pixels


def draw_strip(start: int, subject: Subject, data: Tested, trigger: Trigger, predicted: Tensor) -> None:
    """Ten test images from ``start`` on, stamped, each with what the model says about it."""
    classes, target = subject.card.classes, subject.attack.target
    if start + STRIP <= len(predicted):
        said: Tensor | None = predicted[start : start + STRIP]
    else:
        said = predictions(subject, trigger, data, STRIP, start)
    if said is None:
        return
    shown = [
        Shown(data_url(image), classes[answer], classes[truth], answer == target)
        for image, answer, truth in zip(
            stamp(data.images[start : start + STRIP], trigger),
            said.tolist(),
            data.labels[start : start + STRIP].tolist(),
            strict=True,
        )
    ]
    st.html(strip(shown, subject.target_name))


def trigger_picture(trigger: Trigger, image: Tensor | None, shape: tuple[int, int, int]) -> str:
    """HTML of one image with the trigger stamped, enlarged; on a gray ground where there is no image."""
    ground = image if image is not None else torch.full(shape, PLACEHOLDER)
    url = data_url(stamp(ground[None], trigger)[0])
    style = "width:100%;max-width:11rem;image-rendering:pixelated;border-radius:.25rem"
    return f'<img src="{url}" alt="test image with the trigger" style="{style}">'
