"""Auto-Encoder (Liu et al. 2017): images are written down and drawn again before the model sees them.

An auto-encoder that has learned clean images only redraws what it knows, and a trigger is not among that. It knows
nothing of the model: one is enough for all models of a data set, and is kept in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from core.data import ImageSet, cache_folder
from core.defenses.base import Material, Outcome, Progress, Repair, defenses, private_copy
from core.models import Classifier
from core.params import integer, number
from core.runtime.atomic_files import write_atomically
from core.runtime.device import has_fast_bfloat16
from core.runtime.seeding import generator_for

__all__ = ["AutoEncoder", "Purifier"]

WIDTHS = (12, 24, 48)


class Purifier(nn.Module):
    """Three strided convolutions down and three up again, as in the code that the paper names.

    Images ``(N, C, H, W)`` in [0, 1] to images of the same shape; sides that 8 does not divide are padded meanwhile.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for narrow, wide in itertools.pairwise((channels, *WIDTHS)):
            down += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.ReLU()]
            up = [nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1), *up]
        self.layers = nn.Sequential(*down, *up[1:])

    def logits(self, images: Tensor) -> Tensor:
        """The redrawn images before the sigmoid."""
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % 8, 0, -height % 8))
        drawn: Tensor = self.layers(padded)[:, :, :height, :width]
        return drawn

    def forward(self, images: Tensor) -> Tensor:
        """The redrawn images."""
        return self.logits(images).sigmoid()


class _Purified(nn.Module):
    """Redraws, then normalises: it takes the place of a model's normalisation."""

    def __init__(self, purifier: Purifier, normalise: nn.Module) -> None:
        super().__init__()
        self.purifier, self.normalise = purifier, normalise

    def forward(self, images: Tensor) -> Tensor:
        """Redrawn and normalised images."""
        normalised: Tensor = self.normalise(self.purifier(images))
        return normalised


# Batches between two reports: a fifth of a second on two cores.
STEP = 10


@defenses.register("auto-encoder")
@dataclass(frozen=True, kw_only=True)
class AutoEncoder(Repair):
    """A convolutional auto-encoder in front of the model, trained on clean images."""

    label: ClassVar[str] = "Auto-Encoder"
    paper_settings: ClassVar[Mapping[str, Any]] = {"epochs": 100, "batch": 16, "rate": 0.001}

    epochs: int = integer(20, low=1, high=1000, help="Epochs; the paper has 100.")
    batch: int = integer(64, low=1, high=4096, help="Images per batch; the paper has 16.")
    rate: float = number(0.003, low=1e-5, high=1, help="Learning rate of Adam, falling to 0; the paper has 0.001.")

    def run(self, model: Classifier, material: Material, device: torch.device, seed: int = 0) -> Iterator[Progress]:
        if len(material.train) == 0:
            raise ValueError("an auto-encoder needs clean training images")
        data = material.train
        path = cache_folder() / "purifiers" / f"{self._name(data, seed, device)}.safetensors"
        with contextlib.suppress(OSError, SafetensorError, KeyError, RuntimeError):
            stored = load_file(path)
            Purifier(data.shape[0]).load_state_dict(_floats(stored))
            yield Progress(1, "done", Outcome(stored, {"seconds": float(stored.pop("seconds")), "cached": True}))
            return
        start, seconds = time.perf_counter(), 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator_for(seed, "purifier").initial_seed())
            purifier = Purifier(data.shape[0]).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        batches = -(-len(data) // self.batch)
        steps = self.epochs * batches
        optimizer = torch.optim.Adam(purifier.parameters(), self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        images = data.images.to(device)
        for epoch in range(self.epochs):
            generator, total = generator_for(seed, "purifier", epoch), 0.0
            order = torch.randperm(len(data), generator=generator)
            for count, index in enumerate(torch.split(order, self.batch), start=1):
                clean = images[index.to(device)].float().div_(255).contiguous(memory_format=torch.channels_last)
                with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
                    drawn = purifier.logits(clean)
                loss = F.binary_cross_entropy_with_logits(drawn.float(), clean)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += float(loss.detach()) * len(index)
                # Often, as others may wait for the processor meanwhile; that is no time of the training.
                if count % STEP == 0 or count == batches:
                    seconds += time.perf_counter() - start
                    loss_so_far = total / min(count * self.batch, len(data))
                    note = f"epoch {epoch + 1} of {self.epochs}, loss {loss_so_far:.4f}"
                    yield Progress((epoch + count / batches) / self.epochs, note)
                    start = time.perf_counter()
        state = {name: tensor.half().cpu().contiguous() for name, tensor in purifier.state_dict().items()}
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs the time again
            write_atomically(path, save(state | {"seconds": torch.tensor(seconds)}))
        yield Progress(1, "done", Outcome(state, {"seconds": round(seconds, 1), "cached": False}))

    def _name(self, data: ImageSet, seed: int, device: torch.device) -> str:
        described = repr((sorted(self.to_dict().items()), data.fingerprint, seed, device.type))
        return hashlib.sha256(described.encode()).hexdigest()[:24]

    def build(self, model: Classifier, state: Mapping[str, Tensor]) -> Classifier:
        repaired = private_copy(model)
        purifier = Purifier(model.channels)
        try:
            purifier.load_state_dict(_floats(state))
        except RuntimeError as error:
            raise ValueError(f"the repair does not fit the model: {str(error).splitlines()[0]}") from error
        repaired.normalise = _Purified(purifier, repaired.normalise).eval()  # type: ignore[assignment]
        return repaired


def _floats(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in state.items() if name != "seconds"}
