"""Triggers that somebody else made: from a picture or an array, from pairs of images, or reversed from the model.

A mark is a picture, or an array ``.npy`` whose last channel may be alpha. TrojanZoo (``trojanvision/marks``) writes
such an array of shape ``(C + 1, h, w)`` and the same as a PNG; its opacity and the target label are in the file's name
alone, and its place, which is in neither, is the top left corner unless its user gave another. backdoor-toolbox
(``utils/supervisor.py``) has a picture as large as an image, of whose mask ``mask_NAME`` beside it the first channel
counts; without one, its black pixels are clear. BackdoorBench writes the poisoned test images beside its model.
Neural Cleanse finds a trigger where nobody tells one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.data import ImageSet
from core.defenses.neural_cleanse import NeuralCleanse, anomaly_indices, flagged_labels, reverse_engineer
from core.formatting import number, percent
from core.inference.predictor import Folded, Predictor
from core.models import Classifier
from core.transforms.colour import LUMA
from core.trigger import Trigger, stamp

__all__ = ["Difference", "Mark", "mark_beside", "place_from", "read_trigger", "reversed_trigger", "trigger_from_pairs"]

LARGEST_PICTURE = 64 * 2**20
FAINT = 0.04
"""Blending weight below which a pixel does not count as changed: rounding, and the noise of compression."""
CONSTANT = 4 / 255
"""Error of a pixel up to which a trigger from pairs explains it."""
THRESHOLDS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.0)
MARKED = re.compile(r".*_tar(\d{1,4})_alpha(\d\.\d\d)_mark\((\d+),(\d+)\)", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """What TrojanZoo writes into the name of a mark's file (``BackdoorAttack.get_filename`` there).

    Attributes:
        target: Target label, an index.
        opacity: What the mark's alpha is multiplied with, in (0, 1].
    """

    target: int
    opacity: float

    @classmethod
    def of(cls, path: Path) -> Mark | None:
        """What the name tells, or None where it is another's.

        >>> Mark.of(Path("square_white_tar3_alpha0.50_mark(3,3).npy"))
        Mark(target=3, opacity=0.5)
        """
        match = MARKED.fullmatch(path.stem)
        return cls(int(match[1]), float(match[2])) if match and 0 < float(match[2]) <= 1 else None


def mark_beside(model: Path) -> Path | None:
    """The mark that TrojanZoo wrote beside a model ``NAME.pth``: ``NAME.npy`` or ``NAME.png``."""
    if model.suffix != ".pth" or Mark.of(model) is None:
        return None
    # The name has a dot of its own, so that only the last part is replaced.
    beside = (model.with_name(f"{model.stem}{suffix}") for suffix in (".npy", ".png"))
    return next((path for path in beside if path.is_file()), None)


def place_from(text: str) -> tuple[int, int]:
    """``ROW,COL`` of the trigger's bottom-right pixel.

    Raises:
        ValueError: If it is not that.
    """
    parts = text.split(",")
    if len(parts) != 2 or not all(re.fullmatch(r"\s*[0-9]{1,5}\s*", part) for part in parts):
        raise ValueError(f"place = {text!r} is not allowed: ROW,COL of the trigger's bottom-right pixel, such as 31,31")
    return int(parts[0]), int(parts[1])


def read_trigger(
    path: Path,
    shape: tuple[int, int, int],
    *,
    place: tuple[int, int] | None = None,
    mask: str = "",
    opacity: float = 1.0,
    size: int | None = None,
) -> Trigger:
    """Reads a trigger from a picture, or an array of shape ``(h, w)``, ``(h, w, C)`` or ``(C, h, w)``.

    Args:
        path: A ``.npy``, or a picture. A channel more than images have, the last, is alpha.
        shape: Channels, rows and columns of an image.
        place: Row and column of the bottom-right pixel; by default where it stands, if it is as large as an image and
            has an alpha, else the bottom right corner, and the top left one for a mark of TrojanZoo.
        mask: Another file whose first channel is alpha, or ``nonzero``: pixels that are not black belong to the
            trigger; by default ``mask_NAME`` beside it, if there is one.
        opacity: What alpha is multiplied with, in (0, 1].
        size: Rows of the trigger; it is resized to that, by default it stays as it is.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If it is no trigger for such images.
    """
    channels, height, width = shape
    if not 0 < opacity <= 1:
        raise ValueError(f"alpha = {opacity:g} is not allowed: a number above 0, up to 1")
    pattern, alpha = _parts(_read(path), channels)
    mark = Mark.of(path)
    beside = path.with_name(f"mask_{path.name}")
    mask = mask or (str(beside) if beside.is_file() else "")
    if pattern.shape[0] not in (1, channels):
        raise ValueError(f"{path.name} has {pattern.shape[0]} channels, but images have {channels}")
    if mask == "nonzero":
        alpha = pattern.gt(0).any(0, keepdim=True).float()
    elif mask:
        first, clear = _parts(_read(Path(mask)), 3)
        alpha = first[:1] * clear
        if alpha.shape[1:] != pattern.shape[1:]:
            raise ValueError(f"{mask} is {_sides(alpha)}, but {path.name} is {_sides(pattern)}")
    if size is not None:
        if not 1 <= size <= height:
            raise ValueError(f"trigger-size = {size} is not allowed: 1 to {height}")
        sides = (size, max(1, round(size * pattern.shape[2] / pattern.shape[1])))
        pattern, alpha = (
            torch.nn.functional.interpolate(x[None], sides, mode="area" if size < x.shape[1] else "nearest")[0]
            for x in (pattern, alpha)
        )
    pattern, alpha = (
        x.expand(channels, *x.shape[1:]).clone() for x in (pattern, alpha * opacity * (mark.opacity if mark else 1))
    )
    trigger = Trigger.from_image(pattern, alpha)
    if place is None and pattern.shape[1:] != (height, width):
        place = (pattern.shape[1] - 1, pattern.shape[2] - 1) if mark else (height - 1, width - 1)
    trigger = trigger.at(*place) if place is not None else trigger
    trigger.check_fits(height, width)
    return trigger


def _parts(values: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Pattern and alpha ``(1, h, w)``: the last channel where there is one more than colours; colours become grey."""
    alpha = torch.ones(1, *values.shape[1:])
    if values.shape[0] in (channels + 1, 2, 4) and values.shape[0] != channels:
        values, alpha = values[:-1], values[-1:]
    if channels == 1 and values.shape[0] == 3:
        values = (values * torch.tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
    return values, alpha


def _sides(values: Tensor) -> str:
    return f"{values.shape[1]} x {values.shape[2]}"


def _read(path: Path) -> Tensor:
    """Floats ``(C, h, w)`` in [0, 1]."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is not a file")
    if path.stat().st_size > LARGEST_PICTURE:
        raise ValueError(f"{path.name} has more than {LARGEST_PICTURE // 2**20} MiB")
    if path.suffix == ".npy":
        return _array(path)
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if max(image.size) > 4096:
                raise ValueError(f"{path.name} has more than 4096 pixels on a side")
            if image.mode == "F":
                return _scaled(torch.from_numpy(np.array(image)[None]), path.name)
            if image.mode.startswith("I"):  # 16 bit, which Pillow would cut off at 255
                return torch.from_numpy(np.array(image, dtype=np.float32)[None] / 65535).clamp(0, 1)
            clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            raw = np.array(image.convert("RGBA" if clear else "RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path.name} is no picture that can be read") from None
    return torch.from_numpy(raw).permute(2, 0, 1).float() / 255


def _array(path: Path) -> Tensor:
    try:
        raw = np.load(path, allow_pickle=False, mmap_mode="r")
        if raw.dtype.kind not in "buif" or raw.ndim not in (2, 3) or raw.size == 0 or raw.size > 2**26:
            raise ValueError(f"it is {raw.dtype} {raw.shape}, not an array of 2 or 3 dimensions")
        with np.errstate(over="ignore"):  # infinite, and refused below
            values = torch.from_numpy(np.array(raw, dtype=np.float32))
    except OSError:
        raise
    except Exception as error:  # a header that was tampered with raises whatever Python's reader of literals does
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path.name} is no trigger: {why}") from None
    if values.ndim == 2:
        values = values[None]
    elif values.shape[0] > 4 and values.shape[2] <= 4:
        values = values.permute(2, 0, 1)
    return _scaled(values, path.name)


def _scaled(values: Tensor, name: str) -> Tensor:
    """Values in [0, 1] of such, or of values up to 255."""
    values = values / 255 if float(values.max()) > 1 else values
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError(f"{name} is no trigger: its values are neither from 0 to 1 nor from 0 to 255")
    return values.contiguous()


@dataclass(frozen=True)
class Difference:
    """A trigger that was found in pairs of images.

    Attributes:
        trigger: The trigger.
        pairs: Number of pairs.
        explained: Share of the changed pixels of all pairs that it explains, in [0, 1].
        error: Root mean square error inside its box, in [0, 1].
    """

    trigger: Trigger
    pairs: int
    explained: float
    error: float

    def __str__(self) -> str:
        box = f"{self.trigger.height} x {self.trigger.width} at {self.trigger.location}"
        return (
            f"{box} from {self.pairs} pairs: explains {percent(self.explained, '%')} of the changed pixels, "
            f"root mean square error {number(self.error * 255)} of 255"
        )


def trigger_from_pairs(clean: Tensor, poisoned: Tensor) -> Difference:
    """Finds alpha and pattern of every pixel by least squares: ``poisoned = (1 - alpha) * clean + alpha * pattern``.

    Args:
        clean: uint8 ``(N, C, H, W)``.
        poisoned: uint8 of the same shape, the same images with the trigger.

    Raises:
        ValueError: If there are too few pairs, or nothing differs.
    """
    if clean.shape != poisoned.shape or len(clean) < 8:
        raise ValueError(f"a trigger is found in at least 8 pairs of images of one shape, not in {len(clean)}")
    x, y = clean.double() / 255, poisoned.double() / 255
    centred = x - x.mean(0)
    variance = centred.square().mean(0)
    slope = torch.where(variance > 1e-6, (centred * (y - y.mean(0))).mean(0) / variance.clamp_min(1e-6), 1.0)
    alpha = (1 - slope).clamp(0, 1)
    # Nearly opaque is opaque; what hardly changes in most images is noise.
    alpha = torch.where(alpha > 0.97, 1.0, alpha)
    changed = ((y - x).abs() > CONSTANT).double().mean(0)
    part = ((alpha > FAINT) & (changed > 0.05)).any(0)
    if not bool(part.any()):
        raise ValueError("clean and poisoned images do not differ: there is no trigger in them")
    alpha = torch.where(part, alpha, 0.0)
    pattern = ((y.mean(0) - (1 - alpha) * x.mean(0)) / alpha.clamp_min(1e-6)).clamp(0, 1)
    made = (1 - alpha) * x + alpha * pattern
    moved = (y - x).abs() > CONSTANT
    explained = float(((made - y).abs() <= 2 * CONSTANT)[moved].double().mean()) if bool(moved.any()) else 1.0
    trigger = Trigger.from_image(torch.where(part, pattern, 0.0).float(), alpha.float())
    return Difference(trigger, len(clean), explained, float((made - y)[:, :, part].square().mean().sqrt()))


def reversed_trigger(
    model: Classifier,
    images: ImageSet,
    device: torch.device,
    settings: NeuralCleanse,
    *,
    target: int | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda note: None,
) -> tuple[Trigger, int, str]:
    """The trigger that Neural Cleanse finds for the label it flags most, or else for the one with the smallest.

    Faint pixels are left out as long as the trigger keeps nine tenths of its success, so that it has a box of its own.

    Args:
        model: The model.
        images: Clean images.
        device: Where to compute.
        settings: Rounds and batches.
        target: The label, where it is known; by default the one that is flagged.
        seed: Seed of the start.
        progress: Called with what is being done.

    Returns:
        The trigger, its label, and a sentence that says how it was found.
    """
    classes = list(range(len(images.classes)))
    network = Folded(model, torch.float32).to(device)
    for count, (moving, so_far) in enumerate(
        reverse_engineer(network, images.images.to(device), classes, settings, seed), 1
    ):
        progress(f"Neural Cleanse: round {count} of at most {settings.rounds}, {moving} labels still moving")
        found = so_far
    norms = found.norms
    indices, flagged = anomaly_indices(norms), flagged_labels(norms)
    label = target if target is not None else min(flagged or classes, key=lambda one: norms[one])
    which = found.labels.tolist().index(label)
    # Rounding of the hyperbolic tangent leaves them by some 1e-8.
    mask, pattern = found.masks[which].clamp(0, 1), found.patterns[which].clamp(0, 1)
    predict, others = Predictor(model, device).predict, images.labels != label
    chosen = images.floats(others.nonzero().squeeze(1)[:500])

    def success(threshold: float) -> tuple[float, Trigger | None]:
        alpha = torch.where(mask >= threshold, mask, 0.0).expand_as(pattern)
        if not bool(alpha.any()):
            return 0.0, None
        trigger = Trigger.from_image(pattern, alpha)
        return float((predict(stamp(chosen, trigger).to(device)) == label).float().mean()), trigger

    whole, _ = success(0.0)
    rate, trigger = next(pair for pair in map(success, THRESHOLDS) if pair[0] >= 0.9 * whole or pair[1] is None)
    if trigger is None:
        rate, trigger = success(0.0)
    assert trigger is not None
    said = f"flagged with an index of {number(indices[label])}" if label in flagged else "not flagged"
    note = (
        f"the trigger is Neural Cleanse's reversed one of the label {images.classes[label]} ({said}; mask of "
        f"{number(norms[label])} pixels, {percent(rate, '%')} success on {len(chosen)} images), not the attacker's"
    )
    return trigger, label, note
