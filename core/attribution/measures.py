"""How well a saliency map finds the trigger: measures of localisation, by their names in the field.

A backdoor's trigger is a rare case in which it is known where the network must look. Every measure takes saliency
``(N, H, W)``, not negative, and the pixels of the trigger as a mask ``(N, 1, H, W)`` in [0, 1], of which those from one
half on belong to it, and gives one value an image. A map of nothing has no value: nan, or False.

References: relevance mass and rank accuracy are those of Arras, Osman and Samek (Information Fusion 2022), the pointing
game is that of Zhang et al. (IJCV 2018); a test compares all three with the package quantus. The intersection over
union, recovery rate and recovering difference follow the idea of Lin, Lee and Celik (KDD 2021), of which only summaries
were read: which pixels are salient (:data:`SALIENT`) is decided here. Deletion follows Petsiuk, Das and Saenko (BMVC
2018), with as many pixels as the trigger has instead of a curve.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "SALIENT",
    "covered",
    "intersection_over_union",
    "most_salient",
    "pointing_game",
    "recovering_difference",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "salient_pixels",
]

SALIENT = 0.5
"""Pixels with at least this share of a map's largest value are its salient ones. A choice of this project."""

TOLERANCE = 1
"""Pixels by which the most salient one may miss the trigger: 15 on the photographs of Zhang et al., 1 of 32 here."""


def _inside(masks: Tensor) -> Tensor:
    return masks[:, 0] >= 0.5


def relevance_mass_accuracy(saliency: Tensor, masks: Tensor) -> Tensor:
    """Share of the saliency that lies on the trigger: sum over the trigger over sum over the image.

    Args:
        saliency: ``(N, H, W)``, not negative.
        masks: ``(N, 1, H, W)`` in [0, 1]; a pixel that a transformation put partly on the trigger counts for its part.

    Returns:
        Float ``(N,)`` in [0, 1]; nan where a map is nothing.

    >>> relevance_mass_accuracy(torch.tensor([[[3.0, 1.0]]]), torch.tensor([[[[1.0, 0.0]]]]))
    tensor([0.7500])
    """
    total = saliency.flatten(1).sum(1)
    return (saliency * masks[:, 0].to(saliency)).flatten(1).sum(1) / total.where(total > 0, torch.nan)


def most_salient(saliency: Tensor, counts: Tensor) -> Tensor:
    """The pixels with the largest values, bool ``(N, H, W)``; of equal ones, those that a fixed draw says.

    A method that looks at squares gives many pixels the same value: their order in the image must not decide.

    Args:
        saliency: ``(N, H, W)``.
        counts: How many of each, int64 ``(N,)``.

    >>> most_salient(torch.tensor([[[3.0, 1.0, 2.0]]]), torch.tensor([2]))
    tensor([[[ True, False,  True]]])
    """
    flat = saliency.flatten(1)
    drawn = torch.rand(flat.shape, generator=torch.Generator().manual_seed(0)).argsort(dim=1).to(flat.device)
    order = drawn.gather(1, flat.gather(1, drawn).argsort(dim=1, descending=True, stable=True))
    chosen = torch.arange(order.shape[1], device=order.device) < counts[:, None].to(order.device)
    return torch.zeros_like(chosen).scatter(1, order, chosen).reshape(saliency.shape)


def relevance_rank_accuracy(saliency: Tensor, masks: Tensor) -> Tensor:
    """Share of the k most salient pixels that are on the trigger, where k is the trigger's number of pixels.

    Where pixels of the same value are more than are still to be taken, it is the mean over all choices of them.

    Returns:
        Float ``(N,)`` in [0, 1]; nan where a map is nothing, or no pixel is the trigger's.

    >>> relevance_rank_accuracy(torch.tensor([[[3.0, 1.0, 2.0]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]]))
    tensor([0.5000])
    >>> relevance_rank_accuracy(torch.tensor([[[3.0, 3.0, 3.0, 0.0]]]), torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]]))
    tensor([0.3333])
    """
    flat, inside = saliency.flatten(1), _inside(masks).to(saliency.device).flatten(1)
    counts = inside.sum(1)
    there = (counts > 0) & (flat.amax(1) > 0)
    last = flat.sort(dim=1, descending=True).values.gather(1, (counts - 1).clamp_min(0)[:, None])
    larger, equal = flat > last, flat == last
    share = (counts - larger.sum(1)) / equal.sum(1)
    hits = (larger & inside).sum(1) + share * (equal & inside).sum(1)
    return hits / counts.where(there, 1).float().where(there, torch.nan)


def pointing_game(saliency: Tensor, masks: Tensor, tolerance: int = TOLERANCE) -> Tensor:
    """Whether the most salient pixel is on the trigger, or at most ``tolerance`` pixels beside it.

    Returns:
        Bool ``(N,)``; False where a map is nothing. Of pixels of the same value, see :func:`most_salient`.

    >>> pointing_game(torch.tensor([[[3.0, 1.0, 2.0]]]), torch.tensor([[[[0.0, 0.0, 1.0]]]]), tolerance=0)
    tensor([False])
    """
    near = F.max_pool2d(masks.float(), 2 * tolerance + 1, 1, tolerance)[:, 0].to(saliency.device) >= 0.5
    largest = most_salient(saliency, torch.ones(len(saliency), dtype=torch.int64))
    return (largest & near).flatten(1).any(1) & (saliency.flatten(1).amax(1) > 0)


def salient_pixels(saliency: Tensor, share: float = SALIENT) -> Tensor:
    """Pixels with at least ``share`` of their map's largest value, bool ``(N, H, W)``; none in a map of nothing."""
    largest = saliency.flatten(1).amax(1)[:, None, None]
    return (saliency >= share * largest) & (largest > 0)


def intersection_over_union(saliency: Tensor, masks: Tensor) -> Tensor:
    """Overlap of the salient pixels with the trigger: pixels in both over pixels in either.

    Returns:
        Float ``(N,)`` in [0, 1]; nan where a map is nothing.

    >>> intersection_over_union(torch.tensor([[[3.0, 1.0, 2.0]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]]))
    tensor([0.3333])
    """
    salient, inside = salient_pixels(saliency), _inside(masks).to(saliency.device)
    both, either = ((salient & inside).flatten(1).sum(1), (salient | inside).flatten(1).sum(1))
    there = saliency.flatten(1).amax(1) > 0
    return both / either.where(there, 1).float().where(there, torch.nan)


def covered(images: Tensor, pixels: Tensor, by: Tensor | float) -> Tensor:
    """Images ``(N, C, H, W)`` whose ``pixels``, bool ``(N, H, W)``, are replaced: by those of others, or by a value."""
    return torch.where(pixels[:, None], torch.as_tensor(by, dtype=images.dtype), images)


def recovering_difference(recovered: Tensor, clean: Tensor, stamped: Tensor) -> Tensor:
    """What covering the salient pixels has left of the trigger: changed pixels after over changed pixels before.

    Args:
        recovered: Stamped images whose salient pixels are replaced by the clean ones, ``(N, C, H, W)``.
        clean: The images without a trigger.
        stamped: The images with it.

    Returns:
        Float ``(N,)`` in [0, 1]: 0 where the whole trigger was found; nan where it changed no pixel.
    """
    after, before = ((images != clean).any(1).flatten(1).sum(1) for images in (recovered, stamped))
    return after / before.float().where(before > 0, torch.nan)
