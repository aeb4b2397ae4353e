"""Compiles a stored model ahead of its use, in a process of its own and of low priority.

python -m core.workers.precompile checkpoints/cifar10/resnet20/badnets
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch

from core.data import cache_folder
from core.inference.predictor import Predictor
from core.store.local import Checkpoint
from core.sweeps.results import repaired_model
from core.workers.process import in_process, lower_priority

__all__ = ["Warmed", "compile_in_background", "warm"]


@dataclass(frozen=True)
class Warmed:
    """How far a compilation is.

    Attributes:
        done: 1 when the compiled model is in the user's cache, else 0.
    """

    done: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The inverse of :meth:`to_dict`."""
        return cls(float(values["done"]))


def compile_in_background(checkpoint: Path, threads: int, repair: str = "") -> Generator[Warmed, None, None]:
    """Compiles a stored model into the user's cache in a process of its own, so that nothing here waits for a compiler.

    One at a time on this machine, whoever starts it. The process ends when this generator is closed, or this process
    ends.

    Args:
        checkpoint: Folder of the checkpoint.
        threads: Threads the compiled model will run with; they are built in.
        repair: The stored repair whose model is meant, or none.

    Yields:
        Again and again how far it is.
    """
    arguments = {"folder": str(checkpoint.resolve()), "threads": threads, "repair": repair}
    return in_process(
        "core.workers.precompile:warm", arguments, Warmed(), alone=cache_folder() / "compiled" / ".one-at-a-time"
    )


def warm(folder: str, threads: int, repair: str = "") -> Iterator[Warmed]:
    """Compiles the model stored in a folder, with the arguments of :func:`compile_in_background`.

    Raises:
        ValueError: If the repair is not stored.
    """
    torch.set_num_threads(threads)
    checkpoint = Checkpoint(Path(folder), "/".join(Path(folder).resolve().parts[-3:]))
    model = repaired_model(checkpoint, repair) if repair else checkpoint.model()
    if model is None:
        raise ValueError(f"the repair {repair} is not stored")
    Predictor(model).compile(checkpoint.card().shape)
    yield Warmed(1.0)


def main() -> None:
    """Compiles the model stored in a folder."""
    parser = argparse.ArgumentParser(description="Compiles a stored model into the user's cache.")
    parser.add_argument("folder", help="folder of the checkpoint")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads it will run with")
    parser.add_argument("--repair", default="", help="the stored repair whose model is meant")
    options = parser.parse_args()
    lower_priority()
    try:
        for _ in warm(options.folder, options.threads, options.repair):
            pass
    except (ValueError, OSError) as error:
        raise SystemExit(" ".join(str(error).split())) from None


if __name__ == "__main__":
    main()
