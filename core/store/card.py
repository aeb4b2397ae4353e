"""What is known of a stored model: its card."""

from __future__ import annotations

import json
import math
import platform
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field

from core.attacks import Attack, attack_from_dict
from core.data import Dataset, datasets
from core.metrics import Rate
from core.models import last_channels, models
from core.naming import automatic_name, command_for, data_flags, is_name, recipe_flags
from core.runtime.frozen import frozen, thawed
from core.schemas.base import (
    Channels,
    Count,
    Described,
    Fits,
    KeyPart,
    Side,
    Spent,
    Text,
    Value,
    checked,
    json_of,
)

__all__ = ["BEGINNING", "IMPORTED", "Card", "Damaged", "Missing", "environment"]

SCHEMA = 1
IMPORTED = "imported"
"""Name of the recipe of a model that was trained elsewhere."""
BEGINNING = 1250
"""Test images whose fingerprint is in a card beside that of all, for what measures on the first ones only."""


class Missing(FileNotFoundError):
    """A checkpoint or a result that is not there; the text names the command that makes it."""


class Damaged(ValueError):
    """A checkpoint whose files cannot be read; the text says which and why."""


def environment(device: torch.device | str = "cpu") -> dict[str, bool | int | float | str]:
    """Hardware and versions, for cards and results."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "numpy": np.__version__,
    }


def _processor() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine()


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a checkpoint is.

    A model that was trained here has how in its card; one that came from elsewhere (recipe ``imported``) has what is
    known of its file instead.

    Attributes:
        dataset: Name of the data set, as in the path, and ``encoding`` of its images.
        source: The data set as ``{"name", "params"}``, to load it again.
        classes: Class names.
        shape: Channels, height and width of an image.
        model: Registered name of the model.
        attack: ``{"name", "params", ...}`` as :meth:`core.attacks.Attack.to_card` gives it.
        recipe: ``{"name", "params"}`` of the training; of an imported model ``imported`` with ``file``, ``sha256``,
            ``format``, ``network``, ``preprocessing`` and ``trained_by``.
        weights: Fingerprint of the weights; results carry it too.
        test: Fingerprint of the test set that the two rates were measured on.
        clean_accuracy: On the whole test set, as counts.
        attack_success_rate: On the whole test set (for the clean model: the control), as counts.
        seed: Seed of the training.
        seconds: Seconds of training.
        history: One entry per epoch.
        environment: Hardware and versions of the training.
        preprocessing: Of an imported model, what each way to prepare images measured: ``name``, ``network``, ``rate``.
        warnings: Of an imported model, what is to be known of it, a sentence each.
        beginning: Fingerprint of the first :data:`BEGINNING` images of the test set; empty in older cards.
        name: The model's name where that is not the attack's title.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    dataset: KeyPart
    source: Described
    encoding: Text
    classes: Annotated[tuple[Text, ...], Field(min_length=2, max_length=2**16)]
    shape: tuple[Channels, Side, Side]
    model: Text
    attack: Described
    recipe: Described
    weights: Text
    test: Text
    clean_accuracy: Rate
    attack_success_rate: Rate
    seed: Count = 0
    seconds: Spent = 0.0
    history: tuple[dict[Text, Value | dict[Text, Count] | None], ...] = ()
    environment: dict[Text, Value] = field(default_factory=dict)
    beginning: Text = ""
    name: Text = ""
    preprocessing: tuple[dict[Text, Value | dict[Text, Count]], ...] = ()
    warnings: tuple[Text, ...] = ()
    schema: Literal[1] = 1

    @property
    def is_imported(self) -> bool:
        """Whether the model was trained elsewhere."""
        return bool(self.recipe["name"] == IMPORTED)

    @property
    def attack_object(self) -> Attack:
        """The attack with its parameters."""
        return attack_from_dict(self.attack)

    @property
    def dataset_object(self) -> Dataset:
        """The data set with its parameters."""
        return datasets[self.source["name"]].from_dict(self.source["params"])

    @property
    def key(self) -> str:
        """``dataset/model/name``: the checkpoint's path under the root."""
        return f"{self.dataset}/{self.model}/{self.name or self.attack_object.title}"

    @property
    def ways(self) -> list[tuple[str, str, Rate]]:
        """Of an imported model, each way to prepare images: network, name, clean accuracy; the first is taken."""
        read = []
        for way in self.preprocessing:
            counts = way.get("rate")
            counts = dict(counts) if isinstance(counts, Mapping) else {}
            rate = Rate(int(counts.get("hits", 0)), int(counts.get("total", 0)))
            read.append((str(way.get("network", "")), str(way.get("name", "")), rate))
        return read

    @property
    def fits(self) -> Fits:
        """What a stored result of the model must fit."""
        _, height, width = self.shape
        return Fits(classes=len(self.classes), height=height, width=width, channels=last_channels(self.model))

    @property
    def plan(self) -> dict[str, Any]:
        """What decided its weights, as a plan of a training has it in JSON."""
        made = {"dataset": self.source, "model": self.model, "attack": self.attack, "recipe": self.recipe}
        return made | {"seed": self.seed}

    @property
    def command(self) -> str:
        """The command that trains such a model in its place, or imports the file it came from once more."""
        if self.is_imported:
            file = str(self.recipe["params"].get("file", "FILE"))
            name = self.key.rpartition("/")[2]
            start = ["python", "scripts/import.py", file, "--dataset", self.dataset_object.spec]
            return shlex.join([*start, "--name", name, "--replace"])
        attack, data = self.attack_object, self.dataset_object
        name = self.name or attack.title
        given = "" if name == automatic_name(attack, self.model, data, self.seed) else name
        more = recipe_flags(self.recipe["name"], self.recipe["params"], self.model)
        more += data_flags(data)
        shape = self.shape
        return command_for(data.spec, self.model, attack, given, seed=self.seed, stored=True, more=more, shape=shape)

    def to_dict(self) -> dict[str, Any]:
        """The card's fields as a copy, ready for JSON; without a name for a reference, and what is of imports only."""
        values: dict[str, Any] = thawed(asdict(self))
        left_out = [name for name in ("name", "preprocessing", "warnings") if not values[name]]
        return {key: value for key, value in values.items() if key not in left_out}

    def to_json(self) -> str:
        """The card as indented JSON."""
        values = self.to_dict()
        history = values.pop("history")
        head = json.dumps(values, indent=1)[:-2]
        lines = ",\n".join("  " + json.dumps(_finite(entry), allow_nan=False) for entry in history)
        return f'{head},\n "history": [\n{lines}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str | bytes) -> Card:
        """The inverse of :meth:`to_json`; nothing in the card can be changed, as all who read the file share it.

        Raises:
            ValueError: If something is missing, has the wrong type or is not allowed.
        """
        values = json_of(text)
        if isinstance(values, dict) and "schema" not in values:
            raise ValueError("schema is missing")
        card = checked(cls, values, "")
        models[card.model]
        if card.name and not is_name(card.name):
            raise ValueError(f"name {card.name!r} is not a plain name")
        try:
            card.attack_object.check_target(len(card.classes))
            card.attack_object.trigger(card.shape)
            card.command  # noqa: B018 - raises if the data set or the attack cannot be named
        except (TypeError, RuntimeError, OverflowError) as error:  # of a plugin that takes what its parameters allow
            raise ValueError(f"the attack or the data set cannot be made: {error}") from error
        return frozen(card)


def _finite(entry: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: the loss of a training that diverged is null."""
    return {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in entry.items()}
