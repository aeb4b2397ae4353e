"""Checkpoints on disk: a folder with weights, a card that says what they are, and results measured on them.

``<root>/<dataset>/<model>/<attack>/{model.safetensors, card.json, <result>.json}``. Files are written under a temporary
name and renamed, nothing is ever unpickled, and a result measured on other weights counts as absent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.models import Classifier, build_model
from core.naming import command_for, is_key
from core.runtime.atomic_files import rows_as_lines, sweep_up, write_together
from core.runtime.read_once import ReadOnce
from core.schemas.base import Stored, checked, damaged, read_bytes, read_json
from core.schemas.results import schema_of
from core.store.card import SCHEMA, Card, Damaged, Missing
from core.store.shipped import keep_replaced, shipped
from core.store.weights import rounded, weights_fingerprint

__all__ = ["Checkpoint", "Store"]
DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "checkpoints"
PATIENCE = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Seconds after which files that do not belong together are read again: they may be just being replaced."""
LARGEST_WEIGHTS = 4 * 2**30
"""Bytes of a file of weights."""
WEIGHTS, CARD = "model.safetensors", "card.json"
_CARDS: ReadOnce[Card | str] = ReadOnce(most=64 * 2**20)
"""Cards of the files they were read from, or what is wrong with them."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder that holds a trained model.

    Attributes:
        folder: The folder.
        key: ``dataset/model/attack``.
    """

    folder: Path
    key: str

    def card(self) -> Card:
        """The card; the same one for all who ask, until its file is replaced.

        Raises:
            Missing: If there is none.
            Damaged: If it cannot be read.
        """
        path = self.folder / CARD
        try:
            card = _CARDS.get(path, (path,), lambda: _read_card(path))
        except FileNotFoundError:
            dataset, model, attack = (self.key.split("/") + ["?"] * 3)[:3]
            command = command_for(dataset, model, attack)
            raise Missing(f"there is no checkpoint {self.key}; make it with: {command}") from None
        if isinstance(card, str):
            raise self._damaged(CARD, card)
        return card

    def _damaged(self, file: str, why: str | Exception) -> Damaged:
        """The error that says which file of this checkpoint cannot be used, and why."""
        return Damaged(str(damaged(why, f"{self.key}: {file}")))

    def model(self, device: torch.device | str = "cpu") -> Classifier:
        """Loads the weights into a model in evaluation mode.

        Raises:
            Missing: If card or weights are not there.
            Damaged: If they cannot be read or do not fit each other.
        """
        return self.card_and_model(device)[1]

    def card_and_model(self, device: torch.device | str = "cpu") -> tuple[Card, Classifier]:
        """Card and model that belong together; while another model takes this one's place, those of either.

        Raises:
            Missing: If card or weights are not there.
            Damaged: If they cannot be read or do not fit each other.
        """
        card, state = self._pair()
        try:
            model = build_model(card.model, classes=len(card.classes), channels=card.shape[0], seed=0)
            model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        except (RuntimeError, ValueError) as error:
            raise self._damaged(WEIGHTS, str(error).splitlines()[0]) from error
        return card, model.to(device).eval()

    def _pair(self) -> tuple[Card, dict[str, Tensor]]:
        """Card and weights that belong together.

        The two files are renamed one after the other, so that a reader can come in between: it reads again, as long as
        a replacement may be under way.
        """
        for patience in (*PATIENCE, None):
            card = self.card()
            path = self.folder / WEIGHTS
            if not path.exists():
                raise Missing(f"the weights of {self.key} are not stored here; make them with: {card.command}")
            try:
                state = load(read_bytes(path, LARGEST_WEIGHTS))
            except (SafetensorError, ValueError, OSError) as error:
                raise self._damaged(WEIGHTS, str(error).splitlines()[0]) from error
            if weights_fingerprint(state) == card.weights:
                return card, state
            if patience is not None:
                time.sleep(patience)
        raise Damaged(f"{self.key}: {WEIGHTS} and {CARD} do not belong together")

    @property
    def exists(self) -> bool:
        """Whether a card or weights are there, readable or not."""
        return self.has_weights or (self.folder / CARD).exists()

    @property
    def has_weights(self) -> bool:
        """Whether the weights are there (results alone may be stored for a large model)."""
        return (self.folder / WEIGHTS).exists()

    def result(self, name: str) -> dict[str, Any] | None:
        """A stored result as :meth:`read_result` has it; None, too, where it or the card is damaged."""
        try:
            return self.read_result(name)
        except Damaged:
            return None

    def read_result(self, name: str) -> dict[str, Any] | None:
        """Reads a stored result; :mod:`core.sweeps.results` has it as an object, read once.

        Args:
            name: Its name; the file is called so.

        Returns:
            The file's values; None if there is none, or it was measured on other weights.

        Raises:
            Damaged: If it, or the card, cannot be read, or is of another kind of model; one sentence.
        """
        file = f"{name}.json"
        try:
            card = self.card()
            values: dict[str, Any] = read_json(self.folder / file)
            if checked(Stored, values, "").weights != card.weights:
                return None
            if (kind := schema_of(name)) is not None:
                checked(kind, values, "").fit(card.fits)
        except FileNotFoundError:
            return None
        except Damaged:
            raise
        except (OSError, ValueError) as error:
            raise self._damaged(file, error) from error
        return values

    def save_result(
        self,
        name: str,
        values: Mapping[str, Any],
        tensors: Mapping[str, Tensor] | None = None,
        *,
        model: Classifier | None = None,
    ) -> None:
        """Stores a result with the fingerprint of the weights it was measured on.

        Args:
            name: Its name; the files are called so.
            values: Ready for JSON.
            tensors: What belongs to it, stored beside it; :meth:`tensors` reads them.
            model: The model it was measured on; by default it is taken for the one that is stored now.

        Raises:
            ValueError: If another model is stored meanwhile; what was stored stays.
            OSError: If it cannot be written; what was stored stays.
        """
        if model is not None and weights_fingerprint(rounded(model)) != self.card().weights:
            raise ValueError(f"{self.key} was trained again meanwhile: {name}, of the model before, is not stored")
        content = {"schema": SCHEMA, "weights": self.card().weights, **values}
        files = {}
        if tensors is not None:
            kept = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
            content["tensors"] = weights_fingerprint(kept)
            files[self.folder / f"{name}.safetensors"] = save(kept)
        self._write(files | {self.folder / f"{name}.json": rows_as_lines(content).encode()})

    def _write(self, files: Mapping[Path, bytes]) -> None:
        """Writes the files of a result; a checkpoint that is elsewhere too copies them there."""
        sweep_up(self.folder)
        write_together(files)

    def tensors(self, name: str, stored: Callable[[], str | None] | None = None) -> dict[str, Tensor] | None:
        """The tensors of a stored result, or None if there is no such result or they do not belong to it.

        Args:
            name: Name of the result.
            stored: Gives the fingerprint that the result says its tensors have, or None where it counts as absent; by
                default its file is parsed for it.
        """
        for patience in (*PATIENCE, None):  # as for the model itself
            fingerprint = stored() if stored is not None else (self.result(name) or {}).get("tensors")
            if fingerprint is None:
                return None
            try:
                tensors = load(read_bytes(self.folder / f"{name}.safetensors", LARGEST_WEIGHTS))
            except (SafetensorError, ValueError, OSError):
                return None
            if fingerprint == weights_fingerprint(tensors):
                return tensors
            if patience is not None:
                time.sleep(patience)
        return None


