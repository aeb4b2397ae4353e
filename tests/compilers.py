"""What tests that compile need."""

from __future__ import annotations

import shutil

import pytest

__all__ = ["needs_compiler"]

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="no compiler"
)
