"""What one browser tab has selected, and its link.

``session`` keeps every :class:`~session.Choice` across pages and in the address, ``trigger`` makes triggers of them.
"""
