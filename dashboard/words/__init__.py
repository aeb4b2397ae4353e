"""Sentences and explanations: what a page answers, and what the words mean.

``answers`` makes a page's first sentence from its numbers, ``glossary`` explains terms, ``escaping`` makes others'
texts harmless.
"""
