"""Ahead-of-time compilation of a frozen network, kept between processes.

A compiled network is a shared library with its weights in the user's cache, named after everything that decides its
content, and loaded in milliseconds. :mod:`core.workers.precompile` makes it in a process of its own, where others
must not be disturbed.

The library is called through its C interface (``torch/csrc/inductor/aoti_runtime/interface.h``) and not through torch's
own loader, which holds Python's global lock while the network computes: 60 ms in which no other thread of a server
moves (pytorch/pytorch#197516).
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import logging
import tempfile
import warnings
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from core.data import cache_folder
from core.runtime.atomic_files import sweep_up, temporary_prefix, write_atomically

__all__ = ["Library", "Run", "load_package", "make_package", "package_path"]

log = logging.getLogger(__name__)
# On a machine without CUDA the compiler's own module says so at every start, as a warning.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

Run = Callable[[Tensor], Tensor]

DIGEST = hashlib.sha256().digest_size
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
# Prototypes of their own: what ctypes.pythonapi hands out is shared with every other module.
_get_pointer = ctypes.PYFUNCTYPE(_POINTER, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, _POINTER, ctypes.c_char_p, _POINTER)(
    ("PyCapsule_New", ctypes.pythonapi)
)


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
        *(_source(kind) for kind in sorted({type(m) for m in module.modules()}, key=repr)),
    ):
        digest.update(str(part).encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return cache_folder() / "compiled" / f"{digest.hexdigest()[:24]}.so"


def _source(kind: type) -> str:
    """The code of a class; of one that a function has made, such as a member of a family, its name and its base's."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return f"{getattr(kind, 'name', kind.__name__)}\n{_source(kind.__mro__[1])}"


def make_package(module: nn.Module, example: Tensor) -> Path:
    """Compiles a module for inputs of one shape; seconds to a minute.

    Raises:
        Exception: Whatever the compiler raises, e.g. where there is no C++ compiler.
    """
    path = package_path(module, example)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_up(path.parent)
    prefix = temporary_prefix(path.stem)
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as folder,
        warnings.catch_warnings(),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")  # deprecations inside the compiler, of no use to a user
        program = torch.export.export(module, (example,))
        made = torch._inductor.aoti_compile_and_package(
            program, package_path=str(Path(folder) / "model.pt2"), inductor_configs={"freezing": True}
        )
        with zipfile.ZipFile(made) as package:
            (name,) = [name for name in package.namelist() if name.endswith(".so")]
            content = package.read(name)
        # What stands behind the end of a library is not read when it is loaded.
        write_atomically(path, content + hashlib.sha256(content).digest())
    return path


class Library:
    """A compiled network of one input and one output; other threads go on while it computes.

    Args:
        path: What :func:`make_package` wrote.

    Raises:
        OSError: If it cannot be loaded.
        RuntimeError: If it is damaged, or not such a library.
    """

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            raise RuntimeError("it is damaged")
        library = ctypes.CDLL(str(path))  # calls through it release the lock
        self._run = library.AOTInductorModelContainerRun
        self._run.argtypes = [_POINTER, _POINTER, _SIZE, _POINTER, _SIZE, _POINTER, _POINTER]
        create = library.AOTInductorModelContainerCreateWithDevice
        create.argtypes = [_POINTER, _SIZE, ctypes.c_char_p, ctypes.c_char_p]
        self._container = _POINTER()
        if create(ctypes.byref(self._container), 1, b"cpu", None) != 0:
            raise RuntimeError("it cannot be set up")
        library.AOTInductorModelContainerDelete.argtypes = [_POINTER]
        # Frees the weights when nobody predicts with them any more; at the end of the process all goes anyway.
        weakref.finalize(self, library.AOTInductorModelContainerDelete, self._container).atexit = False

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output; inputs of other shapes or strides than the compiled ones are not noticed."""
        # Handles of tensors are handed over both ways; what the network was given it frees itself.
        given = _get_pointer(torch._C._aoti.unsafe_alloc_void_ptr_from_tensor(x), None)
        inputs, outputs = (_POINTER * 1)(given), (_POINTER * 1)()
        if self._run(self._container, inputs, 1, outputs, 1, None, None) != 0:
            raise RuntimeError("the compiled model failed")
        result: Tensor = torch._C._aoti.alloc_tensor_by_stealing_from_void_ptr(_new_capsule(outputs[0], None, None))
        return result


def load_package(module: nn.Module, example: Tensor) -> Run | None:
    """The compiled form of a module if there is one that works, else None; one that does not is removed."""
    path = package_path(module, example)
    if not path.exists():
        return None
    try:
        loaded = Library(path)
        like = torch.contiguous_format if example.is_contiguous() else torch.channels_last

        def run(x: Tensor) -> Tensor:
            return loaded(x.contiguous(memory_format=like))

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
