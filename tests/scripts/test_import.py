"""The command that imports models: what it says, and that bad files end it with status 2 and one line."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch, capsys, tmp_path):
    """Runs a script; returns status, output, errors."""

    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPTS / f"{name}.py"), *map(str, arguments)])
        try:
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    monkeypatch.chdir(tmp_path)
    return call


class Bomb:
    def __reduce__(self):
        return exec, ("open('mark', 'w')",)


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ({"state_dict": Bomb()}, (), "which is not data, and is refused"),
        ({"a.weight": torch.rand(2, 2)}, (), "the network is not known"),
        ({"a.weight": torch.rand(2, 2)}, ("--place", "3,3"), "--place is not allowed without --trigger FILE"),
        ({"a.weight": torch.rand(2, 2)}, ("--target", "whale"), "target = 'whale' is not allowed"),
        ({"a.weight": torch.rand(2, 2)}, ("--dataset", "nothing"), "there is no data set"),
        (None, (), "there is no such file or folder"),
    ],
)
def test_bad_input_ends_with_one_line_and_stores_nothing(script, tmp_path, content, more, said):
    if content is not None:
        torch.save(content, tmp_path / "x.pt")
    status, out, err = script("import", "x.pt", "--dataset", "shapes10", "--store", tmp_path / "store", *more)
    assert (status, out) == (2, "")
    line = err.splitlines()[-1]
    assert line.startswith("import.py: error: ")
    assert said in line
    assert "Traceback" not in err
    assert not (tmp_path / "mark").exists()
    assert not list((tmp_path / "store").rglob("*")) if (tmp_path / "store").exists() else True


def test_a_trigger_from_a_file_is_trained(script, tmp_path):
    mark = np.zeros((4, 6, 4), np.float32)
    mark[..., 3] = 0.5
    mark[0, 0, 0] = 1
    np.save(tmp_path / "mark.npy", mark.transpose(2, 0, 1))
    parse = runpy.run_path(str(SCRIPTS / "train.py"))["parse"]
    _, plan = parse(["--trigger", "mark.npy", "--place", "20,21", "--target", "2", "--trigger-size", "2"])
    trigger = plan.attack.trigger((3, 32, 32))
    assert plan.attack.name == "own-trigger"
    assert plan.key.startswith("shapes10/resnet20/own-trigger-")
    assert (trigger.location, trigger.height, trigger.width, trigger.opacity) == ((20, 21), 2, 3, 50)
    for wrong, said in (
        (["--trigger", "mark.npy", "--attack", "blended"], "not allowed with --attack blended"),
        (["--place", "1,1"], "not allowed without --trigger"),
        (["--trigger", "mark.npy", "--value", "3"], "not allowed beside --trigger"),
    ):
        with pytest.raises(ValueError, match=said):
            parse(wrong)


def test_help(script):
    status, out, err = script("import", "--help")
    assert (status, err) == (0, "")
    assert all(flag in out for flag in ("--preprocess", "--trigger", "--classes", "--json", "--store"))
