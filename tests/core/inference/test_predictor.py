"""The fast forward path against the plain model."""

from __future__ import annotations

import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from core.inference import aot as compiled
from core.inference import predictor as inference
from core.inference.aot import package_path
from core.inference.predictor import BATCH, Predictor
from core.models import build_model, models
from core.runtime.device import has_fast_bfloat16, select_device


def settled(name="resnet20", classes=10, channels=3):
    """A model whose batch norms have statistics and weights of their own, so that folding them is not trivial."""
    model = build_model(name, classes=classes, channels=channels, seed=0)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
            module.weight.data.copy_(0.5 + torch.rand(module.num_features, generator=generator))
            module.bias.data.copy_(0.2 * torch.randn(module.num_features, generator=generator))
    model.normalise.mean.fill_(0.45)
    model.normalise.std.fill_(0.25)
    return model.eval()


@pytest.fixture(scope="module")
def resnet20():
    return settled()


def some_images(count, seed=0, side=16):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", models.names())
def test_float32_agrees_with_the_plain_model(name):
    model, images = settled(name), some_images(2, side=32)
    with torch.no_grad():
        expected = model(images)
    predictor = Predictor(model, dtype=torch.float32)
    torch.testing.assert_close(predictor.logits(images), expected, atol=1e-4, rtol=1e-4)
    assert predictor.predict(images).tolist() == expected.argmax(1).tolist()
    assert predictor.path == "float32 folded"


def test_bfloat16_decides_as_the_plain_model_nearly_always(resnet20):
    images = some_images(200)
    with torch.no_grad():
        expected = resnet20(images)
    predictor = Predictor(resnet20, dtype=torch.bfloat16)
    logits = predictor.logits(images)
    assert logits.dtype == torch.float32
    assert (logits - expected).abs().max() < 0.05 * expected.abs().max()
    # Two nearly equal logits may change places, others may not.
    top = expected.topk(2).values
    clear = top[:, 0] - top[:, 1] > 0.1 * expected.std()
    agree = logits.argmax(1) == expected.argmax(1)
    assert clear.sum() > 20
    assert agree[clear].all()
    assert agree.float().mean() > 0.9


def test_the_type_of_arithmetic_is_chosen_by_the_processor(resnet20, monkeypatch):
    assert isinstance(has_fast_bfloat16(torch.device("cpu")), bool)
    for fast, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("core.runtime.device.has_fast_bfloat16", lambda device, fast=fast: fast)
        assert Predictor(resnet20).dtype == dtype


def test_later_changes_of_the_model_do_not_show():
    model, images = settled(), some_images(3)
    predictor = Predictor(model, dtype=torch.float32)
    before = predictor.logits(images)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.zero_()
    assert torch.equal(predictor.logits(images), before)


def test_the_model_itself_is_left_as_it_was(monkeypatch):
    """Training goes on with the model after it was measured: neither mode, type nor device may change."""
    model = settled().double().train()
    moved, move = [], torch.nn.Module.to

    def spy(module, *where, **how):
        if module is model:
            moved.append((where, how))
        return move(module, *where, **how)

    monkeypatch.setattr(torch.nn.Module, "to", spy)
    state = copy.deepcopy(model.state_dict())
    Predictor(model, dtype=torch.float32).predict(some_images(3))
    assert model.training
    assert all(parameter.requires_grad and parameter.dtype == torch.float64 for parameter in model.parameters())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert not moved, "Module.to moves the module itself, in place: a model on a GPU would be trained on the CPU then"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_model_on_the_gpu_stays_there():
    model = settled().cuda()
    predicted = Predictor(model, "cuda").predict(some_images(3))
    assert predicted.device.type == "cpu"
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cuda"}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_the_gpu_a_recorded_graph_predicts_what_the_network_does():
    model = settled().cuda()
    predictor = Predictor(model, "cuda", torch.float32, batch=64)
    images = [some_images(count, count) for count in (64, 40, 100, 64, 3)]
    expected = [predictor.logits(each) for each in images]
    predictor.compile((3, 16, 16))
    assert predictor.path == "float32 folded, compiled"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(predictor.logits, images))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_no_images(resnet20):
    predictor = Predictor(resnet20)
    predicted = predictor.predict(torch.zeros(0, 3, 16, 16))
    assert (predicted.dtype, predicted.shape) == (torch.int64, (0,))
    assert len(predictor.logits(torch.zeros(0, 3, 16, 16))) == 0


