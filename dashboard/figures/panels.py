"""A grid of pictures with outlines and captions, as HTML on a page and as one picture for a paper (Fig. 8 to 10)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dashboard.figures.heatmap import OUTLINE, outline, picture
from dashboard.figures.html import data_url, to_uint8

__all__ = ["SHEETS", "Block", "Panel", "block_html", "sheet_file", "sheet_image", "sheet_svg"]

SHEETS = ("html", "png", "svg", "pdf")
"""Formats of a grid of pictures."""

# In dots, of which a CSS pixel has four: as wide, and with text as high, as the other figures that are saved.
DOTS = 4
WIDTH, GAP, TITLE, CAPTION = 420 * DOTS, 8 * DOTS, 15 * DOTS, 13 * DOTS
ACROSS = 4  # panels beside each other


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        image: Floats ``(C, H, W)`` in [0, 1].
        mask: What is outlined, ``(H, W)``, or None.
        caption: What it is; on HTML followed by ``answer`` in bold.
        answer: What the model says about it, or nothing.
    """

    image: Tensor
    mask: Tensor | None
    caption: str
    answer: str = ""

    @property
    def text(self) -> str:
        """Caption and answer in one line."""
        return f"{self.caption}: {self.answer}" if self.answer else self.caption


@dataclass(frozen=True)
class Block:
    """Panels of one model, side by side; one without panels keeps its place."""

    title: str
    panels: tuple[Panel, ...] = ()


def block_html(block: Block) -> str:
    """HTML of a block: a heading and a row of figures."""
    cells = []
    for panel in block.panels:
        answer_html = f": <b>{escape(panel.answer)}</b>" if panel.answer else ""
        cells.append(
            f"<figure>{picture(panel.image, panel.mask, panel.text)}"
            f"<figcaption>{escape(panel.caption)}{answer_html}</figcaption></figure>"
        )
    return f'<h4>{escape(block.title)}</h4><div class="cells">{"".join(cells)}</div>' if block.panels else ""


@dataclass(frozen=True)
class _Sheet:
    """Where everything lies, in dots: panels with their left upper corner and size, lines of text with theirs."""

    height: int
    panels: list[tuple[int, int, int, int, Panel]]
    lines: list[tuple[int, int, str, int]]


