"""The physical attack (Sec. 5.5; Fig. 11, 12): print it, photograph it, classify it."""

from core.physical.camera import FACTORS, FAR, NEAR, OFF, PRESETS, Camera
from core.physical.photo import LARGEST_FILE, MOST_PIXELS, decoded_photo
from core.physical.ranges import RANGES, Range
from core.physical.rectify import FRAMINGS, RESIZES, rectified, resized
from core.physical.sheet import MOST_PRINTS, Print, Sheet, found_in

__all__ = [
    "FACTORS",
    "FAR",
    "FRAMINGS",
    "LARGEST_FILE",
    "MOST_PIXELS",
    "MOST_PRINTS",
    "NEAR",
    "OFF",
    "PRESETS",
    "RANGES",
    "RESIZES",
    "Camera",
    "Print",
    "Range",
    "Sheet",
    "decoded_photo",
    "found_in",
    "rectified",
    "resized",
]
