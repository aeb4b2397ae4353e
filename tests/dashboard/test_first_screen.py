"""What a server that has just started loads before it shows its first page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPEN = """
import json, sys
from streamlit.testing.v1 import AppTest
page = AppTest.from_file("dashboard/app.py", default_timeout=60)
page.query_params["model"] = "shapes10/resnet20/badnets-gray"
page.query_params["step"] = sys.argv[1]
if not sys.argv[1]:
    del page.query_params["step"]
page.run()
shown = len(page.get("bidi_component"))
print(json.dumps([shown, [name for name in sys.argv[2:] if name in sys.modules]]))
"""


@pytest.mark.parametrize("step", ["", "1"])
def test_first_page_loads_neither_tables_nor_compilers(step):
    """Each takes half a second or more, and a page that is drawn from what is stored needs none of them."""
    heavy = ["pandas", "pyarrow", "torch._dynamo", "torch._inductor", "captum", "cv2"]
    opened = [sys.executable, "-c", OPEN, step, *heavy]
    done = subprocess.run(opened, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shown, loaded = json.loads(done.stdout.splitlines()[-1])
    assert shown > 0
    assert loaded == []
