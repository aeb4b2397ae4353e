"""Convolutions of small maps as matrix products give what the library's give, gradients included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.training import convolution
from core.training.convolution import MatrixConvolutions


def close(found, expected):
    """Equal but for the rounding to bfloat16, of 8 bits."""
    return bool((found.detach().float() - expected.detach()).norm() < 0.01 * expected.detach().norm())


@pytest.fixture
def counted(monkeypatch):
    """How many convolutions were products."""
    made = []
    own = convolution._Convolution.apply
    monkeypatch.setattr(convolution._Convolution, "apply", lambda *given: made.append(1) or own(*given))
    return made


@pytest.mark.parametrize(("height", "width"), [(4, 4), (2, 2), (1, 1), (3, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_the_librarys(counted, height, width, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(128, 160, 3, padding=1, bias=bias).to(memory_format=torch.channels_last)
    x = torch.randn(3, 128, height, width).to(memory_format=torch.channels_last).requires_grad_()
    expected = layer(x)
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, [x, *layer.parameters()], gradient)
    with torch.autocast("cpu", torch.bfloat16), MatrixConvolutions():
        found = layer(x)
    assert counted == [1]
    assert found.dtype == torch.bfloat16
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert close(found, expected)
    for one, other in zip(torch.autograd.grad(found.float(), [x, *layer.parameters()], gradient), wanted, strict=True):
        assert one.dtype == other.dtype
        assert close(one, other)


@pytest.mark.parametrize(
    ("layer", "side"),
    [
        (nn.Conv2d(128, 128, 3, padding=1), 8),
        (nn.Conv2d(128, 128, 3, stride=2, padding=1), 4),
        (nn.Conv2d(128, 128, 3), 4),
        (nn.Conv2d(128, 128, 3, padding=2, dilation=2), 4),
        (nn.Conv2d(256, 256, 3, padding=1, groups=2), 4),
        (nn.Conv2d(128, 128, 3, padding="same"), 4),
        (nn.Conv2d(128, 128, 1), 4),
        (nn.Conv2d(16, 16, 3, padding=1), 4),
    ],
)
def test_others_stay_as_they_are(counted, layer, side):
    x = torch.randn(2, layer.in_channels, side, side)
    with torch.autocast("cpu", torch.bfloat16):
        usual = layer(x)
        with MatrixConvolutions():
            assert torch.equal(layer(x), usual)
    assert not counted


def test_without_mixed_precision_nothing_is_rounded(counted):
    x, weight = torch.randn(2, 128, 4, 4), torch.randn(128, 128, 3, 3)
    with MatrixConvolutions():
        assert torch.equal(F.conv2d(x, weight, padding=1), torch.conv2d(x, weight, padding=1))
    assert not counted
