"""The paper's experiments as tasks, and what carries them out, here, in processes or on a cluster.

:func:`tasks.grid` lists them, :mod:`executors` run them, :mod:`alpha_study` finds the Consistent Attack's alpha.
"""
