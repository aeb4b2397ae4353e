"""What the READMEs say: their tables are the stored results, their examples work."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import summary
import torch

from core.attacks import attacks
from core.store.local import Store
from core.transforms import transforms

ROOT = Path(__file__).resolve().parent.parent
README, TABLES, EXTEND = (ROOT / name for name in ("README.md", "checkpoints/README.md", "core/README.md"))


def test_the_tables_are_those_of_the_stored_results():
    texts = [path.read_text() for path in (README, TABLES)]
    marked = [name for text in texts for name in re.findall(r"<!-- table: ([\w-]+) -->", text)]
    checkpoints = summary.readable(Store())
    assert sorted(marked) == sorted(n for n, make in summary.TABLES.items() if len(list(make(checkpoints))) > 1)
    tables = {name: summary.markdown(make(checkpoints)) for name, make in summary.TABLES.items()}
    for text in texts:
        assert summary.updated(text, tables) == text, "run: scripts/summary.py --update README.md checkpoints/README.md"


def test_the_readme_is_short_and_its_python_runs(capsys):
    text = README.read_text()
    assert text.count("\n") <= 200
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    (said,) = capsys.readouterr().out.splitlines()
    assert f"# {said}\n" in block


def test_every_file_that_a_readme_names_is_there():
    # The files of core/README.md are the reader's own.
    for path in (README, TABLES, ROOT / "scripts/README.md", ROOT / "dashboard/README.md"):
        named = re.findall(
            r"\]\(([\w./-]+)\)|`((?:core|dashboard|scripts|tests|checkpoints)/[\w/]+(?:\.\w+)?)`", path.read_text()
        )
        for name in {link or quoted for link, quoted in named}:
            assert (ROOT / name).exists() or (path.parent / name).exists(), f"{path}: {name}"


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="there is no table 'weather'; there are models"):
        summary.updated("<!-- table: weather -->\n<!-- end -->", {"models": ""})


def test_a_table_replaces_what_stood_between_the_marks():
    text = "a\n<!-- table: one -->\nold\nold\n<!-- end -->\nb\n<!-- table: two -->\n<!-- end -->\n"
    made = summary.updated(text, {"one": "new", "two": "| x |"})
    assert made == "a\n<!-- table: one -->\nnew\n<!-- end -->\nb\n<!-- table: two -->\n| x |\n<!-- end -->\n"
    assert summary.updated(made, {"one": "new", "two": "| x |"}) == made


@pytest.fixture
def example(monkeypatch):
    """Runs a Python block of the README as a plugin that is registered for one test only."""

    def run(number, registry):
        registry.names()
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))
        module = ModuleType(f"readme_{number}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        blocks = re.findall(r"```python\n(.*?)```", EXTEND.read_text(), re.DOTALL)
        exec(compile(blocks[number], "README.md", "exec"), module.__dict__)

    return run


def test_the_example_of_an_attack_works(example):
    example(0, attacks)
    trigger = attacks["stripe"](width=3).trigger((3, 32, 32))
    assert (trigger.height, trigger.width, trigger.location) == (32, 3, (31, 31))


def test_the_example_of_a_transformation_works(example):
    example(1, transforms)
    transform = transforms["posterize"]()
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    made = transform(images, torch.Generator().manual_seed(1))
    assert made.shape == images.shape
    assert bool(((made >= 0) & (made <= 1)).all())
    assert 0 < float((made - images).abs().max()) < 2**4 / 255
    whole = (images * 255).round() / 255
    torch.testing.assert_close(transform.at(0)(whole, torch.Generator()), whole, atol=1e-6, rtol=0)


def test_the_walks_through_the_code_name_files_and_none_twice():
    text = (ROOT / "dashboard/README.md").read_text()
    walks = re.split(r"\*\*From ", text[text.index("## Two walks") : text.index("## The pages")])[1:]
    assert len(walks) == 2
    for walk in walks:
        files = re.findall(r"^\| `([^`]+)` \|", walk, re.MULTILINE)
        assert len(files) == len(set(files)) > 5
        assert [name for name in files if not (ROOT / name).is_file()] == []
