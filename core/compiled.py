"""Ahead-of-time compilation of a frozen network, kept between processes.

A compiled network is a package file (a shared library with its weights) in the user's cache, named after everything
that decides its content. It is made by a process of its own where others must not be disturbed, and loaded in
milliseconds.

    python -m core.compiled cifar10/resnet20/badnets
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from core.data import cache_folder

__all__ = ["Run", "compile_in_background", "load_package", "make_package", "package_path"]

log = logging.getLogger(__name__)

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
        run: Run = torch._inductor.aoti_load_package(str(path))
        expected, found = module(example), run(example)
        if expected.shape != found.shape or not bool(found.isfinite().all()):
            raise RuntimeError("it computes something else")
    except Exception as error:
        log.warning("the compiled model %s does not work and is removed: %s", path.name, error)
        path.unlink(missing_ok=True)
        return None
    return run


def compile_in_background(checkpoint: Path, threads: int) -> subprocess.Popen[bytes]:
    """Starts a process of low priority that compiles a stored model, so that nothing here waits for the compiler."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "core.compiled", str(checkpoint), "--threads", str(threads)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """Compiles the model stored in a folder."""
    from core.inference import Predictor
    from core.store import Checkpoint

    parser = argparse.ArgumentParser(description="Compiles a stored model into the user's cache.")
    parser.add_argument("folder", type=Path, help="folder of the checkpoint")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads it will run with")
    options = parser.parse_args()
    if hasattr(os, "nice"):
        os.nice(15)
    torch.set_num_threads(options.threads)
    checkpoint = Checkpoint(options.folder, "/".join(options.folder.parts[-3:]))
    Predictor(checkpoint.model()).compile(checkpoint.card().shape)


if __name__ == "__main__":
    main()
