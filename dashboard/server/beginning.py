"""The beginning of the server: trainings that waited when the last one ended go on, before anybody opens their page."""

from __future__ import annotations

import threading
from functools import cache

from core.data import cache_folder
from dashboard.server.subjects import store

__all__ = ["take_up_queue"]

EMPTY = len(b'{"waiting": []}')


@cache
def take_up_queue() -> None:
    """Looks once whether trainings wait, and sees to it, aside, that they go on.

    What trains is imported only then: the first page is not to wait for it.
    """
    queues = list((cache_folder() / "trainings").glob("queue-*.json"))
    if any(queue.stat().st_size > EMPTY for queue in queues):
        threading.Thread(target=_take_up, args=(str(store().root),), name="queue", daemon=True).start()


def _take_up(root: str) -> None:
    from dashboard.server.trainings import trainings

    trainings(root)
