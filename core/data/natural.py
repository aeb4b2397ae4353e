"""Pictures unlike any training image: crops of photographs that Python packages ship under a free licence.

The paper photographs pictures that are "totally different from the training images" (Sec. 5.5; Fig. 12). Here they are
square parts of ten photographs, none of which shows what is a class of CIFAR-10, at many scales. They have no labels:
attack success needs none.

===================  =============  =========  ======================================
photograph           package        licence    by
===================  =============  =========  ======================================
astronaut            scikit-image   PD         NASA (Eileen Collins)
brick wall           scikit-image   CC0        CC0Textures, Bricks25
camera on a tripod   scikit-image   CC0        Lav Varshney
cup of coffee        scikit-image   CC0        Rachel Michetti
grass                scikit-image   CC0        linolafett
gravel               scikit-image   CC0        CC0Textures, Gravel04
retina               scikit-image   CC0        Mikael Häggström
rocket               scikit-image   PD         SpaceX
temple               scikit-learn   CC BY 2.0  danielbuechele (Flickr)
flower               scikit-learn   CC BY 2.0  vultilion (Flickr)
===================  =============  =========  ======================================
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core.data.images import DataMissing, ImageSet, prefix_length

__all__ = ["INSTALL", "NATURAL", "SHIPPED", "Shipped", "natural_available", "natural_pictures"]

NATURAL = "crops of photographs"
"""What these pictures are, for people."""
COUNT = 560
"""Pictures: a seventh more than 500, as of the other sweeps of photographs."""
SMALLEST = 0.25
"""Side of the smallest crop, as a share of the photograph's shorter side; the largest has all of it."""
INSTALL = 'pip install "trigger-sensitivity[photographs]"'
"""What brings the packages that ship them."""


@dataclass(frozen=True)
class Shipped:
    """A photograph of a package.

    Attributes:
        title: What it shows.
        package: The package's name where it is imported.
        path: The file in the package's folder.
        licence: What it may be used under; PD is the public domain.
        by: Whose it is.
        digest: First 16 hex digits of the file's SHA-256.
    """

    title: str
    package: str
    path: str
    licence: str
    by: str
    digest: str

    @property
    def file(self) -> Path | None:
        """The file; None where the package is not installed, or does not have it. Nothing is imported."""
        try:
            found = find_spec(self.package)
        except (ImportError, ValueError):
            return None
        folders = found.submodule_search_locations if found is not None else None
        file = Path(next(iter(folders), "")) / self.path if folders else None
        return file if file is not None and file.is_file() else None


SHIPPED = (
    Shipped("astronaut", "skimage", "data/astronaut.png", "PD", "NASA", "88431cd9653ccd53"),
    Shipped("brick wall", "skimage", "data/brick.png", "CC0", "CC0Textures", "7966caf324f6ba84"),
    Shipped("camera on a tripod", "skimage", "data/camera.png", "CC0", "Lav Varshney", "b0793d2adda0fa6a"),
    Shipped("cup of coffee", "skimage", "data/coffee.png", "CC0", "Rachel Michetti", "cc02f8ca188b167c"),
    Shipped("grass", "skimage", "data/grass.png", "CC0", "linolafett", "b6b6022426b38936"),
    Shipped("gravel", "skimage", "data/gravel.png", "CC0", "CC0Textures", "c48615b451bf1e60"),
    Shipped("retina", "skimage", "data/retina.jpg", "CC0", "Mikael Häggström", "38a07f36f27f095e"),
    Shipped("rocket", "skimage", "data/rocket.jpg", "PD", "SpaceX", "c2dd0de7c538df8d"),
    Shipped("temple", "sklearn", "datasets/images/china.jpg", "CC BY 2.0", "danielbuechele", "8378025ad2519d64"),
    Shipped("flower", "sklearn", "datasets/images/flower.jpg", "CC BY 2.0", "vultilion", "a77f6ec41e353afd"),
)
"""The photographs, of scikit-image and scikit-learn: all or none, so that the pictures are the same anywhere."""


def natural_available() -> bool:
    """Whether all photographs are on this machine; reads none."""
    return all(photograph.file is not None for photograph in SHIPPED)


def natural_pictures(shape: tuple[int, int, int], limit: int | None = None) -> ImageSet:
    """Crops of the photographs, in turn one of each, resized to a network's input with antialiasing.

    Scale and place of every crop are drawn, the same on every machine: its height is from a quarter of what fits to all
    of it, uniformly in the logarithm, and its place is anywhere.

    Args:
        shape: Channels (1 or 3), rows and columns of a picture; a crop has the same aspect.
        limit: Only the first so many of :data:`COUNT`.

    Returns:
        The pictures; the label of each is the photograph that it is cut from, picture ``i`` from number
        ``i % len(SHIPPED)``, which is no class of a network.

    Raises:
        DataMissing: If a photograph is not on this machine.
        ValueError: If a photograph is another one than listed here, or pictures have neither 1 nor 3 channels.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(f"{NATURAL} have 1 or 3 channels, not {channels}")
    photographs = [_opened(photograph, "L" if channels == 1 else "RGB") for photograph in SHIPPED]
    stream = np.random.Generator(np.random.PCG64(2004_04692))
    draws = stream.random((COUNT, 3))
    count = prefix_length(COUNT, limit)
    pixels = np.empty((count, height, width, channels), dtype=np.uint8)
    for number, (scale, across, down) in enumerate(draws[:count]):
        photograph = photographs[number % len(photographs)]
        high = min(photograph.height, photograph.width * height / width) * SMALLEST ** (1 - scale)
        wide = high * width / height
        left, top = across * (photograph.width - wide), down * (photograph.height - high)
        crop = photograph.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high))
        pixels[number] = np.asarray(crop).reshape(height, width, channels)
    labels = torch.arange(count) % len(SHIPPED)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, labels, tuple(photograph.title for photograph in SHIPPED), "natural")


def _opened(photograph: Shipped, mode: str) -> Image.Image:
    """A photograph in memory.

    Raises:
        DataMissing: If it is not on this machine.
        ValueError: If it is another one.
    """
    file = photograph.file
    if file is None:
        raise DataMissing(
            f"the photograph of {photograph.title} is not on this machine: {photograph.package} ships it; `{INSTALL}`"
        )
    if hashlib.sha256(file.read_bytes()).hexdigest()[:16] != photograph.digest:
        raise ValueError(f"{file.name} of {photograph.package} is another photograph than that of {photograph.title}")
    with Image.open(file) as opened:
        return opened.convert(mode)
