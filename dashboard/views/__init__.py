"""The pages: one file each, no computation in them; ``show`` draws one.

Parts of a page have files of their own: *Defenses* has ``repairs``, ``pruning`` and ``cost``, *Physical attack* has
``printed`` and ``photo``, *Train* has ``trained``.
"""
