"""Is the right stroke named for a region, and the right region for a stroke?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.errors import TaskError
from sightline.sketch.sketch import Sketch
from sightline.tasks.generation.part_regions import PartRegions
from sightline.tasks.generation.stroke_maps import StrokeMaps

EQUAL = 1e-9
"""Scores nearer than this share of the largest are one score: rounding ranks nothing."""


def pointing(
    scores: Float[np.ndarray, "parts strokes"], own: Bool[np.ndarray, "parts strokes"]
) -> Float[np.ndarray, " parts"]:
    """Is the stroke of the highest score one that draws the part? 1 or 0; of ties, the share.

    Args:
        scores: of each stroke, for each part's region.
        own: which strokes draw it.

    Example:
        >>> own = np.array([[True, False, False]])
        >>> pointing(np.array([[3.0, 1.0, 2.0]]), own), pointing(np.array([[1.0, 1.0, 0.0]]), own)
        (array([1.]), array([0.5]))
    """
    _check(scores, own)
    room = EQUAL * np.abs(scores).max(1, keepdims=True)
    first = scores >= scores.max(1, keepdims=True) - room
    return (first & own).sum(1) / first.sum(1)


def average_precision(
    scores: Float[np.ndarray, "parts strokes"], own: Bool[np.ndarray, "parts strokes"]
) -> Float[np.ndarray, " parts"]:
    """Do the strokes that draw the part come first? 1 where all do before any other.

    The mean, over the part's strokes, of the share of its strokes among all that score at least
    as much: tied strokes share their place, so that no order of drawing decides.

    Example:
        >>> own = np.array([[True, False, True]])
        >>> average_precision(np.array([[3.0, 2.0, 1.0]]), own).round(4).tolist()
        [0.8333]
    """
    _check(scores, own)
    found = []
    for row, mine in zip(scores, own, strict=True):
        room = EQUAL * float(np.abs(row).max())
        as_much = row[None] >= row[mine][:, None] - room  # [the part's strokes, strokes]
        found.append(float(((as_much & mine).sum(1) / as_much.sum(1)).mean()))
    return np.array(found)


def own_share(
    maps: StrokeMaps, regions: PartRegions
) -> tuple[Float[np.ndarray, " asked"], Float[np.ndarray, " asked"]]:
    """How much of what each stroke put into the picture lies in the part that it draws.

    Args:
        maps: of every stroke.
        regions: the parts; strokes of other parts are not asked about.

    Returns:
        For each stroke asked about: the share of its positive content in its own part or just
        around it, and the same for a stroke that puts a little everywhere: the area. A stroke that
        puts nothing anywhere counts as one that puts a little everywhere.
    """
    wide = regions.wide()
    asked = np.flatnonzero(regions.own.any(0))
    part = regions.own[:, asked].argmax(0)
    inside = np.stack([maps.inside(mask) for mask in wide])[part, asked]
    area = wide.double().mean((1, 2)).numpy()[part]
    return np.where(np.isnan(inside), area, inside), area


def pixels_named(maps: StrokeMaps, regions: PartRegions) -> float:
    """The share of the parts' pixels whose strongest stroke is one that draws the part.

    Of strokes that are equally strong, the share. Masks must be of the picture's size.
    """
    if regions.masks.shape[1:] != maps.picture.shape[1:]:
        raise TaskError(
            f"masks of {list(regions.masks.shape[1:])} pixels, a picture of "
            f"{list(maps.picture.shape[1:])}; give both in one size"
        )
    content = maps.content
    most = content.amax(0)
    first = (content >= most * (1 - EQUAL)) & (most > 0)
    mine = torch.einsum("ps,shw->phw", torch.from_numpy(regions.own).double(), first.double())
    share = mine / first.sum(0).clamp(min=1)
    return float(share[regions.masks].sum() / regions.masks.sum())


def evenly(maps: StrokeMaps) -> StrokeMaps:
    """Every stroke made everything alike: what a reverse map must beat."""
    drawn = (maps.picture - maps.blank) / len(maps)
    spread = drawn[None].expand(len(maps), -1, -1, -1)
    return replace(maps, changes=spread, method="even", evaluations=2, seconds=0.0)


def nearest(maps: StrokeMaps, drawing: Sketch) -> StrokeMaps:
    """What stands at a pixel came from the stroke nearest to it: geometry, without any question.

    Args:
        maps: of which only the two pictures are read.
        drawing: as the generator reads it (normalised).
    """
    height, width = maps.picture.shape[1:]
    y, x = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    rows, columns = torch.meshgrid(2 * y / height - 1, 2 * x / width - 1, indexing="ij")
    pixels = torch.stack([columns, rows], -1).view(-1, 2).double()
    far = torch.stack([_distance(pixels, torch.tensor(line)) for line in drawing.strokes])
    first = torch.zeros_like(far).scatter_(0, far.argmin(0, keepdim=True), 1.0)
    mine = first.view(len(maps), 1, height, width)
    changes = mine * (maps.picture - maps.blank)
    return replace(maps, changes=changes, method="nearest stroke", evaluations=2, seconds=0.0)


def _distance(
    pixels: Float[Tensor, "pixels 2"], line: Float[Tensor, "points 2"]
) -> Float[Tensor, " pixels"]:
    """From each pixel to the nearest place on a line."""
    start, along = line[:-1], line[1:] - line[:-1]
    length = along.square().sum(1).clamp_min(1e-18)
    offset = pixels[:, None] - start  # [pixels, segments, 2]
    part = ((offset * along).sum(-1) / length).clamp(0, 1)
    return (offset - part[..., None] * along).square().sum(-1).amin(1)


def _check(scores: np.ndarray, own: np.ndarray) -> None:
    if scores.shape != own.shape:
        raise TaskError(
            f"scores have shape {list(scores.shape)}, the truth {list(own.shape)}; expected one "
            "number for each part and stroke"
        )
    if not own.any(1).all():
        raise TaskError("a part without a stroke has no right answer; leave it out")
