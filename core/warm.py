"""Compiles a stored model ahead of its use, in a process of its own and of low priority.

python -m core.warm checkpoints/cifar10/resnet20/badnets
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch

from core.inference import Predictor
from core.repaired import repaired_model
from core.store import Checkpoint

__all__ = ["compile_in_background"]


def compile_in_background(checkpoint: Path, threads: int, repair: str = "") -> subprocess.Popen[bytes]:
    """Starts a process that compiles a stored model into the user's cache, so that nothing here waits for a compiler.

    Args:
        checkpoint: Folder of the checkpoint.
        threads: Threads the compiled model will run with; they are built in.
        repair: The stored repair whose model is meant, or none.
    """
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "core.warm", str(checkpoint.resolve()), "--threads", str(threads)]
    command += ["--repair", repair] if repair else []
    return subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """Compiles the model stored in a folder."""
    parser = argparse.ArgumentParser(description="Compiles a stored model into the user's cache.")
    parser.add_argument("folder", type=Path, help="folder of the checkpoint")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads it will run with")
    parser.add_argument("--repair", default="", help="the stored repair whose model is meant")
    options = parser.parse_args()
    if hasattr(os, "nice"):
        os.nice(15)
    torch.set_num_threads(options.threads)
    checkpoint = Checkpoint(options.folder, "/".join(options.folder.resolve().parts[-3:]))
    model = repaired_model(checkpoint, options.repair) if options.repair else checkpoint.model()
    if model is None:
        raise SystemExit(f"the repair {options.repair} is not stored")
    Predictor(model).compile(checkpoint.card().shape)


if __name__ == "__main__":
    main()