def test_threads_get_what_one_thread_gets(resnet20):
    predictor = Predictor(resnet20, dtype=torch.float32)
    batches = [some_images(5, seed) for seed in range(12)]
    expected = [predictor.logits(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            for one, found in zip(expected, pool.map(predictor.logits, batches), strict=True):
                torch.testing.assert_close(found, one, atol=1e-6, rtol=0)


PAUSED, CONTINUE = threading.Event(), threading.Event()


class Lingering(type(build_model("resnet20", classes=10))):
    """A network that takes its time wherever Python walks through its layers, as tracing does."""

    def forward(self, images):
        PAUSED.set()
        CONTINUE.wait(2)
        return super().forward(images)


def test_predicting_and_training_go_on_while_another_model_is_loaded(resnet20):
    """Two sessions: one drags a trigger or trains, the other picks a model."""
    predictor, images = Predictor(resnet20, dtype=torch.float32), some_images(2, side=8)
    expected = predictor.logits(images)
    PAUSED.clear()
    CONTINUE.clear()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(Predictor, Lingering(10, 3), dtype=torch.float32)
        while not PAUSED.is_set() and not loading.done():
            time.sleep(0.005)
        try:
            torch.testing.assert_close(predictor.logits(images), expected, atol=1e-6, rtol=0)
            with torch.no_grad():
                torch.testing.assert_close(resnet20(images), expected, atol=1e-4, rtol=1e-4)
        finally:
            CONTINUE.set()
        assert len(loading.result().predict(images)) == 2


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A user's cache without compiled models."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_without_a_compiler_predictions_are_slower_and_it_says_so(resnet20, monkeypatch, own_cache):
    attempts = []

    def no_compiler(*arguments):
        attempts.append(arguments)
        raise FileNotFoundError("no C++ compiler")

    monkeypatch.setattr(inference, "make_package", no_compiler)
    images = some_images(BATCH)
    predictor = Predictor(resnet20, dtype=torch.float32)
    expected = predictor.predict(images)
    assert predictor.compile((3, 16, 16)) is predictor
    assert predictor.path == "float32 folded, not compiled (FileNotFoundError)"
    assert torch.equal(predictor.predict(images), expected)
    predictor.compile((3, 16, 16))
    assert len(attempts) == 1, "a minute's failure is not tried again at every drag"


def test_what_the_compiler_itself_says_does_not_reach_the_user(resnet20, monkeypatch, own_cache):
    def broken(*arguments, **options):
        raise RuntimeError("backend failed")

    monkeypatch.setattr(torch.export, "export", broken)
    predictor = Predictor(resnet20, dtype=torch.float32).compile((3, 16, 16))
    assert predictor.path == "float32 folded, not compiled (RuntimeError)"
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []


def test_nothing_is_compiled_yet(resnet20, own_cache):
    predictor = Predictor(resnet20, dtype=torch.float32)
    assert not predictor.load_compiled((3, 16, 16))
    assert predictor.path == "float32 folded"


@pytest.mark.parametrize("content", [b"", b"not a package"])
def test_a_damaged_compiled_model_is_removed(resnet20, own_cache, content):
    predictor = Predictor(resnet20, dtype=torch.float32)
    path = package_path(predictor._eager, torch.zeros(BATCH, 3, 16, 16))
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert not predictor.load_compiled((3, 16, 16))
    assert not path.exists()
    assert len(predictor.predict(some_images(3))) == 3


def test_a_compiled_model_that_computes_something_else_is_not_used(resnet20, own_cache, monkeypatch):
    predictor = Predictor(resnet20, dtype=torch.float32)
    path = package_path(predictor._eager, torch.zeros(BATCH, 3, 8, 8))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another model")
    monkeypatch.setattr(compiled, "Library", lambda path: lambda images: torch.zeros(len(images), 10))
    assert not predictor.load_compiled((3, 8, 8))
    assert not path.exists()


def test_a_compiled_model_is_named_after_all_that_decides_it(resnet20, own_cache):
    body, example = Predictor(resnet20, dtype=torch.float32)._eager, torch.zeros(2, 3, 16, 16)
    again = Predictor(resnet20, dtype=torch.float32)._eager
    other = settled()
    other.fc.bias.data[0] += 1e-6
    names = [
        package_path(body, example),
        package_path(body, example[:1]),
        package_path(body, example.double()),
        package_path(Predictor(resnet20, dtype=torch.bfloat16)._eager, example),
        package_path(Predictor(other, dtype=torch.float32)._eager, example),
        package_path(Predictor(settled("vgg19"), dtype=torch.float32)._eager, example),
    ]
    assert len(set(names)) == len(names)
    assert package_path(again, example) == names[0]
    assert all(path.is_relative_to(own_cache) for path in names)


class Recording(torch.nn.Module):
    """Stands in for a compiled graph."""

    def __init__(self, body):
        super().__init__()
        self.body, self.sizes = body, []

    def forward(self, images):
        self.sizes.append(tuple(images.shape))
        return self.body(images)


@pytest.mark.parametrize(
    ("count", "compiled"),
    [
        (BATCH, 1),
        (BATCH // 2, 1),
        (BATCH // 2 - 1, 0),
        (BATCH + 3, 1),
        (BATCH + BATCH // 2 + 5, 2),
        (1, 0),
    ],
)
def test_a_compiled_graph_sees_one_size_only(resnet20, monkeypatch, count, compiled):
    recording = Recording(Predictor(resnet20, dtype=torch.float32)._eager)
    monkeypatch.setattr(inference, "load_package", lambda module, example: recording)
    predictor = Predictor(resnet20, dtype=torch.float32).compile((3, 8, 8))
    assert predictor.path == "float32 folded, compiled"
    images = some_images(count, side=8)
    found = predictor.logits(images)
    with torch.no_grad():
        torch.testing.assert_close(found, resnet20(images), atol=1e-4, rtol=1e-4)
    assert recording.sizes == [(BATCH, 3, 8, 8)] * compiled


def test_devices():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("auto").type in {"cpu", "cuda", "mps"}
    for wrong in ("gpu", "", "cpu:9", "CPU"):
        with pytest.raises(ValueError, match=f"device = '{wrong}' is not allowed on this machine: auto, .*cpu"):
            select_device(wrong)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert select_device() == torch.device("cpu")
    with pytest.raises(ValueError, match="device = 'cuda' is not allowed on this machine: auto, cpu"):
        select_device("cuda")
