"""Figures and pieces of HTML, made from results alone: no session, no widgets."""
