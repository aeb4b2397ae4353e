"""Classifiers: every module here registers its models by name in :data:`models`."""

from core.models.base import Classifier, Early, Normalise, build_model, last_channels, models

__all__ = ["Classifier", "Early", "Normalise", "build_model", "last_channels", "models"]
