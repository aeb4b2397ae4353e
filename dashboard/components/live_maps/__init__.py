"""Saliency maps that follow the trigger in the browser, as far as it has seen them.

A Streamlit custom component (v2, in the page itself, no shadow root: it shows what
:func:`dashboard.figures.panels.block_html` draws). What was shown at a place is kept in the browser and shown at once
when the trigger comes back there, without asking the server. What is known of no place is asked for; until it comes,
the last maps stay, dimmed, with the place that they are of.

No maps of all places are stored: those of one image, method and transformation are two maps of 32 x 32 numbers and a
transformed image at each of 900 places, 4 MB for every attack, which no other image, method or look could use.
"""

from __future__ import annotations

from dashboard.components.channel import Component

__all__ = ["live_maps"]

_component = Component("live_maps", ("shared.js", "maps.js"), isolate_styles=False)


def live_maps(html: str, *, place: tuple[int, int], of: str, key: str) -> None:
    """Draw maps of one place, and keep them in the browser for when the trigger comes back.

    Args:
        html: The maps.
        place: Row and column of the trigger that they are of.
        of: What else they are of, such as models, image and method, as a short text: maps of another ``of`` are not
            shown.
        key: Streamlit key, unique in the session.
    """
    _component.draw(key, {"html": html, "place": list(place), "of": of})
