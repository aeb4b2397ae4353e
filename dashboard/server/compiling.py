"""Compiles the models of the pages aside: predictions go on uncompiled until the compiled model is there."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from pathlib import Path

import torch

from core.inference.predictor import Predictor
from core.workers.precompile import compile_in_background

__all__ = ["SETTING", "compile_aside"]

SETTING = "TRIGGER_COMPILE"
"""Environment variable that switches compiling off with ``0``: predictions are slower, and nothing runs in between."""

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds for which a thread leaves Python to the page that asked: loading what is compiled holds it up by a second."""

_compiling, _ending = threading.Lock(), threading.Event()
_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def compile_aside(predictor: Predictor, folder: Path, shape: tuple[int, int, int], repair: str = "") -> None:
    """Lets a predictor take the compiled model as soon as there is one, one model at a time.

    Also what is compiled already is loaded aside, and when the page is drawn: importing the loader takes a second.
    Nothing is done where :data:`SETTING` is ``0``.

    Args:
        predictor: The model, ready to predict uncompiled.
        folder: Folder of its checkpoint.
        shape: Channels, height and width of an image.
        repair: The stored repair whose model it is, or none.
    """
    if os.environ.get(SETTING) == "0":
        return
    thread = threading.Thread(target=_compile, args=(predictor, folder, shape, repair), daemon=True)
    _threads.add(thread)
    thread.start()


def _compile(predictor: Predictor, folder: Path, shape: tuple[int, int, int], repair: str) -> None:
    """Takes the compiled model from the cache, or lets another process compile it first."""
    _ending.wait(PAUSE)
    with _compiling:
        if _ending.is_set():
            return
        try:
            if not predictor.load_compiled(shape) and predictor.device.type == "cpu":
                with contextlib.closing(compile_in_background(folder, torch.get_num_threads(), repair)) as elsewhere:
                    if any(_ending.is_set() for _ in elsewhere):
                        return
                predictor.load_compiled(shape)
            elif predictor.device.type == "cuda":
                predictor.compile(shape)
        except Exception as error:  # whatever it is, predictions go on uncompiled
            log.warning("%s is not compiled, predictions are slower: %s", "/".join(folder.parts[-3:]), error)


@atexit.register
def _end(timeout: float = 10.0) -> None:
    """Waits for the threads, at most so many seconds in all; called when the server ends.

    A thread that still computes when Python ends takes the whole process down with an abort.
    """
    _ending.set()
    deadline = time.monotonic() + timeout
    for thread in list(_threads):
        thread.join(max(0.0, deadline - time.monotonic()))
