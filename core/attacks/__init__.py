"""Backdoor attacks; each file of this package registers its own."""

from core.attacks.base import Attack, attack_from_dict, attacks
from core.attacks.enhanced import Enhanced, Enhancement

__all__ = ["Attack", "Enhanced", "Enhancement", "attack_from_dict", "attacks"]
