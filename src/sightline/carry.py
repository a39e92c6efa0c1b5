"""From parts to parts: where scores go when an explanation is asked on other parts."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import GameError
from sightline.image.photo import Photo
from sightline.parts import GridCells, Parts, Points, Superpixels, drawing
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch

Span = tuple[float, float]
WHOLE: Span = (0.0, 1.0)
"""Where something begins and ends, as shares of something larger: all of it."""

SMALLEST_PICTURE = 64
"""Pixels, each way, of the picture in which ink is counted; a finer grid takes a finer one."""


def carry(
    scores: Float[np.ndarray, "targets parts"], before: Parts, after: Parts
) -> Float[np.ndarray, "targets others"]:
    """Scores of some parts on other parts of the same drawing or photo.

    Scores add up, so each part's score is shared out among the parts it becomes. Of a drawing,
    everything but grid to grid goes by way of the strokes; only what lies in cells without ink is
    lost, on the way to strokes. Of a photo, everything but grid to grid goes by way of the pixels.

    Raises:
        GameError: parts of a drawing with other strokes or points, or of another photo.
    """
    if isinstance(before.subject, Photo) or isinstance(after.subject, Photo):
        return _carry_on_photo(scores, before, after)
    spread = _membership(drawing(after), drawing(before))
    if isinstance(before, GridCells) and isinstance(after, GridCells):
        maps = torch.from_numpy(scores).unflatten(1, (before.rows, before.columns))
        return resized(maps, (after.rows, after.columns)).flatten(1).numpy()
    if type(before) is type(after):
        return scores
    if isinstance(before, Points):
        scores = scores @ spread.T
    elif isinstance(before, GridCells):
        scores = scores @ _shares(ink_in_cells(before).T)
    if isinstance(after, Points):
        return scores @ _shares(spread)
    if isinstance(after, GridCells):
        return scores @ _shares(ink_in_cells(after))
    return scores


def ink_in_cells(cells: GridCells) -> Float[np.ndarray, "strokes cells"]:
    """How much ink of each stroke, drawn alone, lies in each cell; in pixels."""
    size = max(SMALLEST_PICTURE, cells.rows, cells.columns)
    batch = SketchBatch.from_sketches([drawing(cells).normalise()], dtype=torch.float64)
    layers = Rasteriser(size=size).layers(batch).flatten(1)
    ink = layers.new_zeros(len(layers), len(cells))
    return ink.index_add(1, cells.of_pixels(size, size).flatten(), layers).numpy()


def heat(
    scores: Float[np.ndarray, "targets parts"], parts: Parts
) -> Float[Tensor, "targets height width"]:
    """Scores at each pixel of a photo: a superpixel's own; between the centres of cells bilinear.

    For looking and for ranking pixels: unlike carried scores, they do not add up.

    Raises:
        GameError: parts of a drawing.
    """
    photo = parts.subject
    if not isinstance(photo, Photo):
        raise GameError("a heat map over pixels is of a photo; a drawing has strokes: why.plot()")
    given = torch.from_numpy(scores)
    if isinstance(parts, Superpixels):
        return given[:, parts.numbers]
    assert isinstance(parts, GridCells)  # noqa: S101, photos have no other parts
    maps = given.unflatten(1, (parts.rows, parts.columns))[None]
    return F.interpolate(maps, photo.size, mode="bilinear", align_corners=False)[0]


def _carry_on_photo(
    scores: Float[np.ndarray, "targets parts"], before: Parts, after: Parts
) -> Float[np.ndarray, "targets others"]:
    photo, other = before.subject, after.subject
    if not (isinstance(photo, Photo) and is_same_photo(photo, other)):
        raise GameError("these parts are of another photo, or of a drawing")
    given = torch.from_numpy(scores)
    if isinstance(before, Superpixels):
        if isinstance(after, Superpixels) and torch.equal(before.numbers, after.numbers):
            return scores
        number = before.numbers.flatten()
        size = torch.bincount(number, minlength=len(before))
        spread = (given / size)[:, number].unflatten(1, photo.size)
    else:
        assert isinstance(before, GridCells)  # noqa: S101, photos have no other parts
        return carry_maps(given.unflatten(1, (before.rows, before.columns)), after)
    return _collected(spread, after)


def carry_maps(
    maps: Float[Tensor, "targets height width"],
    parts: Parts,
    spans: tuple[Span, Span] = (WHOLE, WHOLE),
) -> Float[np.ndarray, "targets parts"]:
    """What the places of a map hold, on the parts of a drawing or photo; sums stay.

    Args:
        maps: as large as a network makes them, even larger than a photo.
        parts: where the scores go.
        spans: where the photo begins and ends in the maps, down and across: a network may see more
            than the photo. What lies outside is lost.
    """
    photo = parts.subject
    if not isinstance(photo, Photo):
        cells = GridCells(photo, maps.shape[1], maps.shape[2])
        return carry(maps.flatten(1).numpy(), cells, parts)
    if isinstance(parts, GridCells):
        return resized(maps, (parts.rows, parts.columns), spans).flatten(1).numpy()
    return _collected(resized(maps, photo.size, spans), parts)


def _collected(
    spread: Float[Tensor, "targets height width"], parts: Parts
) -> Float[np.ndarray, "targets parts"]:
    """The sum of what lies on the pixels of each part."""
    size = (spread.shape[1], spread.shape[2])
    owner = parts.numbers if isinstance(parts, Superpixels) else parts.of_pixels(*size)  # type: ignore[union-attr]
    total = spread.new_zeros(len(spread), len(parts))
    return total.index_add(1, owner.flatten(), spread.flatten(1)).numpy()


def is_same_photo(one: Sketch | Photo, other: Sketch | Photo) -> bool:
    """Whether both are photos of the same pixels."""
    if not (isinstance(one, Photo) and isinstance(other, Photo)):
        return False
    return one is other or np.array_equal(one.pixels, other.pixels)


def _shares(amounts: Float[np.ndarray, "from to"]) -> Float[np.ndarray, "from to"]:
    """Rows that sum to 1; an empty one stays empty."""
    total = amounts.sum(1, keepdims=True)
    return np.divide(amounts, total, out=np.zeros_like(amounts), where=total > 0)


def _membership(a: Sketch, b: Sketch) -> Float[np.ndarray, "strokes points"]:
    lengths = [len(s) for s in a.strokes]
    if lengths != [len(s) for s in b.strokes]:
        raise GameError(
            "these parts are of another drawing: its strokes have "
            f"{lengths} points, the explained one's {[len(s) for s in b.strokes]}"
        )
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return (owner == np.arange(len(lengths))[:, None]).astype(float)


def resized(
    maps: Float[Tensor, "*maps height width"],
    size: tuple[int, int],
    spans: tuple[Span, Span] = (WHOLE, WHOLE),
) -> Float[Tensor, "*maps new_height new_width"]:
    """Maps on another grid: bilinear to more cells, by overlap to fewer.

    What each old cell holds is shared out whole, so sums stay. The new grid may cover only a piece
    of the old one, down and across (``spans``); what lies outside is then lost.

    Example:
        >>> resized(torch.tensor([[4.0, 2.0, 0.0, 1.0]]), (2, 2)).tolist()
        [[3.0, 0.5], [3.0, 0.5]]
    """
    down, across = (
        _resize_axis(old, new, span).to(maps)
        for old, new, span in zip(maps.shape[-2:], size, spans, strict=True)
    )
    return down.T @ maps @ across


def _resize_axis(old: int, new: int, span: Span) -> Float[Tensor, "old new"]:
    """Where the content of each cell goes along one axis.

    Rows sum to 1 with the new cells that would lie outside of ``span``, which are left out.
    """
    begin, end = span
    whole = max(old, new / (end - begin))  # so that the finer cells are 1 wide
    wide, step = whole / old, whole * (end - begin) / new
    before, behind = (
        max(0, math.ceil(whole * room / step - 1e-9)) for room in (begin, 1 - end)
    )  # new cells outside
    here = (torch.arange(old, dtype=torch.float64) + 0.5) * wide
    there = (torch.arange(-before, new + behind, dtype=torch.float64) + 0.5) * step + begin * whole
    if step < wide:  # bilinear: weights of the old cells at the new centres, edges held
        inside = there.clamp(float(here[0]), float(here[-1]))
        share = (1 - (here[:, None] - inside).abs() / wide).clamp(min=0)
        share = share * _overlap(there, step, whole / 2, whole)
    else:  # by how much of the old cell lies in the new one
        share = _overlap(here[:, None], wide, there, step)
    return (share / share.sum(1, keepdim=True))[:, before : before + new]


def _overlap(
    centre: Tensor, width: float, other: Tensor | float, other_width: float
) -> Float[Tensor, "*any"]:
    """Length that two intervals share, at most the first's width."""
    return ((width + other_width) / 2 - (centre - other).abs()).clamp(0, min(width, other_width))
