"""Drawings of pairs: strokes where the file has them, else a picture of ink."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import DrawingError, PhotoError, TaskError
from sightline.image.read import MOST_PIXELS, read_photo
from sightline.sketch.formats.svg import read_svg
from sightline.sketch.sketch import Sketch

INK_SIDE = 0.74
"""Longest side of the ink in a picture, as a share of its side: that of a normalised drawing."""

FAINTEST = 0.1
"""Ink below this share of the darkest is paper: what JPEG leaves around a line."""


def is_strokes(path: str | os.PathLike[str]) -> bool:
    """Whether a file of a drawing has strokes: an SVG."""
    return Path(path).suffix.lower() == ".svg"


@contextmanager
def told_of(path: str | os.PathLike[str]) -> Iterator[None]:
    """What cannot be read in here is told with the name of its file.

    Raises:
        TaskError: in place of a `DrawingError` or a `PhotoError`.
    """
    try:
        yield
    except (DrawingError, PhotoError) as error:
        raise TaskError(f"the drawing {path} cannot be read: {error}") from error


def read_strokes(path: str | os.PathLike[str]) -> Sketch:
    """A drawing of an SVG file.

    Raises:
        TaskError: it cannot be read; the message names the file.
    """
    with told_of(path):
        return read_svg(path)


def read_ink(path: str | os.PathLike[str], size: int = 64) -> Float[Tensor, "{size} {size}"]:
    """A drawing that is a picture, as ink in [0, 1].

    Convention:
        The border says what is paper: what differs from it is ink, dark on light or light on
        dark. Where the border is transparent, paper is white under dark strokes and black under
        light ones. The ink is framed as a normalised drawing is: its box in the middle, its
        longest side 0.74 of the picture's (to the nearest pixel of the file). The darkest ink is
        1, so that a thin pen on a large picture does not fade.

    Args:
        path: a PNG, JPEG or other picture; nothing in it is run.
        size: pixels along each side of the result.

    Raises:
        TaskError: no picture, a damaged one, or a blank one; the message names the file.
    """
    with told_of(path):
        grey = _grey(Path(path))
    ink = _ink(torch.from_numpy(grey))
    if float(ink.max()) < FAINTEST:
        raise TaskError(f"the drawing {path} is blank: all of one colour; leave it out")
    return framed_ink(ink, size)


def framed_ink(ink: Float[Tensor, "height width"], size: int) -> Float[Tensor, "{size} {size}"]:
    """Ink with its box in the middle of a square, as large as that of a normalised drawing.

    Example:
        >>> dot = torch.zeros(40, 60)
        >>> dot[3:13, 5:15] = 0.5
        >>> (framed_ink(dot, 8) > 0.5).sum(1).tolist()
        [0, 6, 6, 6, 6, 6, 6, 0]
    """
    ink = ink / ink.max().clamp_min(torch.finfo(ink.dtype).tiny)
    there = ink >= FAINTEST
    rows, columns = (there.any(axis).nonzero()[:, 0] for axis in (1, 0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(round(max(cut.shape) / INK_SIDE), *cut.shape)
    # on a square of the file's own pixels first: they are finer than those of the result
    (height, width), (top, left) = cut.shape, ((side - extent) // 2 for extent in cut.shape)
    square = F.pad(cut, (left, side - width - left, top, side - height - top))
    framed = F.interpolate(
        square[None, None], (size, size), mode="bilinear", align_corners=False, antialias=True
    )[0, 0]
    return (framed / framed.max()).clamp(0, 1)


def _ink(grey: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Distance from the paper, which the border shows, as a share of the largest there can be."""
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(border.median())
    # dark paper has light ink
    return ((paper - grey) / paper if paper >= 0.5 else (grey - paper) / (1 - paper)).clamp(0, 1)


def _grey(path: Path) -> Float[np.ndarray, "height width"]:
    """Brightness in [0, 1]; on black paper where a transparent picture has light strokes."""
    # the one reader of photos decides what is safe to decode, and shows white paper
    pixels = read_photo(path).pixels
    clear = _light_on_nothing(path)
    return _brightness(pixels) if clear is None else clear


def _light_on_nothing(path: Path) -> Float[np.ndarray, "height width"] | None:
    """Light strokes on transparent paper, on black; None of any other picture."""
    from PIL import Image

    with Image.open(path, formats=("PNG", "GIF", "TIFF", "WEBP", "JPEG", "BMP", "PPM")) as image:
        if not image.has_transparency_data or image.width * image.height > MOST_PIXELS:
            return None
        values = np.asarray(image.convert("RGBA"), dtype=np.float32) / 255
    alpha, light = values[..., 3], _brightness(values[..., :3] * 255)
    border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    if np.median(border) >= 0.5 or not alpha.any():
        return None
    return light * alpha if (light * alpha).sum() > 0.5 * alpha.sum() else None


def _brightness(pixels: np.ndarray) -> Float[np.ndarray, "height width"]:
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return (pixels.astype(np.float32) @ weights) / np.float32(255)
