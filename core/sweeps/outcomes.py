"""What became of every photograph of a range, image by image: so that two models can be compared on the same ones.

>>> yes, no = np.array([True, True]), np.array([False, False])
>>> Outcomes(attacked=yes, hit=np.array([True, False]), kept=no, usable=yes).success
Rate(hits=1, total=2)
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.metrics import BoundedRate, Rate
from core.paired import Paired, clustered, hull

__all__ = ["Flags", "Outcomes"]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """What became of the photographs of each image, all taken from the same place: with the trigger and without.

    Attributes:
        attacked: Whether the image is attacked at all; those of the target class are not, ``(N,)``.
        hit: Whether the attacked one is taken for the target, ``(N,)``.
        kept: Whether the attacked one is taken for what it shows, ``(N,)``.
        usable: Whether the benign one is predicted right; of pictures whose classes are not the model's, whether it is
            not taken for the target anyway, ``(N,)``.
        cut_from: Photographs that the images are cut from, in turn; 0 where each is an image by itself.
    """

    attacked: Flags
    hit: Flags
    kept: Flags
    usable: Flags
    cut_from: int = 0

    @property
    def counted(self) -> Flags:
        """The images that say something about the attack: attacked, and usable."""
        return self.attacked & self.usable

    @property
    def success(self) -> Rate:
        """Share of the counted images taken for the target."""
        return self._share(self.hit)

    @property
    def keeping(self) -> Rate:
        """Share of the counted images taken for what they show, with the trigger too."""
        return self._share(self.kept)

    @property
    def groups(self) -> npt.NDArray[np.int64] | None:
        """The photograph that each image is cut from, ``(N,)``; None where each is an image by itself."""
        return np.arange(len(self.attacked)) % self.cut_from if self.cut_from else None

    def paired(self, other: Outcomes) -> Paired:
        """How two models did on the images that count for both."""
        both, groups = self.counted & other.counted, self.groups
        return Paired.of(self.hit[both], other.hit[both], None if groups is None else groups[both])

    def _share(self, what: Flags) -> Rate:
        """A share of the counted images; of crops, with an interval that is no narrower than that over photographs."""
        counted, groups = self.counted, self.groups
        rate = Rate(int((what & counted).sum()), int(counted.sum()))
        if groups is None or not rate.total:
            return rate
        ends = hull(rate.interval, clustered(what[counted], groups[counted]), (0.0, 1.0))
        return BoundedRate(rate.hits, rate.total, ends)

    def packed(self) -> str:
        """A byte for each image, with a bit for each attribute in their order: deflated, in base64."""
        bits = (self.attacked, self.hit, self.kept, self.usable)
        flags = sum((flag.astype(np.uint8) << n for n, flag in enumerate(bits)), np.zeros(len(self.hit), np.uint8))
        return base64.b64encode(zlib.compress(flags.astype(np.uint8).tobytes(), 9)).decode("ascii")

    @classmethod
    def of(cls, flags: bytes, cut_from: int = 0) -> Outcomes:
        """The inverse of :meth:`packed`, of its bytes before they are deflated."""
        each = np.frombuffer(flags, dtype=np.uint8)
        bits = [(each >> n & 1).astype(bool) for n in range(4)]
        for bit in bits:
            bit.setflags(write=False)  # what is read once is shared
        return cls(bits[0], bits[1], bits[2], bits[3], cut_from)
