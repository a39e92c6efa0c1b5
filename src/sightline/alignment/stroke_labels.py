"""Labels of strokes: by the part that a stroke draws, by its number, by a box or lasso around it.

A model's ``prepare`` keeps the number and the order of strokes, so a label of the drawing as it
came is one of the drawing as the model reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from sightline.alignment.labels import AttentionLabel
from sightline.errors import AlignmentError, unknown_name
from sightline.sketch.sketch import Sketch

STEP = 0.25
"""Pixels between the places at which a painted mask is read along a stroke."""

Shares = Float[np.ndarray, " strokes"]


def label_parts(
    sketch: Sketch, *, must: Sequence[str] = (), must_not: Sequence[str] = (), **about: Any
) -> AttentionLabel:
    """Label the strokes that draw certain parts.

    Args:
        sketch: a drawing with a name, and a part of each stroke.
        must: names of the parts that have to be looked at.
        must_not: names of those that have to be left alone.
        about: author, time and weight of the label.

    Raises:
        AlignmentError: a drawing without name or parts, a part that it does not have, no part.

    Example:
        >>> rails = [[(0, 0), (9, 0)], [(0, 2), (9, 2)], [(0, 4), (9, 4)]]
        >>> duck = Sketch.from_strokes(rails, name="duck-1", parts=("body", "eye", "body"))
        >>> label_parts(duck, must=["body"]).must.tolist()
        [1.0, 0.0, 1.0]
    """
    if sketch.parts is None:
        raise AlignmentError(
            f"{_name(sketch)} does not say which part each stroke draws; label strokes by number "
            "(label_index) or by place (label_region)"
        )
    for part in (*must, *must_not):
        if part not in sketch.parts:
            known = sorted(set(sketch.parts))
            raise AlignmentError(f"{_name(sketch)}: {unknown_name('part', part, known)}")
    rows = [[float(part in names) for part in sketch.parts] for names in (must, must_not)]
    return _label(sketch, np.array(rows[0]), np.array(rows[1]), about)


def label_index(
    sketch: Sketch, *, must: Sequence[int] = (), must_not: Sequence[int] = (), **about: Any
) -> AttentionLabel:
    """Label strokes by their number in the order of drawing, from 0.

    Args:
        sketch: a drawing with a name.
        must: numbers of the strokes that have to be looked at.
        must_not: numbers of those that have to be left alone.
        about: author, time and weight of the label.

    Raises:
        AlignmentError: a drawing without a name, a number that no stroke has, no number.

    Example:
        >>> rails = [[(0, 0), (9, 0)], [(0, 2), (9, 2)]]
        >>> label_index(Sketch.from_strokes(rails, name="rails"), must_not=[1]).must_not.tolist()
        [0.0, 1.0]
    """
    rows = np.zeros((2, len(sketch)))
    for row, numbers in zip(rows, (must, must_not), strict=True):
        for number in numbers:
            if not 0 <= number < len(sketch):
                raise AlignmentError(
                    f"{_name(sketch)} has no stroke {number}: it has {len(sketch)}, from 0"
                )
            row[number] = 1
    return _label(sketch, rows[0], rows[1], about)


def label_region(
    sketch: Sketch,
    *,
    must: ArrayLike | None = None,
    must_not: ArrayLike | None = None,
    least: float = 0.0,
    **about: Any,
) -> AttentionLabel:
    """Label strokes by the share of their length that lies in a region, a soft label.

    Convention:
        A region is four numbers (a box, xyxy), a table ``[corners, 2]`` (a lasso, closed by
        itself; where it crosses itself, even-odd), or a table ``[height, width]`` of truth values
        (a painted mask). All in canvas units of the drawing as given; the mask's entry of row r
        and column c covers x from c to c + 1 and y from r to r + 1, and there is nothing outside.

    Args:
        sketch: a drawing with a name.
        must: region of what has to be looked at.
        must_not: region of what has to be left alone.
        least: a smaller share counts as none.
        about: author, time and weight of the label.

    Raises:
        AlignmentError: a drawing without a name, something that is no region, no stroke in any.

    Example:
        >>> rails = [[(0, 0), (8, 0)], [(0, 2), (8, 2)]]
        >>> label = label_region(Sketch.from_strokes(rails, name="rails"), must=[-1, -1, 6, 1])
        >>> label.must.tolist()
        [0.75, 0.0]
    """
    rows = []
    for region in (must, must_not):
        shares = np.zeros(len(sketch)) if region is None else share_inside(sketch, region)
        rows.append(np.where(shares >= least, shares, 0.0))
    return _label(sketch, rows[0], rows[1], about)


def share_inside(sketch: Sketch, region: ArrayLike) -> Shares:
    """How much of each stroke's length lies in a region (see `label_region`), from 0 to 1.

    A stroke of no length, a dot, is in or out.

    Raises:
        AlignmentError: what is given is no region.
    """
    given = np.asarray(region)
    if given.dtype == bool and given.ndim == 2:
        return np.array([_painted(stroke, given) for stroke in sketch.strokes])
    if given.shape == (4,):
        x0, y0, x1, y1 = given.tolist()
        given = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if not (given.ndim == 2 and given.shape[1] == 2 and len(given) >= 3) or given.dtype == object:
        raise AlignmentError(
            f"a region of shape {list(given.shape)}; give a box of 4 numbers, a lasso [corners, 2] "
            "of at least 3, or a table of truth values [height, width]"
        )
    lasso = given.astype(np.float64)
    if not np.isfinite(lasso).all():
        raise AlignmentError("a corner of the region is no finite number")
    return np.array([_lassoed(stroke, lasso) for stroke in sketch.strokes])


def _label(sketch: Sketch, must: Shares, must_not: Shares, about: dict[str, Any]) -> AttentionLabel:
    # what is left of rounding in a sum of lengths may lie above 1
    given = [mask.clip(0, 1) if mask.any() else None for mask in (must, must_not)]
    if not (must.any() or must_not.any()):
        raise AlignmentError(
            f"no stroke of {_name(sketch)} is labelled; name a part, a number or a region that "
            "holds some of its ink"
        )
    return AttentionLabel(_name(sketch), given[0], given[1], **about)


def _name(sketch: Sketch) -> str:
    if not sketch.name:
        raise AlignmentError(
            "the drawing has no name, by which its label would be found; give it one: "
            "dataclasses.replace(sketch, name=...)"
        )
    return sketch.name


def _lassoed(stroke: Float[np.ndarray, "_ 2"], lasso: Float[np.ndarray, "_ 2"]) -> float:
    """Exact: each segment is cut where it crosses the lasso, and each piece is in or out."""
    lengths = np.linalg.norm(np.diff(stroke, axis=0), axis=1)
    if not lengths.sum():
        return float(_within(stroke[:1], lasso)[0])
    inside = 0.0
    for start, end, length in zip(stroke[:-1], stroke[1:], lengths, strict=True):
        cuts = np.unique(np.concatenate([[0.0, 1.0], _crossings(start, end, lasso)]))
        middles = start + ((cuts[:-1] + cuts[1:]) / 2)[:, None] * (end - start)
        inside += length * float(np.diff(cuts) @ _within(middles, lasso))
    return inside / float(lengths.sum())


def _crossings(
    start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"], lasso: Float[np.ndarray, "_ 2"]
) -> Float[np.ndarray, " crossings"]:
    """How far along a segment, from 0 to 1, it crosses the sides of the lasso."""
    along, side = end - start, np.roll(lasso, -1, 0) - lasso
    offset = lasso - start
    slant = along[0] * side[:, 1] - along[1] * side[:, 0]  # 0: parallel, which is never crossed
    safe = np.where(slant == 0, 1.0, slant)
    part = (offset[:, 0] * side[:, 1] - offset[:, 1] * side[:, 0]) / safe
    there = (offset[:, 0] * along[1] - offset[:, 1] * along[0]) / safe
    hit = (slant != 0) & (part > 0) & (part < 1) & (there >= 0) & (there <= 1)
    return part[hit]


def _within(
    points: Float[np.ndarray, "points 2"], lasso: Float[np.ndarray, "_ 2"]
) -> Bool[np.ndarray, " points"]:
    """Even-odd: whether a ray to the right crosses the lasso an odd number of times."""
    x, y = points[:, :1], points[:, 1:]
    (x0, y0), (x1, y1) = lasso.T, np.roll(lasso, -1, 0).T
    spans = (y0 <= y) != (y1 <= y)
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    right = x < x0 + (y - y0) / rise * (x1 - x0)
    return (spans & right).sum(1) % 2 == 1


def _painted(stroke: Float[np.ndarray, "_ 2"], mask: Bool[np.ndarray, "height width"]) -> float:
    lengths = np.linalg.norm(np.diff(stroke, axis=0), axis=1)
    ends = np.concatenate([[0.0], lengths.cumsum()])
    pieces = max(int(np.ceil(ends[-1] / STEP)), 1)
    middles = (np.arange(pieces) + 0.5) / pieces * ends[-1]
    x, y = (np.interp(middles, ends, stroke[:, axis]) for axis in (0, 1))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    height, width = mask.shape
    there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return float((there & mask[row.clip(0, height - 1), column.clip(0, width - 1)]).mean())
