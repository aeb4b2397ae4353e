"""Pictures of visitors take a bounded part of the memory, and it is given back."""

from __future__ import annotations

import threading
import time

import pytest
from starlette.exceptions import HTTPException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from dashboard.server.limits import AtOnce
from dashboard.server.uploads import Pictures, bounded


def record(name: str, size: int) -> UploadedFileRec:
    return UploadedFileRec(name, name, "image/png", bytes(size))


def held(manager: MemoryUploadedFileManager) -> dict[str, list[str]]:
    return {session: list(files) for session, files in manager.file_storage.items() if files}


def test_thirty_uploads_of_one_session_keep_one() -> None:
    manager = MemoryUploadedFileManager("/upload")
    add = bounded(manager, AtOnce(24, 100))
    for number in range(30):
        add(session_id="me", file=record(str(number), 24))
    assert held(manager) == {"me": ["29"]}
    add(session_id="me", file=record("29", 20))
    assert len(manager.file_storage["me"]["29"].data) == 20


def test_small_ones_stay_beside_each_other() -> None:
    manager = MemoryUploadedFileManager("/upload")
    add = bounded(manager, AtOnce(24, 100))
    for number in range(4):
        add(session_id="me", file=record(str(number), 10))
    assert held(manager) == {"me": ["2", "3"]}


def test_all_together_have_a_limit_and_who_has_one_keeps_it() -> None:
    manager = MemoryUploadedFileManager("/upload")
    add = bounded(manager, AtOnce(24, 100))
    for number in range(4):
        add(session_id=f"visitor {number}", file=record("a", 24))
    for file in (record("b", 24), record("c", 25)):
        with pytest.raises(HTTPException) as refused:
            add(session_id="one more", file=file)
        assert refused.value.status_code == 507
    assert len(held(manager)) == 4
    add(session_id="visitor 0", file=record("b", 24))
    manager.remove_session_files("visitor 1")
    add(session_id="one more", file=record("b", 24))
    assert held(manager)["one more"] == ["b"]


def test_one_decoded_picture_of_each_visitor_is_kept_and_of_so_many() -> None:
    decoded = list[str]()

    def read(session: str, name: str) -> str:
        def decode() -> str:
            decoded.append(name)
            return name

        return pictures.read(session, name.encode(), 1.0, decode)

    pictures = Pictures[str](keep=2)
    assert [read("me", "a"), read("me", "a"), read("me", "b"), read("me", "a")] == ["a", "a", "b", "a"]
    assert decoded == ["a", "b", "a"], "the one before is forgotten"
    read("you", "a"), read("they", "c"), read("me", "a")
    assert decoded[3:] == ["a", "c", "a"]
    pictures.forget("me")
    read("me", "a")
    assert decoded[6:] == ["a"]


def test_pictures_are_worked_on_a_few_at_a_time() -> None:
    pictures, lock = Pictures[None](at_once=2), threading.Lock()
    inside, most = 0, 0

    def decode() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1

    threads = [threading.Thread(target=pictures.read, args=(str(n), b"", n, decode)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 2
