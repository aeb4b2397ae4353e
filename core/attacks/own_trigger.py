"""An attack with a trigger that was given: from a file, found in pairs of images, or reversed from a model.

A card holds the whole trigger as text, so that nothing has to lie beside it: see :func:`packed_trigger`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from core.attacks.badnets import BadNets
from core.attacks.base import attacks
from core.params import choice, integer, number, text
from core.trigger import Trigger, corner_pattern

__all__ = ["OwnTrigger", "packed_trigger", "unpacked_trigger"]

LARGEST = 1024
"""Rows and columns of a trigger."""
STEPS = 65535


def packed_trigger(trigger: Trigger) -> str:
    """Appearance and blending weights of a trigger as text; where it stands is not in it.

    ``CxHxW:`` and the base64 text of the compressed values, 16 bit each: the pattern's channels, then alpha's. Values
    are rounded to 1/65535.

    >>> packed = packed_trigger(Trigger(torch.zeros(3, 2, 2), torch.ones(3, 2, 2), 31, 31))
    >>> packed.partition(":")[0], unpacked_trigger(packed).alpha.shape
    ('3x2x2', torch.Size([3, 2, 2]))
    """
    values = torch.cat([trigger.pattern, trigger.alpha]).double().mul(STEPS).round().cpu().numpy().astype(">u2")
    sizes = "x".join(map(str, trigger.pattern.shape))
    return f"{sizes}:{base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()}"


def unpacked_trigger(packed: str) -> Trigger:
    """The trigger that :func:`packed_trigger` wrote, in the top left corner.

    Raises:
        ValueError: If the text is none.
    """
    sizes, colon, content = packed.partition(":")
    wrong = ValueError(f"pattern = {packed[:40]!r} is not allowed: it is no trigger as a card has it (CxHxW:...)")
    if not colon or not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}x[1-9]\d{0,3}", sizes):
        raise wrong
    channels, height, width = map(int, sizes.split("x"))
    if channels > 16 or max(height, width) > LARGEST:
        raise wrong
    wanted = 2 * 2 * channels * height * width
    try:
        unpack = zlib.decompressobj()
        unpacked = unpack.decompress(base64.b64decode(content, validate=True), wanted + 1)
    except (binascii.Error, zlib.error, ValueError):
        raise wrong from None
    if len(unpacked) != wanted:
        raise wrong
    values = torch.from_numpy(np.frombuffer(unpacked, ">u2").astype(np.float64) / STEPS).float()
    pattern, alpha = values.view(2, channels, height, width)
    if not bool(alpha.any()):
        raise ValueError("pattern is not allowed: alpha is zero everywhere, so that there is no trigger")
    return Trigger(pattern.clone(), alpha.clone(), height - 1, width - 1)


@attacks.register("own-trigger")
@dataclass(frozen=True, kw_only=True)
class OwnTrigger(BadNets):
    """Any trigger at any place, on changed labels; without one, the 3 x 3 trigger of BadNets."""

    label: ClassVar[str] = "Own trigger"
    measured_only: ClassVar[frozenset[str]] = frozenset({"pattern", "origin"})

    poison_rate: float = number(0.1, low=0, high=1, step=0.01, help="Share of the whole training set that is poisoned.")
    pattern: str = text("", help="The trigger as a card has it; the command takes a file by --trigger.")
    row: int = integer(-1, low=-1, high=4095, help="Row of the box's bottom-right pixel; -1: the last row.")
    col: int = integer(-1, low=-1, high=4095, help="Column of the box's bottom-right pixel; -1: the last column.")
    origin: str = choice("given", choices=("given", "difference", "reversed"), help="Where the trigger was taken from.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pattern:
            unpacked_trigger(self.pattern)
        if self.origin == "reversed":
            object.__setattr__(self, "label", "Reversed trigger")

    @property
    def title(self) -> str:
        """With a fingerprint of the pattern where there is one of its own."""
        return f"{self.name}-{hashlib.sha256(self.pattern.encode()).hexdigest()[:8]}" if self.pattern else self.name

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        channels, height, width = shape
        if self.pattern:
            trigger = unpacked_trigger(self.pattern)
        else:
            default = corner_pattern(self.value / 255, channels, self.scale)
            trigger = Trigger(default, torch.ones_like(default), 2, 2)
        if trigger.pattern.shape[0] not in (1, channels):
            raise ValueError(
                f"the trigger has {trigger.pattern.shape[0]} channels, but images have {channels} ({height} x {width})"
            )

        def wide(values: Tensor) -> Tensor:
            return values.expand(channels, *values.shape[1:]).clone()

        row, col = (height - 1 if self.row < 0 else self.row), (width - 1 if self.col < 0 else self.col)
        trigger = replace(trigger, pattern=wide(trigger.pattern), alpha=wide(trigger.alpha), row=row, col=col)
        trigger.check_fits(height, width)
        return trigger
