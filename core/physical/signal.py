"""What happens to a picture as a signal: it is blurred, and goes through a JPEG file."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["blurred", "through_jpeg"]


def blurred(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolves every image with its kernel, ``(N, k, k)``, or all with one, ``(1, k, k)``; the border goes on."""
    count, channels = images.shape[:2]
    reach = kernels.shape[-1] // 2
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    weights = kernels.expand(count, -1, -1).repeat_interleave(channels, 0)[:, None]
    return F.conv2d(padded.flatten(0, 1)[None], weights, groups=count * channels).reshape(images.shape)


def through_jpeg(photos: Tensor, quality: int) -> Tensor:
    """Encodes and decodes; libjpeg computes on the CPU."""
    from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg  # a quarter of a second that pages do without

    mode = ImageReadMode.GRAY if photos.shape[1] == 1 else ImageReadMode.RGB
    files = encode_jpeg(list((photos * 255).round().to(torch.uint8).cpu()), quality)
    return torch.stack([decode_jpeg(file, mode) for file in files]).to(photos) / 255
