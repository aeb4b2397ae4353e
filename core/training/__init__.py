"""Training of clean and backdoored classifiers, epoch by epoch, so that it can be interrupted and goes on."""

from core.training.state import Epoch, read_unfinished
from core.training.trainer import Plan, train, with_free_name

__all__ = ["Epoch", "Plan", "read_unfinished", "train", "with_free_name"]
