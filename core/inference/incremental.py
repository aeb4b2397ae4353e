"""Predictions of the same images with a trigger at many places, also without repeating what it does not change.

Before a network's first subsampling, a trigger changes only the activations near it: after the l-th 3 x 3 convolution a
window that is l pixels larger than the trigger on every side. There the clean activations are computed once for each
image, and for each location only the window, which is put back into them before the rest of the network. Up to the
rounding of the arithmetic this is what the whole network computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import record_function

from core.models import Classifier, Early
from core.trigger import Trigger, stamp, stamp_each

__all__ = [
    "BEHIND",
    "Before",
    "Later",
    "Located",
    "PlacesPredict",
    "Predict",
    "Reuse",
    "activations",
    "at_places",
    "pays",
    "predictions_at",
]

Predict = Callable[[Tensor], Tensor]
"""Float images ``(N, C, H, W)`` in [0, 1] to predicted classes, int64 ``(N,)`` on the CPU."""

Before = Callable[[Tensor], Tensor]
"""What is put between stamping and the model, such as a transformation-based defense (Def. 4)."""

PlacesPredict = Callable[[Sequence[tuple[int, int]]], Tensor]
"""Places of a trigger to predicted classes, int64 ``(L, N)`` on the CPU, of the same images with the trigger there."""

Located = Callable[[Tensor, Trigger], PlacesPredict]
"""Float images ``(N, C, H, W)`` in [0, 1] and a trigger, to predictions at any place."""

BEHIND = "behind the early convolutions"
"""What a profiler calls the part of the network that every place needs whole."""

# Share of the image that the last window may have for the effort to be worth it.
LARGEST_SHARE = 0.6


def predictions_at(predict: Predict, images: Tensor, trigger: Trigger, before: Before | None = None) -> Tensor:
    """Predicted classes, int64 ``(N,)``, of images with the trigger stamped at its location.

    Args:
        predict: The model.
        images: Floats ``(N, C, H, W)`` in [0, 1].
        trigger: What to stamp and where.
        before: What is put between stamping and the model, if anything.
    """
    stamped = stamp(images, trigger)
    return predict(before(stamped) if before else stamped)


def at_places(predict: Predict, before: Before | None = None) -> Located:
    """Predictions at any place by a whole forward pass each.

    Args:
        predict: The model.
        before: What is put between stamping and the model, if anything.
    """

    def located(images: Tensor, trigger: Trigger) -> PlacesPredict:
        def predictions(places: Sequence[tuple[int, int]]) -> Tensor:
            stamped = stamp_each(images, trigger, torch.tensor(places)).flatten(0, 1)
            return predict(before(stamped) if before else stamped).view(len(places), len(images))

        return predictions

    return located


class Later(nn.Module):
    """The part of a network behind its first subsampling: activations to float32 logits."""

    def __init__(self, body: Classifier) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body.later(x).float()


def activations(steps: Sequence[Early], x: Tensor) -> list[Tensor]:
    """What goes into the first of the early convolutions and what comes out of each, ``(N, C, H, W)``."""
    levels = [x]
    for step in steps:
        y = F.conv2d(levels[-1], step.conv.weight, step.conv.bias, padding=1)
        levels.append(F.relu(y if step.adds is None else y + levels[step.adds]))
    return levels


def pays(steps: Sequence[Early], trigger: Trigger, height: int, width: int) -> bool:
    """Whether a network has early convolutions and the trigger, always inside the image, leaves enough of it alone."""
    if trigger.height >= height or trigger.width >= width:
        return False  # such a box crosses the border
    grown = 2 * len(steps)
    share = min(trigger.height + grown, height) * min(trigger.width + grown, width) / (height * width)
    return bool(steps) and share <= LARGEST_SHARE


@dataclass(frozen=True)
class _Window:
    """The changed part of one level, for every image and every place.

    Attributes:
        values: ``(N, P, h, w, C)``.
        corners: First row and column of each place's window, int64 ``(P, 2)``.
    """

    values: Tensor
    corners: Tensor


class Reuse:
    """Logits of the same images with one trigger at any place.

    Args:
        body: The network with batch norm folded, frozen.
        normalise: From images in [0, 1] to what the network takes, of its type and channels last.
        later: Activations behind the early convolutions to logits.
        images: Floats ``(N, C, H, W)`` in [0, 1].
        trigger: What is stamped; its own location is not used.
    """

    def __init__(
        self,
        body: Classifier,
        normalise: Callable[[Tensor], Tensor],
        later: Callable[[Tensor], Tensor],
        images: Tensor,
        trigger: Trigger,
    ) -> None:
        self.steps, self.normalise, self.later = body.early(), normalise, later
        self.trigger, self.classes = trigger, body.classes
        self.size = torch.tensor(images.shape[2:])
        self.pixels = images.permute(0, 2, 3, 1).contiguous()
        # With a ring of zeros, the padding of the convolutions: (N, H + 2, W + 2, C).
        levels = activations(self.steps, normalise(images))
        self.clean = [F.pad(level, (1, 1, 1, 1)).permute(0, 2, 3, 1).contiguous() for level in levels]

    @torch.inference_mode()
    def logits(self, chosen: slice, places: Sequence[tuple[int, int]]) -> Tensor:
        """Logits ``(n, P, classes)`` of some of the images with the trigger at each place.

        Args:
            chosen: Which images.
            places: Row and column of the bottom-right pixel of the trigger's box, which lies inside the image.
        """
        windows = [self._stamped(chosen, places)]
        for number, step in enumerate(self.steps):
            last = windows[-1]
            size = torch.minimum(torch.tensor(last.values.shape[2:4]) + 2, self.size)
            corners = torch.minimum((last.corners - 1).clamp_min(0), self.size - size)
            # One pixel more on every side; the ring of zeros has moved everything by one already.
            y = F.conv2d(self._part(number, windows, chosen, corners, size + 2), step.conv.weight, step.conv.bias)
            if step.adds is not None:
                y += self._part(step.adds, windows, chosen, corners + 1, size)
            windows.append(_Window(_by_place(y.relu_(), len(places)), corners))
        whole = self._part(len(self.steps), windows, chosen, torch.ones_like(windows[0].corners), self.size)
        with record_function(BEHIND):
            return self.later(whole).view(-1, len(places), self.classes)

    def _stamped(self, chosen: slice, places: Sequence[tuple[int, int]]) -> _Window:
        """The trigger's box on every image at every place, normalised."""
        height, width = self.trigger.height, self.trigger.width
        corners = torch.tensor(places) - torch.tensor([height - 1, width - 1])
        boxes = _cut(self.pixels[chosen], corners, height, width).flatten(0, 1).permute(0, 3, 1, 2)
        stamped = stamp(boxes, self.trigger.at(height - 1, width - 1))
        return _Window(_by_place(self.normalise(stamped), len(places)), corners)

    def _part(self, level: int, windows: Sequence[_Window], chosen: slice, corners: Tensor, size: Tensor) -> Tensor:
        """A part of a level around its window for every image and place, ``(n * P, C, height, width)``.

        ``corners`` are where each place's part begins, counted with the ring of zeros; ``size`` is height and width.
        """
        window = windows[level]
        part = _cut(self.clean[level][chosen], corners, *size.tolist())
        _paste(part, window.values, window.corners + 1 - corners)
        return part.flatten(0, 1).permute(0, 3, 1, 2)


