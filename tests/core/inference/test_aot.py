"""Compiled models: the same numbers, kept between processes, and never in the way when something is wrong."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch
from compilers import needs_compiler
from torch import nn

import core.inference.aot
import core.inference.predictor
from core.inference.aot import load_package, make_package, package_path
from core.inference.predictor import Predictor
from core.models import Classifier, build_model


class Small(Classifier):
    """One convolution with batch norm, enough to be folded and compiled in seconds."""

    def __init__(self, classes: int = 3, channels: int = 3) -> None:
        super().__init__(classes, channels)
        self.conv = nn.Conv2d(channels, 8, 3)
        self.bn = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.bn(self.conv(self.normalise(images))).relu().mean((2, 3)))
        return logits


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(core.inference.predictor, "BATCH", 16)


def small(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    return Small().eval()


@needs_compiler
def test_compiled_equals_plain_and_is_found_again_and_a_damaged_package_is_not_used() -> None:
    model = small()
    images = torch.rand(40, 3, 12, 12)
    with torch.inference_mode():
        expected = model(images)
    predictor = Predictor(model, dtype=torch.float32).compile((3, 12, 12))
    assert predictor.path == "float32 folded, compiled"
    torch.testing.assert_close(predictor.logits(images), expected, atol=1e-4, rtol=1e-4)

    rearranged = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(predictor.logits(rearranged), expected, atol=1e-4, rtol=1e-4)

    again = Predictor(model, dtype=torch.float32)
    assert again.load_compiled((3, 12, 12))
    torch.testing.assert_close(again.logits(images), expected, atol=1e-4, rtol=1e-4)

    path = package_path(again._eager, torch.zeros(16, 3, 12, 12))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for content in (whole[:1000], bytes(changed)):
        path.unlink(missing_ok=True)  # a file of its own: the one that is loaded must stay as it is
        path.write_bytes(content)
        damaged = Predictor(model, dtype=torch.float32)
        assert not damaged.load_compiled((3, 12, 12))
        assert not path.exists()
        torch.testing.assert_close(damaged.logits(images), expected, atol=1e-4, rtol=1e-4)


class Slow(nn.Module):
    """Matrix products that take a fraction of a second, all in one call of the compiled form."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(1500), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(12):
            x = x @ self.matrix
        return x


@needs_compiler
def test_other_threads_go_on_while_a_compiled_network_computes() -> None:
    module, example = Slow(), torch.ones(1500, 1500)
    make_package(module, example)
    run = load_package(module, example)
    assert run is not None
    begun, ended = threading.Event(), threading.Event()

    def compute() -> None:
        begun.set()
        run(example)
        ended.set()

    thread = threading.Thread(target=compute)
    thread.start()
    begun.wait()
    turns = 0
    while not ended.is_set():
        turns += 1
        time.sleep(0)
    thread.join()
    # A call that held the lock would let this thread have a turn before it and one after it.
    assert turns > 100


def test_the_name_covers_all_that_decides_the_result() -> None:
    example = torch.zeros(16, 3, 12, 12)
    base = package_path(small(), example)
    assert package_path(small(), example) == base
    assert package_path(small(seed=1), example) != base
    assert package_path(small(), torch.zeros(8, 3, 12, 12)) != base
    assert package_path(small(), example.bfloat16()) != base


def test_members_of_families_have_names_and_those_that_compute_otherwise_have_others() -> None:
    paths = set()
    with torch.device("meta"):
        made = [build_model(name, classes=3) for name in ("wrn-10-1-raw", "wrn-10-1", "torchvision.resnet18")]
    for model in made:
        empty = model.to_empty(device="cpu")
        for tensor in empty.state_dict().values():
            tensor.zero_()
        paths.add(package_path(empty, torch.zeros(1, 3, 32, 32)))
    assert len(paths) == 3


def test_without_a_compiler_predictions_go_on_and_the_path_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Path:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(core.inference.predictor, "make_package", refuse)
    model = small()
    predictor = Predictor(model, dtype=torch.float32).compile((3, 12, 12))
    assert predictor.path == "float32 folded, not compiled (RuntimeError)"
    images = torch.rand(20, 3, 12, 12)
    with torch.inference_mode():
        torch.testing.assert_close(predictor.logits(images), model(images), atol=1e-4, rtol=1e-4)


def test_no_package_is_no_error() -> None:
    assert load_package(small(), torch.zeros(16, 3, 12, 12)) is None


def test_a_failed_compilation_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> str:
        raise RuntimeError("no space left")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fail)
    with pytest.raises(RuntimeError, match="no space left"):
        make_package(small(), torch.zeros(16, 3, 12, 12))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
