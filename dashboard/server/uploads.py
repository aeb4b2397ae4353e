"""Pictures that visitors bring: how much of them is in memory, and that it is given back.

Streamlit keeps every file that a browser sends until its session ends. Here each session has room for one picture of
the largest size, all sessions together for some (:data:`dashboard.server.limits.UPLOADED`): a new picture takes the
place of the session's older ones, and is refused where others have taken all the room. Leaving the page gives the
room back.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Generic, TypeVar

from starlette.exceptions import HTTPException
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.server.limits import DECODED, DECODING, UPLOADED, AtOnce

__all__ = ["FULL", "Pictures", "bounded", "forget_uploads", "guard_uploads", "is_full", "pictures"]

FULL = (
    f"Other visitors' pictures take all the room that there is for them ({UPLOADED.everywhere // 2**20} MiB): another "
    "one can be brought when one of them has left the page."
)
T = TypeVar("T")
_lock = threading.Lock()


def bounded(manager: Any, limit: AtOnce = UPLOADED) -> Callable[..., None]:
    """Streamlit's ``add_file`` with bounds.

    Args:
        manager: Keeps the files of all sessions by session and file in ``file_storage``.
        limit: Bytes.

    Returns:
        The function; it refuses a file with an ``HTTPException`` of status 507, Insufficient Storage.
    """
    add = manager.add_file

    def add_file(session_id: str, file: Any) -> None:
        with _lock:
            own = dict(manager.file_storage.get(session_id, {}))
            kept = sum(len(one.data) for one in own.values())
            for file_id, one in own.items():
                if file_id == file.file_id or kept + len(file.data) > limit.each:
                    manager.remove_file(session_id, file_id)
                    kept -= len(one.data)
            if len(file.data) > limit.each or _bytes(manager) + len(file.data) > limit.everywhere:
                raise HTTPException(507, FULL)
            add(session_id, file)

    return add_file


def _bytes(manager: Any) -> int:
    return sum(len(one.data) for files in list(manager.file_storage.values()) for one in list(files.values()))


def guard_uploads() -> None:
    """Bounds the uploads of this server, once; without a server there are none."""
    if runtime.exists():
        manager: Any = runtime.get_instance().uploaded_file_mgr
        with _lock:
            if not getattr(manager, "is_bounded", False):
                manager.add_file, manager.is_bounded = bounded(manager), True


def is_full() -> bool:
    """Whether a picture of the largest size would be refused."""
    if not runtime.exists():
        return False
    return _bytes(runtime.get_instance().uploaded_file_mgr) + UPLOADED.each > UPLOADED.everywhere


def forget_uploads(session: str) -> None:
    """Gives back what the session of this run has uploaded, and what was made of it."""
    pictures().forget(session)
    context = get_script_run_ctx()
    if context is not None and runtime.exists():
        runtime.get_instance().uploaded_file_mgr.remove_session_files(context.session_id)


class Pictures(Generic[T]):
    """The latest picture of each visitor as it was decoded, of so many visitors.

    Args:
        keep: How many are kept.
        at_once: How many are worked on at once.
    """

    def __init__(self, keep: int = DECODED, at_once: int = DECODING) -> None:
        self._keep, self._turns = keep, threading.Semaphore(at_once)
        self._read: OrderedDict[str, tuple[object, T]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """For one piece of work on a picture: waits while too many others are at it."""
        with self._turns:
            yield

    def read(self, session: str, file: bytes, what: object, decode: Callable[[], T]) -> T:
        """A picture as decoded; what the session brought before is forgotten.

        Args:
            session: Whose picture it is.
            file: The file.
            what: What is made of it, so that the same file is decoded again for something else.
            decode: Decodes it.
        """
        name = hashlib.sha256(file).digest(), what
        with self._lock:
            known = self._read.get(session)
            if known is not None and known[0] == name:
                self._read.move_to_end(session)
                return known[1]
        self.forget(session)
        with self.turn():
            made = decode()
        with self._lock:
            self._read[session] = name, made
            while len(self._read) > self._keep:
                self._read.popitem(last=False)
        return made

    def forget(self, session: str) -> None:
        """Drops the picture of a session that has taken it away, or left."""
        with self._lock:
            self._read.pop(session, None)


@cache
def pictures() -> Pictures[Any]:
    """The pictures of this server."""
    return Pictures()
