"""Attacks: every module here registers its attacks by name in :data:`attacks`."""

from core.attacks.base import Attack, attack_from_dict, attacks

__all__ = ["Attack", "attack_from_dict", "attacks"]
