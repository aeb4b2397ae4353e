"""`scripts/report.py`: one file from one command, and one sentence for what cannot be."""

from __future__ import annotations

import json
import runpy
import sys

import pytest

KEY = "shapes10/resnet20/badnets"


def report(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["report.py", *arguments])
    try:
        runpy.run_path("scripts/report.py", run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_report_and_its_sentences(monkeypatch, capsys, tmp_path):
    out = tmp_path / "report.html"
    assert report(monkeypatch, "--checkpoint", KEY, "--out", str(out), "--json", str(tmp_path / "r.json")) == 0
    sentences = json.loads((tmp_path / "r.json").read_text())["conclusion"]
    assert len(sentences) == 3
    printed = capsys.readouterr().out
    assert all(sentence in printed for sentence in sentences)
    assert out.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--checkpoint", "shapes10/resnet20/nothing", "--out", "-"), "there is no checkpoint"),
        (("--checkpoint", KEY, "--out", "nowhere/report.html"), "there is no folder"),
        (("--checkpoint", KEY, "--out", "."), "it is a folder"),
        (("--checkpoint", KEY, "--out", "-", "--json", "-"), "both would be written to stdout"),
        (("--checkpoint", "nonsense", "--out", "-"), "it reads DATASET/MODEL/ATTACK"),
    ],
)
def test_what_cannot_be_is_one_sentence(monkeypatch, capsys, arguments, said):
    assert report(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert said in error.splitlines()[-1]
    assert "Traceback" not in error
