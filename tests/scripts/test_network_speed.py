"""The lines of ``benchmark.py --networks``: a step of training, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from types import SimpleNamespace

import network_speed
import pytest
import torch
from network_speed import NetworkSpeed, measure_step, network_lines, network_speeds


def test_a_step_is_measured_beside_the_matrix_rate():
    found = measure_step("resnet20", 4, 1, torch.device("cpu"), company=False)
    assert found.images_per_second > 0
    assert found.matrix_rate > 0
    # 0.082 GFLOP a pass, three passes a step.
    assert found.share == pytest.approx(3 * 0.082e9 * found.images_per_second / found.matrix_rate, rel=0.03)


def test_every_network_is_measured_alone_and_in_company(monkeypatch):
    commands, company = [], []

    def run(command, **options):
        commands.append(command)
        company.append("--company" in command)
        assert "hugetlb" in options["env"]["GLIBC_TUNABLES"]
        made = NetworkSpeed(command[2], int(command[3]), company[-1], 300.0, 2e12, 0.36, 12.0)
        return SimpleNamespace(returncode=0, stdout=json.dumps(asdict(made)), stderr="")

    monkeypatch.setattr(network_speed, "BUSY", "import time; time.sleep(60)")
    monkeypatch.setattr(subprocess, "run", run)
    found = network_speeds(["vgg19", "resnet34"], [32, 256], 3, "cpu")
    assert [(one.model, one.batch, one.company) for one in found] == [
        (model, batch, busy) for model in ("vgg19", "resnet34") for batch in (32, 256) for busy in (False, True)
    ]
    assert network_lines(found[:2]) == [
        "  training vgg19, batch 32: 300 images/s, 36% of 2000 GFLOP/s, 12 page faults a step",
        "  training vgg19, batch 32, beside a busy process: 300 images/s, 36% of 2000 GFLOP/s, 12 page faults a step",
    ]


def test_a_measurement_that_fails_is_one_sentence(monkeypatch):
    failed = SimpleNamespace(returncode=2, stdout="", stderr="x\nnetwork_speed.py: error: no such device\n")
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: failed)
    with pytest.raises(ValueError, match="no such device"):
        network_speeds(["vgg19"], [32], 3, "cpu")
