"""Where the tasks of a grid run: here, in several processes of this machine, or on a Ray cluster.

The same function performs a task everywhere. A worker that dies takes no result with it: what a task makes is stored
whole or not at all, a training goes on from its last epoch, and the task is given to another worker. Workers end with
the process that has started them, however it ends.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from core.reproduction.performing import Progress, perform
from core.reproduction.tasks import Task
from core.runtime.device import select_device
from core.store.remote import open_store
from core.workers.process import end_with_parent

__all__ = ["Engine", "Outcome", "Processes", "RayCluster", "Serial", "run_tasks"]

ATTEMPTS = 3


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        task: The task.
        error: One sentence if it failed, else empty.
        lost: Whether its worker died; then it is tried again.
    """

    task: Task
    error: str = ""
    lost: bool = False


class Engine(Protocol):
    """Runs tasks that need nothing of each other."""

    workers: int

    def start(self, task: Task) -> None:
        """Begins a task; never more than :attr:`workers` at a time."""

    def finished(self) -> list[Outcome]:
        """Waits until at least one task has ended."""

    def close(self) -> None:
        """Ends the workers."""


def perform_whole(values: dict[str, Any], store: str, device: str) -> str:
    """Performs a task in a worker; returns what went wrong in one sentence, or nothing."""
    try:
        for _ in perform(Task.from_dict(values), open_store(store), select_device(device)):
            pass
    except (ValueError, OSError, RuntimeError) as error:
        return sentence(error)
    return ""


def sentence(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


class Serial:
    """In this process, one after the other.

    Args:
        store: Folder of the checkpoints.
        device: Where to compute.
        report: Called as a task goes on.
    """

    workers = 1

    def __init__(self, store: str, device: str, report: Callable[[Task, Progress], None] | None = None) -> None:
        self.store, self.device, self.report = store, device, report
        self._waiting: list[Task] = []

    def start(self, task: Task) -> None:
        self._waiting.append(task)

    def finished(self) -> list[Outcome]:
        task, error = self._waiting.pop(0), ""
        try:
            for progress in perform(task, open_store(self.store), select_device(self.device)):
                if self.report is not None:
                    self.report(task, progress)
        except (ValueError, OSError, RuntimeError) as caught:
            error = sentence(caught)
        return [Outcome(task, error)]

    def close(self) -> None:
        pass


def _begin_worker(workers: int) -> None:
    end_with_parent()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


class Processes:
    """In several processes of this machine, which share its cores.

    Args:
        store: Folder of the checkpoints.
        device: Where to compute.
        workers: How many.
    """

    def __init__(self, store: str, device: str, workers: int) -> None:
        self.store, self.device, self.workers = store, device, workers
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[str], Task] = {}
        self._others = set[BaseProcess]()

    def start(self, task: Task) -> None:
        if self._pool is None:
            self._others = set(multiprocessing.active_children())
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin_worker,
                initargs=(self.workers,),
            )
        self._running[self._pool.submit(perform_whole, task.to_dict(), self.store, self.device)] = task

    def finished(self) -> list[Outcome]:
        ended, _ = wait(self._running, return_when=FIRST_COMPLETED)
        outcomes = []
        for future in ended:
            task = self._running.pop(future)
            try:
                outcomes.append(Outcome(task, future.result()))
            except BrokenProcessPool:
                outcomes.append(Outcome(task, "its process died", lost=True))
        if any(outcome.lost for outcome in outcomes):
            # One dead process breaks the pool, and with it all that is running.
            outcomes += [Outcome(task, "its process died", lost=True) for task in self._running.values()]
            self._running.clear()
            self.close()
        return outcomes

    def close(self) -> None:
        if self._pool is not None:
            if any(not future.done() for future in self._running):
                # Interrupted: what has been stored stays, and the next run goes on from there.
                for process in set(multiprocessing.active_children()) - self._others:
                    process.kill()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class RayCluster:
    """On a Ray cluster, by Ray's own scheduler.

    Args:
        store: Folder of the checkpoints; every node must see it.
        device: Where to compute; ``cuda`` takes a GPU for each task.
        address: The cluster's address, as ``ray.init`` takes it; None starts one on this machine.
        workers: Tasks at a time; 0 for as many as the cluster has cores, or GPUs.

    Raises:
        ValueError: If Ray is not installed.
    """

    def __init__(self, store: str, device: str, address: str | None = None, workers: int = 0) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError:
            raise ValueError('engine = "ray" needs Ray: pip install "trigger-sensitivity[ray]"') from None
        self._ray = ray
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        gpu = select_device(device).type == "cuda" if device == "auto" else device == "cuda"
        self.store, self.device = store, device
        resources = ray.cluster_resources()
        self.workers = workers or max(1, int(resources.get("GPU" if gpu else "CPU", 1)))
        # Lost workers are reported, not hidden: a task is tried again by whoever schedules it.
        options = {"num_cpus": 1, "num_gpus": 1 if gpu else 0, "max_retries": 0}
        self._perform = ray.remote(**options)(perform_whole)
        self._running: dict[Any, Task] = {}

    def start(self, task: Task) -> None:
        self._running[self._perform.remote(task.to_dict(), self.store, self.device)] = task

    def finished(self) -> list[Outcome]:
        (reference, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        task = self._running.pop(reference)
        try:
            return [Outcome(task, self._ray.get(reference))]
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.NodeDiedError) as error:
            return [Outcome(task, sentence(error), lost=True)]
        except self._ray.exceptions.RayError as error:
            return [Outcome(task, sentence(error))]

    def close(self) -> None:
        self._ray.shutdown()


def run_tasks(tasks: Sequence[Task], engine: Engine) -> Iterator[Outcome]:
    """Runs tasks, each after those it needs, as many at a time as the engine has workers.

    Args:
        tasks: What is left to do; what they need is among them, or done.
        engine: Where.

    Yields:
        What became of each, as it ends. A task whose worker died is tried again, three times in all; one that needs a
        task that failed fails too.
    """
    waiting, running = {task.id: task for task in tasks}, set[str]()
    failed: set[str] = set()
    attempts: dict[str, int] = {}
    while waiting or running:
        for task in list(waiting.values()):
            if set(task.needs) & failed:
                failed.add(task.id)
                del waiting[task.id]
                yield Outcome(task, f"it needs {' and '.join(sorted(set(task.needs) & failed))}, which failed")
            elif len(running) < engine.workers and not set(task.needs) & (set(waiting) | running):
                running.add(task.id)
                del waiting[task.id]
                engine.start(task)
        if not running:
            continue
        for outcome in engine.finished():
            task = outcome.task
            running.discard(task.id)
            attempts[task.id] = attempts.get(task.id, 0) + 1
            if outcome.lost and attempts[task.id] < ATTEMPTS:
                waiting[task.id] = task
                continue
            if outcome.error:
                failed.add(task.id)
            yield outcome
