"""Jobs that tests run in processes of their own; imported there by this name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Count:
    """How far a job is, and which process it is in."""

    number: int
    process: int = 0

    def to_dict(self):
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        return cls(**values)


def count(to):
    """Counts, and prints what is no result."""
    for number in range(1, to + 1):
        print("not a message")
        yield Count(number, os.getpid())


def forever(children=0, began=None):
    """Never ends; starts further processes, and notes that it has begun in a file."""
    started = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) for _ in range(children)]
    if began is not None:
        Path(began).write_text(" ".join(str(one.pid) for one in started))
    yield Count(len(started), os.getpid())
    time.sleep(600)


def priority():
    """Tells how much it steps back, and then how much all that it starts, where the system groups processes."""
    yield Count(os.nice(0), os.getpid())
    group = Path("/proc/self/autogroup")
    if group.exists():
        yield Count(int(group.read_text().split("nice")[1]), os.getpid())


def fails(kind, parts):
    """Fails after a first result."""
    yield Count(1)
    raise {"ValueError": ValueError, "OSError": OSError, "KeyError": KeyError}[kind](*parts)


def ends():
    """Ends its process, as the system does when memory runs out."""
    yield Count(1)
    os._exit(7)
