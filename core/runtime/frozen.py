"""Values that cannot be changed, so that all who read one file can be given the same ones.

They stay what JSON has: a frozen dictionary is a ``dict``, a frozen list a ``list``, and both are equal to plain ones.

>>> values = frozen({"hits": [1, 2]})
>>> values["hits"] == [1, 2]
True
>>> values["hits"].append(3)
Traceback (most recent call last):
TypeError: this is shared by all who read it; change a copy
>>> thawed(values)["hits"] + [3]
[1, 2, 3]
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, NoReturn, TypeVar

import numpy as np

__all__ = ["FrozenDict", "FrozenList", "frozen", "thawed"]

T = TypeVar("T")


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("this is shared by all who read it; change a copy")


class FrozenDict(dict[Any, Any]):
    """A dictionary that refuses to be changed; ``|`` and ``copy`` give a plain one."""

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[Any, Any]]]:
        """For copies between processes, which would otherwise be filled entry by entry."""
        return FrozenDict, (dict(self),)


class FrozenList(list[Any]):
    """A list that refuses to be changed; ``+``, slices and ``copy`` give a plain one."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[type[FrozenList], tuple[list[Any]]]:
        """As of :class:`FrozenDict`."""
        return FrozenList, (list(self),)


def frozen(value: T) -> T:
    """A value with everything in it made unchangeable.

    Args:
        value: Dictionaries, lists and tuples of such values, frozen dataclasses whose fields are such, and NumPy
            arrays, which are made read-only in place; all else is left as it is.

    Returns:
        The same value, or a copy of it where something in it could be changed.
    """
    made: Any = value
    if isinstance(value, FrozenDict | FrozenList):
        return value
    if isinstance(value, dict):
        made = FrozenDict({key: frozen(part) for key, part in value.items()})
    elif isinstance(value, list):
        made = FrozenList([frozen(part) for part in value])
    elif type(value) is tuple:
        parts = tuple(frozen(part) for part in made)
        made = parts if any(new is not part for new, part in zip(parts, made, strict=True)) else value
    elif isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif is_dataclass(value) and not isinstance(value, type):
        named = {part.name: getattr(value, part.name) for part in fields(value) if part.init}
        changed = {name: new for name, part in named.items() if (new := frozen(part)) is not part}
        made = replace(value, **changed) if changed else value
    return made  # type: ignore[no-any-return]


def thawed(value: Any) -> Any:
    """Plain dictionaries and lists in the place of frozen ones, to be changed by whoever asked."""
    if isinstance(value, dict):
        return {key: thawed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [thawed(part) for part in value]
    if type(value) is tuple:
        return tuple(thawed(part) for part in value)
    return value
