"""The forward path of everything that only predicts: sweeps, success rates, strips of images.

Batch norm is folded into the convolutions, the arithmetic is bfloat16 where the processor computes with it, memory is
channels last, and after :meth:`Predictor.compile` batches of :data:`BATCH` images run through a compiled graph, on CUDA
batches of :data:`AT_ONCE` through a CUDA graph.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from core.inference.aot import Run, load_package, make_package
from core.inference.cuda_graph import Captured
from core.inference.incremental import Later, PlacesPredict, Reuse, activations, at_places, pays
from core.models import Classifier
from core.runtime.device import fast_type
from core.trigger import Trigger

__all__ = ["BATCH", "Folded", "Predictor", "fold_batch_norm"]

log = logging.getLogger(__name__)

# Images a compiled graph takes at once: as many passes a second on two cores as with 256 (`scripts/benchmark.py
# --batches 64,256`), and a drag, which takes as few, wastes none and waits for at most one batch of somebody else.
BATCH = 64
# Images at once elsewhere: on a GPU, and where what the trigger does not change is put together.
AT_ONCE = {"cpu": 256, "cuda": 2048, "mps": 512}
# Pixels of an image from which memory is counted: fewer are taken at once, and activations are kept of so many pixels.
LARGE, MOST_REUSED = 64 * 64, 1 << 21
# Images and places on which the two ways to predict at places are timed: one run is one batch.
TIMED = (32, 8)


def fold_batch_norm(module: nn.Module) -> None:
    """Folds every batch norm into the convolution that stands right before it among its siblings, in place.

    That is where the normalised convolutions of this project's models keep theirs; a test holds every registered model
    to it. (Tracing the graph instead would patch ``nn.Module`` for the whole process while it runs, and break the
    predictions of other threads.)
    """
    last: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and last is not None and isinstance(last[1], nn.Conv2d):
            setattr(module, last[0], fuse_conv_bn_eval(last[1], child))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norm(child)
        last = (name, child)


class Folded(nn.Module):
    """The network with batch norm folded: normalises in float32, then computes in ``dtype``."""

    def __init__(self, model: Classifier, dtype: torch.dtype) -> None:
        super().__init__()
        model = copy.deepcopy(model).to("cpu").float().eval().requires_grad_(False)
        self.normalise: nn.Module = model.normalise
        model.normalise = nn.Identity()  # type: ignore[assignment]
        if model.folds:
            fold_batch_norm(model)
        self.body = model.to(dtype).to(memory_format=torch.channels_last)
        self.dtype = dtype

    def prepare(self, images: Tensor) -> Tensor:
        """Normalised images, in the type and memory layout of the arithmetic."""
        x: Tensor = self.normalise(images)
        return x.to(dtype=self.dtype, memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(self.prepare(images))
        return logits.float()


class Predictor:
    """A frozen copy of a model that predicts quickly; safe to call from several threads.

    Args:
        model: The classifier; it is copied, so that later changes of it do not show here.
        device: Where to compute.
        dtype: Type of the arithmetic; None takes bfloat16 where it is faster and float32 elsewhere.
        batch: Images that the compiled graph takes at once.
    """

    def __init__(
        self,
        model: Classifier,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        *,
        batch: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.batch = batch or (AT_ONCE["cuda"] if self.device.type == "cuda" else BATCH)
        self.dtype = dtype or fast_type(self.device)
        self._eager = Folded(model, self.dtype).to(self.device)
        self._later = Later(self._eager.body)
        self._compiled: Run | None = None
        self._compiled_later: Run | None = None
        self._lock, self._timing = threading.Lock(), threading.Lock()
        self._reuses: dict[tuple[int, ...], bool] = {}
        self._failure = ""

    @property
    def path(self) -> str:
        """How this predictor computes, for cards and results; says so when compilation was impossible."""
        kind = str(self.dtype).removeprefix("torch.")
        if self._failure:
            return f"{kind} folded, not compiled ({self._failure})"
        return f"{kind} folded, compiled" if self._compiled is not None else f"{kind} folded"

    def compile(self, shape: tuple[int, int, int]) -> Predictor:
        """Compiles the graph for batches of images of ``shape`` (C, H, W), or loads it from the cache.

        Predictions made meanwhile by other threads take the uncompiled path. Where there is no compiler, and on other
        devices than the CPU and CUDA ones, the predictor stays uncompiled and :attr:`path` says so.
        """
        with self._lock:
            if self._compiled is None and not self._failure:
                self.load_compiled(shape)
            if self._compiled is None and not self._failure:
                try:
                    if self.device.type == "cuda":
                        example = torch.zeros(self.batch, *shape, device=self.device)
                        self._compiled = Captured(torch.compile(self._eager, dynamic=False), example)
                    else:
                        self._make_packages(shape)
                except Exception as error:
                    self._failure = type(error).__name__
                    log.warning("the model is not compiled, predictions are slower: %s", error)
        return self

    def _make_packages(self, shape: tuple[int, int, int]) -> None:
        make_package(self._eager, torch.zeros(self.batch, *shape))
        if self._eager.body.early():
            make_package(self._later, self._behind(shape))
        self.load_compiled(shape)

    def load_compiled(self, shape: tuple[int, int, int]) -> bool:
        """Takes the compiled graph from the cache, which is for the CPU; returns whether there was one.

        On CUDA the compiler looks into a cache of its own; recording takes a few runs of the network.
        """
        if self.device.type == "cpu":
            with torch.inference_mode():
                self._compiled = load_package(self._eager, torch.zeros(self.batch, *shape))
                if self._compiled is not None and self._eager.body.early():
                    self._compiled_later = load_package(self._later, self._behind(shape))
        elif self.device.type != "cuda":
            self._failure = f"compiled on the CPU and on CUDA only, not on {self.device.type}"
        return self._compiled is not None

    def _behind(self, shape: tuple[int, int, int]) -> Tensor:
        """An example of what comes out of the early convolutions."""
        body = self._eager.body
        with torch.inference_mode():
            last = activations(body.early(), self._eager.prepare(torch.zeros(1, *shape)))[-1]
        return last.new_zeros(self.batch, *last.shape[1:]).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Logits, float32 ``(N, classes)`` on the device, of float images ``(N, C, H, W)`` in [0, 1]."""
        parts = []
        at_once = self.batch if self._compiled is not None else _eager_batch(self.device, images)
        for part in torch.split(images.to(self.device, torch.float32), at_once):
            # A graph compiled for one size: a part nearly as large is filled up, a small one runs uncompiled.
            if self._compiled is not None and 2 * len(part) >= self.batch:
                parts.append(_filled(self._compiled, part, self.batch))
            else:
                parts.append(self._eager(part))
        return torch.cat(parts) if parts else torch.zeros(0, 0, device=self.device)

    def located(self, images: Tensor, trigger: Trigger) -> PlacesPredict:
        """Predicted classes of the same images with a trigger at any place, for maps of locations.

        What the trigger does not change is computed once (see :mod:`core.inference.incremental`) where possible and
        faster: for a compiled model and a trigger that leaves enough of the image alone, and as both ways
        are timed on this machine once for each size of trigger.

        Args:
            images: Floats ``(N, C, H, W)`` in [0, 1].
            trigger: What is stamped; its own location is not used.
        """
        body, later = self._eager.body, self._compiled_later
        whole = at_places(self.predict)
        large = images.shape[2] * images.shape[3] > LARGE
        if later is None or not pays(body.early(), trigger, *images.shape[2:]):
            return whole(images, trigger)
        if large and images[:, 0].numel() > MOST_REUSED:
            return whole(images, trigger)
        size = (trigger.height, trigger.width, *images.shape[1:])
        with self._timing:
            # Too few images say nothing about many, and are soon done either way.
            if size not in self._reuses and len(images) >= TIMED[0]:
                few = images[: TIMED[0]]
                rows, cols = trigger.places(*images.shape[2:])
                places = [(rows[k % len(rows)], cols[k % len(cols)]) for k in range(TIMED[1])]
                ways = (self._reused(later, few, trigger), whole(few, trigger))
                reused, anew = (_seconds(way, places) for way in ways)
                self._reuses[size] = reused < anew
        return self._reused(later, images, trigger) if self._reuses.get(size, True) else whole(images, trigger)

    def _reused(self, later: Run, images: Tensor, trigger: Trigger) -> PlacesPredict:
        """Predictions at any place, of which only what the trigger changes is computed for each."""
        body = self._eager.body
        with torch.inference_mode():
            reuse = Reuse(body, self._eager.prepare, partial(_in_batches, later, self.batch), images.float(), trigger)

        def predictions(places: Sequence[tuple[int, int]]) -> Tensor:
            per_batch = max(1, AT_ONCE[self.device.type] // len(places))
            parts = [slice(start, start + per_batch) for start in range(0, len(images), per_batch)]
            return torch.cat([reuse.logits(part, places).argmax(2) for part in parts]).T

        return predictions

    def predict(self, images: Tensor) -> Tensor:
        """Predicted classes, int64 ``(N,)`` on the CPU, of float images ``(N, C, H, W)`` in [0, 1]."""
        if len(images) == 0:
            return torch.zeros(0, dtype=torch.int64)
        return self.logits(images).argmax(1).cpu()


def _eager_batch(device: torch.device, images: Tensor) -> int:
    """Images that an uncompiled network takes at once: fewer of large ones, for the same memory."""
    pixels = images.shape[2] * images.shape[3]
    return AT_ONCE[device.type] if pixels <= LARGE else max(1, AT_ONCE[device.type] * LARGE // pixels)


def _seconds(at: PlacesPredict, places: Sequence[tuple[int, int]]) -> float:
    """The shorter of two runs over some places, after one that warms up."""
    at(places)
    taken = []
    for _ in range(2):
        start = time.perf_counter()
        at(places)
        taken.append(time.perf_counter() - start)
    return min(taken)


def _in_batches(run: Run, batch: int, samples: Tensor) -> Tensor:
    """What a graph compiled for ``batch`` samples makes of any number."""
    return torch.cat([_filled(run, part, batch) for part in torch.split(samples, batch)])


def _filled(run: Run, part: Tensor, batch: int) -> Tensor:
    """What a graph compiled for ``batch`` samples makes of fewer."""
    if len(part) == batch:
        return run(part)
    whole = torch.cat([part, part.new_zeros(batch - len(part), *part.shape[1:])])
    return run(whole)[: len(part)]
