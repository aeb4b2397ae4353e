"""Predictions at many places: what is not repeated changes nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from core.inference.incremental import Later, Reuse, activations, at_places, pays
from core.inference.predictor import BATCH, Folded, Predictor
from core.models import build_model, models
from core.trigger import Trigger, stamp


def settled(name="resnet20", channels=3):
    """A model whose batch norms have statistics of their own, folded, in float32."""
    model = build_model(name, classes=7, channels=channels, seed=0)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
    model.normalise.mean.fill_(0.45)
    model.normalise.std.fill_(0.25)
    return model.eval()


def some_images(count, side=32, channels=3):
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(3))


def some_trigger(height=3, width=3, channels=3):
    generator = torch.Generator().manual_seed(4)
    pattern, alpha = torch.rand(2, channels, height, width, generator=generator)
    return Trigger(pattern, alpha, 31, 31)


def reuse_of(model, images, trigger):
    folded = Folded(model, torch.float32)
    return Reuse(folded.body, folded.prepare, Later(folded.body), images, trigger)


# Networks in which what a trigger changes is put together from the first convolutions; others take whole passes, since
# what their blocks add up is not activated (PreActResNet, WideResNet), or they have no padding (the MNIST CNN).
REUSING = ["resnet18", "resnet20", "resnet34", "vgg19"]


def test_which_networks_reuse():
    assert [name for name in models.names() if settled(name).early()] == REUSING


@pytest.mark.parametrize("name", ["wrn-16-1", "mnist-cnn"])
def test_other_networks_take_whole_passes(name):
    model, images, trigger = settled(name), some_images(2), some_trigger()
    found = Predictor(model, "cpu", torch.float32).located(images, trigger)(PLACES[:2])
    with torch.no_grad():
        for number, (row, col) in enumerate(PLACES[:2]):
            assert torch.equal(found[number], model(stamp(images, trigger.at(row, col))).argmax(1))


@pytest.mark.parametrize("name", REUSING)
def test_the_early_convolutions_and_what_follows_are_the_whole_network(name):
    folded, images = Folded(settled(name), torch.float32), some_images(2)
    with torch.no_grad():
        levels = activations(folded.body.early(), folded.prepare(images))
        assert len(levels) >= 3
        assert {level.shape[2:] for level in levels} == {(32, 32)}
        torch.testing.assert_close(folded.body.later(levels[-1]), folded(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", REUSING)
def test_early_convolutions_are_all_before_the_first_subsampling(name):
    """One more could not be there: the next thing that the network does to the image makes it smaller."""
    body = settled(name)
    sizes = []
    for module in body.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, taken, given: sizes.append(given.shape[2]))
    with torch.no_grad():
        body(some_images(1))
    assert len(body.early()) == sum(size == 32 for size in sizes)
    assert {(step.conv.kernel_size, step.conv.stride, step.conv.padding) for step in body.early()} == {
        ((3, 3), (1, 1), (1, 1))
    }


PLACES = [(2, 2), (2, 31), (31, 2), (31, 31), (15, 16), (10, 3), (24, 30), (2, 17)]


@pytest.mark.parametrize(("height", "width"), [(3, 3), (1, 1), (2, 5)])
def test_reuse_agrees_with_whole_passes(height, width):
    model, images, trigger = settled(), some_images(3), some_trigger(height, width)
    places = [(max(row, height - 1), max(col, width - 1)) for row, col in PLACES]
    found = reuse_of(model, images, trigger).logits(slice(1, 3), places)
    assert found.shape == (2, len(places), 7)
    with torch.no_grad():
        for number, (row, col) in enumerate(places):
            expected = model(stamp(images[1:3], trigger.at(row, col)))
            torch.testing.assert_close(found[:, number], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in REUSING if name != "resnet20"])
def test_reuse_agrees_for_other_networks(name):
    model, images, trigger = settled(name), some_images(1), some_trigger()
    found = reuse_of(model, images, trigger).logits(slice(None), PLACES[:3])
    with torch.no_grad():
        for number, (row, col) in enumerate(PLACES[:3]):
            expected = model(stamp(images, trigger.at(row, col)))
            torch.testing.assert_close(found[:, number], expected, atol=1e-4, rtol=1e-4)


def test_reuse_on_smaller_and_gray_images():
    """Windows that would be larger than the image end at its border."""
    model, images = settled(channels=1), some_images(2, side=16, channels=1)
    trigger = some_trigger(channels=1).at(15, 15)
    places = [(2, 2), (8, 9), (15, 15)]
    found = reuse_of(model, images, trigger).logits(slice(None), places)
    with torch.no_grad():
        for number, (row, col) in enumerate(places):
            torch.testing.assert_close(
                found[:, number], model(stamp(images, trigger.at(row, col))), atol=1e-4, rtol=1e-4
            )


def test_reuse_does_not_compute_the_early_convolutions_of_the_whole_image_again(monkeypatch):
    reuse, areas = reuse_of(settled(), some_images(2), some_trigger()), []
    monkeypatch.setattr(reuse, "later", lambda x: torch.zeros(len(x), 7))
    convolve = F.conv2d

    def spy(x, *more, **named):
        areas.append(x.shape[2] * x.shape[3])
        return convolve(x, *more, **named)

    monkeypatch.setattr(F, "conv2d", spy)
    reuse.logits(slice(None), PLACES)
    assert areas == [(3 + 2 * level + 4) ** 2 for level in range(7)]


def test_it_pays_where_most_of_the_image_stays_as_it_is():
    early = settled().early()
    assert pays(early, some_trigger(), 32, 32)
    assert not pays(early, some_trigger(20, 20), 32, 32)
    assert not pays(early, some_trigger(), 16, 16)
    assert not pays([], some_trigger(), 32, 32)
    assert pays(early, some_trigger(31, 2), 32, 32)
    assert not pays(early, some_trigger(32, 2), 32, 32), "a box as high as the image crosses its border"
    assert not pays(early, some_trigger(2, 32), 32, 32)


@pytest.mark.parametrize(("height", "width"), [(32, 2), (2, 32), (31, 2), (32, 32)])
def test_a_stripe_as_long_as_the_image_is_swept_by_offset(monkeypatch, height, width):
    predictor, images = Predictor(settled(), dtype=torch.float32), some_images(2)
    monkeypatch.setattr(predictor, "_compiled_later", predictor._later)
    trigger = some_trigger(height, width)
    every = [(row, col) for row in trigger.places(32, 32)[0] for col in trigger.places(32, 32)[1]]
    places = every[:: max(1, len(every) // 12)] + every[-1:]
    found = predictor.located(images, trigger)(places)
    assert torch.equal(found, at_places(predictor.predict)(images, trigger)(places))


def test_a_predictor_takes_the_shorter_way_once_it_is_compiled(monkeypatch):
    predictor, images, trigger = Predictor(settled(), dtype=torch.float32), some_images(5), some_trigger()
    expected = at_places(predictor.predict)(images, trigger)(PLACES)
    assert torch.equal(predictor.located(images, trigger)(PLACES), expected)
    sizes = []

    def compiled(x):
        sizes.append(len(x))
        return predictor._later(x)

    monkeypatch.setattr(predictor, "_compiled_later", compiled)
    found = predictor.located(images, trigger)(PLACES)
    assert found.dtype == torch.int64
    assert found.shape == (len(PLACES), 5)
    assert torch.equal(found, expected)
    assert sizes == [BATCH]
    wide = some_trigger(24, 24)
    everywhere = [(23, 23), (31, 31)]
    expected = at_places(predictor.predict)(images, wide)(everywhere)
    assert torch.equal(predictor.located(images, wide)(everywhere), expected)
    assert sizes == [BATCH]


def test_more_images_than_a_batch(monkeypatch):
    predictor, trigger = Predictor(settled(), dtype=torch.float32), some_trigger()
    images = some_images(150)
    expected = at_places(predictor.predict)(images, trigger)(PLACES[:2])
    monkeypatch.setattr(predictor, "_compiled_later", predictor._later)
    assert torch.equal(predictor.located(images, trigger)(PLACES[:2]), expected)


@pytest.mark.parametrize(("reused", "whole", "chosen"), [(1.0, 2.0, True), (2.0, 1.0, False)])
def test_the_faster_way_is_taken_and_timed_once(reused, whole, chosen, monkeypatch):
    """Both ways are timed at the first call for a size of trigger; few images are not timed at all."""
    predictor = Predictor(settled(), dtype=torch.float32)
    later, timed, taken = Later(predictor._eager.body), [], []
    predictor._compiled_later = later
    reuse = predictor._reused
    monkeypatch.setattr(predictor, "_reused", lambda *given: taken.append(len(given[1])) or reuse(*given))
    monkeypatch.setattr(
        "core.inference.predictor._seconds", lambda way, places: timed.append(places) or [reused, whole][len(timed) - 1]
    )
    images, trigger = some_images(40), some_trigger()
    with torch.inference_mode():
        predictor.located(images[:4], trigger)
        assert (timed, taken) == ([], [4])
        for _ in range(2):
            predictor.located(images, trigger)
    assert len(timed) == 2
    assert taken == [4, 32, *([40, 40] if chosen else [])]
    rows, cols = trigger.places(32, 32)
    assert all(row in rows and col in cols for places in timed for row, col in places)
