"""Pictures of boxes: the photo in grey, the scores of its parts over it, the box around it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from sightline.errors import PhotoError, SightlineError
from sightline.image.photo import Photo
from sightline.runs.rows import PhotoResult, Row
from sightline.runs.run import Item, Run

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LARGEST = 480
"""Pixels of the longer side of a picture inside a page."""

OPACITY = 0.65
_BOX, _EDGE = (255, 255, 255), (0, 0, 0)


def photo_of(run: Run, photo: PhotoResult) -> Photo | None:
    """The photo of an explanation, if it is still there and still has its size."""
    from sightline.image.read import read_photo

    try:
        found = read_photo(run.photo_path(photo.name))
    except PhotoError:
        return None
    return found if found.size == (photo.height, photo.width) else None


def overlay(
    photo: PhotoResult, row: Row, shown: Photo | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """The scores over the photo, vermilion for the box and blue against it; grey is nothing.

    Args:
        photo: whose parts they are.
        row: which scores; full colour is the largest of them.
        shown: the photo itself; without it the parts stand on white.
    """
    from PIL import Image, ImageDraw

    heat = photo.heat(row)
    limit = float(np.abs(row.scores).max(initial=0.0)) or 1.0
    grey = _grey(photo, shown)[..., None]
    strength = (np.abs(heat) / limit)[..., None]
    mixed = grey + OPACITY * strength * (_colours(heat / limit) - grey)
    image = Image.fromarray(mixed.round().astype(np.uint8))
    draw = ImageDraw.Draw(image)
    thick = max(2, round(max(image.size) / 200))
    x0, y0, x1, y1 = _inside(row, photo)
    draw.rectangle((x0, y0, x1, y1), outline=_EDGE, width=thick + 2)
    draw.rectangle((x0 + 1, y0 + 1, x1 - 1, y1 - 1), outline=_BOX, width=thick)
    return np.array(image)


def write_overlay(run: Run, item: Item, path: Path) -> None:
    """Write the picture of an explanation; the suffix chooses the format.

    Raises:
        SightlineError: a suffix that is no picture's.
    """
    from PIL import Image

    from sightline.sketch.files import replace_file

    if path.suffix.lower() not in SUFFIXES:
        raise SightlineError(f"cannot draw {path.name!r}: use one of {', '.join(SUFFIXES)}")
    pixels = overlay(item.photo, item.row, photo_of(run, item.photo))
    kind = path.suffix.lower()[1:].replace("jpg", "jpeg")
    with replace_file(path) as stream:
        Image.fromarray(pixels).save(stream, format=kind)


def as_data(pixels: UInt8[np.ndarray, "height width 3"], *, largest: int = LARGEST) -> str:
    """A picture as the address of an ``<img>``, so that a page needs no other file."""
    from PIL import Image

    image: Image.Image = Image.fromarray(pixels)
    image.thumbnail((largest, largest))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _grey(photo: PhotoResult, shown: Photo | None) -> Float[np.ndarray, "height width"]:
    if shown is None:
        return np.full((photo.height, photo.width), 255.0)
    luminance = shown.pixels @ np.array([0.299, 0.587, 0.114])
    return 40 + 0.8 * luminance  # lighter, so that colours are seen on dark photos too


def _colours(scores: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width 3"]:
    from matplotlib.colors import to_rgb

    from sightline.picture import AGAINST, FOR

    against, speaking = (255 * np.array(to_rgb(colour)) for colour in (AGAINST, FOR))
    return np.where(scores[..., None] > 0, speaking, against)


def _inside(row: Row, photo: PhotoResult) -> tuple[float, float, float, float]:
    """The box as far as the photo reaches, never inside out."""
    x0, x1 = sorted(float(np.clip(x, 0, photo.width - 1)) for x in row.box[::2])
    y0, y1 = sorted(float(np.clip(y, 0, photo.height - 1)) for y in row.box[1::2])
    return x0, y0, max(x1, x0 + 2), max(y1, y0 + 2)
