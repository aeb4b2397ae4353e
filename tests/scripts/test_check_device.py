"""``check_device.py``: one page of what every part said, and a status that says whether one failed."""

from __future__ import annotations

import sys
from pathlib import Path

import check_device as check
import pytest
import torch


def test_the_page_has_the_end_of_what_each_part_said():
    good = check.carry_out(
        "good", [sys.executable, "-c", "print('bar 0%\\rbar 100%'); print('\\n'.join(map(str, range(99))))"]
    )
    bad = check.carry_out("bad", [sys.executable, "-c", "raise SystemExit('no device')"])
    page = check.page_of(torch.device("cpu"), [good, bad])
    assert "## good: ok" in page
    assert "98" in page.splitlines()
    assert "## bad: FAILED with status 1" in page
    assert "no device" in page
    assert len(page.splitlines()) < 50


def test_every_command_exists():
    for command in check.parts_of("cuda", Path("somewhere")).values():
        assert Path(command[1]).exists() or command[1] == "-m"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_it_says_so(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["check_device.py"])
    with pytest.raises(ValueError, match="device = 'cuda' is not allowed on this machine"):
        check.main()
