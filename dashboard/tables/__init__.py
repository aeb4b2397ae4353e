"""Tables of stored results, and the statements that they decide.

``rows`` collects results of several models, ``defenses`` and ``paper`` put them beside the paper's numbers, ``claims``
draws verdicts.
"""
