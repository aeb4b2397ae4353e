"""The device to compute on, and what it is fast at."""

from __future__ import annotations

import platform

import torch

__all__ = ["fast_type", "has_fast_bfloat16", "select_device"]


def select_device(name: str = "auto") -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        ValueError: If there is no such device on this machine.
    """
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if name == "auto":
        return torch.device(present[0])
    if name not in present:
        raise ValueError(f"device = {name!r} is not allowed on this machine: auto, {', '.join(present)}")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and platform.machine() in {"x86_64", "AMD64"}:
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def fast_type(device: torch.device) -> torch.dtype:
    """What the device multiplies matrices fastest in: bfloat16, or else float32."""
    return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
