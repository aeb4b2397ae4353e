"""Names of models. The name is the last part of a checkpoint's key, ``dataset/model/name``.

The reference of an attack, which the tables of the paper are made of, is called by the attack's title: ``badnets``,
``badnets+``. A model of another kind has a name made of what differs from the default, or one that was given to it.
The models of Fig. 14 have their largest shrink size in it, the paper's too: ``badnets+max4`` is trained as long as
those of the other sizes, beside the reference.

>>> from core.attacks import Enhanced, attacks
>>> from core.data import dataset_from
>>> attack, data = attacks["badnets"](target=2), dataset_from("shapes10")
>>> automatic_name(attack, "resnet20", data, seed=0)
'badnets-target2'
>>> automatic_name(Enhanced(base=attack), "resnet20", data, seed=1)
'badnets-target2-seed1+'
>>> command_for("cifar10", "resnet20", "badnets-target2+max6")
'python scripts/train.py --dataset cifar10 --model resnet20 --attack badnets --target 2 --enhanced --max-shrink 6'
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from core.attacks import Attack, Enhanced, attacks
from core.data import Dataset
from core.paper.constants import SHRINK
from core.params import Parametrised, Value, flags_of, params_of
from core.recipe import Recipe, recipe_for, recipe_of
from core.transforms import transforms

__all__ = [
    "automatic_name",
    "check_name",
    "command_for",
    "data_flags",
    "is_key",
    "is_name",
    "numbered",
    "recipe_flags",
    "with_recipe",
]

LONGEST = 120
"""Bytes of a name: file systems take 255, and other files are called after it."""


def is_name(text: object) -> bool:
    """Whether a text can be the last part of a key."""
    return isinstance(text, str) and bool(re.fullmatch(r"\w[\w.+-]*", text)) and len(text.encode()) <= LONGEST


def is_key(key: str) -> bool:
    """Whether a text reads like ``dataset/model/name``."""
    return bool(re.fullmatch(r"[\w.+-]+(/[\w.+-]+){2}", key)) and not {".", ".."} & set(key.split("/"))


def check_name(name: str, attack: Attack) -> str:
    """The name, if a model with this attack may be called so.

    Raises:
        ValueError: If it is no plain name, or says another attack.
    """
    if not is_name(name):
        allowed = f"letters, digits, '.', '_', '+' and '-', a letter or digit first, at most {LONGEST} bytes"
        raise ValueError(f"name = {name!r} is not allowed: {allowed}")
    own = (attack.title, attack.sized_title) if isinstance(attack, Enhanced) else (attack.title,)
    if name.partition("+")[0] in attacks and name not in own:
        raise ValueError(f"name = {name!r} is not allowed: another attack is called so, and this one is {attack.title}")
    return name


def automatic_name(attack: Attack, model: str, dataset: Dataset, seed: int) -> str:
    """The attack's title, with every parameter that differs from its default for the network, and the seed.

    How long and how a model is trained is not in it: a recipe makes a better or worse model of the same kind.

    Args:
        attack: The attack; what of an enhancement differs is in its title already.
        model: Registered name of the network.
        dataset: The data set; a parameter that its own title tells is left out.
        seed: Seed of the training.
    """
    base = attack.base if isinstance(attack, Enhanced) else attack
    unsaid = {name: getattr(base, name) for name in base.measured_only}
    parts = _differences(base, {**base.defaults(model, dataset.shape), **unsaid})
    parts += [f"data-{part}" for part in _differences(dataset, _told_by_title(dataset))]
    return _with_parts(attack.title, [*parts, *([f"seed{seed}"] if seed else [])])


def with_recipe(name: str, recipe_name: str, recipe: Recipe, model: str) -> str:
    """A name with what of the recipe differs from the fast one."""
    base = recipe_for(recipe_name, model, recipe.optimizer)
    parts = [recipe_name] if recipe_name != "fast" else []
    parts += [recipe.optimizer] if recipe.optimizer != recipe_for(recipe_name, model).optimizer else []
    return _with_parts(name, [*parts, *_differences(recipe, base.to_dict())])


def numbered(name: str, number: int) -> str:
    """A name with a number, for a further model of the same kind."""
    return _with_parts(name, [str(number)])


def _with_parts(name: str, parts: Iterable[str]) -> str:
    """A name with parts between the attack and its enhancement; one that would be too long ends in a fingerprint."""
    first, plus, rest = name.partition("+")
    first = "-".join([first, *parts])
    made = first + plus + rest
    if len(made.encode()) <= LONGEST:
        return made
    digest = hashlib.sha256(made.encode()).hexdigest()[:8]
    return f"{first.encode()[: LONGEST - 10].decode(errors='ignore').rstrip('-.')}-{digest}{plus}"


def _differences(method: Parametrised, defaults: Mapping[str, Value] | None = None) -> list[str]:
    """What differs from the defaults, a part of a name each: ``target2``, ``poison-rate0.1``, ``surrogate-a-b``."""
    parts = []
    for name, param in params_of(type(method)).items():
        value, shown = getattr(method, name), name.replace("_", "-")
        if value == (defaults or {}).get(name, param.default):
            continue
        if param.kind is bool:
            parts.append(shown if value else f"no-{shown}")
        elif param.kind is str:
            plain = re.sub(r"[^\w.]+", "-", value).strip("-.")
            parts.append(f"{shown}-{plain}" if plain else f"no-{shown}")
        else:
            short = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(f"{shown}{short}" if float(short) == value else f"{shown}{value!r}")
    return parts


def _told_by_title(dataset: Dataset) -> dict[str, Value]:
    """Parameters that are where the data come from, or in the data set's title: a key tells them without its name."""
    declared = params_of(type(dataset))
    found = {name: getattr(dataset, name) for name in list(declared)[:1] if declared[name].kind is str}
    for name, param in declared.items():
        if name not in found and replace(dataset, **{name: param.default}).title != dataset.title:
            found[name] = getattr(dataset, name)
    return found


