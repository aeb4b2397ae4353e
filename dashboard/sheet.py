"""A grid of pictures with outlines and captions, as HTML on a page and as one PNG to take along (Fig. 10)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dashboard.heat import OUTLINE, picture
from dashboard.readouts import to_uint8

__all__ = ["Block", "Panel", "block_html", "sheet_png"]

SCALE = 5  # PNG pixels per image pixel
GAP, LINE = 12, 22


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        image: Floats ``(C, H, W)`` in [0, 1].
        mask: What is outlined, ``(H, W)``, or None.
        caption: What it is; on HTML followed by ``said`` in bold.
        said: What the model says about it, or nothing.
    """

    image: Tensor
    mask: Tensor | None
    caption: str
    said: str = ""

    @property
    def text(self) -> str:
        """Caption and answer in one line."""
        return f"{self.caption}: {self.said}" if self.said else self.caption


@dataclass(frozen=True)
class Block:
    """Panels of one model, side by side; one without panels keeps its place."""

    title: str
    panels: tuple[Panel, ...] = ()


def block_html(block: Block) -> str:
    """HTML of a block: a heading and a row of figures."""
    cells = []
    for panel in block.panels:
        said = f": <b>{escape(panel.said)}</b>" if panel.said else ""
        cells.append(
            f"<figure>{picture(panel.image, panel.mask, panel.text)}"
            f"<figcaption>{escape(panel.caption)}{said}</figcaption></figure>"
        )
    return f'<h4>{escape(block.title)}</h4><div class="cells">{"".join(cells)}</div>' if block.panels else ""


def sheet_png(rows: Sequence[Sequence[Block]]) -> bytes:
    """All blocks as one PNG on white, row by row; blocks of one column stand below each other.

    Raises:
        ValueError: If there is no picture.
    """
    shapes = [panel.image.shape[1:] for row in rows for block in row for panel in block.panels]
    if not shapes:
        raise ValueError("there is no picture to save")
    height, width = (SCALE * max(shape[axis] for shape in shapes) for axis in (0, 1))
    columns = max(len(row) for row in rows)
    widest = [max((len(row[c].panels) for row in rows if c < len(row)), default=0) for c in range(columns)]
    lefts = [GAP + sum(count * (width + GAP) + 2 * GAP for count in widest[:c]) for c in range(columns)]
    step = height + 2 * LINE + 2 * GAP
    canvas = Image.new("RGB", (lefts[-1] + widest[-1] * (width + GAP), GAP + len(rows) * step), "white")
    draw = ImageDraw.Draw(canvas)
    title, small = ImageFont.load_default(size=16), ImageFont.load_default(size=13)
    for number, row in enumerate(rows):
        top = GAP + number * step
        for left, block in zip(lefts, row, strict=False):
            draw.text((left, top), block.title if block.panels else "", fill="black", font=title)
            for index, panel in enumerate(block.panels):
                place = (left + index * (width + GAP), top + LINE)
                canvas.paste(_enlarged(panel), place)
                draw.text((place[0], place[1] + height + 4), _cut(panel.text, width, small), fill="#333", font=small)
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()


def _enlarged(panel: Panel) -> Image.Image:
    image = Image.fromarray(to_uint8(panel.image))
    image = image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.NEAREST)
    if panel.mask is not None:
        inside = np.kron(panel.mask.numpy() >= 0.5, np.ones((SCALE, SCALE), dtype=bool))
        around = np.pad(inside, 1)
        shrunk = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
        pixels = np.array(image)
        pixels[inside & ~shrunk] = list(bytes.fromhex(OUTLINE[1:]))
        image = Image.fromarray(pixels)
    return image


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """A text that fits into a width, with an ellipsis where it did not."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
