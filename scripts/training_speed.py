"""How fast a recipe trains, against plainer loops: the training part of ``benchmark.py``.

Three ways to the same steps, on the same network and images:

    toolbox   images augmented one by one through PIL by a Dataset and a DataLoader; bfloat16 autocast, SGD
    plain     the data set in memory, augmented in batches; bfloat16 autocast, SGD, torch's usual memory order
    recipe    the project's own training
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

from core.data import ImageSet
from core.models import build_model
from core.runtime.device import has_fast_bfloat16
from core.store.card import Card
from core.store.card_images import data_set_of, images_of
from core.training.augmentation import PADDING, augment, draw
from core.training.throughput import estimate, timed
from core.training.trainer import Plan

__all__ = ["pictures_of", "training_speeds"]


def pictures_of(images: Tensor) -> list[Image.Image]:
    """Pictures of uint8 images ``(N, C, H, W)`` with one or three channels."""
    pixels = images.cpu().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(picture if picture.shape[2] == 3 else picture[:, :, 0]) for picture in pixels]


class Augmented(TorchDataset[tuple[Tensor, int]]):
    """Training images augmented one by one through PIL when they are asked for."""

    def __init__(self, data: ImageSet) -> None:
        self.images = pictures_of(data.images)
        self.labels = data.labels.tolist()
        self.change = v2.Compose(
            [
                v2.RandomCrop(data.shape[1:], padding=PADDING),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.change(self.images[index]), self.labels[index]


def plain_speed(card: Card, batch: int, device: torch.device, batches: Callable[[], tuple[Tensor, Tensor]]) -> float:
    """Images a second of a training loop as it is usually written."""
    model = build_model(card.model, classes=len(card.classes), channels=card.shape[0], seed=0).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4)

    def step() -> None:
        images, labels = batches()
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
            logits = model(images.to(device))
        F.cross_entropy(logits.float(), labels.to(device)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    *_, (_, seconds) = timed(step, device)
    return batch / seconds


def training_speeds(card: Card, device: torch.device, turns: int) -> dict[str, Any]:
    """Images a second of the three ways, a number for each turn, and the share of the recipe that convolutions take."""
    plan = Plan(dataset=data_set_of(card), model=card.model, attack=card.attack_object)
    batch = plan.effective_recipe.batch
    data = images_of(card, "train", limit=batch).to(device)
    loader = DataLoader(Augmented(data), batch_size=batch, shuffle=True)
    generator = torch.Generator(device).manual_seed(0)

    def from_loader() -> tuple[Tensor, Tensor]:
        images, labels = next(iter(loader))
        return images, labels

    def from_memory() -> tuple[Tensor, Tensor]:
        images = augment(data.images, draw(len(data), generator)).contiguous().float().div_(255)
        return images, data.labels

    def recipe() -> float:
        *_, last = estimate(plan, len(data), device, compiled=True)
        return last.images_per_second

    ways: dict[str, Callable[[], float]] = {
        "toolbox": partial(plain_speed, card, len(data), device, from_loader),
        "plain": partial(plain_speed, card, len(data), device, from_memory),
        "recipe": recipe,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            found[name].append(way())
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        recipe()
    own = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    spent = {event.key: float(getattr(event, own)) for event in profiled.key_averages()}
    convolutions = sum(value for name, value in spent.items() if "conv" in name.lower())
    return {"images_per_second": found, "convolution_share": convolutions / max(sum(spent.values()), 1e-9)}
