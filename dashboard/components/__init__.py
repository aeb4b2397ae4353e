"""Streamlit components with a part in the browser, a folder each.

``wire.js`` and ``shared.js`` are for all of them; :mod:`dashboard.components.channel` is ``wire.js``'s Python side.
"""
