"""What is stored of a model, as objects: the only place where the files of results become maps, curves and rates.

Commands, the comparison with the paper and all pages read here. A file is parsed once, until it is replaced; all who
ask share what was made of it, and nothing in it can be changed. What is missing, damaged, or was measured on other
weights counts as absent; of a damaged file one sentence is in the log.

>>> from core.store.local import Store
>>> stored = StoredResults(Store().checkpoint("shapes10/resnet20/badnets"))
>>> stored.location.at(31, 31).total, stored.strength("flip").strengths
(300, (0.0, 0.5, 1.0))
>>> stored.location is stored.location
True
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from core.defenses import defenses
from core.models import Classifier
from core.runtime.anytime import Readable
from core.runtime.frozen import frozen
from core.runtime.read_once import ReadOnce, file_state
from core.schemas.base import Stored, checked, damaged
from core.store.card import Damaged
from core.store.local import CARD, Checkpoint
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.location import LocationMap
from core.sweeps.physical import PhysicalResult
from core.sweeps.place_classes import RESULT, PlaceClasses
from core.sweeps.repair import Repaired, result_name
from core.sweeps.runner import OUT_OF_SAMPLE_NATURAL, foreign_map
from core.sweeps.saliency import Energies
from core.sweeps.saliency_examples import RESULT as EXAMPLES
from core.sweeps.saliency_examples import SaliencyExamples
from core.sweeps.saliency_methods import SaliencyMethods
from core.sweeps.strength import StrengthCurve
from core.transforms import transforms
from core.trigger import Trigger

__all__ = ["StoredResults", "repaired_model", "reversed_triggers"]

log = logging.getLogger(__name__)


R = TypeVar("R", bound=Readable)


@dataclass(frozen=True)
class _File:
    """What one file holds.

    Attributes:
        result: The map, curve or rates; None where the file counts as absent.
        source: What it was measured with.
        is_own: Whether that was done with the trigger that the model was trained with.
    """

    result: Any = None
    source: Stored | None = None
    is_own: bool = False


ABSENT = _File()
_FILES: ReadOnce[_File] = ReadOnce(most=128 * 2**20)


def _read(checkpoint: Checkpoint, name: str, kind: type[Readable]) -> _File:
    """Parses a file; of a damaged one, the log says so and why."""
    if file_state(checkpoint.folder / f"{name}.json") is None:
        return ABSENT
    try:
        values = checkpoint.read_result(name)
        if values is None:
            return ABSENT
        source, card = checked(Stored, values), checkpoint.card()
        own = card.attack_object.trigger(card.shape).fingerprint
        source = source.model_copy(update={"environment": frozen(source.environment)})
        return _File(frozen(kind.from_dict(values)), source, source.trigger == own)
    except Damaged as error:
        log.warning("%s; it counts as absent", error)
    except ValueError as error:  # what only its own class can see, such as a camera that there cannot be
        log.warning("%s; it counts as absent", damaged(error, f"{checkpoint.key}: {name}.json"))
    except FileNotFoundError:  # deleted meanwhile
        pass
    return ABSENT


@dataclass(frozen=True)
class StoredResults:
    """The stored results of one model.

    Attributes:
        checkpoint: Where they are stored; None of a model of which nothing is.
    """

    checkpoint: Checkpoint | None

    def _file(self, name: str, kind: type[Readable]) -> _File:
        checkpoint = self.checkpoint
        if checkpoint is None:
            return ABSENT
        path = checkpoint.folder / f"{name}.json"
        return _FILES.get((path, kind), (path, checkpoint.folder / CARD), lambda: _read(checkpoint, name, kind))

    def _own(self, name: str, kind: type[R]) -> R | None:
        """A result, if it was measured with the model's own trigger."""
        file = self._file(name, kind)
        return file.result if file.is_own else None

    def _of(self, name: str, kind: type[R], trigger: Trigger, target: int) -> R | None:
        """A result, if it was measured with this trigger and counts this target."""
        file = self._file(name, kind)
        if file.source is None or (file.source.trigger, file.source.target) != (trigger.fingerprint, target):
            return None
        result: R = file.result
        return result

    @property
    def location(self) -> LocationMap | None:
        """Attack success over the places of the model's own trigger (Fig. 4)."""
        return self._own("location", LocationMap)

    def location_of(self, trigger: Trigger, target: int) -> LocationMap | None:
        """The same of any trigger that was measured, such as an attack's on the clean model.

        Args:
            trigger: The trigger at the place that it is swept from.
            target: The label that counts as success.
        """
        own = self._of("location", LocationMap, trigger, target)
        return own if own is not None else self._of(foreign_map(trigger), LocationMap, trigger, target)

    def classes_of(self, trigger: Trigger, target: int) -> PlaceClasses | None:
        """Predicted classes of some images with the trigger at every place; the arguments are as before."""
        return self._of(RESULT, PlaceClasses, trigger, target)

    @property
    def appearance(self) -> AppearanceCurve | None:
        """Attack success over the pixel value of the model's own trigger (Fig. 5)."""
        return self._own("appearance", AppearanceCurve)

    def appearance_of(self, trigger: Trigger, target: int) -> AppearanceCurve | None:
        """The same, if it is that of this trigger and this target."""
        return self._of("appearance", AppearanceCurve, trigger, target)

    def strength(self, transform: str) -> StrengthCurve | None:
        """Both rates over the strength of a transformation, by its registered name (Tables 1, 3, 4, 5)."""
        return self._own(f"strength-{transform}", StrengthCurve)

    @property
    def strengths(self) -> dict[str, StrengthCurve]:
        """The same of every transformation that was measured, by its name."""
        return {name: curve for name in transforms if (curve := self.strength(name)) is not None}

    @property
    def saliency(self) -> Energies | None:
        """What of the saliency falls on the trigger (Fig. 10)."""
        return self._own("saliency", Energies)

    @property
    def saliency_methods(self) -> SaliencyMethods | None:
        """The same by every saliency method, beside controls."""
        return self._own("saliency-methods", SaliencyMethods)

    @property
    def saliency_examples(self) -> SaliencyExamples | None:
        """Maps of a few images (Fig. 10)."""
        return self._own(EXAMPLES, SaliencyExamples)

    @property
    def physical(self) -> PhysicalResult | None:
        """Both rates on photographs of prints (Fig. 11)."""
        return self._own("physical", PhysicalResult)

    @property
    def out_of_sample(self) -> PhysicalResult | None:
        """The same of printed pictures of another data set (Fig. 12)."""
        return self._own("out-of-sample", PhysicalResult)

    @property
    def out_of_sample_natural(self) -> PhysicalResult | None:
        """The same of printed crops of photographs (Fig. 12)."""
        return self._own(OUT_OF_SAMPLE_NATURAL, PhysicalResult)

    def repair(self, name: str) -> Repaired | None:
        """What a repair did to the model, also one with a name of its own such as ``fine-pruning-own`` (Table 1)."""
        return self._file(result_name(name), Repaired).result  # type: ignore[no-any-return]

    @property
    def repairs(self) -> dict[str, Repaired]:
        """The same of every registered repair that was run, by its name."""
        return {name: repaired for name in defenses if (repaired := self.repair(name)) is not None}

    def repair_tensors(self, name: str) -> str | None:
        """Fingerprint of what it takes to make the repaired model; None where the repair is not stored."""
        source = self._file(result_name(name), Repaired).source
        return source.tensors if source is not None else None


