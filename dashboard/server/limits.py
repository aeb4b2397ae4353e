"""How much of the machine one visitor may take, and all together: every number, with its reason.

A visitor is one open page of the application (a browser tab). What is beyond a limit waits its turn or is refused, and
a sentence says so. The application on its own machine has the same limits, but for :data:`IMAGES_SERVED`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DECODED",
    "DECODING",
    "GRACE",
    "IMAGES_SERVED",
    "LOOKS",
    "MAPS",
    "PHOTOGRAPHS_SERVED",
    "PREDICTED",
    "REPAIRS",
    "SESSIONS",
    "TESTED",
    "UPLOADED",
    "VISITED",
    "AtOnce",
]


@dataclass(frozen=True)
class AtOnce:
    """A limit of something that is counted.

    Attributes:
        each: For one visitor.
        everywhere: For all visitors together.
    """

    each: int
    everywhere: int


MAPS = AtOnce(4, 8)
"""Maps and curves being computed: most pages show up to four at once, of a page with more some wait."""

REPAIRS = AtOnce(1, 2)
"""Repairs being computed: minutes each, and a copy of the model."""

GRACE = 120.0
"""Seconds for which a map is computed on after its last visitor has left: a reload, or another page and back."""

IMAGES_SERVED = 256
"""Test images per measurement for a visitor of a served application: what the pages open with."""

PHOTOGRAPHS_SERVED = 64
"""Simulated photographs per measurement for a visitor of a served application: what the page opens with."""

SESSIONS = 300
"""Pages open at once of a served application: a lecture hall of eighty with some tabs each."""

UPLOADED = AtOnce(25 * 2**20, 500 * 2**20)
"""Bytes of uploaded pictures in memory: one picture of the largest size each, 20 such pictures in all."""

DECODED = 8
"""Decoded pictures kept for all visitors, of 27 MB at most (3000 x 3000 x 3); one that is missing is decoded again."""

DECODING = 2
"""Pictures being decoded or cut at once: each takes up to 192 MB as decoded (64 million pixels), 108 MB as floats."""

PREDICTED = 32 * 2**20
"""Bytes of the latest predictions: those of 4,000 places on 1,000 images."""

VISITED = 128 * 2**20
"""Bytes of what was measured place by place: 140 looks at 900 places on 1,000 images, the last asked ones."""

LOOKS = 64 * 2**20
"""Bytes of stored maps ready for the pages: 300 of 900 places with what is said of ten thousand images."""

TESTED = 2**30
"""Bytes of test images ready for measurements: of 40 data sets and targets of 32 pixels, or of one of 224 pixels."""
