"""Predictions of the models on a page, computed when a user waits for them and kept for a while."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from core.metrics import Rate
from core.transforms import Compose
from core.trigger import Trigger, stamp
from dashboard.server.limits import PREDICTED
from dashboard.server.recent import Recent
from dashboard.server.resources import Tested, jobs, predictor
from dashboard.server.subjects import Subject

__all__ = ["predictions", "success"]


@cache
def _recent() -> Recent[Tensor]:
    return Recent(PREDICTED)


def predictions(
    subject: Subject,
    trigger: Trigger | None,
    data: Tested,
    count: int,
    start: int = 0,
    before: Compose | None = None,
) -> Tensor | None:
    """Predicted classes, int64 ``(count,)``, of test images from ``start`` on with the trigger stamped.

    None where the weights are not stored. Computed ahead of background work, together with what other sessions ask at
    the same time; the same question twice costs nothing.

    Args:
        subject: The model.
        trigger: What is stamped; None takes the untouched images of all classes instead.
        data: The test images.
        count: How many.
        start: From where on.
        before: A transformation-based defense in front of the model; its draws are the same each time.
    """
    model = predictor(subject)
    if model is None:
        return None
    before = before or Compose()
    stamped = trigger.fingerprint if trigger is not None else "untouched"
    key = (subject.weights, stamped, data.name, start, count, before.spec)
    found = _recent().get(key)
    if found is None:
        chosen, defend = slice(start, start + count), before.seeded()

        def images() -> Tensor:
            if trigger is None:
                return defend(data.clean.floats(chosen))
            return defend(stamp(data.images[chosen], trigger))

        alike = (subject.weights, *data.images.shape[1:], before.spec)
        with jobs().turns.paused():
            found = jobs().questions.ask(key, model.predict, images, count, alike)
        _recent().put(key, found)
    return found


def success(predicted: Tensor, target: int) -> Rate:
    """Attack success rate of predictions on :class:`Tested` images."""
    return Rate(int((predicted == target).sum()), len(predicted))