def _tensors(checkpoint: Checkpoint, name: str) -> dict[str, Tensor] | None:
    """What belongs to a stored repair; its file is parsed only where it has changed."""
    stored = StoredResults(checkpoint)
    return checkpoint.tensors(result_name(name), lambda: stored.repair_tensors(name))


def repaired_model(checkpoint: Checkpoint, name: str) -> Classifier | None:
    """The repaired model, in evaluation mode on the CPU; None where the repair is not stored.

    Raises:
        Missing: If the weights of the model itself are not there.
        ValueError: If what is stored does not fit the model.
    """
    result, state = StoredResults(checkpoint).repair(name), _tensors(checkpoint, name)
    if result is None or state is None:
        return None
    return result.repair.build(checkpoint.model(), state)


def reversed_triggers(checkpoint: Checkpoint, name: str) -> tuple[Tensor, Tensor] | None:
    """What Neural Cleanse found for each class: masks ``(classes, 1, H, W)`` and patterns ``(classes, C, H, W)``.

    Args:
        checkpoint: The model.
        name: Name of the stored repair.

    Returns:
        Floats in [0, 1]; None where they are not stored, or are not of such a model.
    """
    state, card = _tensors(checkpoint, name), checkpoint.card()
    if state is None or not {"masks", "patterns"} <= set(state):
        return None
    masks, patterns = state["masks"].float(), state["patterns"].float()
    channels, height, width = card.shape
    shapes = (len(card.classes), 1, height, width), (len(card.classes), channels, height, width)
    if (tuple(masks.shape), tuple(patterns.shape)) != shapes:
        return None
    if not all(bool(pixels.isfinite().all()) for pixels in (masks, patterns)):
        return None
    return masks.clamp(0, 1), patterns.clamp(0, 1)
