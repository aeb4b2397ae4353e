"""Names of methods, and how a package finds its own plugins."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.registry import Registry, UnknownName


def make_package(tmp_path, monkeypatch, name, modules):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("from core.registry import Registry\nthings = Registry('thing', __name__)\n")
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    package = __import__(name)
    return package.things


def forget(name):
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def test_names_are_sorted_and_stored_on_the_class():
    things = Registry("thing")

    @things.register("b")
    class B: ...

    @things.register("a")
    class A: ...

    assert things.names() == list(things) == ["a", "b"]
    assert len(things) == 2
    assert "a" in things
    assert "c" not in things
    assert things["b"] is B
    assert (A.name, B.name) == ("a", "b")


def test_a_name_taken_twice_is_refused_and_the_first_stays():
    things = Registry("thing")
    first = things.register("a")(type("First", (), {}))
    with pytest.raises(ValueError, match="thing 'a' is registered twice"):
        things.register("a")(type("Second", (), {}))
    assert things["a"] is first


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    things = Registry("thing")
    for name in ("resnet20", "vgg19"):
        things.register(name)(type(name, (), {}))
    with pytest.raises(UnknownName, match=r"no thing 'resnet2O'; known: resnet20, vgg19 \(did you mean 'resnet20'\?\)"):
        things["resnet2O"]
    with pytest.raises(UnknownName, match=r"no thing 'x'; known: resnet20, vgg19$"):
        things["x"]


def test_every_file_of_the_package_is_a_plugin(tmp_path, monkeypatch):
    plugin = """
        from plugins_found import things
        @things.register({name!r})
        class Plugin: ...
    """
    things = make_package(
        tmp_path, monkeypatch, "plugins_found", {f"file_{n}": plugin.format(name=n) for n in ("one", "two")}
    )
    try:
        assert "plugins_found.file_one" not in sys.modules
        assert things.names() == ["one", "two"]
        assert things["two"].__module__ == "plugins_found.file_two"
    finally:
        forget("plugins_found")


def test_two_threads_that_look_at_once_both_see_every_plugin(tmp_path, monkeypatch):
    slow = """
        import time
        from plugins_slow import things
        time.sleep(0.2)
        @things.register("slow")
        class Slow: ...
    """
    things = make_package(tmp_path, monkeypatch, "plugins_slow", {"slow": slow})
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: things.names(), range(4))) == [["slow"]] * 4
    finally:
        forget("plugins_slow")


def test_a_plugin_that_cannot_be_imported_is_no_silent_loss(tmp_path, monkeypatch):
    things = make_package(tmp_path, monkeypatch, "plugins_broken", {"broken": "raise ImportError('broken plugin')"})
    try:
        for _ in range(2):
            with pytest.raises(ImportError, match="broken plugin"):
                things.names()
    finally:
        forget("plugins_broken")


def test_an_installed_package_brings_its_plugins(tmp_path):
    """A real package, really installed: an attack that works, and a transform that cannot be imported."""
    source, site = tmp_path / "source", tmp_path / "site"
    (source / "stripes").mkdir(parents=True)
    (source / "pyproject.toml").write_text(
        textwrap.dedent(
            """
            [build-system]
            requires = ["setuptools"]
            build-backend = "setuptools.build_meta"
            [project]
            name = "stripes"
            version = "1"
            [project.entry-points."trigger_sensitivity.attacks"]
            stripes = "stripes.attack"
            [project.entry-points."trigger_sensitivity.transforms"]
            broken = "stripes.nowhere"
            """
        )
    )
    (source / "stripes" / "__init__.py").touch()
    (source / "stripes" / "attack.py").write_text(
        textwrap.dedent(
            """
            from dataclasses import dataclass
            from typing import ClassVar
            from core.attacks import attacks
            from core.attacks.badnets import BadNets

            @attacks.register("stripes")
            @dataclass(frozen=True, kw_only=True)
            class Stripes(BadNets):
                label: ClassVar[str] = "Stripes"
            """
        )
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True)
    code = "from core.attacks import attacks; from core.transforms import transforms\n"
    code += "print('stripes' in attacks, 'flip' in transforms, 'broken' in transforms)"
    paths = os.pathsep.join([str(site), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.stdout.split() == ["True", "True", "False"], done.stderr
    assert "transform plugin broken (stripes.nowhere) is left out" in done.stderr
