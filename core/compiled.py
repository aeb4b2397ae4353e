"""Ahead-of-time compilation of a frozen network, kept between processes.

A compiled network is a package file (a shared library with its weights) in the user's cache, named after everything
that decides its content, and loaded in milliseconds. :mod:`core.warm` makes it in a process of its own, where others
must not be disturbed.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from core.data import cache_folder

__all__ = ["Run", "load_package", "make_package", "package_path"]

log = logging.getLogger(__name__)
# On a machine without CUDA the compiler's own module says so at every start, as a warning.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

Run = Callable[[Tensor], Tensor]


def package_path(module: nn.Module, example: Tensor) -> Path:
    """Where the compiled form of a module for inputs like ``example`` is kept.

    The name covers weights, code, type and shape of the input, the versions and the processor's instructions, and the
    number of threads, which the compiler builds in.
    """
    digest = hashlib.sha256()
    for part in (
        tuple(example.shape),
        example.dtype,
        torch.__version__,
        torch.backends.cpu.get_cpu_capability(),
        torch.get_num_threads(),
        *(inspect.getsource(kind) for kind in sorted({type(m) for m in module.modules()}, key=repr)),
    ):
        digest.update(str(part).encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return cache_folder() / "compiled" / f"{digest.hexdigest()[:24]}.pt2"


def make_package(module: nn.Module, example: Tensor) -> Path:
    """Compiles a module for inputs of one shape; seconds to a minute.

    Raises:
        Exception: Whatever the compiler raises, e.g. where there is no C++ compiler.
    """
    path = package_path(module, example)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecations inside the compiler, of no use to a user
        program = torch.export.export(module, (example,))
        made = torch._inductor.aoti_compile_and_package(
            program, package_path=str(Path(folder) / path.name), inductor_configs={"freezing": True}
        )
        os.replace(made, path)
    return path


def load_package(module: nn.Module, example: Tensor) -> Run | None:
    """The compiled form of a module if there is one that works, else None; one that does not is removed."""
    path = package_path(module, example)
    if not path.exists():
        return None
    try:
        loaded: Run = torch._inductor.aoti_load_package(str(path))
        like = torch.contiguous_format if example.is_contiguous() else torch.channels_last

        def run(x: Tensor) -> Tensor:
            return loaded(x.contiguous(memory_format=like))  # the strides are built in, and are not checked

        expected, found = module(example), run(example)
        if expected.shape != found.shape or not torch.allclose(
            found, expected, rtol=0.05, atol=0.05 * float(expected.abs().max())
        ):
            raise RuntimeError("it computes something else")
    except Exception as error:
        log.warning("the compiled model %s does not work and is removed: %s", path.name, error)
        path.unlink(missing_ok=True)
        return None
    return run
