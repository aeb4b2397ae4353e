"""Numbers for people are written in one place: one decimal, and no zero with a sign."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from core import formatting

ROOT = Path(__file__).resolve().parents[2]
# Coordinates and machine readings, no rates: what is drawn, what a benchmark times.
OTHER = {"core/formatting.py", "dashboard/figures/preview.py", "scripts/benchmark.py", "scripts/training_speed.py"}


@pytest.mark.parametrize("value", [-0.0, -0.04, -1e-12, 0.0, 0.04])
def test_zero_has_no_sign(value):
    assert formatting.number(value) == formatting.signed(value) == formatting.percent(value / 100) == "0.0"


def test_whole_numbers_have_a_decimal_too():
    assert [formatting.number(value) for value in (82, 82.0, 82.34)] == ["82.0", "82.0", "82.3"]
    assert formatting.percent(0.82, " %") == "82.0 %"
    assert formatting.interval((0.5, 1)) == "50.0 to 100.0"
    assert (formatting.signed(3.21), formatting.signed(-3.21)) == ("+3.2", "-3.2")


@pytest.mark.parametrize("write", [formatting.number, formatting.signed, formatting.percent, formatting.seconds])
def test_what_there_is_not_is_empty(write):
    assert write(None) == write(float("nan")) == ""


def test_progress_is_complete_only_at_the_end():
    assert [formatting.progress(share) for share in (0.0, 0.29, 0.999, 1.0)] == ["0%", "29%", "99%", "100%"]


def specs_of(path):
    """Format specifications of f-strings and of ``str.format`` templates in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            yield "".join(part.value for part in node.format_spec.values if isinstance(part, ast.Constant)), node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for spec in re.findall(r"(?<!%)\{\w*:([^{}]*)\}", node.value):  # Plotly's templates have a percent sign
                yield spec, node.lineno


def test_nobody_else_formats_rates():
    """One decimal or percent written elsewhere would be another rule for the same numbers."""
    wrong = []
    for path in [path for folder in ("core", "dashboard", "scripts") for path in (ROOT / folder).rglob("*.py")]:
        name = path.relative_to(ROOT).as_posix()
        if name in OTHER:
            continue
        for spec, line in specs_of(path):
            if re.search(r"(\.1f|%)$", spec):
                wrong.append(f"{name}:{line} {spec}")
    assert not wrong
