"""Backdoor attacks; each file of this package registers its own."""

from core.attacks.base import Attack, attacks
from core.attacks.enhanced import Enhanced, Enhancement, attack_from_dict

__all__ = ["Attack", "Enhanced", "Enhancement", "attack_from_dict", "attacks"]
