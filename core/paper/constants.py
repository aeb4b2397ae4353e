"""Names and settings of the paper, each in this place only: attacks, networks, strengths, and the order of rows.

Nothing is imported here, so that every module of the project can name them.
"""

from __future__ import annotations

STANDARD = ("badnets", "blended", "consistent")
"""Titles of the paper's three attacks (Sec. 3.1, 5.1)."""
ENHANCED = tuple(f"{title}+" for title in STANDARD)
"""Titles of the same attacks, enhanced (Sec. 4.2)."""
POISONED_ONLY = tuple(f"{title}+poisoned-only" for title in STANDARD)
"""Titles of the enhanced attacks as Eq. 8 has them: no benign training image is transformed (Sec. 5.3)."""
ATTACKS = tuple(title for pair in zip(STANDARD, ENHANCED, strict=True) for title in pair)
"""The six attacks of Table 5 and Fig. 10 in their order: each standard one, then the enhanced one."""
GRAY = "badnets-gray"
"""Title of the attack of Sec. 3, whose trigger is gray: Fig. 4 and 5."""
PHOTOGRAPHED = (STANDARD[0], ENHANCED[0])
"""Titles of the attacks that the paper prints and photographs (Fig. 11, 12)."""
ROWS = ("benign", "robust", GRAY, *STANDARD)
"""Base titles of models in the order of the rows of tables: the clean models first."""

PAPER_MODELS = ("vgg19", "resnet34")
"""Registered names of the paper's networks."""


def paper_networks(model: str) -> tuple[str, ...]:
    """The networks of the paper that one stands beside: itself, where the paper has it, else all.

    >>> paper_networks("vgg19"), paper_networks("resnet20")
    (('vgg19',), ('vgg19', 'resnet34'))
    """
    return (model,) if model in PAPER_MODELS else PAPER_MODELS


SHRINK = 4
"""Largest shrink size of an enhanced attack's training, and the size of the defense against it, in pixels."""
SHRINKPAD = f"shrinkpad:{SHRINK}"
"""The same as the text of a transformation."""
SHRINKPAD_LABEL = f"ShrinkPad-{SHRINK}"
"""The same for people."""

FREE = ("flip", "shrinkpad:1", "shrinkpad:2", "shrinkpad:3", SHRINKPAD)
"""The transformations of Table 1 and Fig. 1, which take no training."""
TABLE_5 = ("", "flip", "shrinkpad:2", SHRINKPAD)
"""The columns of Table 5; the first is no defense."""

VALUES = (0, 64, 128, 192, 255)
"""Pixel values of the trigger that numbers are given of (Fig. 5)."""
DISTANCES = (1, 2, 3)
"""Distances from the training location that numbers are given of (Fig. 4), in pixels."""
PHOTOGRAPHS = ("near", "far")
"""Names of the distances from which prints are photographed (Fig. 11, 12)."""

STRONGEST = {"noise": 20.0, "hue": 0.4, "contrast": 0.4, "brightness": 0.4, "saturation": 0.4}
"""Strongest setting of every transformation of Tables 3 and 4, by its registered name."""
SPATIAL = (*FREE, "shrinkpad:6", "shrinkpad:8")
"""The transformations of Tables 1 and 5, and ShrinkPad of sizes that no attack was trained with (Fig. 13)."""
VALUE_SHIFTS = ("noise:10", *(f"{name}:{strength:g}" for name, strength in STRONGEST.items()))
"""The strongest transformations of Tables 3 and 4, which change values and move nothing."""
