"""Saliency of a few test images, stored: the pictures of Fig. 10 on a machine that lacks the network's weights.

Only the maps and the predictions are stored. The images are those of the data set, drawn again where they are shown.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.data import ImageSet
from core.runtime.seeding import generator_for
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.saliency import attacked_and_moved, targets_of
from core.transforms import Compose
from core.trigger import Trigger

if TYPE_CHECKING:  # what is stored can be read without captum, which takes a second to import
    from core.attribution.methods import Explained, Method

__all__ = ["RESULT", "SaliencyExamples", "examples_sweep", "shown_twice"]

RESULT = "saliency-examples"
"""Name of the stored result."""


@dataclass(frozen=True)
class SaliencyExamples:
    """Maps of a few images, stamped and behind the transformation; the keys of ``saliency-examples.json``.

    Attributes:
        indices: Places of the images in the test set: the first of those that are not of the target.
        predicted: Predicted classes, ``(2, N)``: of the stamped images, and of the same behind the transformation.
        maps: Maps for display, uint8 ``(2, N, H, W)``, each on its own scale.
        done: Share that is measured, 0 to 1.
    """

    indices: tuple[int, ...]
    predicted: tuple[tuple[int, ...], tuple[int, ...]]
    maps: npt.NDArray[np.uint8]
    done: float = 1.0

    def number(self, rank: int) -> int | None:
        """Place in the test set of the image that comes ``rank``-th, from 0, of those that are not of the target."""
        return self.indices[rank] if 0 <= rank < len(self.indices) else None

    def of(self, index: int) -> tuple[Tensor, tuple[int, int]] | None:
        """The two maps of one test image, floats ``(2, H, W)`` in [0, 1], and its two predicted classes, if stored."""
        if index not in self.indices:
            return None
        at = self.indices.index(index)
        return torch.from_numpy(self.maps[:, at] / np.float32(255)), (self.predicted[0][at], self.predicted[1][at])

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; the maps are bytes, one map after the other, deflated, in base64."""
        return {
            "indices": list(self.indices),
            "predicted": [list(classes) for classes in self.predicted],
            "size": list(self.maps.shape[2:]),
            "maps": base64.b64encode(zlib.compress(self.maps.tobytes(), 9)).decode("ascii"),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        stored = checked(schemas.SaliencyExamples, values)
        maps = np.frombuffer(stored.unpacked, np.uint8).reshape(2, len(stored.indices), *stored.size)
        before, behind = (tuple(classes) for classes in stored.predicted)
        return cls(tuple(stored.indices), (before, behind), maps)


def shown_twice(image: Tensor, trigger: Trigger, before: Compose, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One image stamped, and stamped and transformed.

    Args:
        image: Floats ``(1, C, H, W)`` in [0, 1].
        trigger: What to stamp and where.
        before: The transformation.
        generator: Gives the transformation's draw; that of an example is ``generator_for(index, "saliency")``.

    Returns:
        Floats ``(2, C, H, W)``, and where the trigger is then, ``(2, 1, H, W)``.
    """
    moved = [attacked_and_moved(image, trigger, layer, generator) for layer in (Compose(), before)]
    return torch.cat([shown for shown, _ in moved]), torch.cat([mask for _, mask in moved])


def examples_sweep(
    explained: Explained, data: ImageSet, trigger: Trigger, target: int, method: Method, before: Compose, count: int
) -> Iterator[SaliencyExamples]:
    """Maps of the first images of other classes than the target.

    Args:
        explained: The network.
        data: Test images.
        trigger: What to stamp and where.
        target: The target label, whose logit is explained.
        method: The attribution method.
        before: The transformation.
        count: How many images.

    Yields:
        The examples so far; the last ones are complete.

    Raises:
        ValueError: If there are no such images.
    """
    from core.attribution.methods import displayed

    indices = (data.labels != target).nonzero().squeeze(1)[:count].tolist()
    if not indices:
        raise ValueError("there is no image of another class than the target")
    maps, predicted = [], []
    for number, index in enumerate(indices, start=1):
        image = data.subset(slice(index, index + 1)).floats()
        images, _ = shown_twice(image, trigger, before, generator_for(index, "saliency"))
        classes = explained.predict(images)
        truth = data.labels[index : index + 1].repeat(2)
        saliency = displayed(method(explained, images, targets_of("target", classes, truth, target)))
        maps.append((saliency * 255).round().to(torch.uint8).cpu().numpy())
        predicted.append(tuple(int(one) for one in classes))
        first, second = (tuple(pair[side] for pair in predicted) for side in (0, 1))
        yield SaliencyExamples(tuple(indices[:number]), (first, second), np.stack(maps, axis=1), number / len(indices))
