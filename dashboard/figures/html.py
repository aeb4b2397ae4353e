"""Small HTML pieces that change with every step of a drag: rates with their interval, and a strip of images."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from core import formatting
from core.metrics import Rate
from dashboard.figures.base import COLOURS

__all__ = [
    "Reading",
    "Shown",
    "beside",
    "captioned",
    "data_url",
    "live_note",
    "png_row",
    "rate_bars",
    "stored_note",
    "strip",
    "svg_image",
    "to_uint8",
]

STYLE = """
<style>
.ts-rates {display: grid; gap: .55rem; margin: .1rem 0 .3rem}
.ts-rate {display: grid; grid-template-columns: 1fr auto; column-gap: .8rem; align-items: baseline}
.ts-rate .name {font-size: .9rem; opacity: .85}
.ts-rate .value {font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; text-align: right}
.ts-rate.first .value {font-size: 2.3rem; line-height: 1.1}
.ts-rate.first .name {font-size: 1rem; opacity: 1}
.ts-rate .bar {grid-column: 1 / 3; position: relative; height: .5rem; border-radius: .25rem;
  background: color-mix(in srgb, currentColor 13%, transparent); margin-top: .15rem}
.ts-rate.first .bar {height: .7rem}
.ts-rate .fill {position: absolute; inset: 0 auto 0 0; border-radius: .25rem}
.ts-rate .range {position: absolute; top: 50%; height: 0; border-top: 2px solid currentColor}
.ts-rate .range::before, .ts-rate .range::after {content: ""; position: absolute; top: -.3rem; height: .5rem;
  border-left: 2px solid currentColor}
.ts-rate .range::before {left: 0} .ts-rate .range::after {right: 0}
.ts-rate .note {grid-column: 1 / 3; font-size: .875rem; opacity: .7; font-variant-numeric: tabular-nums}
.ts-strip {display: grid; grid-template-columns: repeat(auto-fill, minmax(4.5rem, 1fr)); gap: .6rem .5rem;
  margin: .2rem 0 .4rem}
.ts-strip figure {margin: 0; min-width: 0; font-size: .875rem; line-height: 1.25}
.ts-strip img {width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; display: block;
  border: 2px solid transparent; border-radius: .25rem; box-sizing: border-box}
.ts-strip figure.hit img {border-color: HIT_COLOUR}
.ts-strip .said {font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap}
.ts-strip .hit .said {color: HIT_COLOUR}
.ts-strip .truth {opacity: .7; overflow: hidden; text-overflow: ellipsis; white-space: nowrap}
</style>
""".replace("HIT_COLOUR", COLOURS[0])


@dataclass(frozen=True)
class Reading:
    """One row of :func:`rate_bars`: whose rate, the rate, and a colour; ``note`` replaces the usual counts."""

    name: str
    rate: Rate
    colour: str
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """One image of :func:`strip`: a data URL, the predicted class, the true class, and whether the attack hit.

    ``about`` replaces "is" and the true class under the picture.
    """

    url: str
    predicted: str
    truth: str
    hit: bool
    about: str = ""


def to_uint8(image: Tensor) -> npt.NDArray[np.uint8]:
    """RGB pixels ``(H, W, 3)`` of one float image ``(C, H, W)`` in [0, 1] with one or three channels."""
    pixels: npt.NDArray[np.uint8] = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def data_url(image: Tensor) -> str:
    """A PNG data URL of one float image ``(C, H, W)`` in [0, 1] with one or three channels."""
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def png_row(images: Tensor) -> bytes:
    """A PNG of float images ``(N, C, H, W)`` in [0, 1] side by side."""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate([to_uint8(image) for image in images], axis=1)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def captioned(url: str, caption: str, *, smooth: bool = False) -> str:
    """HTML of one picture as wide as there is room, its pixels as squares or smooth."""
    rendering = "auto" if smooth else "pixelated"
    return (
        f'<figure style="margin:0"><img src="{url}" alt="{escape(caption)}" '
        f'style="width:100%;max-width:26rem;border-radius:.25rem;image-rendering:{rendering}">'
        f'<figcaption style="font-size:.85rem;opacity:.8">{escape(caption)}</figcaption></figure>'
    )


def beside(*figures: str) -> str:
    """HTML of pictures side by side, on narrow screens too."""
    return (
        f'<div style="display:grid;grid-template-columns:repeat({len(figures)},1fr);gap:.8rem">{"".join(figures)}</div>'
    )


def counted_note(rate: Rate) -> str:
    """A rate's interval and counts, for people."""
    return f"95% interval {formatting.interval(rate.interval)} %, {rate.hits} of {rate.total} images"


def stored_note(rate: Rate) -> str:
    """The same for a rate that was not measured now."""
    return f"stored: {counted_note(rate)}"


def live_note(rate: Rate, stored: Rate | None = None) -> str:
    """The same for a rate that was measured now, and what is stored of the same on other images.

    A live measurement takes the first test images, a stored one mostly all, so that the two differ by chance.
    """
    if not rate.total:
        return ""
    note = f"measured now on the first {rate.total}: {counted_note(rate)}"
    if stored is None or stored.total in (0, rate.total):
        return note
    return f"{note}; stored, on {stored.total} images: {formatting.percent(stored.value, ' %')}"


def svg_image(drawing: str, name: str, style: str = "") -> str:
    """HTML of a vector graphic as a picture: Streamlit takes graphics out of HTML, but leaves pictures.

    A picture does not know the theme: its colours must do on light and dark ground.
    """
    url = "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode("ascii")
    return f'<img src="{url}" alt="{escape(name)}" style="{style}">'


def rate_bars(readings: Sequence[Reading], place: str = "") -> str:
    """Rates as bars with their 95% intervals, the first one large; ``place`` says what they belong to."""
    rows = []
    for index, reading in enumerate(readings):
        rate, (low, high) = reading.rate, reading.rate.interval
        value = formatting.percent(rate.value, " %") or "-"
        note = reading.note or (counted_note(rate) if rate.total else "not measured")
        bar = (
            f'<div class="fill" style="width:{100 * rate.value:.2f}%;background:{reading.colour}"></div>'
            f'<div class="range" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></div>'
            if rate.total
            else ""
        )
        rows.append(
            f'<div class="ts-rate{" first" if index == 0 else ""}" data-hits="{rate.hits}" data-total="{rate.total}">'
            f'<span class="name">{escape(reading.name)}</span><span class="value">{value}</span>'
            f'<div class="bar">{bar}</div><span class="note">{escape(note)}</span></div>'
        )
    return f'{STYLE}<div class="ts-rates" role="status" data-place="{escape(place)}">{"".join(rows)}</div>'


def strip(images: Sequence[Shown], target: str) -> str:
    """Images with what the model says about each; those taken for the target are framed."""
    figures = []
    for shown in images:
        described = f"{shown.truth} predicted as {shown.predicted}"
        figures.append(
            f'<figure class="{"hit" if shown.hit else "miss"}"><img src="{shown.url}" alt="{escape(described)}">'
            f'<div class="said">{escape(shown.predicted)}</div>'
            f'<div class="truth">{escape(shown.about or f"is {shown.truth}")}</div></figure>'
        )
    hits = sum(shown.hit for shown in images)
    label = f"{hits} of {len(images)} shown images predicted as {target}"
    return f'{STYLE}<div class="ts-strip" aria-label="{escape(label)}">{"".join(figures)}</div>'
