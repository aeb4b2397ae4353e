"""Questions to the models that users wait for: those of several sessions that come at one time are asked together.

While one computation is under way, the questions that come wait; then all of those to one model are answered in as few
passes as possible, and the same question is computed once for all who ask it. One at a time of the threads that wait
computes, so that there is no thread of its own to be ended with the server.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["TOGETHER", "Questions"]

TOGETHER = 512
"""Images of one computation, after which those of another model have their turn: a tenth of a second on two cores."""


@dataclass(eq=False)
class _Question:
    """What one thread asks, and for others that ask the same."""

    key: Hashable
    predict: Callable[[Tensor], Tensor]
    images: Callable[[], Tensor]
    count: int
    alike: Hashable
    woken: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    answer: Tensor | None = None
    error: BaseException | None = None

    def result(self) -> Tensor:
        """The answer, or what went wrong."""
        if self.answer is None:
            raise self.error or RuntimeError("a question was not answered")
        return self.answer


class Questions:
    """What users wait for, in the order in which it came.

    Args:
        turn: Entered around each computation, which it keeps apart from all others.
        together: Images that are computed together at most; one question may have more.
    """

    def __init__(self, turn: Callable[[], AbstractContextManager[None]], together: int = TOGETHER) -> None:
        self._turn, self._together = turn, together
        self._waiting = deque[_Question]()
        self._open: dict[Hashable, _Question] = {}
        self._lock = threading.Lock()
        self._led = False

    def ask(
        self,
        key: Hashable,
        predict: Callable[[Tensor], Tensor],
        images: Callable[[], Tensor],
        count: int,
        alike: Hashable,
    ) -> Tensor:
        """Predicted classes, int64 ``(count,)``; waits for them.

        Args:
            key: All that decides the answer.
            predict: The model: floats ``(N, C, H, W)`` to predicted classes, int64 ``(N,)``.
            images: Makes the images, floats ``(count, C, H, W)`` in [0, 1]; called when it is their turn.
            count: How many.
            alike: Equal for questions that can be computed together: those to one model on images of one shape.
        """
        with self._lock:
            question = self._open.get(key)
            mine = question is None
            if question is None:
                question = self._open[key] = _Question(key, predict, images, count, alike)
                self._waiting.append(question)
            leads, self._led = mine and not self._led, True
        if not mine:
            question.answered.wait()
        elif not leads:
            question.woken.wait()
            leads = not question.answered.is_set()
        if leads:
            self._lead()
        return question.result()

    def _lead(self) -> None:
        """Answers the oldest question, that of this thread, and all that can be computed with it."""
        chosen: list[_Question] = []
        try:
            with self._turn(), torch.inference_mode():
                chosen = self._take()
                self._answer(chosen)
        except BaseException as error:
            with self._lock:
                chosen = chosen or [self._waiting.popleft()]
            for question in chosen:
                question.error = error
        finally:
            with self._lock:
                for question in chosen:
                    del self._open[question.key]
                following = self._waiting[0] if self._waiting else None
                self._led = following is not None
            for question in chosen:
                question.answered.set()
                question.woken.set()
            if following is not None:
                following.woken.set()

    def _take(self) -> list[_Question]:
        """The oldest question, and those like it that came while others were computed, out of the queue."""
        with self._lock:
            chosen = [self._waiting.popleft()]
            room = self._together - chosen[0].count
            for question in list(self._waiting):
                if question.alike == chosen[0].alike and question.count <= room:
                    self._waiting.remove(question)
                    chosen.append(question)
                    room -= question.count
        return chosen

    @staticmethod
    def _answer(chosen: Sequence[_Question]) -> None:
        images = [question.images() for question in chosen]
        # Nothing is copied for a question alone.
        predicted = chosen[0].predict(torch.cat(images) if len(images) > 1 else images[0])
        for question, part in zip(chosen, torch.split(predicted, [len(one) for one in images]), strict=True):
            question.answer = part.clone() if len(images) > 1 else part
