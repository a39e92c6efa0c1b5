"""Localisation: does the explanation of a box lie on the object, and on no other?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from sightline.errors import PhotoError

# "..." and not two axes: a map with colour channels is refused in words, below
Map = Float[np.ndarray, "..."] | Float[Tensor, "..."]
Array = Shaped[np.ndarray, "..."] | Shaped[Tensor, "..."]
Box = Array | Sequence[float]
Mask = Bool[np.ndarray, "..."] | Bool[Tensor, "..."]

HALF = 0.5
BLANK = "blank map: no positive score"


@dataclass(frozen=True)
class Overlap:
    """How one map lies on one object, given as a box or as a mask; None where the map is blank.

    The *region* is every pixel above ``threshold`` times the highest score. The same region stands
    above and below every line.

    Args:
        area: share of the photo that the object covers.
        inside: share of the region that lies on the object (precision).
        energy: share of the sum of positive scores that lies on the object.
        per_area: energy / area; 1 for a map that is the same everywhere, more is better.
        coverage: share of the object that is region (recall).
        iou: intersection of region and object over their union.
        pointing: share of the highest pixels (one, but for ties) that hit the object.
    """

    area: float
    inside: float | None = None
    energy: float | None = None
    per_area: float | None = None
    coverage: float | None = None
    iou: float | None = None
    pointing: float | None = None


@dataclass(frozen=True)
class Localisation:
    """Where a map lies, in numbers; none of them is ever NaN.

    A map without any positive score points nowhere. Its numbers are None, not 0: count such maps
    (`blank`) and print the count beside every mean, since leaving them out in silence flatters.

    Args:
        box: on the box.
        mask: on the object's mask, where one was given.
        discrimination: of the energy on annotated objects, the share on others than the own one;
            0 is best. None without others, or without energy on any.
        reason: why a number that was asked for is None; empty where all are there.
    """

    box: Overlap
    mask: Overlap | None = None
    discrimination: float | None = None
    reason: str = ""

    @property
    def blank(self) -> bool:
        """Whether the map had no positive score."""
        return self.box.energy is None

    def numbers(self) -> dict[str, float | None]:
        """Every number under a flat name: ``energy``, ``mask_energy``, ``discrimination``.

        Example:
            >>> where = localise(np.eye(2), (0.0, 0.0, 1.0, 1.0))
            >>> where.numbers()["iou"]
            0.5
        """
        flat: dict[str, float | None] = {}
        for prefix, overlap in (("", self.box), ("mask_", self.mask)):
            if overlap is not None:
                flat |= {prefix + f.name: getattr(overlap, f.name) for f in fields(overlap)}
        return flat | {"discrimination": self.discrimination}


def localise(
    of_pixels: Map,
    box: Box,
    *,
    mask: Mask | None = None,
    others: Sequence[Box | Mask] | Box = (),
    threshold: float = HALF,
    tolerance: float = 0.0,
) -> Localisation:
    """Measure where a map of signed scores lies, against a box and a mask.

    Convention:
        Boxes are xyxy in pixels of the photo; pixel (row, column) covers [column, column + 1] x
        [row, row + 1] and belongs to a box by the *share of it that the box covers*, so a box need
        not end at a pixel's edge. What of a box lies outside the photo is cut off.

    Args:
        of_pixels: scores ``[height, width]`` of the photo's pixels; only positive ones count.
        box: of the object.
        mask: ``[height, width]`` of the object, where there is one.
        others: boxes (also as rows of one array) or masks of the other annotated objects. A pixel
            that the own object (its mask if given, else its box) covers is never counted as
            another's; where others overlap each other it counts once.
        threshold: of the highest score, above which a pixel is in the region; 0: all positive ones.
        tolerance: in pixels, from the centre of a highest pixel to the object, for ``pointing``;
            15 is usual where objects are given as points or masks.

    Raises:
        PhotoError: a map that is not finite or not ``[height, width]``; an object that is broken,
            of another size, or covers nothing of the photo.

    Example:
        >>> dog = np.zeros((4, 8)); dog[1, 2:4] = 1.0
        >>> where = localise(dog, (2.0, 0.0, 4.0, 4.0), others=[(6.0, 0.0, 8.0, 4.0)])
        >>> where.box.energy, where.box.per_area, where.box.coverage, where.discrimination
        (1.0, 4.0, 0.25, 0.0)

    Source:
        Pointing game: Zhang et al., 2016. Energy: Wang et al., 2020 (Score-CAM). Discrimination
        asks what Zhao and Chan ask (ODAM, 2023), as a share of the energy on objects. Region,
        inside, coverage, IoU: the public program detex, as its names say; it differs in that

        - Kernel SHAP's region is all scores > 0 in the denominator, and all scores > 0.5 (of the
          probability, not of the highest score) in the numerator;
        - CAMs are read from a colour picture of the map, each channel a pixel of its own, and cut
          out as ``[x, y]`` where rows come first;
        - box edges lose their fractions;
        - pixels are summed over all boxes before they are divided, so that a large box counts as
          many small ones; here each box has its own numbers, for a mean over photos.
    """
    if not 0 <= threshold < 1 or not 0 <= tolerance < math.inf:
        raise PhotoError(
            f"threshold is {threshold}, tolerance {tolerance}; a threshold is a share of the "
            "highest score in [0, 1), a tolerance a number of pixels from 0"
        )
    scores = read_map(of_pixels)
    corners = _corners(box, "the box")
    own = {"box": _of_box(corners, scores.shape)}
    if mask is not None:
        own["mask"] = _of_mask(_bits(mask, scores.shape, "the mask"))
    for kind, covered in own.items():
        if not covered.size:
            raise PhotoError(f"the {kind} covers nothing of the photo; drop it: it has no place")
    rest = [_of_other(other, i, scores.shape) for i, other in enumerate(others)]
    seen = _Seen.of(scores, threshold)
    if seen is None:
        bare = {kind: Overlap(covered.share(scores.shape)) for kind, covered in own.items()}
        return Localisation(bare["box"], bare.get("mask"), reason=BLANK)
    on_box = _overlap(seen, own["box"], _near_box(corners, *seen.highest, tolerance))
    on_mask = None
    if mask is not None:
        near = _near_mask(own["mask"], *seen.highest, tolerance)
        on_mask = _overlap(seen, own["mask"], near)
    astray = _astray(seen.energy, own.get("mask", own["box"]), rest) if rest else None
    reason = "no positive score on any annotated object" if rest and astray is None else ""
    return Localisation(on_box, on_mask, astray, reason)


def read_map(of_pixels: Map) -> Float[np.ndarray, "height width"]:
    """A map in float64 on the CPU.

    Raises:
        PhotoError: not ``[height, width]``, empty, or not finite.
    """
    if isinstance(of_pixels, Tensor):
        of_pixels = of_pixels.detach().to("cpu", torch.float64).numpy()
    if of_pixels.ndim != 2 or not of_pixels.size:
        raise PhotoError(
            f"the map has shape {list(of_pixels.shape)}; expected one score a pixel, [height, "
            "width]: sum over channels, and never measure a picture of a map"
        )
    scores = np.asarray(of_pixels, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise PhotoError(f"{int((~np.isfinite(scores)).sum())} scores of the map are not finite")
    return scores


@dataclass(frozen=True, eq=False)
class _Seen:
    """What every number needs of a map, computed once."""

    energy: Float[np.ndarray, "height width"]
    total: float
    region: Bool[np.ndarray, "height width"]
    count: int
    highest: tuple[Int[np.ndarray, " ties"], Int[np.ndarray, " ties"]]

    @classmethod
    def of(cls, scores: Float[np.ndarray, "height width"], threshold: float) -> _Seen | None:
        """None where nothing is positive."""
        peak = scores.max()
        if peak <= 0:
            return None
        # in units of the highest score, so that no sum can overflow or vanish
        energy = np.maximum(scores, 0)
        energy /= peak
        region = energy > threshold
        rows, columns = (energy == 1).nonzero()
        count = int(np.count_nonzero(region))
        return cls(energy, float(energy.sum()), region, count, (rows, columns))


@dataclass(frozen=True, eq=False)
class _Covered:
    """The share of each pixel that an object covers, within the rows and columns it touches."""

    weights: Float[np.ndarray, "rows columns"]
    top: int
    left: int
    size: float

    def cut(self, of_pixels: Shaped[np.ndarray, "height width"]) -> Shaped[np.ndarray, "_ _"]:
        """A view of the pixels that it touches."""
        rows, columns = self.weights.shape
        return of_pixels[self.top : self.top + rows, self.left : self.left + columns]

    def sum(self, of_pixels: Shaped[np.ndarray, "height width"]) -> float:
        """What lies on the object."""
        return float(np.vdot(self.weights, self.cut(of_pixels)))

    def share(self, size: tuple[int, ...]) -> float:
        """Of a photo of this size."""
        return self.size / (size[0] * size[1])


def _overlap(seen: _Seen, covered: _Covered, hits: Bool[np.ndarray, " ties"]) -> Overlap:
    area = covered.share(seen.energy.shape)
    both = covered.sum(seen.region)
    energy = covered.sum(seen.energy) / seen.total
    return Overlap(
        area=area,
        inside=both / seen.count,
        energy=energy,
        per_area=energy / area,
        coverage=both / covered.size,
        iou=both / (covered.size + seen.count - both),
        pointing=float(hits.mean()),
    )


def _astray(
    energy: Float[np.ndarray, "height width"], own: _Covered, others: list[_Covered]
) -> float | None:
    elsewhere = np.zeros_like(energy)
    for other in others:
        place = other.cut(elsewhere)
        np.maximum(place, other.weights, out=place)
    place = own.cut(elsewhere)
    np.maximum(place - own.weights, 0, out=place)
    lost, kept = float((elsewhere * energy).sum()), own.sum(energy)
    return lost / (lost + kept) if lost + kept > 0 else None


def _corners(box: Box, what: str) -> tuple[float, float, float, float]:
    numbers = [float(c) for c in box] if len(np.shape(box)) == 1 else []
    if len(numbers) != 4 or not all(math.isfinite(c) for c in numbers):
        raise PhotoError(f"{what} is {box}; expected four finite numbers, xyxy")
    x0, y0, x1, y1 = numbers
    if x1 < x0 or y1 < y0:
        raise PhotoError(f"{what} is {numbers}, inside out; expected x0 <= x1 and y0 <= y1")
    return x0, y0, x1, y1


def _of_box(box: tuple[float, float, float, float], size: tuple[int, ...]) -> _Covered:
    top, rows = _lengths(box[1], box[3], size[0])
    left, columns = _lengths(box[0], box[2], size[1])
    return _Covered(np.outer(rows, columns), top, left, float(rows.sum() * columns.sum()))


def _lengths(low: float, high: float, pixels: int) -> tuple[int, Float[np.ndarray, " covered"]]:
    """The first pixel on an axis that [low, high] touches, and how much of each it covers."""
    low, high = min(max(low, 0.0), pixels), min(max(high, 0.0), pixels)
    edges = np.arange(math.floor(low), math.ceil(high), dtype=np.float64)
    return math.floor(low), np.minimum(edges + 1, high) - np.maximum(edges, low)


def _bits(mask: Array, size: tuple[int, ...], what: str) -> Bool[np.ndarray, "height width"]:
    bits = mask.cpu().numpy() if isinstance(mask, Tensor) else mask
    if bits.shape != size or bits.dtype != bool:
        raise PhotoError(
            f"{what} is {bits.dtype} of shape {list(bits.shape)}; expected bool of the map's, "
            f"{list(size)}: [height, width] of the photo"
        )
    return bits


def _of_mask(bits: Bool[np.ndarray, "height width"]) -> _Covered:
    rows, columns = np.flatnonzero(bits.any(1)), np.flatnonzero(bits.any(0))
    if not len(rows):
        return _Covered(np.zeros((0, 0)), 0, 0, 0.0)
    top, left = int(rows[0]), int(columns[0])
    inner = bits[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].astype(np.float64)
    return _Covered(inner, top, left, float(inner.sum()))


def _of_other(other: Box | Mask, i: int, size: tuple[int, ...]) -> _Covered:
    what = f"other object {i}"
    if isinstance(other, np.ndarray | Tensor) and other.ndim == 2:
        return _of_mask(_bits(other, size, what))
    return _of_box(_corners(other, what), size)


def _near_box(
    box: tuple[float, float, float, float],
    rows: Int[np.ndarray, " ties"],
    columns: Int[np.ndarray, " ties"],
    tolerance: float,
) -> Bool[np.ndarray, " ties"]:
    x, y = columns + 0.5, rows + 0.5
    aside = np.maximum(np.maximum(box[0] - x, x - box[2]), 0)
    above = np.maximum(np.maximum(box[1] - y, y - box[3]), 0)
    return np.hypot(aside, above) <= tolerance


def _near_mask(
    covered: _Covered,
    rows: Int[np.ndarray, " ties"],
    columns: Int[np.ndarray, " ties"],
    tolerance: float,
) -> Bool[np.ndarray, " ties"]:
    """Whether a pixel of the mask is as near, measured from the centre to its nearest edge."""
    rows, columns = rows - covered.top, columns - covered.left
    height, width = covered.weights.shape
    before = np.zeros((height, width + 1))  # of each pixel: how many of its row are left of it
    np.cumsum(covered.weights, axis=1, out=before[:, 1:])
    found = np.zeros(len(rows), dtype=bool)
    reach = math.floor(tolerance + 0.5) if tolerance else 0
    for off in range(-reach, reach + 1):
        room = tolerance**2 - max(abs(off) - 0.5, 0) ** 2
        aside = math.floor(math.sqrt(max(room, 0)) + 0.5) if tolerance else 0
        at = np.flatnonzero((rows + off >= 0) & (rows + off < height))
        right = np.clip(columns[at] + aside + 1, 0, width)
        left = np.clip(columns[at] - aside, 0, width)
        row = rows[at] + off
        found[at] |= before[row, right] > before[row, left]
    return found
