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

from core.models import Classifier, Early
from core.trigger import Trigger, stamp, stamp_each

__all__ = ["Before", "Later", "Located", "PlacesPredict", "Predict", "Reuse", "activations", "at_places", "pays"]

Predict = Callable[[Tensor], Tensor]
"""Float images ``(N, C, H, W)`` in [0, 1] to predicted classes, int64 ``(N,)`` on the CPU."""

Before = Callable[[Tensor], Tensor]
"""What is put between stamping and the model, such as a transformation-based defense (Def. 4)."""

PlacesPredict = Callable[[Sequence[tuple[int, int]]], Tensor]
"""Places of a trigger to predicted classes, int64 ``(L, N)`` on the CPU, of the same images with the trigger there."""

Located = Callable[[Tensor, Trigger], PlacesPredict]
"""Float images ``(N, C, H, W)`` in [0, 1] and a trigger, to predictions at any place."""

# Share of the image that the last window may have for the effort to be worth it.
LARGEST_SHARE = 0.6


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
    """Whether a network has early convolutions and the trigger leaves enough of the image alone."""
    grown = 2 * len(steps)
    share = min(trigger.height + grown, height) * min(trigger.width + grown, width) / (height * width)
    return bool(steps) and share <= LARGEST_SHARE


@dataclass(frozen=True)
class _Window:
    """The changed part of one level, for every image and every place.

    Attributes:
        values: ``(N, P * h * w, C)``.
        rows: First row of each place's window, int64 ``(P,)``.
        cols: First column.
        height: Rows of every window.
        width: Columns.
    """

    values: Tensor
    rows: Tensor
    cols: Tensor
    height: int
    width: int


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
        self.images, self.trigger, self.classes = images, trigger, body.classes
        self.height, self.width = images.shape[2:]
        # With a ring of zeros, the padding of the convolutions: (N, (H + 2) * (W + 2), C).
        self.clean = [_rows(F.pad(level, (1, 1, 1, 1))) for level in activations(self.steps, normalise(images))]

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
            height, width = min(last.height + 2, self.height), min(last.width + 2, self.width)
            rows = (last.rows - 1).clamp(0, self.height - height)
            cols = (last.cols - 1).clamp(0, self.width - width)
            # One pixel more on every side; the ring of zeros has moved everything by one already.
            taken = self._gather(number, windows, chosen, rows, cols, height + 2, width + 2)
            y = F.conv2d(taken, step.conv.weight, step.conv.bias)
            if step.adds is not None:
                y = y + self._gather(step.adds, windows, chosen, rows + 1, cols + 1, height, width)
            windows.append(_Window(_merged(F.relu(y), len(places)), rows, cols, height, width))
        start = torch.ones(len(places), dtype=torch.int64, device=self.images.device)
        whole = self._gather(len(self.steps), windows, chosen, start, start, self.height, self.width)
        return self.later(whole).view(-1, len(places), self.classes)

    def _stamped(self, chosen: slice, places: Sequence[tuple[int, int]]) -> _Window:
        """The trigger's box on every image at every place, normalised."""
        height, width = self.trigger.height, self.trigger.width
        corner = self.trigger.at(height - 1, width - 1)
        boxes = [self.images[chosen, :, row - height + 1 : row + 1, col - width + 1 : col + 1] for row, col in places]
        stamped = self.normalise(stamp(torch.stack(boxes, 1).flatten(0, 1), corner))
        where = torch.tensor(places, device=self.images.device)
        return _Window(_merged(stamped, len(places)), where[:, 0] - height + 1, where[:, 1] - width + 1, height, width)

    def _gather(
        self,
        level: int,
        windows: Sequence[_Window],
        chosen: slice,
        rows: Tensor,
        cols: Tensor,
        height: int,
        width: int,
    ) -> Tensor:
        """A part of a level for every image and place, ``(n * P, C, height, width)``, from its window where that lies.

        ``rows`` and ``cols`` are where the part begins, counted with the ring of zeros.
        """
        clean, window = self.clean[level][chosen], windows[level]
        row = (rows[:, None] + torch.arange(height, device=rows.device))[:, :, None]
        col = (cols[:, None] + torch.arange(width, device=cols.device))[:, None, :]
        inner_row, inner_col = row - 1 - window.rows[:, None, None], col - 1 - window.cols[:, None, None]
        inside = (inner_row >= 0) & (inner_row < window.height) & (inner_col >= 0) & (inner_col < window.width)
        place = torch.arange(len(rows), device=rows.device)[:, None, None]
        changed = clean.shape[1] + (place * window.height + inner_row) * window.width + inner_col
        index = torch.where(inside, changed, row * (self.width + 2) + col)
        taken = torch.cat([clean, window.values], 1).index_select(1, index.flatten())
        return taken.view(len(clean) * len(rows), height, width, -1).permute(0, 3, 1, 2)


def _rows(x: Tensor) -> Tensor:
    """``(N, C, H, W)`` as ``(N, H * W, C)``."""
    return x.permute(0, 2, 3, 1).flatten(1, 2).contiguous()


def _merged(x: Tensor, places: int) -> Tensor:
    """``(n * P, C, h, w)`` as ``(n, P * h * w, C)``."""
    return x.permute(0, 2, 3, 1).reshape(len(x) // places, -1, x.shape[1])
