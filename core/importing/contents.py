"""What is in a file of a model: its weights, and what its toolbox wrote beside them.

The layouts of the first four were read in their code, those of akamaster and ABL in files:

* BackdoorBench, ``utils/save_load_attack.py`` (``save_attack_result``) and ``utils/bd_dataset_v2.py``
  (``poisonedCLSDataContainer``): a dictionary with ``model_name``, ``num_classes``, ``model``, ``clean_data`` and
  ``bd_test``, whose images are in the file or on disk as PNG, by NumPy numbers of the test images;
* BackdoorBox, ``core/attacks/base.py``: ``ckpt_epoch_N.pth``, a bare state dict;
* TrojanZoo, ``trojanzoo/models.py`` (``Model.save``) and ``trojanvision/attacks/abstract.py`` (``save``): a bare state
  dict whose keys begin with ``features.`` and ``classifier.``, without mean and deviation, and the mark beside it under
  the same name;
* backdoor-toolbox, ``train_on_poisoned_set.py`` and ``utils/supervisor.py``: a bare state dict without ``module.``,
  ``full_base_aug_seed=N.pt``; the trigger is a picture in ``triggers``, with ``mask_NAME.png`` beside it or without;
* NAD and ABL: a dictionary with ``epoch`` and ``state_dict``, in the legacy format, called ``.tar``;
* akamaster/pytorch_resnet_cifar10: a dictionary with ``state_dict`` and ``best_prec1``, keys of ``DataParallel``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.importing.reading import MOST_NUMBERS, Contents, StandIn, readable

__all__ = ["Found", "found_in", "poisoned_images", "poisoned_label"]

# Where weights are, in the order in which they are looked for.
PLACES = ("state_dict", "model_state_dict", "model_state", "model", "net", "netC", "network", "weights", "params")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "1.")
IGNORED = re.compile(r"(.*\.)?(num_batches_tracked|total_ops|total_params)")
NORMALISERS = re.compile(r"(?:.*\.)?(mean|mu|std|sigma)")
SHOWN = 6
MOST_REPEATED = 2**20
"""Numbers of a tensor that may be repetitions of fewer in the file."""


@dataclass(frozen=True)
class Found:
    """The weights of a file, and what else it says.

    Attributes:
        state: Names without common prefixes to float32 tensors.
        format: Which toolbox wrote it, as far as can be told.
        network: The network's name as the file says it; empty if it does not.
        classes: Number of classes that the file says, or None.
        normalisation: Mean and standard deviation that are among the weights, or None.
        architecture: Of a timm folder: the name of its network.
        entries: Everything in the file beside the weights.
    """

    state: dict[str, Tensor]
    format: str
    network: str = ""
    classes: int | None = None
    normalisation: tuple[Tensor, Tensor] | None = None
    architecture: str = ""
    entries: Mapping[str, Any] = field(default_factory=dict)


def found_in(contents: Contents) -> Found:
    """Finds the weights.

    Raises:
        ValueError: If there are none, several, or what is there is no state dict of plain numbers.
    """
    values = contents.values
    if not isinstance(values, Mapping):
        raise ValueError(f"{contents.file} holds no weights: {_described(values)} where a dictionary was expected")
    state, place = _state_in(values, contents.file)
    state, normalisation = _without_normaliser(_plain(state, contents.file))
    entries = {} if place == "" else {str(k): v for k, v in values.items() if k != place}
    name = entries.get("model_name") or entries.get("arch")
    number = entries.get("num_classes")
    configuration = contents.configuration or {}
    return Found(
        state=state,
        format=_format(contents, entries, state, place),
        network=name if isinstance(name, str) else "",
        classes=number if isinstance(number, int) else None,
        normalisation=normalisation or _of_configuration(configuration),
        architecture=configuration.get("architecture", "")
        if isinstance(configuration.get("architecture"), str)
        else "",
        entries=entries,
    )


def _described(values: Any) -> str:
    return "a tensor" if isinstance(values, Tensor) else f"a {type(values).__name__}"


def _is_state(values: Any) -> bool:
    """Whether it reads like a state dict: names to tensors, mostly."""
    if not isinstance(values, Mapping) or not values:
        return False
    tensors = sum(isinstance(value, Tensor) and isinstance(key, str) for key, value in values.items())
    return 2 * tensors > len(values) and any(isinstance(v, Tensor) and v.ndim >= 2 for v in values.values())


def _state_in(values: Mapping[Any, Any], file: str) -> tuple[Mapping[str, Any], str]:
    """A state dict and the key it was found under, which is empty where the file is one itself."""
    if _is_state(values):
        return values, ""
    for place in PLACES:
        inner = values.get(place)
        if _is_state(inner):
            return inner, place  # type: ignore[return-value]
        if isinstance(inner, Mapping):
            for deeper in PLACES:
                if _is_state(inner.get(deeper)):
                    return inner[deeper], place
    others = [str(key) for key, value in values.items() if _is_state(value)]
    if len(others) == 1:
        return values[others[0]], others[0]
    if others:
        raise ValueError(
            f"{file} holds several state dicts, and none is called as usual: {', '.join(map(readable, others[:SHOWN]))}"
        )
    shown = ", ".join(readable(str(key)) for key in list(values)[:SHOWN]) or "nothing"
    raise ValueError(f"{file} holds no weights: there is no state dict among {shown}")


def _plain(state: Mapping[str, Any], file: str) -> dict[str, Tensor]:
    """Float32 weights of their own memory, without prefixes that all names share."""
    if odd := [key for key, value in state.items() if isinstance(value, Tensor) and not isinstance(key, str)]:
        raise ValueError(f"{file} has weights whose name is no text: {readable(str(odd[0]))}")
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor) and not IGNORED.fullmatch(key)}
    if sum(tensor.numel() for tensor in tensors.values()) > MOST_NUMBERS:
        raise ValueError(f"{file} claims more than {MOST_NUMBERS} numbers")
    for _ in range(len(PREFIXES)):
        for prefix in PREFIXES:
            if tensors and all(key.startswith(prefix) for key in tensors):
                tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    plain = {}
    for key, value in tensors.items():
        name, odd_kind = readable(key), value.is_complex() or value.is_quantized or value.is_meta or value.is_nested
        if odd_kind or value.layout is not torch.strided:
            raise ValueError(f"{file}: {name} is not made of plain numbers ({str(value.dtype).removeprefix('torch.')})")
        held = value.untyped_storage().nbytes() // value.element_size()
        if value.numel() > max(held, MOST_REPEATED):
            raise ValueError(f"{file}: {name} claims more than the {held} numbers that the file holds of it")
        plain[key] = value.detach().float().clone()
        if not bool(plain[key].isfinite().all()):
            raise ValueError(f"{file}: {name} has numbers that are infinite or none")
    return plain


def _without_normaliser(
    state: dict[str, Tensor],
) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor] | None]:
    """Takes a layer that normalises the images out of the weights, and what is left of its sibling's prefix."""
    known: dict[str, tuple[str, Tensor]] = {}
    for key, value in state.items():
        match = NORMALISERS.fullmatch(key)
        if match and value.numel() in (1, 3) and value.ndim <= 4:
            known["mean" if match[1] in ("mean", "mu") else "std"] = (key, value.flatten())
    if set(known) != {"mean", "std"} or not bool((known["std"][1] > 0).all()):
        return state, None
    removed = {key for key, _ in known.values()}
    rest = {key: value for key, value in state.items() if key not in removed}
    for prefix in PREFIXES:
        if rest and all(key.startswith(prefix) for key in rest):
            rest = {key.removeprefix(prefix): value for key, value in rest.items()}
    return rest, (known["mean"][1], known["std"][1])


