"""Every forward path keeps to the device it is given, held to on machines that have none.

Tensors here have shapes and a device, CUDA, and no values: what was left on the CPU meets them and raises at once.
Backward passes, and what reads a value out of a tensor, need a device: those tests are skipped
without one, and ``scripts/check_device.py`` runs them.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from core.attacks import Enhanced, Enhancement, attacks
from core.attribution import measures
from core.attribution import methods as attribution
from core.inference.predictor import Predictor
from core.models import build_model
from core.models.base import Undrawn
from core.physical.camera import Camera
from core.sweeps.saliency import attacked_and_moved
from core.training.augmentation import augment, draw
from core.training.convolution import MatrixConvolutions
from core.transforms import Compose, transform_from_spec, transforms
from core.trigger import Trigger, stamp

pytestmark = pytest.mark.cuda

SHAPE = (3, 32, 32)
COUNT = 4


class Generator:
    """Stands for a generator on the device, which cannot be made without one."""

    device = torch.device("cuda")


def undrawing(func):
    """A function that draws, without its generator: there are no values to be drawn."""

    def drawn(*args, generator=None, **kwargs):
        # A generator of the CPU draws on the CPU alone.
        given = next((arg.device for arg in args if isinstance(arg, torch.Tensor)), kwargs.get("device") or "cpu")
        on_cpu = torch.device(given).type == "cpu"
        assert generator is None or isinstance(generator, Generator) or on_cpu
        return func(*args, **kwargs)

    return drawn


def moved(module, *args, **kwargs):
    """``Module.to`` for tensors without storage, which cannot take the place of others: new parameters and buffers."""
    device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, tensor in held.items():
                if tensor is None:
                    continue
                kind = dtype if tensor.is_floating_point() else None
                form = layout if tensor.ndim == 4 and layout is not None else torch.preserve_format
                made = tensor.to(device or tensor.device, kind or tensor.dtype, memory_format=form)
                held[name] = torch.nn.Parameter(made) if held is part._parameters else made
    return module


@pytest.fixture
def generator(monkeypatch):
    """Meanwhile tensors have no values, and there seems to be a CUDA device."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(Trigger, "__post_init__", lambda trigger: None)  # it looks at values
    for name in ("rand", "randn", "randint"):
        monkeypatch.setattr(torch, name, undrawing(getattr(torch, name)))
    monkeypatch.setattr(copy, "deepcopy", lambda model: model)  # there is no storage to be copied
    monkeypatch.setattr(torch.nn.Module, "to", moved)
    monkeypatch.setattr(torch.nn.Module, "float", lambda module: moved(module, torch.float32))
    with FakeTensorMode():
        yield Generator()


@pytest.fixture
def images(generator):
    return torch.rand(COUNT, *SHAPE, device="cuda")


def assert_there(made, shape=(COUNT, *SHAPE)):
    assert made.device.type == "cuda"
    assert tuple(made.shape) == shape


def test_what_is_left_on_the_cpu_is_noticed(images):
    with pytest.raises(RuntimeError, match="device"):
        images + torch.rand(COUNT, *SHAPE)


# How many images are shrunk to each size, and whether corners are a picture's, is read out of a tensor; JPEG files are
# written on the processor.
READS = ("shrinkpad", "random-shrinkpad", "resize", "perspective", "jpeg", "camera")


@pytest.mark.parametrize("name", [name for name in transforms if name not in READS])
def test_transformations(generator, images, name):
    layer = transform_from_spec(name)
    drawn = layer.draw(COUNT, SHAPE, generator)
    assert_there(layer.apply(images, drawn))
    assert_there(layer.follow(torch.rand(COUNT, 1, 32, 32, device="cuda"), drawn), (COUNT, 1, 32, 32))


def test_stamping(images):
    trigger = attacks["badnets"]().trigger(SHAPE).to("cuda")
    assert_there(stamp(images, trigger))
    for reduction in ("absolute", "signed"):
        method = attribution.methods["gradient"].from_dict({"reduction": reduction})
        assert_there(method.of_channels(images), (COUNT, 32, 32))


@pytest.mark.parametrize("name", [name for name in attacks if name != "own-trigger"])
@pytest.mark.parametrize("enhanced", [False, True])
def test_batches_of_attacks(generator, images, name, enhanced):
    attack = attacks[name]()
    if enhanced:
        try:
            attack = Enhanced(base=attack, enhancement=Enhancement(transforms="flip"))
        except ValueError:
            pytest.skip(f"{name} has no enhanced form")
    trigger = attack.trigger(SHAPE).to("cuda")
    assert_there(attack.poison(images, trigger, generator))
    assert_there(attack.accompany(images, generator))


def test_augmentation(generator):
    pixels = torch.zeros(COUNT, *SHAPE, dtype=torch.uint8, device="cuda")
    made = augment(pixels, draw(COUNT, generator))
    assert_there(made)
    assert made.dtype == torch.uint8


@pytest.mark.parametrize("name", ["resnet20", "vgg19", "resnet34"])
def test_networks_and_predictors(images, name):
    with Undrawn():
        model, training = (build_model(name, classes=10) for _ in range(2))
    predictor = Predictor(model.eval(), "cuda")
    assert predictor.dtype == torch.bfloat16
    assert_there(predictor.logits(torch.rand(COUNT, *SHAPE)), (COUNT, 10))
    assert_there(predictor.logits(images), (COUNT, 10))
    with torch.no_grad(), MatrixConvolutions():
        assert_there(training.to("cuda").train()(images), (COUNT, 10))


def test_saliency_takes_its_masks_along(generator, images):
    trigger = attacks["badnets"]().trigger(SHAPE).to("cuda")
    for layer in (Compose(), transform_from_spec("flip"), transform_from_spec("noise:10")):
        shown, masks = attacked_and_moved(images, trigger, layer, generator)
        assert_there(shown)
        assert_there(masks, (COUNT, 1, 32, 32))


def test_the_camera(generator, images):
    camera = Camera()
    drawn = camera.draw(COUNT, SHAPE, generator)
    assert_there(camera.apply(images, drawn))
    assert_there(camera.follow(torch.rand(COUNT, 1, 32, 32, device="cuda"), drawn), (COUNT, 1, 32, 32))


def test_measures_of_saliency(images):
    saliency, masks = images[:, 0], images[:, :1]
    for measure in (
        measures.relevance_mass_accuracy,
        measures.relevance_rank_accuracy,
        measures.pointing_game,
        measures.intersection_over_union,
    ):
        assert_there(measure(saliency, masks), (COUNT,))
    pixels = measures.salient_pixels(saliency)
    assert_there(measures.covered(images, pixels, images))
    assert_there(measures.covered(images, pixels, 0.5))
    assert_there(measures.recovering_difference(images, images, images), (COUNT,))
