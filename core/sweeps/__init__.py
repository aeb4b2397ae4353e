"""Sweeps: the attack success rate over places, appearances, defenses and photographs.

Each is an iterator of ever more complete results, so that it can be shown while it is measured. Modules that need
further packages, such as :mod:`core.sweeps.saliency`, are imported by their own names.
"""

from core.sweeps.appearance import AppearanceCurve, AppearanceMap, appearance_map, appearance_sweep
from core.sweeps.base import attacked, success_at
from core.sweeps.location import LocationMap, location_sweep

__all__ = [
    "AppearanceCurve",
    "AppearanceMap",
    "LocationMap",
    "appearance_map",
    "appearance_sweep",
    "attacked",
    "location_sweep",
    "success_at",
]
