"""Work in a process of its own: of low priority, reporting while it goes on, and ending with who has started it.

:func:`in_process` runs a generator function of any module elsewhere and yields what it yields, as JSON lines over a
pipe. The process holds the other end of a second pipe, which is closed when its starter ends, however it ends: the
process then ends itself, with all that it has started.

python -m core.workers.process      # the other side: reads one job from stdin
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Generator, Mapping
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from core.runtime.anytime import Reported
from core.runtime.yielding import Courtesy

__all__ = ["end_with_parent", "in_process", "lower_priority"]

ROOT = Path(__file__).resolve().parents[2]
NICE = 10
AT_MOST = "TRIGGER_NICE"
"""Environment variable: the most by which the processes that the application starts lower their priority."""
PATIENCE = 0.25
"""Seconds after which what is known is yielded again, so that whoever consumes it can stop."""


R = TypeVar("R", bound=Reported)


def in_process(
    function: str,
    arguments: Mapping[str, Any],
    first: R,
    *,
    alone: Path | None = None,
    courtesy: Path | None = None,
) -> Generator[R, None, None]:
    """Runs a generator function in a process of its own; the process ends when this generator is closed.

    Args:
        function: ``module:name`` of the function. It takes keyword arguments and yields objects of one class.
        arguments: The arguments, ready for JSON.
        first: An object of that class, yielded at once and until there is another.
        alone: A lock file: the job waits while another one of this machine that was given the same file is at work.
        courtesy: File of a :class:`core.runtime.yielding.Courtesy`: it rests between two results while somebody waits.

    Yields:
        What the function yields; the latest again where nothing new comes for :data:`PATIENCE` seconds.

    Raises:
        ValueError: As the function raises it.
        OSError: As the function raises it; or the process cannot be started, or is ended from outside.
        RuntimeError: If the function raises something else, which is then written to stderr.
    """
    job: dict[str, Any] = {"function": function, "arguments": dict(arguments)}
    job |= {"alone": None if alone is None else str(alone), "courtesy": None if courtesy is None else str(courtesy)}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "core.workers.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,  # what it starts itself ends with it; and Ctrl-C is for who has started it
    )
    lines = queue.SimpleQueue[bytes]()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already; how is found out below
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
        latest = first
        yield latest
        while True:
            try:
                line = lines.get(timeout=PATIENCE)
            except queue.Empty:
                yield latest
                continue
            message = json.loads(line) if line else {}
            if "ended" in message:
                return
            if "result" not in message:
                raise _error(message, process)
            latest = type(first).from_dict(message["result"])
            yield latest
    finally:
        _end(process)


def _read(process: subprocess.Popen[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Passes on every line that a process writes; nothing at its end."""
    assert process.stdout is not None
    with contextlib.suppress(ValueError, OSError):  # closed
        for line in process.stdout:
            lines.put(line)
    lines.put(b"")


def _error(message: Mapping[str, Any], process: subprocess.Popen[bytes]) -> Exception:
    """What went wrong in a process, as an exception of the same kind."""
    if not message:
        status = process.wait()
        return OSError(f"its process was ended from outside ({'signal' if status < 0 else 'status'} {abs(status)})")
    kind, parts = message["error"]
    return {"ValueError": ValueError, "OSError": OSError}.get(kind, RuntimeError)(*parts)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def lower_priority(by: int = NICE) -> None:
    """Lets everything else on the machine go before this process, and before what it starts.

    Where Linux shares a processor among sessions first (``man 7 sched``, *The autogroup feature*), what a process that
    leads one takes from others is decided by the group's nice value, not by its own.

    Args:
        by: What is added to the nice value. The environment's :data:`AT_MOST`, where it is set, is the most.
    """
    by = min(by, int(os.environ.get(AT_MOST, by)))
    if hasattr(os, "nice") and by > 0:
        nice = os.nice(by)
        if os.getsid(0) == os.getpid():
            with contextlib.suppress(OSError):  # no such feature, or changed too often within a short time
                Path("/proc/self/autogroup").write_text(str(nice))


def end_with_parent() -> None:
    """Ends this process, one that :mod:`multiprocessing` has started, as soon as its parent has ended.

    Otherwise a worker computes on, holds its locks and its memory, and finds out when it hands over its result.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_with_stdin() -> None:
    """Ends this process, and all that it has started, as soon as nobody holds the other end of its standard input."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Does the job that comes by standard input."""
    begin = bytearray()
    while not begin.endswith(b"\n"):
        begin += (part := os.read(0, 1))
        if not part:
            return
    _end_with_stdin()
    job = json.loads(begin)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no message
    lower_priority()

    def tell(message: Mapping[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    courtesy = Courtesy(Path(job["courtesy"])) if job["courtesy"] is not None else None
    try:
        with _alone(job["alone"]):  # before anything large is imported
            module, _, name = job["function"].partition(":")
            for result in getattr(importlib.import_module(module), name)(**job["arguments"]):
                tell({"result": result.to_dict()})
                if courtesy is not None:
                    courtesy.rest()
        tell({"ended": True})
    except ValueError as error:
        tell({"error": ["ValueError", [str(error)]]})
    except OSError as error:
        filename = [] if error.filename is None else [str(error.filename)]
        parts = [error.errno, error.strerror, *filename] if error.strerror else [str(error)]
        tell({"error": ["OSError", parts]})
    except Exception as error:
        traceback.print_exc()
        tell({"error": [type(error).__name__, [str(error)]]})


def _alone(path: str | None) -> contextlib.AbstractContextManager[Any]:
    """Holds a lock; a holder that dies, however it dies, holds it no longer."""
    if path is None:
        return contextlib.nullcontext()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


if __name__ == "__main__":
    main()
