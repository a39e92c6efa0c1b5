"""Stretches of a stroke that may go: its line between corners, tails, and what lies between."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Float, Int

from sightline.sketch.lengths import lengths_along
from sightline.sketch.simplify import rdp_keep
from sightline.sketch.sketch import Sketch
from sightline.tasks.healing.pieces import Piece, Pieces, line_of

CORNER = 45.0
"""Degrees by which a line turns at a corner."""

FLAT = 0.03
"""Share of the drawing's longest side by which a corner must stand out of its line."""

SPACING = 1 / 8
"""Share of the longest side at which a line without corners is cut."""

MOST_BITS = 12
"""Bits of one stroke; a longer stroke has longer ones."""


def cuts(line: Float[np.ndarray, "points 2"], side: float) -> Int[np.ndarray, " cuts"]:
    """Points of a line where it may be cut: its ends, its corners, and places between.

    Args:
        line: in canvas units.
        side: longest side of the drawing.

    Returns:
        Indices, ascending; a line is cut at its own points only.

    Example:
        >>> tick = np.array([(0, 0), (10, 10), (20, 0), (30, -10.0)])
        >>> cuts(tick, side=200.0).tolist()  # at the corner, since the rest is short
        [0, 1, 3]
    """
    along = lengths_along(line)
    spacing = max(SPACING * side, along[-1] / MOST_BITS)
    found = {0, len(line) - 1}
    for first, last in pairwise([0, *_corners(line, FLAT * side), len(line) - 1]):
        bits = max(1, round((along[last] - along[first]) / spacing)) if spacing else 1
        wanted = np.linspace(along[first], along[last], bits + 1)
        found |= {int(np.abs(along - place).argmin()) for place in wanted[1:-1]} | {first, last}
    return np.array(sorted(found), dtype=np.int64)


def stretches_of(sketch: Sketch, pieces: Pieces) -> list[Piece]:
    """Every run between two cuts of a piece, but for the piece as a whole.

    Args:
        sketch: the drawing in which the pieces are counted.
        pieces: what is left of it.
    """
    side, found = max(sketch.size), []
    for piece in pieces:
        places = (piece.first + cuts(line_of(sketch, piece), side)).tolist()
        runs = (Piece(piece.stroke, a, b) for a, b in combinations(places, 2))
        found += [run for run in runs if run != piece]
    return found


def sensitivities(
    sketch: Sketch,
    stretches: list[Piece],
    pieces: Pieces,
    read: Sketch,
    sizes: Float[np.ndarray, " points"],
) -> Float[np.ndarray, " stretches"]:
    """How much the score moves with each stretch: sizes of P-SLA, summed.

    A model reads fewer points than were drawn. Each of them stands where its share of its stroke's
    length is the same.

    Args:
        sketch: in which stretches and pieces are counted.
        stretches: asked about.
        pieces: what is left.
        read: what is left, as the model reads it: a stroke a piece, with points of its own.
        sizes: of the gradient at each of those points.
    """
    of_stroke = np.split(sizes, np.cumsum([len(stroke) for stroke in read.strokes])[:-1])
    held = [next(i for i, p in enumerate(pieces) if p.holds(run)) for run in stretches]
    own = [_along(line_of(sketch, piece)) for piece in pieces]
    seen = [_along(stroke) for stroke in read.strokes]
    found = []
    for run, index in zip(stretches, held, strict=True):
        start = pieces[index].first
        low, high = own[index][run.first - start], own[index][run.last - start]
        inside = (seen[index] >= low - 1e-9) & (seen[index] <= high + 1e-9)
        found.append(float(of_stroke[index][inside].sum()))
    return np.array(found)


def _along(line: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, " points"]:
    """Share of the line's length at each point."""
    along = lengths_along(line)
    return along / along[-1] if along[-1] else np.linspace(0, 1, len(line))


def _corners(line: Float[np.ndarray, "points 2"], epsilon: float) -> list[int]:
    """Interior points where the line, without its small wobbles, turns."""
    kept = np.flatnonzero(rdp_keep(line, epsilon))
    before, after = line[kept[1:-1]] - line[kept[:-2]], line[kept[2:]] - line[kept[1:-1]]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    turn = np.degrees(np.abs(np.arctan2(cross, (before * after).sum(1))))
    return kept[1:-1][turn >= CORNER].tolist()
