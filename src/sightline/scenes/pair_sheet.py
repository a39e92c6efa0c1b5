"""A contact sheet of pairs: the photo, one hand on it with a colour for each part, another hand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from sightline.scenes.pairs import FAMILIES, Pair, draw_pair
from sightline.scenes.pen import Colour
from sightline.sketch.files import replace_file

if TYPE_CHECKING:
    from PIL import Image

COLOURS = (
    (0, 114, 178), (213, 94, 0), (0, 140, 95), (170, 60, 130), (130, 95, 0), (60, 60, 160),
    (190, 30, 45), (0, 130, 150), (90, 110, 20), (110, 60, 30), (80, 80, 90),
)  # fmt: skip
INK = (32, 32, 36)
PALE = 0.22  # what is left of a photo under a drawing
CELL = 144
MARGIN, GAP, CAPTION = 66, 6, 18
FINER = 4
ROWS = ("photo", "one hand,\nby part", "another\nhand")


def pair_sheet(
    families: Sequence[str] = FAMILIES, *, seeds: Sequence[int] = (30, 35), columns: int = 3
) -> Image.Image:
    """Instances of families side by side: photo, a drawing over it, another drawer's drawing.

    Args:
        families: in this order, some of `FAMILIES`.
        seeds: of the instances of each family.
        columns: families side by side; the others follow below.

    Example:
        >>> pair_sheet(["shoe"], seeds=[3]).size
        (222, 474)
    """
    from PIL import Image

    blocks = [families[i : i + columns] for i in range(0, len(families), columns)]
    across = max(len(block) for block in blocks) * len(seeds)
    block_height = CAPTION + len(ROWS) * (CELL + GAP) + GAP
    size = (MARGIN + across * (CELL + GAP) + GAP, len(blocks) * block_height)
    sheet = Image.new("RGB", size, "white")
    for row, block in enumerate(blocks):
        _paste_block(sheet, [(f, seed) for f in block for seed in seeds], row * block_height)
    return sheet


def write_pair_sheet(path: str | os.PathLike[str], sheet: Image.Image) -> None:
    """The sheet as a PNG, its colours in steps of 4, which halves the file; whole or not at all.

    ``write_pair_sheet("docs/pictures/pairs.png", pair_sheet())`` made the picture in the docs.
    """
    with replace_file(path) as file:
        sheet.point(lambda level: min(255, level // 4 * 4 + 3)).save(
            file, format="PNG", optimize=True
        )


def drawn(
    pair: Pair, background: UInt8[np.ndarray, "side side 3"], *, by_part: bool
) -> UInt8[np.ndarray, "side side 3"]:
    """A pair's strokes over a background of the photo's size; a colour a part, or ink."""
    from PIL import Image, ImageDraw

    side = len(background) * FINER
    sheet = Image.fromarray(background).resize((side, side), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(sheet)
    width, names = round(0.014 * side), list(pair.masks)
    for stroke, part in zip(pair.sketch.strokes, pair.sketch.parts or (), strict=True):
        colour = COLOURS[names.index(part) % len(COLOURS)] if by_part else INK
        _line(draw, (stroke * FINER).tolist(), colour, width)
    return np.asarray(sheet.reduce(FINER))


def _line(draw: Any, points: Iterable[Sequence[float]], colour: Colour, width: int) -> None:
    """A polyline with round joints and ends."""
    path, half = [(x, y) for x, y in points], width / 2
    draw.line(path, fill=colour, width=width)
    for x, y in path:
        draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)


def _paste_block(sheet: Image.Image, instances: Sequence[tuple[str, int]], top: int) -> None:
    from PIL import Image, ImageDraw

    text, font = ImageDraw.Draw(sheet), _font()
    for row, label in enumerate(ROWS):
        middle = top + CAPTION + row * (CELL + GAP) + CELL // 2
        text.multiline_text((6, middle), label, INK, anchor="lm", spacing=3, font=font)
    for column, (family, seed) in enumerate(instances):
        left = MARGIN + column * (CELL + GAP)
        one, other = (draw_pair(seed, family=family, size=CELL, drawer=i) for i in (0, 1))
        text.text((left + CELL // 2, top + 10), one.name, INK, anchor="mm", font=font)
        white = np.full_like(one.photo.pixels, 255)
        pale = (255 - PALE * (255.0 - one.photo.pixels)).astype(np.uint8)
        cells = (
            one.photo.pixels,
            drawn(one, pale, by_part=True),
            drawn(other, white, by_part=False),
        )
        for row, cell in enumerate(cells):
            sheet.paste(Image.fromarray(cell), (left, top + CAPTION + row * (CELL + GAP)))


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(12)
