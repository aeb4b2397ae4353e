"""Figures and pieces of HTML, made from results alone: no session, no widgets.

Plotly figures by what they show (``sweeps``, ``physical``, ``repairs``, ``paper``, ``heatmap``), sketches while it is
measured (``preview``), grids of pictures (``panels``), rates and strips as HTML (``html``).
"""
