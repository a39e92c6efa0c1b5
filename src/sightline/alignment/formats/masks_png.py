"""Masks as grey PNG pictures: black is 0, white is 1."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from sightline.errors import AlignmentError, first_line
from sightline.image.read import MOST_PIXELS

Grey = UInt8[np.ndarray, "height width"] | UInt16[np.ndarray, "height width"]


def grey_of(mask: Float[np.ndarray, "height width"]) -> Grey:
    """A mask as the numbers of a grey picture.

    Of 8 bits if every number is k / 255 exactly, so that nothing is lost; else of 16, to the
    nearest k / 65535, where what is above 0 stays so.

    Example:
        >>> grey_of(np.float32([[0, 1, 0.2]])).tolist(), grey_of(np.float32([[0.5]])).tolist()
        ([[0, 255, 51]], [[32768]])
    """
    eight = (mask * 255).round()
    if np.array_equal((eight / 255).astype(np.float32), mask):
        return eight.astype(np.uint8)
    sixteen = (mask.astype(np.float64) * 65535).round()
    return np.maximum(sixteen, mask > 0).astype(np.uint16)


def png_of(mask: Float[np.ndarray, "height width"]) -> bytes:
    """A mask as the bytes of a PNG file; the same mask gives the same bytes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(grey_of(mask)).save(stream, "PNG")
    return stream.getvalue()


def read_mask(path: Path) -> Float[np.ndarray, "height width"]:
    """The mask in a PNG file, in [0, 1]; what is transparent is 0.

    Raises:
        AlignmentError: no such file, no PNG, a damaged one, one in colours.
    """
    from PIL import Image

    if not path.is_file():
        raise AlignmentError(f"{path} does not exist, or is no file; check the path")
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise AlignmentError(
                    f"{path} says it holds {image.width} x {image.height} pixels; masks are read "
                    f"up to {MOST_PIXELS:,}"
                )
            if image.mode.startswith("I"):
                return np.asarray(image).astype(np.float32) / np.float32(65535)
            pixels = np.asarray(image.convert("RGBA"))
    except AlignmentError:
        raise
    except Exception as error:  # decoders raise anything on a hostile file
        raise AlignmentError(
            f"{path} cannot be read as a PNG mask: {type(error).__name__}: {first_line(error)}; "
            "write it again"
        ) from error
    return _grey(pixels, path)


def _grey(pixels: UInt8[np.ndarray, "height width 4"], path: Path) -> Float[np.ndarray, "h w"]:
    seen = np.where(pixels[..., 3:] == 0, np.uint8(0), pixels)
    if (seen[..., :1] != seen[..., 1:3]).any():
        raise AlignmentError(
            f"{path} has colours; expected a grey mask, where white is what is marked"
        )
    opacity = pixels[..., 3].astype(np.float32) / np.float32(255)
    return seen[..., 0].astype(np.float32) / np.float32(255) * opacity