def _lay_out(rows: Sequence[Sequence[Block]]) -> _Sheet:
    """Blocks from left to right and top to bottom, as many beside each other as have four panels together.

    Raises:
        ValueError: If there is no picture.
    """
    blocks = [block for row in rows for block in row if block.panels]
    if not blocks:
        raise ValueError("there is no picture to save")
    lines: list[list[Block]] = []
    for block in blocks:
        if lines and sum(len(other.panels) for other in (*lines[-1], block)) <= ACROSS:
            lines[-1].append(block)
        else:
            lines.append([block])
    place = (WIDTH - (ACROSS + 1) * GAP) // ACROSS
    sheet, top = _Sheet(0, [], []), GAP
    for line in lines:
        cells = [(block, index, panel) for block in line for index, panel in enumerate(block.panels)]
        titles = {id(block): _wrapped(block.title, len(block.panels[:ACROSS]) * (place + GAP), TITLE) for block in line}
        head = max(len(title) for title in titles.values()) * round(1.25 * TITLE)
        for start in range(0, len(cells), ACROSS):
            lowest = top
            for number, (block, index, panel) in enumerate(cells[start : start + ACROSS]):
                left, y = GAP + number * (place + GAP), top + (head if start == 0 else 0)
                for row, text in enumerate(titles[id(block)] if index == 0 else ()):
                    sheet.lines.append((left, top + row * round(1.25 * TITLE), text, TITLE))
                rows_, cols = panel.image.shape[1:]
                scale = max(1, place // max(rows_, cols))
                sheet.panels.append((left, y, scale * cols, scale * rows_, panel))
                y += scale * rows_ + GAP // 4
                for text in _wrapped(panel.text, place, CAPTION):
                    sheet.lines.append((left, y, text, CAPTION))
                    y += round(1.25 * CAPTION)
                lowest = max(lowest, y)
            top = lowest + GAP
    return _Sheet(top, sheet.panels, sheet.lines)


def _wrapped(text: str, width: int, size: int) -> list[str]:
    """Lines that fit into a width; a word that does not is cut."""
    font, lines = ImageFont.load_default(size=size), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return [_cut(line, width, font) for line in lines]


def sheet_image(rows: Sequence[Sequence[Block]]) -> Image.Image:
    """All blocks as one picture on white, as wide as a column of a paper.

    Raises:
        ValueError: If there is no picture.
    """
    sheet = _lay_out(rows)
    canvas = Image.new("RGB", (WIDTH, sheet.height), "white")
    draw = ImageDraw.Draw(canvas)
    for left, top, width, _, panel in sheet.panels:
        canvas.paste(_enlarged(panel, width // panel.image.shape[2]), (left, top))
    for left, top, text, size in sheet.lines:
        draw.text((left, top), text, fill="#1a1a1a", font=ImageFont.load_default(size=size))
    return canvas


def sheet_svg(rows: Sequence[Sequence[Block]]) -> str:
    """The same as SVG: the pictures pixel by pixel, text as text.

    Raises:
        ValueError: If there is no picture.
    """
    sheet, parts = _lay_out(rows), []
    for left, top, width, height, panel in sheet.panels:
        drawn = f'href="{data_url(panel.image)}" width="{width}" height="{height}"'
        parts.append(f'<image x="{left}" y="{top}" {drawn} style="image-rendering:pixelated"/>')
        if panel.mask is not None:
            scale = width / panel.image.shape[2]
            place = f'transform="translate({left} {top}) scale({scale:g})"'
            parts.append(f'<path {place} d="{outline(panel.mask)}" fill="none" stroke="{OUTLINE}" stroke-width=".3"/>')
    for left, top, text, size in sheet.lines:
        parts.append(f'<text x="{left}" y="{top + round(0.95 * size)}" font-size="{size}">{escape(text)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {sheet.height}" width="{WIDTH // DOTS}" '
        f'height="{sheet.height // DOTS}" font-family="Arial, Helvetica, sans-serif" fill="#1a1a1a">'
        f'<rect width="{WIDTH}" height="{sheet.height}" fill="white"/>{"".join(parts)}</svg>'
    )


def sheet_file(rows: Sequence[Sequence[Block]], kind: str, name: str) -> bytes | str:
    """All blocks as a file.

    Args:
        rows: Blocks.
        kind: One of :data:`SHEETS`.
        name: What the file is called, its title where it has one.

    Raises:
        ValueError: If there is no picture, or no such kind.
    """
    if kind not in SHEETS:
        raise ValueError(f"kind = {kind!r} is not allowed: {', '.join(SHEETS)}")
    if kind == "svg":
        return sheet_svg(rows)
    if kind == "html":
        drawn = sheet_svg(rows).replace("<svg ", '<svg style="width:100%;max-width:60rem;height:auto" ', 1)
        head = f'<!doctype html><meta charset="utf-8"><title>{escape(name)}</title>'
        return f'{head}<body style="background:white">{drawn}</body>'
    buffer = io.BytesIO()
    inch = 96 * DOTS
    if kind == "pdf":
        sheet_image(rows).save(buffer, "PDF", resolution=inch, quality=95, subsampling=0)
    else:
        sheet_image(rows).save(buffer, "PNG", dpi=(inch, inch))
    return buffer.getvalue()


def _enlarged(panel: Panel, scale: int) -> Image.Image:
    image = Image.fromarray(to_uint8(panel.image))
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    if panel.mask is not None:
        inside = np.kron(panel.mask.numpy() >= 0.5, np.ones((scale, scale), dtype=bool))
        shrunk = inside
        for _ in range(max(1, round(0.15 * scale))):  # half of what the SVG's line is wide lies inside
            around = np.pad(shrunk, 1)
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