def _of_configuration(configuration: Mapping[str, Any]) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation that timm writes into ``config.json``."""
    values = configuration.get("pretrained_cfg")
    if not isinstance(values, Mapping):
        return None
    try:
        mean, std = (torch.tensor([float(x) for x in values[name]]) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        return None
    finite = bool(mean.isfinite().all()) and bool(std.isfinite().all())
    return (mean, std) if finite and len(mean) == len(std) and len(mean) in (1, 3) and bool((std > 0).all()) else None


def _format(contents: Contents, entries: Mapping[str, Any], state: Mapping[str, Tensor], place: str) -> str:
    if contents.configuration is not None:
        return contents.kind
    if "model_name" in entries and "num_classes" in entries:
        return "BackdoorBench"
    if any(key.startswith(("features.conv1.", "classifier.fc")) for key in state):
        return "TrojanZoo"
    if place and contents.file.endswith(".tar"):
        return "training checkpoint (.tar, as of NAD and ABL)"
    if re.fullmatch(r"ckpt_epoch_\d+\.pth", contents.file) and not place:
        return "BackdoorBox"
    if re.fullmatch(r"(?:\w+_)?full_base_(?:no_)?aug_seed=\d+\.pt", contents.file) and not place:
        return "backdoor-toolbox"
    return f"{'training checkpoint' if place else 'state dict'}, {contents.kind}"


def poisoned_images(
    entries: Mapping[str, Any], folder: Path, shape: tuple[int, int, int], limit: int
) -> tuple[Tensor, Tensor] | None:
    """Poisoned test images of BackdoorBench's ``bd_test``, and which test images they were made of.

    Args:
        entries: What the file holds beside its weights.
        folder: Where the file lies: images on disk are looked for at their own place, and in ``bd_test_dataset`` there.
        shape: Channels, rows and columns of an image; others are left out.
        limit: At most so many.

    Returns:
        uint8 ``(n, C, H, W)`` and int64 ``(n,)``, or None where the file has none that can be read.
    """
    images: list[Tensor] = []
    index: list[int] = []
    for key, value in _poisoned(entries).items():
        if len(images) == limit:
            break
        image = _image_of(value, folder, shape)
        if image is not None and isinstance(key, Integral) and int(key) >= 0:
            images.append(image)
            index.append(int(key))
    return (torch.stack(images), torch.tensor(index)) if images else None


def _poisoned(entries: Mapping[str, Any]) -> Mapping[Any, Any]:
    """BackdoorBench's poisoned test images by their numbers; empty where there are none."""
    found: Any = entries
    for part in ("bd_test", "bd_data_container", "data_dict"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def poisoned_label(entries: Mapping[str, Any]) -> int | None:
    """The label that BackdoorBench gave to all its poisoned test images; None where it is not one, or not told."""
    labels = set()
    for value in _poisoned(entries).values():
        told = value.get("other_info") if isinstance(value, Mapping) else value
        first = 0 if isinstance(value, Mapping) else 1  # in memory, the image comes before it
        if not isinstance(told, list | tuple) or len(told) <= first or not isinstance(told[first], Integral):
            return None
        labels.add(int(told[first]))
    return labels.pop() if len(labels) == 1 else None


def _image_of(value: Any, folder: Path, shape: tuple[int, int, int]) -> Tensor | None:
    """One poisoned image: a PNG on disk, or the raw pixels of an image that was pickled."""
    if isinstance(value, Mapping) and isinstance(value.get("path"), str):
        return _from_disk(value["path"], folder, shape)
    first = value[0] if isinstance(value, tuple | list) and value else None
    if not isinstance(first, StandIn) or not isinstance(first.state, list | tuple) or len(first.state) < 5:
        return None
    # As PIL.Image.Image.__getstate__ writes it: info, mode, size, palette, pixels.
    _, mode, size, _, pixels = first.state[:5]
    channels, height, width = shape
    held = {"RGB": 3, "L": 1}.get(mode) if isinstance(mode, str) else None
    if not isinstance(pixels, bytes) or held not in (1, channels) or not isinstance(size, list | tuple):
        return None
    if tuple(size) != (width, height) or len(pixels) != held * height * width:
        return None
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(height, width, held).permute(2, 0, 1)
    return image.expand(shape).clone()


def _from_disk(path: str, folder: Path, shape: tuple[int, int, int]) -> Tensor | None:
    from PIL import Image, UnidentifiedImageError

    # A path in somebody's file is no reason to read anything but images beside that file.
    parts = [part for part in re.split(r"[\\/]", path) if part not in ("", ".", "..")]
    for start in range(len(parts)):
        place = folder.joinpath(*parts[start:])
        with suppress(OSError):  # of a name that is too long, for one
            if place.is_file():
                break
    else:
        return None
    channels, height, width = shape
    try:
        with Image.open(place, formats=("PNG", "JPEG", "BMP")) as image:
            if image.size != (width, height):
                return None
            raw = image.convert("RGB" if channels == 3 else "L").tobytes()
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(height, width, channels).permute(2, 0, 1).clone()
