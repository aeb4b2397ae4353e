"""A network as a CUDA graph: its kernels are compiled, recorded once, and from then on launched all together."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Captured"]

# Runs before the recording: in them the compiler works, and libraries choose their kernels and reserve memory.
WARM_UP = 3


class Captured:
    """A function of one tensor, recorded for inputs like ``example``; safe to call from several threads.

    Args:
        function: What to record; it must not look at values, nor wait for the device.
        example: An input on a CUDA device; later ones have its shape, type and memory layout.

    Raises:
        RuntimeError: If the function cannot be recorded.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], example: Tensor) -> None:
        self._lock = threading.Lock()
        self._input = example.clone()
        with torch.inference_mode(), torch.cuda.device(example.device):
            # As torch.cuda.graph asks for: the first runs on another stream than the default one.
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            usual = torch.cuda.current_stream()
            stream.wait_stream(usual)
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    function(self._input)
            usual.wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            # Other threads may allocate meanwhile: their sessions go on.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._output = function(self._input)

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """The function's value at ``x``, a new tensor."""
        # One input and one output belong to the graph: who comes second waits for its turn on the stream.
        with self._lock:
            self._input.copy_(x)
            self._graph.replay()
            return self._output.clone()