def _read_card(path: Path) -> Card | str:
    """The card in a file, or what is wrong with it.

    Raises:
        FileNotFoundError: If there is none.
    """
    try:
        return Card.from_json(read_bytes(path))
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        return str(error)


class Store:
    """All checkpoints under one folder; their cards are the index."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else DEFAULT_ROOT

    def keys(self) -> list[str]:
        """Keys of all folders that hold a card, sorted."""
        keys = (path.parent.relative_to(self.root).as_posix() for path in self.root.glob(f"*/*/*/{CARD}"))
        return sorted(key for key in keys if is_key(key))

    def checkpoint(self, key: str) -> Checkpoint:
        """The checkpoint at ``dataset/model/attack``.

        Raises:
            ValueError: If the key is not three plain names.
        """
        if not is_key(key):
            raise ValueError(f"checkpoint = {key!r} is not allowed: it reads DATASET/MODEL/ATTACK")
        return Checkpoint(self.root / key, key)

    def beside(self, dataset: str, name: str) -> Checkpoint:
        """The checkpoint called ``MODEL/ATTACK`` of a data set, or with the data set in its own name.

        Raises:
            ValueError: If the name is not two or three plain names.
        """
        return self.checkpoint(name if name.count("/") == 2 else f"{dataset}/{name}")

    def cards(self) -> Iterator[tuple[str, Card | Damaged]]:
        """Every checkpoint with its card, or with what is wrong with it."""
        for key in self.keys():
            try:
                yield key, self.checkpoint(key).card()
            except (Damaged, Missing) as error:
                yield key, error if isinstance(error, Damaged) else Damaged(str(error))

    def is_shipped(self, key: str) -> bool:
        """Whether a model that came with the repository is stored under a key, or one that took its place.

        Raises:
            ValueError: If the list of these models cannot be read.
        """
        return key in shipped(self.root) and (self.root / key / CARD).exists()

    def publish(self, key: str) -> None:
        """Says that files of a checkpoint were written; a store that is elsewhere too copies them there."""

    def save(self, model: Classifier, card: Card) -> Checkpoint:
        """Stores rounded weights (see :func:`rounded`) and card, weights first.

        The files of a model that came with the repository are kept aside before.

        Raises:
            OSError: If they cannot be written; a checkpoint that was there stays as it was.
        """
        checkpoint = self.checkpoint(card.key)
        if self.is_shipped(card.key):
            keep_replaced(self.root, card.key)
        state = rounded(model)
        folder = checkpoint.folder
        write_together({folder / WEIGHTS: save(state), folder / CARD: card.to_json().encode()})
        return checkpoint
