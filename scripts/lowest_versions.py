"""Installs the lowest declared version of every direct dependency into an environment of its own and runs tests there.

    python scripts/lowest_versions.py                                  # in a folder that is deleted at the end
    python scripts/lowest_versions.py --env DIR tests/data -x          # in a folder that stays; arguments of pytest
    python scripts/lowest_versions.py --list

The versions are those of ``pyproject.toml``, ``NAME>=VERSION``, of the application and of what its tests need. On Linux
the environment takes 8 GB of disk, most of it torch and CUDA.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Every dependency is used by one of these: the pages, every way to read images, models and results, to compute and to
# train.
TESTS = (
    "tests/dashboard",
    "tests/core/attribution",
    "tests/core/data",
    "tests/core/inference",
    "tests/core/physical",
    "tests/core/reproduction",
    "tests/core/store",
    "tests/core/training",
    "tests/core/transforms",
)
# What the tests need besides the application; the linters of "dev" are no part of what is run.
EXTRAS = ("test",)
BAD_INPUT = 2


def lowest(project: dict[str, Any], extras: Sequence[str] = EXTRAS) -> list[str]:
    """The lowest declared version of every direct dependency.

    Args:
        project: The table ``project`` of ``pyproject.toml``.
        extras: Optional dependencies to include; those that they name of the project itself are followed.

    Returns:
        Requirements ``NAME==VERSION``, sorted.

    Raises:
        ValueError: If a dependency is not declared as ``NAME>=VERSION`` (``,<VERSION``), or there is no such extra.

    >>> lowest({"name": "app", "dependencies": ["numpy>=2.0"], "optional-dependencies": {"test": ["pytest >= 8.2"]}})
    ['numpy==2.0', 'pytest==8.2']
    """
    optional = project.get("optional-dependencies", {})
    declared, wanted, followed = list(project["dependencies"]), list(extras), set[str]()
    while wanted:
        extra = wanted.pop()
        if extra in followed:
            continue
        if extra not in optional:
            raise ValueError(f"there is no extra {extra!r}: one of {', '.join(sorted(optional))}")
        followed.add(extra)
        for requirement in optional[extra]:
            own = re.fullmatch(rf"{re.escape(project['name'])}\[(.+)\]", requirement)
            if own:
                wanted += [name.strip() for name in own[1].split(",")]
            else:
                declared.append(requirement)
    pins = set()
    for requirement in declared:
        found = re.fullmatch(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9]+(?:\.[0-9]+)*)(?:\s*,\s*<[0-9.]+)?", requirement)
        if found is None:
            raise ValueError(f"requirement {requirement!r} has no lowest version: it must be NAME>=VERSION[,<VERSION]")
        pins.add(f"{found[1]}=={found[2]}")
    return sorted(pins)


def run_tests(folder: Path, pins: Sequence[str], arguments: Sequence[str]) -> int:
    """Makes the environment, if it is not there yet, installs into it and runs pytest.

    Args:
        folder: Of the environment.
        pins: What is installed, as :func:`lowest` gives it.
        arguments: Of pytest.

    Returns:
        Exit status of pytest.

    Raises:
        ValueError: If the versions cannot be installed together.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins]
    if subprocess.run(install, cwd=folder).returncode:
        raise ValueError("the lowest versions cannot be installed together; the lines above say why")
    # The source tree as it is: nothing of it is installed.
    outside = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    tests = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(tests, cwd=ROOT, env=outside | {"PYTHONPATH": str(ROOT)}).returncode


def main() -> int:
    """Exit status: that of pytest; 2 if nothing could be run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--env", type=Path, metavar="DIR", help="folder of the environment (default: a temporary one)")
    parser.add_argument("--list", action="store_true", help="print the versions only")
    options, arguments = parser.parse_known_args()
    try:
        pins = lowest(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])
        print(*pins, sep="\n", flush=True)
        if options.list:
            return 0
        if options.env is not None:
            return run_tests(options.env.resolve(), pins, arguments or TESTS)
        with tempfile.TemporaryDirectory(prefix="lowest-") as folder:
            return run_tests(Path(folder), pins, arguments or TESTS)
    except (ValueError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
