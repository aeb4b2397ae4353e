"""Crops of photographs that packages ship: the same everywhere, antialiased; one sentence where they are missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.data import DataMissing, natural
from core.data.natural import SHIPPED, Shipped, natural_available, natural_pictures
from core.sweeps.runner import out_of_sample_sweeps


def test_the_pictures_are_of_all_photographs_in_turn():
    found = natural_pictures((3, 32, 32))
    assert found.images.shape == (560, 3, 32, 32)
    assert found.labels.tolist() == [n % len(SHIPPED) for n in range(560)]
    assert found.classes == tuple(photograph.title for photograph in SHIPPED)
    flat = found.images.flatten(1)
    assert len(flat.unique(dim=0)) == 560
    assert float(flat.float().std(1).median()) > 20, "pictures, not even areas"


def test_a_limit_gives_the_same_first_pictures():
    assert (natural_pictures((3, 16, 16), 25).images == natural_pictures((3, 16, 16)).images[:25]).all()
    assert len(natural_pictures((3, 16, 16), 0)) == 0


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 48, 32), (3, 64, 64)])
def test_the_pictures_fit_the_network(shape):
    assert natural_pictures(shape, 11).images.shape == (11, *shape)


def test_pictures_have_colours_that_photographs_have():
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        natural_pictures((4, 8, 8))


def test_a_crop_is_the_mean_of_what_it_covers():
    """Antialiased: halved in size, a crop has the means of its quarters."""
    large, small = (natural_pictures((3, side, side), 40).images.float() for side in (64, 32))
    means = large.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    assert float((means - small).abs().mean()) < 4


def test_where_a_package_is_missing_one_sentence_says_so(monkeypatch):
    monkeypatch.setattr(natural, "SHIPPED", (*SHIPPED[:2], replace(SHIPPED[0], package="no_such_package", title="x")))
    assert not natural_available()
    assert out_of_sample_sweeps("cifar10") == ("out-of-sample",)
    assert out_of_sample_sweeps("shapes10") == ()
    with pytest.raises(DataMissing, match=r"the photograph of x is not on this machine: .*pip install") as caught:
        natural_pictures((3, 32, 32))
    assert "\n" not in str(caught.value)


def test_another_photograph_is_refused(monkeypatch, tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "other.png")
    other = Shipped("x", "skimage", str(tmp_path / "other.png"), "PD", "nobody", "0" * 16)
    monkeypatch.setattr(natural, "SHIPPED", (other,))
    with pytest.raises(ValueError, match="is another photograph"):
        natural_pictures((3, 32, 32))


def test_what_is_possible_is_swept():
    assert natural_available()
    assert out_of_sample_sweeps("cifar10") == ("out-of-sample", "out-of-sample-natural")
    assert out_of_sample_sweeps("shapes10") == ("out-of-sample-natural",)
