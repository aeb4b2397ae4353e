"""Processes of their own, which run beside an application and give way to who waits in it.

:func:`process.in_process` runs any sweep so, :func:`train.train_in_background` a training, and :mod:`precompile`
compiles.
"""
