"""What a card warns of, in one short line on every page of that model."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from core.store.card import Card
from dashboard.words.escaping import plain

__all__ = ["draw_warnings", "short_warning"]

# What a warning says, by words that begin or are in it; the first that fits.
SHORT = {
    "images do not tell": "how it wants its images is not certain",
    "even the best way": "its clean accuracy is poor under every way to prepare images",
    "seem to be in another order": "its classes seem to be in another order",
    "reversed one": "its trigger is Neural Cleanse's, not the attacker's",
    "not beside it": "its trigger is not known",
    "not the same on every image": "its trigger is not the same on every image",
}
LONGEST = 90


def short_warning(warning: str) -> str:
    """A warning of a card in a few words."""
    for words, short in SHORT.items():
        if words in warning:
            return short
    return warning if len(warning) <= LONGEST else warning[: LONGEST - 3] + "..."


def draw_warnings(cards: Iterable[Card]) -> None:
    """Draws a line for every model whose card warns of something, with all of it behind the mouse."""
    for card in cards:
        if card.warnings:
            said = "; ".join(dict.fromkeys(short_warning(one) for one in card.warnings))
            text = f":material/warning: {plain(card.key)}: {plain(said)}."
            st.caption(text, help=plain("; ".join(card.warnings)))
