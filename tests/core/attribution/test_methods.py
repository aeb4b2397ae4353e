"""Attributions against finite differences and models worked out by hand; nothing leaks into the model."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from core.attribution.methods import Explained, displayed, methods
from core.models import build_model, models
from core.params import params_of
from core.registry import UnknownName

every_method = pytest.mark.parametrize("name", methods.names())
QUICK = {
    "integrated": {"steps": 4},
    "smoothgrad": {"samples": 2},
    "gradientshap": {"samples": 2},
    "occlusion": {"window": 8, "stride": 8},
    "ablation": {"window": 8},
}


def method_of(name):
    return methods[name](**QUICK.get(name, {}))


def images_of(count, seed=0, shape=(3, 32, 32)):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def untrained(name="resnet20", channels=3):
    return build_model(name, classes=4, channels=channels, seed=0).eval()


@every_method
@pytest.mark.parametrize("channels", [1, 3])
def test_every_method_gives_one_map_per_image(name, channels):
    model, images = untrained(channels=channels), images_of(3, shape=(channels, 32, 32))
    before, weights = images.clone(), {n: t.clone() for n, t in model.state_dict().items()}
    maps = method_of(name)(Explained(model), images, torch.tensor([0, 1, 3]))
    assert (maps.shape, maps.dtype) == ((3, 32, 32), torch.float32)
    assert bool((maps >= 0).all())
    assert float(maps.sum()) > 0
    assert not maps.requires_grad
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert all(torch.equal(tensor, weights[n]) for n, tensor in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@every_method
def test_maps_of_a_batch_are_those_of_its_images(name):
    """And so the batch's size changes nothing; a method that draws gives the same for the same seed."""
    explained, images, targets = Explained(untrained()), images_of(3), torch.tensor([2, 0, 1])
    method = method_of(name)
    together = method(explained, images, targets, seed=3)
    assert torch.equal(together, method(explained, images, targets, seed=3))
    if name not in ("smoothgrad", "gradientshap", "random"):
        alone = torch.cat([method(explained, images[i : i + 1], targets[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-6)
    assert method(explained, images[:0], targets[:0]).shape == (0, 32, 32)


@every_method
def test_every_method_declares_what_it_is(name):
    method = methods[name]()
    assert method.label
    assert methods[name].from_dict(method.to_dict()) == method
    for param in params_of(methods[name]).values():
        assert param.help


@every_method
@pytest.mark.parametrize("model", models.names())
def test_every_network_can_be_explained(name, model):
    if name in ("occlusion", "ablation", "integrated", "smoothgrad", "gradientshap") and model != "resnet20":
        pytest.skip("hooks and layers are what differs between networks; these methods have none")
    maps = method_of(name)(Explained(untrained(model)), images_of(1), torch.tensor([1]))
    assert maps.shape == (1, 32, 32)
    # Behind the MNIST CNN's last convolution no mean is taken: its means may speak against an untrained class.
    assert float(maps.max()) > 0 or ("gradcam" in name and model == "mnist-cnn")


class Smooth(nn.Module):
    """Two classes, smooth, small enough for finite differences in double precision."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.last_block = self.conv
        self.out = nn.Linear(4 * 16, 2)
        torch.manual_seed(4)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    def forward(self, images):
        return self.out(torch.tanh(self.conv(images)).flatten(1))


def test_the_vanilla_gradient_is_that_of_finite_differences():
    """Absolute value of the target logit's gradient, maximum over channels, pixel by pixel."""
    model, images, step = Smooth(), images_of(2, shape=(3, 6, 6)), 1e-5
    targets = torch.tensor([1, 0])
    maps = methods["gradient"]()(Explained(model), images, targets)
    exact = model.double()
    expected = torch.zeros(2, 3, 6, 6, dtype=torch.float64)
    for n in range(2):
        for index in torch.cartesian_prod(torch.arange(3), torch.arange(6), torch.arange(6)).tolist():
            moved = images[n : n + 1].double().repeat(2, 1, 1, 1)
            moved[0][tuple(index)] += step
            moved[1][tuple(index)] -= step
            up, down = exact(moved)[:, targets[n]]
            expected[n][tuple(index)] = (up - down) / (2 * step)
    torch.testing.assert_close(maps.double(), expected.abs().amax(1), rtol=1e-3, atol=1e-5)


def test_integrated_gradients_of_a_linear_model_are_weight_times_pixel():
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, bias=False))
    images = images_of(2, shape=(3, 4, 4))
    maps = methods["integrated"](steps=4)(Explained(model), images, torch.tensor([0, 1]))
    weights = model[1].weight.detach().view(2, 3, 4, 4)
    torch.testing.assert_close(maps, (weights * images).abs().amax(1), rtol=1e-4, atol=1e-6)


def test_guided_backprop_lets_only_positive_gradients_through():
    """One ReLU between two weights: a path counts where its ReLU is open and its gradient positive."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False))
    first = torch.tensor([[1.0, 2, 0], [1, 0, 3], [-9, -9, -9], [0, 5, 1]])
    second = torch.tensor([[2.0, -4, 7, 1]])
    model[1].weight.data, model[3].weight.data = first, second
    image = torch.ones(1, 3, 1, 1)
    maps = methods["guided"]()(Explained(model), image, torch.tensor([0]))
    # Unit 0 and 3 are open with positive gradients 2 and 1; 1 is negative, 2 is closed. Largest of the three channels:
    assert float(maps) == max(2 * 1 + 1 * 0, 2 * 2 + 1 * 5, 0 + 1)


def test_occlusion_finds_the_only_pixels_that_count():
    class Corner(nn.Module):
        def forward(self, images):
            return images[:, :, 4:, 4:].sum((1, 2, 3))[:, None]

    maps = methods["occlusion"](window=4, stride=4)(Explained(Corner()), torch.ones(1, 3, 8, 8), torch.tensor([0]))
    assert bool((maps[0, 4:, 4:] > 0).all())
    assert float(maps[0, :4].abs().max()) == float(maps[0, :, :4].abs().max()) == 0


@every_method
def test_a_model_predicts_the_same_while_it_is_explained(name):
    """Captum's hooks live in a private copy: another thread's predictions and gradients stay what they were."""
    model, images = untrained(), images_of(4)
    explained, method, targets = Explained(model), method_of(name), torch.tensor([0, 1, 2, 3])

    def gradient():
        inputs = images.clone().requires_grad_()
        model(inputs).sum().backward()
        return inputs.grad

    expected, stop, wrong, done = gradient(), threading.Event(), [], []

    def use():
        while not stop.is_set():
            wrong.extend([] if torch.allclose(gradient(), expected, atol=1e-6) else [1])
            done.append(1)

    thread = threading.Thread(target=use)
    thread.start()
    try:
        while len(done) < 5:
            method(explained, images, targets)
    finally:
        stop.set()
        thread.join()
    assert not wrong
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_is_drawn_is_drawn_anew_for_every_batch():
    maps = methods["random"]()(Explained(untrained()), images_of(150), torch.zeros(150, dtype=torch.int64))
    assert len({values.numpy().tobytes() for values in maps}) == 150


def test_the_same_images_are_predicted_once():
    explained, images, passes = Explained(untrained()), images_of(8), []
    plain = explained.model(images).argmax(1)
    explained.model.register_forward_hook(lambda *_: passes.append(1))
    first, again = explained.predict(images), explained.predict(images.clone())
    assert torch.equal(first, plain)
    assert torch.equal(again, plain)
    assert len(passes) == 1
    again[:] = 9  # the caller's own
    assert torch.equal(explained.predict(images), plain)
    turned = images.flip(0)
    assert torch.equal(explained.predict(turned), plain.flip(0))
    images.copy_(turned)
    assert torch.equal(explained.predict(images), plain.flip(0))
    assert torch.equal(explained.predict(images[:5]), plain.flip(0)[:5])
    assert len(passes) == 3


def test_only_the_last_predictions_are_kept(monkeypatch):
    monkeypatch.setattr("core.attribution.methods.ANSWERS_KEPT", 2)
    explained, passes = Explained(untrained()), []
    explained.model.register_forward_hook(lambda *_: passes.append(1))
    for seed in (0, 1, 0, 2, 0, 1):
        explained.predict(images_of(2, seed))
    assert len(passes) == 4


def test_two_threads_explain_one_model_as_one_would():
    explained, images, targets = Explained(untrained()), images_of(2), torch.tensor([0, 1])
    names = ["guided", "gradient", "gradcam"] * 3
    expected = {name: method_of(name)(explained, images, targets) for name in set(names)}
    found = {}

    def run(index, name):
        found[index] = method_of(name)(explained, images, targets)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, name in enumerate(names):
        torch.testing.assert_close(found[index], expected[name], rtol=1e-4, atol=1e-7)


def test_maps_are_shown_on_their_own_scale():
    maps = torch.stack([torch.arange(4.0).view(2, 2), 1000 * torch.arange(4.0).view(2, 2) + 5, torch.zeros(2, 2)])
    shown = displayed(maps)
    torch.testing.assert_close(shown[0], shown[1])
    assert (float(shown[0].min()), float(shown[0].max())) == (0, 1)
    assert float(shown[2].abs().max()) == 0


def test_an_unknown_method_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'gradient'"):
        methods["gradiant"]


def test_the_signed_reduction_is_that_of_the_papers_tool():
    """The largest gradient over the channels with its sign; what is negative counts as nothing."""
    weights = torch.tensor([[[1.0, -3.0]], [[-2.0, -1.0]]])  # two channels, one row, two columns

    class Linear(nn.Module):
        def forward(self, images):
            value = (images * weights).sum((1, 2, 3))
            return torch.stack([value, -value], 1)

    def maps(reduction):
        explained, images = Explained(Linear()), torch.full((1, 2, 1, 2), 0.5)
        return methods["gradient"](reduction=reduction)(explained, images, torch.tensor([0]))[0, 0].tolist()

    assert maps("absolute") == [2.0, 3.0]
    assert maps("signed") == [1.0, 0.0]


def test_input_times_gradient_and_deeplift_of_a_linear_model_are_weight_times_pixel():
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, bias=False))
    images, weights = images_of(2, shape=(3, 4, 4)), model[1].weight.detach().view(2, 3, 4, 4)
    for name in ("inputxgradient", "deeplift"):
        maps = methods[name]()(Explained(model), images, torch.tensor([0, 1]))
        torch.testing.assert_close(maps, (weights * images).abs().amax(1), rtol=1e-4, atol=1e-6)


def test_feature_ablation_is_the_fall_of_the_logit_under_each_square():
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, bias=False))
    images = images_of(1, shape=(3, 4, 4))
    maps = methods["ablation"](window=2)(Explained(model), images, torch.tensor([0]))[0]
    for row, col in ((0, 0), (0, 2), (2, 0), (2, 2)):
        gray = images.clone()
        gray[..., row : row + 2, col : col + 2] = 0.5
        fall = float((model(images) - model(gray))[0, 0].detach())
        torch.testing.assert_close(maps[row : row + 2, col : col + 2], torch.full((2, 2), max(0.0, fall)))
