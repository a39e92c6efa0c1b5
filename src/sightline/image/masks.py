"""Where a mask comes from: polygons, COCO's run lengths, a segment of a picture of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.errors import PhotoError
from sightline.image.read import read_photo


@dataclass(frozen=True)
class Polygons:
    """A mask drawn as polygons; together they are one mask.

    Convention:
        A pixel belongs when its centre lies inside a polygon by the even-odd rule; a centre on a
        left or upper edge lies inside, on a right or lower one outside. COCO's own tools grow
        a polygon by up to a pixel at its edge, so areas differ a little.

    Args:
        corners: of each polygon, x and y in turn: x0, y0, x1, y1, ...
        place: for messages.
    """

    corners: tuple[tuple[float, ...], ...]
    place: str = "a polygon"

    def __post_init__(self) -> None:
        for xs in self.corners:
            if len(xs) < 6 or len(xs) % 2:
                raise PhotoError(
                    f"{self.place} has a polygon of {len(xs)} numbers; expected x and y of at "
                    "least 3 corners"
                )
            if not all(abs(x) <= 1e6 for x in xs):
                raise PhotoError(f"{self.place} has a polygon corner beyond 1,000,000 pixels")

    def decode(self, size: tuple[int, int]) -> Bool[Tensor, "height width"]:
        """The mask in a photo of this height and width."""
        covered = np.zeros(size, bool)
        for xs in self.corners:
            covered |= _inside(np.array(xs).reshape(-1, 2), size)
        return torch.from_numpy(covered)


@dataclass(frozen=True)
class Runs:
    """A mask as COCO's run lengths: down the columns, background first.

    Args:
        counts: lengths of the runs, or the text that COCO makes of them.
        size: height and width that the file states.
        place: for messages.
    """

    counts: tuple[int, ...] | str
    size: tuple[int, int]
    place: str = "a mask"

    def decode(self, size: tuple[int, int]) -> Bool[Tensor, "height width"]:
        """The mask in a photo of this height and width."""
        if self.size != size:
            raise PhotoError(
                f"{self.place} has run lengths for {self.size[0]} x {self.size[1]} pixels (height "
                f"x width), its photo is {size[0]} x {size[1]}"
            )
        told = self.counts
        lengths = _lengths(told, self.place) if isinstance(told, str) else list(told)
        if min(lengths, default=0) < 0 or sum(lengths) != size[0] * size[1]:
            raise PhotoError(
                f"{self.place} has run lengths that sum to {sum(lengths)} (smallest "
                f"{min(lengths, default=0)}), not to {size[0]} x {size[1]} = {size[0] * size[1]}"
            )
        flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        return torch.from_numpy(np.ascontiguousarray(flat.reshape(size[1], size[0]).T))


@dataclass(frozen=True)
class Segment:
    """The pixels of one number in a picture of numbers: red + 256 green + 65536 blue.

    Args:
        path: the picture, often a PNG.
        number: of the segment.
    """

    path: Path
    number: int

    def decode(self, size: tuple[int, int]) -> Bool[Tensor, "height width"]:
        """The mask in a photo of this height and width."""
        picture = read_photo(self.path)
        if picture.size != size:
            raise PhotoError(
                f"{self.path} is {picture.size[0]} x {picture.size[1]} pixels (height x width), "
                f"its photo is {size[0]} x {size[1]}"
            )
        mask = (picture.pixels.astype(np.int64) @ [1, 256, 65536]) == self.number
        if not mask.any():
            raise PhotoError(f"{self.path} has no pixel of segment {self.number}")
        return torch.from_numpy(mask)


MaskSource = Polygons | Runs | Segment


def _inside(
    corners: Float[np.ndarray, "corners 2"], size: tuple[int, int]
) -> Bool[np.ndarray, "height width"]:
    """Even-odd: along a row, each edge that crosses its centre line turns the rest over."""
    turns = np.zeros((size[0], size[1] + 1), np.int64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        rows = _centres_between(min(y0, y1), max(y0, y1), size[0])
        if len(rows):  # else it is level, or passes no centre
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            turns[rows, np.ceil(x - 0.5).clip(0, size[1]).astype(np.int64)] += 1
    return np.cumsum(turns[:, :-1], 1) % 2 == 1


def _centres_between(low: float, high: float, most: int) -> Int[np.ndarray, " rows"]:
    """Pixels whose centres are in [low, high)."""
    first, end = (int(np.ceil(edge - 0.5).clip(0, most)) for edge in (low, high))
    return np.arange(first, end)


def _lengths(counts: str, place: str) -> list[int]:
    """COCO's text: five bits a character, and a sixth where more follow.

    From the fourth length on, differences from the length two before.

    Source:
        rleFrString in cocoapi, common/maskApi.c.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 50:
            raise PhotoError(f"{place} has broken run lengths: {character!r} at that place")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise PhotoError(f"{place} has run lengths that are cut off")
    return lengths
