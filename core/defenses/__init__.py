"""Defenses that repair a backdoored model or purify its input; each file of this package registers its own.

Transformation-based defenses, which need nothing but a layer in front of the model, are in :mod:`core.transforms`.
"""

from core.defenses.base import Material, Outcome, Progress, Repair, defense_from_dict, defenses, split_test

__all__ = [
    "Material",
    "Outcome",
    "Progress",
    "Repair",
    "defense_from_dict",
    "defenses",
    "split_test",
]
