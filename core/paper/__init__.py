"""What the paper states and what was measured of it: numbers, claims, both side by side, and the tables of all.

:mod:`constants` has its attacks and defenses, :mod:`numbers` its tables, :mod:`claims` its statements with our rules;
:class:`results.Results` reads what is stored, :func:`comparison.compared` and :mod:`tables` put them side by side.
Nothing is imported here, as :mod:`constants` is what everything else may import.
"""
