"""A few images of Shapes-10, and the backdoored model that came along as a file of another toolbox."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import torch

from core.data import Dataset, datasets
from core.data.shapes10 import Shapes10
from core.importing import model as importing
from core.importing import preprocessing
from core.store.local import Store


@dataclass(frozen=True, kw_only=True)
class Few(Dataset):
    """The first images of Shapes-10."""

    name = "few"
    label = "Few shapes"

    @property
    def classes(self):
        return Shapes10().classes

    def available(self):
        return True

    def load(self, split, limit=None):
        return Shapes10().load(split, min(limit or 120, 120))


@pytest.fixture
def few(monkeypatch):
    """The data set, registered for this test only; every way to prepare images is measured on few of them."""
    datasets.names()
    monkeypatch.setitem(datasets._classes, "few", Few)
    for module in (preprocessing, importing):
        monkeypatch.setattr(module, "FIRST", 60)
        monkeypatch.setattr(module, "FURTHER", 60)
    return Few()


@pytest.fixture
def weights():
    """The shipped BadNets model of Shapes-10 as akamaster/pytorch_resnet_cifar10 spells it, behind its normaliser."""
    state = Store().checkpoint("shapes10/resnet20/badnets").model().state_dict()
    mean, std = state.pop("normalise.mean"), state.pop("normalise.std")
    renamed = {f"module.1.{re.sub('^fc', 'linear', re.sub('^stage', 'layer', k))}": v for k, v in state.items()}
    return renamed | {"module.0.mean": mean, "module.0.std": std}


@pytest.fixture
def saved(tmp_path, weights):
    """Its file in the legacy format."""
    path = tmp_path / "model one.tar"
    torch.save({"epoch": 3, "state_dict": weights}, path, _use_new_zipfile_serialization=False)
    return path