def _cut(images: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """What lies at each corner on every image ``(N, H, W, C)``, as ``(N, P, height, width, C)``."""
    rows = corners[:, :1] + torch.arange(height)
    found = _runs(images, width)[:, rows, corners[:, 1:]]
    return found.view(images.dtype).view(len(images), len(corners), height, width, -1)


def _paste(parts: Tensor, values: Tensor, corners: Tensor) -> None:
    """Puts ``values`` ``(N, P, h, w, C)`` into ``parts`` ``(N, P, H, W, C)``, those of each place at its corner."""
    height, width = values.shape[2:4]
    first = torch.arange(parts.shape[1])[:, None] * parts.shape[2]  # row of each place's part, all below each other
    rows = first + corners[:, :1] + torch.arange(height)
    _runs(parts.flatten(1, 2), width)[:, rows, corners[:, 1:]] = _words(values).flatten(3)


def _runs(images: Tensor, length: int) -> Tensor:
    """Every run of ``length`` pixels in a row of ``(N, H, W, C)``, as ``(N, H, W - length + 1, words)``; a view.

    Runs are read and written whole, many at once: several times faster than pixels, or one place after the other.
    """
    words = _words(images)
    count, height, width, each = words.shape
    return words.as_strided((count, height, width - length + 1, length * each), (*words.stride()[:3], 1))


def _words(x: Tensor) -> Tensor:
    """The same memory in words of 16 bytes where a pixel's channels fill them, so that few words are moved."""
    return x.view(torch.complex128) if x.shape[-1] * x.element_size() % 16 == 0 else x


def _by_place(x: Tensor, places: int) -> Tensor:
    """``(n * P, C, h, w)`` as ``(n, P, h, w, C)``."""
    channels, height, width = x.shape[1:]
    return x.permute(0, 2, 3, 1).reshape(-1, places, height, width, channels)
