"""Controls and live displays that several pages have.

A page begins with ``page_head``, picks its models with ``controls``, says what is missing with ``download``; ``live``
and ``following`` show what follows the trigger.
"""
