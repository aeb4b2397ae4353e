"""What the process runs on: random numbers from seeds, files that are whole or not there, rest for the sake of others.

Nothing here knows of attacks or models.
"""

from core.runtime.atomic_files import write_atomically
from core.runtime.device import has_fast_bfloat16, select_device
from core.runtime.seeding import generator_for
from core.runtime.yielding import Courtesy

__all__ = ["Courtesy", "generator_for", "has_fast_bfloat16", "select_device", "write_atomically"]
