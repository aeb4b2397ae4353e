"""Predictions of a classifier, fast: whole images, and images that differ only where the trigger is.

A :class:`Predictor` takes uint8 or float images and gives labels; see :mod:`core.inference.predictor`.
"""

from core.inference.predictor import Predictor, fold_batch_norm

__all__ = ["Predictor", "fold_batch_norm"]
