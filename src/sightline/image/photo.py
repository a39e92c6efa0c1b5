"""The photo: pixels as a person sees them, whatever the file held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from sightline.errors import PhotoError


@dataclass(frozen=True, eq=False)
class Photo:
    """A colour photo, upright.

    Convention:
        Rows from the top, columns from the left, channels red, green, blue (sRGB). Pixel (row,
        column) covers [column, column + 1] x [row, row + 1], so its centre is at half numbers, and
        boxes are xyxy in these units.

    Args:
        pixels: 0 to 255.
        name: for messages and records; often the file's.

    Raises:
        PhotoError: no such pixels.

    Example:
        >>> Photo(np.zeros((2, 3, 3), np.uint8), name="night.png").size
        (2, 3)
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    name: str = ""

    def __post_init__(self) -> None:
        shape, kind = self.pixels.shape, self.pixels.dtype
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or kind != np.uint8:
            raise PhotoError(
                f"photo {self.name!r} has pixels {kind} of shape {list(shape)}; expected uint8 "
                "[height, width, 3], at least 1 x 1"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]
