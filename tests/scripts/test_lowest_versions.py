"""The lowest declared versions: which they are, and that the script installs exactly those before it runs tests."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import lowest_versions
import pytest
from lowest_versions import lowest, run_tests

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_direct_dependency_is_pinned_to_its_bound():
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["ray"]]
    pins = lowest(PROJECT)
    assert {requirement.replace(">=", "==").partition(",")[0] for requirement in declared} <= set(pins)
    assert any(pin.startswith("pytest==") for pin in pins)
    assert not any(pin.startswith(PROJECT["name"]) for pin in pins)


def test_extras_of_the_project_itself_are_followed():
    project = {
        "name": "app",
        "dependencies": ["numpy>=2.0"],
        "optional-dependencies": {"a": ["x>=1"], "b": ["app[a,c]", "y >= 2.1"], "c": ["app[b]", "z>=3"]},
    }
    assert lowest(project, ["b"]) == ["numpy==2.0", "x==1", "y==2.1", "z==3"]
    assert lowest(project, []) == ["numpy==2.0"]


@pytest.mark.parametrize("requirement", ["numpy", "numpy<3", "numpy==2.0", "numpy>=2.*"])
def test_a_dependency_without_a_lowest_version_is_refused(requirement):
    with pytest.raises(ValueError, match=re.escape(f"'{requirement}' has no lowest version")):
        lowest({"name": "app", "dependencies": [requirement]}, [])


def test_an_unknown_extra_is_refused():
    with pytest.raises(
        ValueError, match="there is no extra 'docs': one of dev, export, parquet, photographs, ray, test, timm"
    ):
        lowest(PROJECT, ["docs"])


@pytest.fixture
def commands(monkeypatch):
    """Commands that would have been run, and what each of them ends with."""
    run, ends = [], [0, 1]

    def record(command, **options):
        run.append((command, options))
        return subprocess.CompletedProcess(command, ends[len(run) - 1])

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr(lowest_versions.venv, "create", lambda folder, with_pip: run.append(("venv", folder)))
    return run, ends


def test_what_is_installed_is_tested_in_its_own_environment(commands, tmp_path, monkeypatch):
    run, ends = commands
    ends[:] = [None, 0, 1]
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    assert run_tests(tmp_path, ["numpy==2.0"], ["tests/data", "-x"]) == 1, "the status of pytest"
    (_, made), (install, _), (tests, options) = run
    assert made == tmp_path
    assert install[0] == tests[0]
    assert Path(install[0]).is_relative_to(tmp_path)
    assert install[-1] == "numpy==2.0"
    assert tests[-2:] == ["tests/data", "-x"]
    assert options["cwd"] == ROOT
    assert options["env"]["PYTHONPATH"] == str(ROOT)
    assert "VIRTUAL_ENV" not in options["env"]


def test_what_cannot_be_installed_is_not_tested(commands, tmp_path):
    run, ends = commands
    ends[:] = [None, 1]
    with pytest.raises(ValueError, match="cannot be installed together"):
        run_tests(tmp_path, ["numpy==2.0", "captum==0.8"], ["tests/data"])
    assert len(run) == 2


def test_the_versions_can_be_listed_without_anything_installed():
    command = [sys.executable, "-I", str(ROOT / "scripts" / "lowest_versions.py"), "--list"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == lowest(PROJECT)


def test_what_is_run_by_default_is_there():
    assert all((ROOT / path).exists() for path in lowest_versions.TESTS)
