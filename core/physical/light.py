"""Light: what a pixel value means, and the colour of a lamp."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["colour_of", "from_linear", "to_linear"]


def to_linear(values: Tensor) -> Tensor:
    """Light of sRGB values, both in [0, 1] (IEC 61966-2-1)."""
    return torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(light: Tensor) -> Tensor:
    """The inverse of :func:`to_linear`."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(1e-9) ** (1 / 2.4) - 0.055)


# Linear sRGB of CIE XYZ (IEC 61966-2-1).
_RGB_OF_XYZ = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))


def _cubic(at: Tensor, *factors: float) -> Tensor:
    third, second, first, constant = factors
    return third * at**3 + second * at**2 + first * at + constant


def _planck(temperatures: Tensor) -> Tensor:
    """Linear sRGB of black bodies of equal luminance: the cubic fit of Kim et al. (US patent 7024034, 2002)."""
    t = 1000 / temperatures
    x = torch.where(
        temperatures <= 4000,
        _cubic(t, -0.2661239, -0.2343589, 0.8776956, 0.179910),
        _cubic(t, -3.0258469, 2.1070379, 0.2226347, 0.240390),
    )
    warm = torch.where(
        temperatures <= 2222,
        _cubic(x, -1.1063814, -1.34811020, 2.18555832, -0.20219683),
        _cubic(x, -0.9549476, -1.37418593, 2.09137015, -0.16748867),
    )
    y = torch.where(temperatures <= 4000, warm, _cubic(x, 3.0817580, -5.87338670, 3.75112997, -0.37001483))
    xyz = torch.stack([x / y, torch.ones_like(x), (1 - x - y) / y], -1)
    return (xyz @ torch.tensor(_RGB_OF_XYZ, dtype=torch.float64, device=xyz.device).T).clamp_min(0.01)


def colour_of(temperature: float | Tensor, channels: int = 3) -> Tensor:
    """How much of each channel a lamp gives, against one of 6500 K; all 1 for gray images.

    Args:
        temperature: In kelvin; a number, or ``(N,)``.
        channels: Channels of the images.

    Returns:
        Float64 ``(channels,)``, or ``(N, channels)``.

    >>> [round(gain, 2) for gain in colour_of(3000).tolist()]
    [1.69, 0.86, 0.26]
    """
    given = torch.as_tensor(temperature, dtype=torch.float64)
    if channels != 3:
        return torch.ones(*given.shape, channels, dtype=torch.float64, device=given.device)
    return _planck(given) / _planck(torch.full_like(given, 6500))
