"""Compiling aside: it begins unless the setting switches it off."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from core.inference.predictor import Predictor
from core.models import build_model
from dashboard.server import compiling


@pytest.mark.parametrize(("setting", "begun"), [(None, 1), ("1", 1), ("0", 0)])
def test_a_model_is_compiled_aside_unless_that_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str | None, begun: int
) -> None:
    started, finished = [], threading.Event()

    def compile_it(*given: object) -> None:
        started.append(given)
        finished.set()

    monkeypatch.setattr(compiling, "_compile", compile_it)
    monkeypatch.delenv(compiling.SETTING, raising=False)
    if setting is not None:
        monkeypatch.setenv(compiling.SETTING, setting)
    compiling.compile_aside(Predictor(build_model("resnet20", classes=3, channels=3, seed=0)), tmp_path, (3, 16, 16))
    if begun:
        assert finished.wait(10)
    assert len(started) == begun
