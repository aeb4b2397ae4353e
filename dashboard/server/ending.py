"""The end of the server: runs of the script that still compute are waited for.

Streamlit asks them to stop and ends without them. A thread that is in the middle of a prediction when Python ends takes
the whole process down with an abort.
"""

from __future__ import annotations

import atexit
import threading
import time

__all__ = ["wait_for_runs"]

RUNS = "ScriptRunner"
"""How Streamlit's names of threads that run a script begin."""


@atexit.register
def wait_for_runs(timeout: float = 8.0) -> None:
    """Waits for the runs of the script, at most so many seconds in all; called when the server ends."""
    deadline = time.monotonic() + timeout
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith(RUNS) and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
