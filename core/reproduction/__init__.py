"""The paper's experiments as tasks, and what carries them out, here, in processes or on a cluster.

:func:`tasks.grid` lists them, :mod:`performing` carries one out, :mod:`executors` all of them; :mod:`alpha_study` finds
the Consistent Attack's alpha, :mod:`recipe_study` how many epochs a network needs.
"""
