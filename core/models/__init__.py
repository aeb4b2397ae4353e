"""Classifiers: every module here registers its models by name in :data:`models`."""

from core.models.base import Classifier, Normalise, build_model, models

__all__ = ["Classifier", "Normalise", "build_model", "models"]
