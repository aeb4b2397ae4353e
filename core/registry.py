"""Names of methods: a decorator registers a class, and a package finds its own plugins and those of other packages.

An installed package offers its modules in an entry-point group, such as ``trigger_sensitivity.attacks``:
``[project.entry-points."trigger_sensitivity.attacks"]`` with ``stripe = "my_package.stripe"`` in its pyproject.toml.
The module is imported before the first look-up, and registers what is in it.

>>> shapes: Registry[object] = Registry("shape")
>>> @shapes.register("disk")
... class Disk: ...
>>> shapes["disk"].__name__, shapes.names()
('Disk', ['disk'])
>>> shapes["disc"]
Traceback (most recent call last):
core.registry.UnknownName: there is no shape 'disc'; known: disk (did you mean 'disk'?)
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import threading
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Generic, TypeVar

__all__ = ["Registry", "UnknownName"]

log = logging.getLogger(__name__)

T = TypeVar("T")
C = TypeVar("C", bound=type)


class UnknownName(ValueError):
    """A name that no class is registered under; its text lists the known ones."""


class Registry(Generic[T]):
    """Maps names to classes.

    Args:
        kind: What the classes are, in the singular; used in messages.
        package: Package whose modules are imported before the first look-up, so that every file in it is a plugin.
        group: Entry-point group in which other packages offer modules; what of it cannot be imported is left out, and
            said in the log.
    """

    def __init__(self, kind: str, package: str | None = None, group: str = "") -> None:
        self.kind, self.group = kind, group
        self._package = package
        self._classes: dict[str, type[T]] = {}
        self._lock, self._discovering = threading.RLock(), False

    def register(self, name: str) -> Callable[[C], C]:
        """Decorator: registers a class under ``name`` and stores the name on it as ``name``.

        Raises:
            ValueError: If the name is taken.
        """

        def decorate(cls: C) -> C:
            if name in self._classes:
                raise ValueError(f"{self.kind} {name!r} is registered twice: {self._classes[name]} and {cls}")
            self._classes[name] = cls
            cls.name = name  # type: ignore[attr-defined]
            return cls

        return decorate

    def _discover(self) -> None:
        if self._package is None:
            return
        # A second thread waits until every plugin is there; a plugin that looks itself sees those before it.
        with self._lock:
            if self._package is None or self._discovering:
                return
            self._discovering = True
            try:
                package = importlib.import_module(self._package)
                for module in pkgutil.iter_modules(package.__path__):
                    importlib.import_module(f"{package.__name__}.{module.name}")
                for entry in entry_points(group=self.group) if self.group else ():
                    try:
                        entry.load()
                    except Exception as error:  # whatever somebody else's code raises, the rest works
                        log.warning("the %s plugin %s (%s) is left out: %r", self.kind, entry.name, entry.value, error)
                self._package = None
            finally:
                self._discovering = False

    def names(self) -> list[str]:
        """Registered names in alphabetical order."""
        self._discover()
        return sorted(self._classes)

    def __getitem__(self, name: str) -> type[T]:
        self._discover()
        if name not in self._classes:
            close = get_close_matches(name, self._classes, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UnknownName(f"there is no {self.kind} {name!r}; known: {', '.join(self.names())}{hint}")
        return self._classes[name]

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())
