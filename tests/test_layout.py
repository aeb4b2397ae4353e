"""The house has one way through it: who may import whom, and what lies at the top of the repository."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Imports point to an earlier line, never to the same one or a later one; modules of one package are free among
# themselves. A new module of core takes its place here.
ORDER = (
    "core.paper.constants",
    "core.params",
    "core.registry",
    "core.formatting",
    "core.runtime",
    "core.schemas",
    "core.data",
    "core.trigger",
    "core.transforms.base",
    "core.physical",
    "core.transforms",
    "core.attacks",
    "core.models",
    "core.inference",
    "core.metrics",
    "core.paired",
    "core.recipe",
    "core.naming",
    "core.store",
    "core.training",
    "core.defenses",
    "core.importing",
    "core.attribution",
    "core.sweeps",
    "core.workers",
    "core.paper",
    "core.reproduction",
    "core.audit",
    "dashboard",
    "scripts",
)
TOP = {"pyproject.toml", "README.md", "dashboard", "core", "checkpoints", "tests", "scripts"}


def python_files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """Full names of the modules that a file imports anywhere in it, also inside functions."""
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def place_of(module):
    """The line of :data:`ORDER` that a module of ours is on; None for the rest of the world and for ``core`` itself."""
    owners = [index for index, owner in enumerate(ORDER) if module == owner or module.startswith(owner + ".")]
    return owners[0] if owners else None


def test_every_module_of_core_has_a_place():
    for path in python_files("core"):
        if name_of(path) != "core":
            assert place_of(name_of(path)) is not None, f"{name_of(path)} has no place in ORDER"


@pytest.mark.parametrize("folder", ["core", "dashboard", "scripts"])
def test_imports_point_to_the_left(folder):
    wrong = []
    for path in python_files(folder):
        here = place_of(name_of(path))
        for module in sorted(imports_of(path)):
            there = place_of(module)
            if there is not None and here is not None and there >= here and ORDER[there] != ORDER[here]:
                wrong.append(f"{name_of(path)} imports {module}")
    assert not wrong


def test_the_check_can_fail(tmp_path, monkeypatch):
    """A test of the test: it sees imports of every form, relative ones and those inside functions too."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "core" / "data").mkdir(parents=True)
    file = tmp_path / "core" / "data" / "x.py"
    file.write_text("import a.b as c\nfrom core import store\nfrom ..sweeps import f\ndef g():\n    from . import y\n")
    assert {"a.b", "core.store", "core.sweeps", "core.sweeps.f", "core.data.y"} <= imports_of(file)
    assert place_of("core.store") > place_of("core.data.x")
    assert place_of("core.datasets") is None


def misplaced(tests, sources):
    """Tests that do not stand where the source does, both as paths below the same folder, ``core`` and so on.

    A test of a module or of a package has its name and stands in its place, ``core/store/test_card.py`` beside
    ``core/store/card.py``; one of a topic stands in a folder of the source, and has no module's name.
    """
    modules = {path.with_suffix("") for path in sources if path.name != "__init__.py"}
    packages = {path.parent for path in sources}
    wrong = []
    for path in tests:
        place, name = path.parent, path.stem.removeprefix("test_")
        if place not in packages:
            wrong.append(f"{path}: there is no folder {place}")
        elif place / name not in modules | packages and name != place.name:
            same = sorted(module for module in modules if module.name == name and module.parts[0] == path.parts[0])
            wrong += [f"{path}: the module {name} is {same[0]}"] if same else []
    return wrong


def test_tests_mirror_the_source():
    tests = [path.relative_to(ROOT / "tests") for path in python_files("tests") if path.name.startswith("test_")]
    mirrored = [path for path in tests if path.parts[0] in ("core", "dashboard", "scripts")]
    sources = [path.relative_to(ROOT) for folder in ("core", "dashboard", "scripts") for path in python_files(folder)]
    # Of all pages; a module of lessons has the same name.
    assert misplaced([path for path in mirrored if path != Path("dashboard/test_pages.py")], sources) == []


def test_a_test_in_another_place_is_found():
    sources = [Path(name) for name in ("core/__init__.py", "core/store/card.py", "core/sweeps/saliency.py")]
    right = ["core/store/test_card.py", "core/store/test_store.py", "core/sweeps/test_topic.py", "core/test_store.py"]
    assert misplaced(map(Path, right), sources) == []
    wrong = ["core/test_card.py", "core/store/test_saliency.py", "core/models/test_topic.py"]
    assert len(misplaced(map(Path, wrong), sources)) == len(wrong)


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("streamlit", set()),
        ("plotly", set()),
        ("captum", {"core/attribution/gradients.py", "core/attribution/regions.py"}),
        ("dashboard", set()),
        ("scripts", set()),
        ("pickle", {"core/data/batches.py"}),
    ],
)
def test_core_does_not_import(package, allowed):
    found = {
        path.relative_to(ROOT).as_posix()
        for path in python_files("core")
        if any(module.split(".")[0] == package for module in imports_of(path))
    }
    assert found <= allowed


def test_nothing_else_unpickles():
    """Nothing is ever unpickled but the published batches of CIFAR-10, by a reader that builds arrays only."""
    unpickling = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
    wrong = []
    for path in [path for folder in ("core", "dashboard", "scripts") for path in python_files(folder)]:
        name = path.relative_to(ROOT).as_posix()
        if name != "core/data/batches.py" and any(module.split(".")[0] in unpickling for module in imports_of(path)):
            wrong.append(f"{name} imports a pickling module")
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called, given = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called == "torch.load" and given.get("weights_only") != "True":
                wrong.append(f"{name}:{node.lineno} calls torch.load without weights_only=True")
            if called in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False":
                wrong.append(f"{name}:{node.lineno} allows pickles in {called}")
    assert not wrong


def test_core_runs_without_the_dashboards_packages():
    """On a bare GPU machine there is neither streamlit nor plotly nor captum."""
    over_captum = ("core.attribution.gradients", "core.attribution.regions")
    modules = [name for path in python_files("core") if (name := name_of(path)) not in over_captum]
    code = (
        "import sys, importlib\n"
        "for absent in ('streamlit', 'plotly', 'captum'): sys.modules[absent] = None\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_top_of_the_repository_holds_what_it_may():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    top = {name.split("/")[0] for name in listed.stdout.split("\0") if name}
    assert {name for name in top if not name.startswith(".")} <= TOP
