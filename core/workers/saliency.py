"""Measures elsewhere how much of the saliency falls on the trigger: a step of some methods takes seconds."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data import cache_folder
from core.runtime.device import select_device
from core.store.card import BEGINNING, Missing
from core.store.card_images import images_of
from core.store.remote import open_store
from core.sweeps.results import repaired_model
from core.sweeps.saliency import Energies, Energy, energy_sweep
from core.transforms import Compose, transform_from_spec
from core.workers.process import in_process

if TYPE_CHECKING:  # captum is needed where this is measured only
    from core.attribution.methods import Method

__all__ = ["energies_in_background", "stored_energy_sweep"]


def energies_in_background(
    store: str,
    key: str,
    method: Method,
    before: Compose,
    *,
    images: int,
    repair: str = "",
    explain: str = "target",
    courtesy: Path | None = None,
) -> Generator[Energies, None, None]:
    """As :func:`core.sweeps.saliency.energy_sweep` of a stored model, elsewhere; one at a time on this machine.

    Args:
        store: Folder or address of the store.
        key: The model in it.
        method: The saliency method.
        before: What the images pass before the model.
        images: The first so many test images that are not of the target class.
        repair: The stored repair whose model is meant, or none.
        explain: Whose logit is explained.
        courtesy: File of a :class:`core.runtime.yielding.Courtesy`.

    Yields:
        The shares so far; at first, of no image.

    Raises:
        ValueError: As :func:`stored_energy_sweep` does.
        OSError: Likewise, or if its process cannot be started.
    """
    arguments = {
        "store": store,
        "key": key,
        "method": {"name": method.name, "params": method.to_dict()},
        "before": before.spec,
        "images": images,
        "repair": repair,
        "explain": explain,
    }
    nothing = Energy.summed([], 0.0, 0)
    return in_process(
        "core.workers.saliency:stored_energy_sweep",
        arguments,
        Energies(nothing, nothing, 0, images),
        alone=cache_folder() / "saliency.lock",
        courtesy=courtesy,
    )


def stored_energy_sweep(
    store: str, key: str, method: Mapping[str, Any], before: str, images: int, repair: str, explain: str
) -> Iterator[Energies]:
    """The same here, with arguments that can be handed to another process.

    Raises:
        Missing: If the model or the repair is not stored.
        DataMissing: If its images are not on this machine.
        ValueError: If they are others, or something is not allowed.
    """
    from core.attribution.methods import Explained, methods

    checkpoint = open_store(store).checkpoint(key)
    card = checkpoint.card()
    model = repaired_model(checkpoint, repair) if repair else checkpoint.model()
    if model is None:
        raise Missing(f"the repair {repair} of {key} is not stored")
    attack, data = card.attack_object, images_of(card, "test", BEGINNING)
    others = data.subset((data.labels != attack.target).nonzero().squeeze(1)[:images])
    yield from energy_sweep(
        Explained(model, select_device()),
        others.floats(),
        others.labels,
        attack.trigger(card.shape),
        attack.target,
        methods[method["name"]].from_dict(method["params"]),
        transform_from_spec(before),
        explain=explain,
    )
