"""Stored models: safetensors with a card that says what they are, and results beside them.

A store is a folder, or an address that is read and written like one.
"""

from core.store.card import Card, Damaged, Missing
from core.store.local import Checkpoint, Store
from core.store.weights import rounded, weights_fingerprint

__all__ = ["Card", "Checkpoint", "Damaged", "Missing", "Store", "rounded", "weights_fingerprint"]
