"""Names and settings of the paper."""

from __future__ import annotations

ATTACKS = ("badnets", "blended", "consistent")
