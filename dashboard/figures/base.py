"""What all figures share: colours, axes, columns of numbers, and files."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["COLOURS", "error_bars"]

# Okabe and Ito's colours, which people with any colour vision tell apart: the attacked model, one beside it, the clean.
COLOURS = ("#d1495b", "#0072b2", "#8a8f98")
# Where an axis of pixel values is marked: it ends at the largest there is.
VALUE_TICKS = (*range(0, 256, 32), 255)


def error_bars(
    values: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, thickness: float = 1
) -> dict[str, object]:
    """Plotly's error bars from the ends of intervals around values."""
    return {
        "type": "data",
        "symmetric": False,
        "array": np.subtract(high, values),
        "arrayminus": np.subtract(values, low),
        "thickness": thickness,
        "width": 3,
    }


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _legend() -> dict[str, object]:
    return {"orientation": "h", "yanchor": "bottom", "y": 1.06, "x": 0}