def command_for(
    dataset: str,
    model: str,
    attack: Attack | str,
    name: str = "",
    *,
    seed: int = 0,
    stored: bool = False,
    more: Sequence[str] = (),
    shape: tuple[int, int, int] | None = None,
) -> str:
    """The command that trains a model, to be copied into a shell.

    Args:
        dataset: The data set as a user types it.
        model: Registered name of the network.
        attack: The attack; or the name of a model, which tells as much as was put into it.
        name: Name to be given to it; by default it is the automatic one.
        seed: Seed of the training.
        stored: Whether something is stored in its place, which it is to replace.
        more: Further flags, of the recipe and of the data set.
        shape: Channels, height and width of the images, on which defaults depend; None for the paper's.
    """
    if isinstance(attack, str):
        attack, options = _told_by_name(attack)
    else:
        base = attack.base if isinstance(attack, Enhanced) else attack
        options = flags_of(base, base.defaults(model, shape))
        if isinstance(attack, Enhanced):
            shrink = attack.enhancement.defaults(shape)
            options += ["--enhanced", *flags_of(attack.enhancement, shrink)]
        attack = base.name
    options += ["--seed", str(seed)] if seed else []
    options += ["--name", name] if name else []
    options += ["--replace"] if stored else []
    start = ["python", "scripts/train.py", "--dataset", dataset, "--model", model, "--attack", attack]
    return shlex.join([*start, *options, *more])


def recipe_flags(name: str, params: Mapping[str, Value], model: str) -> list[str]:
    """The command-line flags that make the recipe of a stored model; none where it is of another version.

    Args:
        name: Name of the recipe.
        params: Its parameters, as a card has them; the optimizer is missing where there was only SGD.
        model: Registered name of the network.

    >>> recipe_flags("fast", Recipe(epochs=8).to_dict(), "resnet20")
    ['--epochs', '8']
    """
    try:
        found = recipe_of(params)
        base = recipe_for(name, model, found.optimizer)
    except ValueError:
        return []
    flags = ["--recipe", name] if name != "fast" else []
    if found.optimizer != recipe_for(name, model).optimizer:
        flags += ["--optimizer", found.optimizer]
    return flags + flags_of(found, base.to_dict())


def data_flags(dataset: Dataset) -> list[str]:
    """The command-line flags of a data set, besides what names it.

    >>> from core.data import datasets
    >>> data_flags(datasets["folder"](size=64)), datasets["gtsrb"](size=64).spec
    (['--size', '64'], 'gtsrb:64')
    """
    declared = list(params_of(type(dataset)).items())[1:]  # the first one is in its name, behind the colon
    flags = []
    for name, param in declared:
        value = getattr(dataset, name)
        if name in ("size", "column") and value != param.default:
            flags += [f"--{name}", str(value)]
        elif name == "skip_broken" and value:
            flags.append("--skip-broken")
    return flags


def _told_by_name(name: str) -> tuple[str, list[str]]:
    """The attack's name, and the flags that a model's name tells; a name that tells too little is given again."""
    first, plus, suffix = name.partition("+")
    attack = max((one for one in attacks if first == one or first.startswith(f"{one}-")), key=len, default=first)
    numbers = [n.replace("_", "-") for n, param in params_of(attacks[attack]).items()] if attack in attacks else []
    part = re.compile(rf"-({'|'.join([*numbers, 'seed'])})(\d[\d.]*(?:e-?\d+)?)(?=-|$)")
    options, place = [], len(attack)
    while found := part.match(first, place):
        options += [f"--{found[1]}", found[2]]
        place = found.end()
    told = _told_by_suffix(suffix)
    options += ["--enhanced"] * bool(plus) + (told or [])
    # Of the paper's own size, the automatic name says nothing.
    if place < len(first) or told is None or told == ["--max-shrink", str(SHRINK)]:
        options += ["--name", name]
    return attack, options


def _told_by_suffix(suffix: str) -> list[str] | None:
    """The flags that make an enhancement with some suffix; None where it tells too little."""
    step = rf"({'|'.join(sorted(map(re.escape, transforms), key=len, reverse=True))})(?:-(\d[\d.]*))?"
    told = re.fullmatch(
        rf"(?:max(?P<size>\d+)|(?P<layer>{step}(?:-{step})*))?"
        r"(?:(?:^|(?<=.)-)share(?P<share>\d[\d.]*))?(?:(?:^|(?<=.)-)(?P<only>poisoned-only))?",
        suffix,
    )
    if told is None:
        return None
    layer = ",".join(":".join(filter(None, one)) for one in re.findall(step, told["layer"] or ""))
    flags = {"--max-shrink": told["size"], "--transforms": layer, "--share": told["share"]}
    given = [text for flag, value in flags.items() if value for text in (flag, value)]
    return [*given, *(["--no-benign-too"] if told["only"] else [])]
