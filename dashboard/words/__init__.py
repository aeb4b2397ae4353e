"""Sentences and explanations: what a page answers, and what the words mean."""
