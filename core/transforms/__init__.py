"""Transformations of images: defenses in front of a model, and the random layer of an enhanced attack."""

from core.transforms.base import MOST_STEPS, Compose, Drawn, Layer, Portion, Transform, transform_from_spec, transforms

__all__ = ["MOST_STEPS", "Compose", "Drawn", "Layer", "Portion", "Transform", "transform_from_spec", "transforms"]
